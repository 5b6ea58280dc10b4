"""From a trained network to a ternary one: quantisation-aware training of weights in −1, 0, 1 and activations in a few bits.

The forward pass computes with ternary weights and rounded activations; gradients pass the rounding straight through (Bengio et al.,
arXiv 1308.3432) to real weights that remember what the ternary ones are too coarse for. What each layer reads is rounded to a learned step;
a first layer, before which there is no other, reads `first` bits, since a network's inputs are given and not learned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from crossloom.errors import DataError, InputError, ModelError, one_line
from crossloom.job.batches import Batches, batches_of, example_of
from crossloom.job.source import Inputs, load, made_by
from crossloom.job.ternary_module import TernaryModule, layers_of
from crossloom.job.ternary_recipe import TernaryRecipe, cross_entropy, recipe_of
from crossloom.job.training import Descent, Progress
from crossloom.network.calibrate import Mse, Observed, symmetric
from crossloom.network.graph import Graph
from crossloom.network.quantization import Quantization
from crossloom.network.quantize import Recipe, check_quantizable, quantize

SEEN = 256
"""Samples by which steps are begun with, and the ranges of what is left of real tensors chosen."""
PACE = 20.0
"""How much faster than anything else a weight learns, in units of its layer's E|W|: it has to get across a threshold and not only near an optimum."""
REST = 8
"""Bits of what no layer reads: sums on their way to a residual, scores."""


def _silent(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    return items


def ternarize(
    model: nn.Module | str,
    data: Any,
    sparsity: float | None = None,
    activations: int = 4,
    *,
    inputs: Inputs | None = None,
    progress: Progress = _silent,
    **options: Any,
) -> Graph:
    """Return a network trained to ternary weights, in integers and ready to run.

    Args:
        model: a torch module, best one that is trained in floating point; it stays as it is. Or `package.module:factory`, or `zoo:NAME`.
        data: samples with labels to train on, as `crossloom.job.data.load_data` takes them, or a `DataLoader` or the like.
        sparsity: share of zeros in each layer, 0.85 if left out.
        activations: bits of what layers read.
        inputs: example inputs; by default the first sample.
        progress: shown the epochs as they are worked through.
        options: further fields of `TernaryRecipe`: method, first, epochs, batch, rate, seed, loss, distil.

    Raises:
        ModelError: no module that can be trained, no layer with weights, or a network that cannot be imported or quantised.
        DataError: data that do not fit the network, or lack labels.
        InputError: options out of their range, or a loss that is no number.
    """
    task = task_of(model, data, inputs, recipe_of(sparsity, activations, options))
    return in_integers(trained(task, progress), task)


def ternary_module(
    model: nn.Module | str,
    data: Any,
    sparsity: float | None = None,
    activations: int = 4,
    *,
    inputs: Inputs | None = None,
    progress: Progress = _silent,
    **options: Any,
) -> nn.Module:
    """Return the trained torch module behind `ternarize`, which takes the same arguments.

    It is a copy of the user's module in evaluation mode, as `network` of a module that rounds what the layers read; weights are ternary
    numbers in floating point. `crossloom.load` reads it.
    """
    return trained(task_of(model, data, inputs, recipe_of(sparsity, activations, options)), progress)


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
    example: Any
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


def task_of(model: Any, data: Any, inputs: Inputs | None, recipe: TernaryRecipe) -> Task:
    """Return what is to be done, once everything is looked at that could stand in its way later. Raises InputError."""
    module, given, name = _found(model, inputs)
    if not layers_of(module):
        raise ModelError(f"{name}: it has no convolution or linear layer; ternary weights need one")
    example = _called_with(example_of(data) if given is None else given)
    device = next(module.parameters()).device
    plain = _copied(module, name)
    graph = load(plain, example[1] or example[0], name=name)
    check_quantizable(graph)
    batches = batches_of(data, graph, recipe.batch, classes=recipe.loss is None)
    if (recipe.distil is None or recipe.distil.share < 1) and batches.first(1)[0].labels is None:
        raise DataError(
            f"{name}: training needs labels; give (inputs, labels), or distil=Distillation(share=1) to learn from the network's own answers"
        )
    return Task(plain, example, graph, batches, recipe, device)


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


def _called_with(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
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


def trained(task: Task, progress: Progress) -> TernaryModule:
    """Return the network after training, its weights and steps fixed, in evaluation mode."""
    recipe = task.recipe
    with torch.enable_grad(), torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        teacher = copy.deepcopy(task.module).eval().to(task.device)
        network = TernaryModule(copy.deepcopy(task.module), _starts(teacher, task)).to(task.device).train()
        _descend(network, teacher, task, progress)
    network.fix()
    return network.eval()


def _descend(network: TernaryModule, teacher: nn.Module, task: Task, progress: Progress) -> None:
    """Train a network in place."""
    recipe, latent = task.recipe, network.latent()
    steps, done = recipe.epochs * len(task.batches), 0
    descent = Descent.paced(network, steps, recipe.rate, [(weight, PACE * recipe.rate * _scale(weight)) for weight in latent])
    generator = torch.Generator().manual_seed(recipe.seed)
    for _ in progress(range(recipe.epochs), "training", recipe.epochs):
        for batch in task.batches.epoch(generator):
            network.set_zeros(recipe.method.zeros([weight.detach() for weight in latent], done / steps))
            loss = _loss(task.scores(network, batch.inputs), batch.labels, partial(task.scores, teacher, batch.inputs), recipe)
            done += 1
            if not bool(torch.isfinite(loss)):
                raise InputError(
                    f"{task.graph.name}: the loss is {float(loss.detach())} in step {done} of {steps}; lower the rate, which is {recipe.rate}"
                )
            descent.step(loss)
    network.set_zeros(recipe.method.zeros([weight.detach() for weight in latent], 1.0))


def _loss(scores: Tensor, labels: Tensor | None, teach: Callable[[], Tensor], recipe: TernaryRecipe) -> Tensor:
    """Return the loss of a batch: of the labels, of the teacher's answers, or of both."""
    share = recipe.distil.share if recipe.distil is not None else 0.0
    loss = scores.new_zeros(())
    if share < 1:
        assert labels is not None
        loss = (1 - share) * (recipe.loss or cross_entropy)(scores, labels.to(scores.device))
    if recipe.distil is not None:
        with torch.no_grad():
            wanted = teach()
        loss = loss + share * recipe.distil(scores, wanted)
    return loss


def _scale(weight: Tensor) -> float:
    """Return the mean magnitude of a layer's weights; where all are zero, that of a layer just begun (He et al., arXiv 1502.01852)."""
    return float(weight.detach().abs().mean()) or (2 / max(1, weight[0].numel())) ** 0.5


def _starts(teacher: nn.Module, task: Task) -> dict[str, Quantization]:
    """Return the grid with which each layer begins to round what it reads: the one of least squared error on what it reads in floating point."""
    watches = {name: _Watch(Observed()) for name in layers_of(teacher)}
    hooks = [layer.register_forward_pre_hook(watches[name], with_kwargs=True) for name, layer in layers_of(teacher).items()]
    teacher.requires_grad_(False)
    for layer in layers_of(teacher).values():
        layer.requires_grad_(True)
    for batch in task.batches.first(SEEN):
        task.scores(teacher, batch.inputs)
    for hook in hooks:
        hook.remove()
    seen = {name: watch for name, watch in watches.items() if watch.observed.parts}
    bits = {name: task.recipe.activations if watch.follows else task.recipe.first for name, watch in seen.items()}
    return {name: symmetric(*Mse()(watch.observed, bits[name]), bits[name]) for name, watch in seen.items()}


@dataclass
class _Watch:
    """Looks at what a layer is called with. Where only layers' parameters have gradients, what has one comes from another layer."""

    observed: Observed
    follows: bool = False

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensor = args[0] if args else kwargs["input"]
        self.follows = self.follows or tensor.requires_grad
        self.observed.see(tensor.detach().cpu())


def in_integers(network: nn.Module, task: Task) -> Graph:
    """Return a trained network in integers; what its layers do not read gets 8 bits, by the first training samples.

    Of a ternary module the user's own part is imported, whose layers have the names that the user gave them: who else reads what a layer
    rounds gets the same integers in a graph anyway.
    """
    args, keywords = task.example
    plain = network.network if isinstance(network, TernaryModule) else network
    graph = load(plain.cpu(), keywords or args, name=task.graph.name)
    return quantize(graph, [batch.inputs for batch in task.batches.first(SEEN)], Recipe(activations=REST))
