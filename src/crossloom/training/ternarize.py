"""Quantisation-aware training of a network to ternary weights (−1, 0, 1) and low-bit activations.

The forward pass uses ternary weights and rounded activations. Gradients pass straight through the rounding (Bengio et al.,
arXiv 1308.3432) to latent real weights, which accumulate updates finer than a ternary step. The input of each layer is rounded to a
learned step. First layers, those that no other layer precedes, read `first` bits, since a network's inputs are given and not learned.
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
"""Number of samples for the initial steps and for the ranges of the remaining real tensors."""
PACE = 20.0
"""Learning-rate factor of weights, in units of their layer's E|W|: a weight must cross a threshold, not only approach an optimum."""
REST = 8
"""Bits of tensors that no layer reads, such as residual sums and scores."""


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
    """Return a network trained to ternary weights, quantised and ready to run.

    Args:
        model: a torch module, preferably trained in floating point, which is not changed; or `package.module:factory`, or `zoo:NAME`.
        data: training samples with labels, in any form that `crossloom.job.data.load_data` accepts; or a list of batches, each a pair of inputs
            and labels; a `DataLoader` or similar; or a map-style `torch.utils.data.Dataset` of samples, each such a pair.
        sparsity: share of zeros in each layer; 0.85 if neither `sparsity` nor `method` is given.
        activations: bits of layer inputs, 2 to 8; unsigned if no value is negative.
        method: rule for the number of zeros: `Sparse` or `Twn`.
        first: bits of the inputs of first layers.
        epochs: passes over the training data.
        batch: samples per step; a loader uses its own.
        rate: peak learning rate of Adam; for weights, it is multiplied by 20 and by the mean magnitude of their layer.
        seed: random seed of the sample order and of everything random in the network.
        loss: function of scores and labels (with a loss, labels may be of any kind); cross-entropy if None.
        distil: also learn from the outputs of the floating-point network: a share of the loss, or a `Distillation`.
        inputs: example inputs; by default the first sample.
        progress: called with the epochs, to show progress.

    Warns of products that are left out because their weights do not belong to a layer.

    Raises:
        ModelError: the model is not a trainable module, has no layer with weights, or cannot be imported or quantised.
        DataError: the data do not fit the network or lack labels.
        InputError: an option is of the wrong kind or out of range, or the loss is not a number.
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

    It wraps a copy of the user's module, available as `network`, and rounds the inputs of its layers. It is in evaluation mode, and its
    ternary weights are floating-point numbers. `crossloom.load` reads it.
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
    """Return the training task; warns of layers that it leaves out."""
    task = task_of(model, data, inputs, recipe)
    for note in left_out(task.read(untrained(task))):
        warnings.warn(note, stacklevel=3)
    return task


def trained(task: Task, progress: Progress) -> TernaryModule:
    """Return the trained network in evaluation mode, with weights and steps fixed."""
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
                    f"{task.graph.name}: the loss is {float(loss.detach())} in step {done} of {steps}; lower the rate from {recipe.rate}"
                )
            descent.step(loss)
    network.set_zeros(recipe.method.zeros([weight.detach() for weight in latent], 1.0))


def _loss(scores: Tensor, labels: Tensor | None, teach: Callable[[], Tensor], recipe: TernaryRecipe) -> Tensor:
    """Return the loss of a batch with respect to the labels, the teacher's outputs, or both."""
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
    """Return the loss from the labels. Raises InputError if it cannot be computed or is not a single number."""
    what = f"the loss of scores of shape {list(scores.shape)} and labels of shape {list(labels.shape)}"
    try:
        found = loss(scores, labels)
    except (RuntimeError, TypeError, ValueError, LookupError) as problem:
        raise InputError(f"ternarize: {what} cannot be computed ({one_line(problem)}); give labels and a loss that fit the scores") from problem
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise InputError(f"ternarize: {what} is not a single number; take its mean")
    return found.reshape(())


def _scale(weight: Tensor) -> float:
    """Return the mean magnitude of a layer's weights; if all are zero, the magnitude of an initialised layer (He et al., arXiv 1502.01852)."""
    return float(weight.detach().abs().mean()) or (2 / max(1, weight[0].numel())) ** 0.5


def _starts(teacher: nn.Module, task: Task) -> dict[str, Quantization]:
    """Return the initial grid of each layer's input: the grid of least squared error on its floating-point inputs."""
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
    """Observer of a layer's inputs. Only parameters of layers have gradients, so an input with a gradient comes from another layer."""

    observed: Observed
    follows: bool = False

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensor = args[0] if args else kwargs["input"]
        self.follows = self.follows or tensor.requires_grad
        self.observed.see(tensor.detach().cpu())


def in_integers(network: nn.Module, task: Task) -> Graph:
    """Return a trained network in integers. Tensors that no layer reads get 8 bits, calibrated on the first training samples.

    For a ternary module, only the user's part is imported, so that layers keep the user's names. In a graph, other readers of a tensor that
    a layer rounds get the same integers anyway.
    """
    plain = network.network if isinstance(network, TernaryModule) else network
    return quantize(task.read(plain.cpu()), [batch.inputs for batch in task.batches.first(SEEN)], Recipe(activations=REST))
