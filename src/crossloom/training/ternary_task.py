"""What is to be made ternary: a copy of the user's module, read and called once before any training, and the data that it is trained on."""

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
    """A network in floating point, as a module on the CPU and as a graph; and how it is to be trained, on what, and where.

    Attributes:
        module: a copy of the user's.
        example: what it is called with: positional arguments and keywords.
        graph: what was imported of it.
        batches: what it is trained on.
        recipe: how.
        device: where, which is where the user's module is.
    """

    module: nn.Module
    example: Example
    graph: Graph
    batches: Batches
    recipe: TernaryRecipe
    device: torch.device

    def scores(self, module: nn.Module, inputs: Iterable[Tensor]) -> Tensor:
        """Return the first output of a module for a batch, which takes the place of the example's tensors."""
        leaves, form = tree_flatten(self.example)
        given = iter(inputs)
        args, keywords = tree_unflatten([next(given).to(self.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves], form)
        output: Tensor = next(leaf for leaf in tree_leaves(module(*args, **keywords)) if isinstance(leaf, Tensor))
        return output

    def read(self, module: nn.Module) -> Graph:
        """Return the graph of a module that is called as the user's is."""
        return _read(module, self.example, self.graph.name)


def task_of(model: Any, data: Any, inputs: Inputs | None, recipe: TernaryRecipe) -> Task:
    """Return what is to be done, once everything is looked at that could stand in its way later. Raises InputError."""
    module, given, name = _found(model, inputs)
    if not layers_of(module):
        raise ModelError(f"{name}: it has no convolution or linear layer; ternary weights need one")
    source = settled(data)
    plain = _copied(module, name)
    graph, example = _imported(plain, _called_with(example_of(source) if given is None else given), name)
    check_quantizable(graph)
    batches = batches_of(source, graph, recipe.batch, classes=recipe.loss is None)
    if (recipe.distil is None or recipe.distil.share < 1) and batches.first(1)[0].labels is None:
        raise DataError(
            f"{name}: training needs labels; give (inputs, labels), or distil=Distillation(share=1) to learn from the network's own answers"
        )
    return Task(plain, example, graph, batches, recipe, next(module.parameters()).device)


def _found(model: Any, inputs: Inputs | None) -> tuple[nn.Module, Inputs | None, str]:
    """Return the module that a user means, its example inputs if they are known, and its name. Raises ModelError."""
    text = str(model) if isinstance(model, str | Path) else ""
    if text.startswith("zoo:"):
        from crossloom.network.zoo import build

        name = text.removeprefix("zoo:")
        model, example = build(name)
        return model, example if inputs is None else inputs, name
    if text.endswith((".onnx", ".pt2")) or isinstance(model, Graph):
        raise ModelError(f"{text or model.name}: a graph for inference cannot be trained; give the torch module that it was made from")
    if text:
        if ":" not in text:
            raise ModelError(f"{text}: no module that can be trained; name package.module:factory or zoo:NAME")
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
            f"{name}: it cannot be copied to be trained ({one_line(problem)}); give a module whose tensors are parameters or buffers"
        ) from problem


def _read(module: nn.Module, example: Example, name: str) -> Graph:
    return load(module, example[1] or example[0], name=name)


def _imported(module: nn.Module, example: Example, name: str) -> tuple[Graph, Example]:
    """Return the graph of a module and what it is called with: real numbers instead of whole ones if it takes no others, as for images in bytes.

    Raises DataError that says the shapes if the module does not compute them, and ModelError if it does and cannot be imported.
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
            f"{name}: it computes no samples of shape {said} ({one_line(problem)}); give samples of the shape that it reads, one tensor for each of its inputs"
        ) from problem


def _failure(module: nn.Module, example: Example) -> Exception | None:
    """Return why a module does not compute what it is called with, or None if it does."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(module).eval()(*example[0], **example[1])
    except Exception as problem:  # whatever the user's classes raise
        return problem
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype != torch.bool and not (value.is_floating_point() or value.is_complex())


def untrained(task: Task) -> nn.Module:
    """Return the user's network with ternary weights before any training: what can be made of it shows already. Raises ModelError."""
    network = TernaryModule(copy.deepcopy(task.module), {})
    network.set_zeros(task.recipe.method.zeros([weight.detach() for weight in network.latent()], 1.0))
    network.fix()
    return network.network.eval()


def left_out(graph: Graph) -> tuple[str, ...]:
    """Return a note if layers of a network that was made ternary are not: products whose weights are none of a layer's."""
    names = [layer.name for layer in ternary_layers(graph) if not layer.ternary]
    if not names:
        return ()
    which = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return (
        f"{graph.name}: weights of {which} are not made ternary, since ternarize trains only those of nn.Linear and convolutions; "
        "write a projection as nn.Linear",
    )
