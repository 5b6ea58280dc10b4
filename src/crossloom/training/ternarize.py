"""From a trained network to a ternary one: quantisation-aware training of weights in −1, 0, 1 and activations in a few bits.

The forward pass computes with ternary weights and rounded activations; gradients pass the rounding straight through (Bengio et al.,
arXiv 1308.3432) to real weights that remember what the ternary ones are too coarse for. What each layer reads is rounded to a learned step;
a first layer, before which there is no other, reads `first` bits, since a network's inputs are given and not learned.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from crossloom.errors import InputError, one_line
from crossloom.job.progress import Progress, silent
from crossloom.job.source import Inputs
from crossloom.network.graph import Graph
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.calibrate import Mse, Observed, symmetric
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.network.quantize.ternary import Method
from crossloom.training.descent import Descent
from crossloom.training.ternary_module import TernaryModule, layers_of
from crossloom.training.ternary_recipe import Distillation, TernaryRecipe, cross_entropy, recipe_of
from crossloom.training.ternary_task import Task, left_out, task_of, untrained

SEEN = 256
"""Samples by which steps are begun with, and the ranges of what is left of real tensors chosen."""
PACE = 20.0
"""How much faster than anything else a weight learns, in units of its layer's E|W|: it has to get across a threshold and not only near an optimum."""
REST = 8
"""Bits of what no layer reads: sums on their way to a residual, scores."""


def ternarize(
    model: nn.Module | str,
    data: Any,
    sparsity: float | None = None,
    activations: int = 4,
    *,
    method: Method | None = None,
    first: int = 8,
    epochs: int = 20,
    batch: int = 64,
    rate: float = 0.01,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    distil: Distillation | float | None = None,
    inputs: Inputs | None = None,
    progress: Progress = silent,
) -> Graph:
    """Return a network trained to ternary weights, in integers and ready to run.

    Args:
        model: a torch module, best one that is trained in floating point; it stays as it is. Or `package.module:factory`, or `zoo:NAME`.
        data: samples with labels to train on, as `crossloom.job.data.load_data` takes them; or a list of pairs of inputs and labels, each a batch; a
            `DataLoader` or the like; or a map-style `torch.utils.data.Dataset` of such pairs, each a sample.
        sparsity: share of zeros in each layer, 0.85 if neither it nor a `method` is given.
        activations: bits of what layers read, 2 to 8; unsigned where nothing is negative.
        method: how many weights become zero: `Sparse` or `Twn`.
        first: bits of what first layers read.
        epochs: passes over the training data.
        batch: samples in a step; a loader has its own.
        rate: highest rate of Adam; weights have 20 times this times the mean magnitude of their layer.
        seed: of the order of samples, and everything random in the network.
        loss: of scores and labels (or of whatever stands beside the samples, then); cross-entropy if None.
        distil: learn from the network's own answers in floating point, too: a share of the loss, or a `Distillation`.
        inputs: example inputs; by default the first sample.
        progress: shown the epochs as they are worked through.

    Warns of products that are left out because their weights do not belong to a layer.

    Raises:
        ModelError: no module that can be trained, no layer with weights, or a network that cannot be imported or quantised.
        DataError: data that do not fit the network, or lack labels.
        InputError: options of the wrong kind or out of their range, or a loss that is not a number.
    """
    recipe = recipe_of(
        sparsity=sparsity,
        method=method,
        distil=distil,
        activations=activations,
        first=first,
        epochs=epochs,
        batch=batch,
        rate=rate,
        seed=seed,
        loss=loss,
    )
    task = _task(model, data, inputs, recipe)
    return in_integers(trained(task, progress), task)


def ternary_module(
    model: nn.Module | str,
    data: Any,
    sparsity: float | None = None,
    activations: int = 4,
    *,
    method: Method | None = None,
    first: int = 8,
    epochs: int = 20,
    batch: int = 64,
    rate: float = 0.01,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    distil: Distillation | float | None = None,
    inputs: Inputs | None = None,
    progress: Progress = silent,
) -> nn.Module:
    """Return the trained torch module behind `ternarize`, which takes the same arguments and raises the same errors.

    It is a copy of the user's module in evaluation mode, as `network` of a module that rounds what the layers read; weights are ternary
    numbers in floating point. `crossloom.load` reads it.
    """
    recipe = recipe_of(
        sparsity=sparsity,
        method=method,
        distil=distil,
        activations=activations,
        first=first,
        epochs=epochs,
        batch=batch,
        rate=rate,
        seed=seed,
        loss=loss,
    )
    return trained(_task(model, data, inputs, recipe), progress)


def _task(model: nn.Module | str, data: Any, inputs: Inputs | None, recipe: TernaryRecipe) -> Task:
    """Return the training that is asked for; warns of what it leaves out."""
    task = task_of(model, data, inputs, recipe)
    for note in left_out(task.read(untrained(task))):
        warnings.warn(note, stacklevel=3)
    return task


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
        loss = (1 - share) * _of_labels(scores, labels.to(scores.device), recipe.loss or cross_entropy)
    if recipe.distil is not None:
        with torch.no_grad():
            wanted = teach()
        loss = loss + share * recipe.distil(scores, wanted)
    return loss


def _of_labels(scores: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the user's loss. Raises InputError if it cannot be computed, or is not one number."""
    what = f"the loss of scores of shape {list(scores.shape)} and labels of shape {list(labels.shape)}"
    try:
        found = loss(scores, labels)
    except (RuntimeError, TypeError, ValueError, LookupError) as problem:
        raise InputError(f"ternarize: {what} cannot be computed ({one_line(problem)}); give labels and a loss that fit the scores") from problem
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise InputError(f"ternarize: {what} is not one number; take its mean")
    return found.reshape(())


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
    plain = network.network if isinstance(network, TernaryModule) else network
    return quantize(task.read(plain.cpu()), [batch.inputs for batch in task.batches.first(SEEN)], Recipe(activations=REST))
