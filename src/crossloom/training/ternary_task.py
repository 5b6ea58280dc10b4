"""Task of ternary training: a copy of the user's module, imported and called once before training, and the training data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from crossloom.errors import DataError, ModelError, one_line
from crossloom.job.source import Inputs, load, made_by
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import check_quantizable
from crossloom.network.quantize.ternary import ternary_layers
from crossloom.training.batches import Batches, batches_of, example_of
from crossloom.training.ternary_module import TernaryModule, layers_of
from crossloom.training.ternary_recipe import TernaryRecipe
from crossloom.training.training_data import settled

Example = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional arguments and keywords."""


@dataclass(frozen=True)
class Task:
    """A floating-point network, as a module on the CPU and as a graph, with its training data, recipe and device.

    Attributes:
        module: a copy of the user's module.
        example: example inputs: positional arguments and keywords.
        graph: the imported module.
        batches: the training data.
        recipe: the settings of the training.
        device: the device of the user's module, on which it is trained.
    """

    module: nn.Module
    example: Example
    graph: Graph
    batches: Batches
    recipe: TernaryRecipe
    device: torch.device

    def scores(self, module: nn.Module, inputs: Iterable[Tensor]) -> Tensor:
        """Return the first output of a module for a batch, whose tensors replace those of the example."""
        leaves, form = tree_flatten(self.example)
        given = iter(inputs)
        args, keywords = tree_unflatten([next(given).to(self.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves], form)
        output: Tensor = next(leaf for leaf in tree_leaves(module(*args, **keywords)) if isinstance(leaf, Tensor))
        return output

    def read(self, module: nn.Module) -> Graph:
        """Return the graph of a module that is called in the same way as the user's module."""
        return _read(module, self.example, self.graph.name)


def task_of(model: Any, data: Any, inputs: Inputs | None, recipe: TernaryRecipe) -> Task:
    """Return the task, after checking everything that could make it fail later. Raises InputError."""
    module, given, name = _found(model, inputs)
    if not layers_of(module):
        raise ModelError(f"{name}: no convolution or linear layer to make ternary; give a network with at least one")
    source = settled(data)
    plain = _copied(module, name)
    graph, example = _imported(plain, _called_with(example_of(source) if given is None else given), name)
    check_quantizable(graph)
    batches = batches_of(source, graph, recipe.batch, classes=recipe.loss is None)
    if (recipe.distil is None or recipe.distil.share < 1) and batches.first(1)[0].labels is None:
        raise DataError(
            f"{name}: training needs labels; give (inputs, labels), or distil=Distillation(share=1) to learn from the network's own outputs"
        )
    return Task(plain, example, graph, batches, recipe, next(module.parameters()).device)


def _found(model: Any, inputs: Inputs | None) -> tuple[nn.Module, Inputs | None, str]:
    """Return the module that `model` refers to, its example inputs if known, and its name. Raises ModelError."""
    text = str(model) if isinstance(model, str | Path) else ""
    if text.startswith("zoo:"):
        from crossloom.network.zoo import build

        name = text.removeprefix("zoo:")
        model, example = build(name)
        return model, example if inputs is None else inputs, name
    if text.endswith((".onnx", ".pt2")) or isinstance(model, Graph):
        raise ModelError(f"{text or model.name}: an inference graph cannot be trained; give the torch module that it was made from")
    if text:
        if ":" not in text:
            raise ModelError(f"{text}: not a module that can be trained; give package.module:factory or zoo:NAME")
        made = made_by(text, "model")
        model, given = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        inputs, text = given if inputs is None else inputs, text.rpartition(":")[2]
    if not isinstance(model, nn.Module):
        raise ModelError(f"{text or 'model'}: expected a torch module, got {type(model).__name__}; give one, or a factory of (module, inputs)")
    return model, inputs, text or type(model).__name__.lower()


def _called_with(inputs: Any) -> Example:
    """Return example inputs as positional arguments and keywords, on the CPU."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return ((inputs,) if hasattr(inputs, "shape") else tuple(inputs)), {}


def _copied(module: nn.Module, name: str) -> nn.Module:
    """Return a copy on the CPU. Raises ModelError."""
    try:
        return copy.deepcopy(module).cpu()
    except Exception as problem:  # whatever the user's classes raise
        raise ModelError(
            f"{name}: cannot be copied for training ({one_line(problem)}); give a module whose tensors are parameters or buffers"
        ) from problem


def _read(module: nn.Module, example: Example, name: str) -> Graph:
    return load(module, example[1] or example[0], name=name)


def _imported(module: nn.Module, example: Example, name: str) -> tuple[Graph, Example]:
    """Return the graph of a module and its example inputs, with integers converted to real numbers if needed, as for images in bytes.

    Raises DataError with the shapes if the module fails on the inputs, and ModelError if it runs but cannot be imported.
    """
    try:
        return _read(module, example, name), example
    except ModelError:
        problem = _failure(module, example)
        if problem is None:
            raise
        real = tree_map(lambda x: x.to(torch.float32) if _whole(x) else x, example)
        if any(map(_whole, tree_leaves(example))) and _failure(module, real) is None:
            return _read(module, real, name), real
        shapes = [list(leaf.shape[1:]) for leaf in tree_leaves(example) if isinstance(leaf, Tensor)]
        said = ", ".join(map(str, shapes[:4])) + (f" and {len(shapes) - 4} more" if len(shapes) > 4 else "")
        raise DataError(
            f"{name}: fails on samples of shape {said} ({one_line(problem)}); give samples of the shape it reads, one tensor per input"
        ) from problem


def _failure(module: nn.Module, example: Example) -> Exception | None:
    """Return the exception that a module raises on example inputs, or None if it runs."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(module).eval()(*example[0], **example[1])
    except Exception as problem:  # whatever the user's classes raise
        return problem
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype != torch.bool and not (value.is_floating_point() or value.is_complex())


def untrained(task: Task) -> nn.Module:
    """Return the user's network with ternary weights before training, to show early which weights become ternary. Raises ModelError."""
    network = TernaryModule(copy.deepcopy(task.module), {})
    network.set_zeros(task.recipe.method.zeros([weight.detach() for weight in network.latent()], 1.0))
    network.fix()
    return network.network.eval()


def left_out(graph: Graph) -> tuple[str, ...]:
    """Return a note if some products of a ternary network are not ternary because their weights do not belong to a layer."""
    names = [layer.name for layer in ternary_layers(graph) if not layer.ternary]
    if not names:
        return ()
    which = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return (
        f"{graph.name}: weights of {which} are not made ternary, since ternarize trains only weights of nn.Linear and convolutions; "
        "write a projection as nn.Linear",
    )
