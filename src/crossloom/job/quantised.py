"""Quantisation of a job's network by its recipe, calibrated on its samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from crossloom.job.data import Data, as_batches, load_data, random_inputs
from crossloom.job.progress import Progress, silent
from crossloom.network.graph import Graph
from crossloom.network.quantize import post_training
from crossloom.network.quantize.calibrate import Calibrator, MinMax
from crossloom.network.quantize.post_training import Recipe, first_samples, needs_samples
from crossloom.network.quantize.ternary import ternary_layers

CALIBRATION = 256
"""Number of the user's samples that calibrate a floating-point network, if no calibration data are given."""
RANDOM = 8
"""Number of random samples that calibrate it without data."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """A network in integers, and notes on how it was quantised."""

    graph: Graph
    notes: tuple[str, ...] = ()


def quantize(
    network: Graph,
    calibration: Any = None,
    *,
    weights: int = 8,
    activations: int = 8,
    per_channel: bool = True,
    scheme: Literal["symmetric", "affine"] = "symmetric",
    calibrator: Calibrator | None = None,
    sparsity: float | None = None,
) -> Graph:
    """Return a network in integers, calibrated on samples.

    Args:
        network: in floating point.
        calibration: samples in any form that `crossloom.job.data.load_data` accepts; labels are ignored. A network that contains the
            quantisation of all its tensors (QDQ) needs none.
        weights, activations: bits, 2 to 16.
        per_channel: one scale per output channel of a layer's weights; otherwise one per layer.
        scheme: activations symmetric around zero, or affine with a zero point.
        calibrator: how ranges are chosen: `MinMax` (the default), `Percentile` or `Mse`.
        sparsity: make weights ternary with this share of zeros, without training: for cost estimates only.

    Raises:
        ModelError: the network cannot be quantised; the message names the tensor.
        DataError: the samples do not fit the network.
    """
    recipe = Recipe(weights, activations, per_channel, scheme, calibrator or MinMax(), sparsity)
    batches = None if calibration is None else as_batches(load_data(calibration, network, labels=False), network.batch or 32)
    return post_training.quantize(network, batches, recipe)


def quantised(
    network: Graph, samples: Data | None = None, calibration: Any = None, recipe: Recipe | None = None, *, seed: int = 0, progress: Progress = silent
) -> Quantised:
    """Return the network in integers, calibrated on `calibration`, otherwise on the first of the samples, otherwise on random inputs of a seed."""
    notes = _sparsity_notes(network, recipe)
    if network.quantized:
        if network.samples or samples is None:
            return Quantised(network, notes)
        return Quantised(replace(network, samples=first_samples(samples.inputs, network)), notes)
    if calibration is None and not needs_samples(network):
        return Quantised(post_training.quantize(network, None, recipe), notes)
    random = calibration is None and samples is None
    if calibration is not None:
        chosen = load_data(calibration, network, labels=False)
    elif samples is not None:
        chosen = samples.first(CALIBRATION)
        notes += (f"calibrated on the first {len(chosen)} of the given samples; give separate calibration data for an unbiased accuracy",)
    else:
        chosen = random_inputs(network, network.batch or RANDOM, seed)
        notes += ("calibrated on random inputs: latency and energy are valid; activation ranges (and accuracy) are not",)
    batches = as_batches(chosen, network.batch or 32)
    graph = post_training.quantize(network, progress(batches, "calibrating", len(batches)), recipe)
    return Quantised(replace(graph, samples=()) if random else graph, notes)


def _sparsity_notes(network: Graph, recipe: Recipe | None) -> tuple[str, ...]:
    """Return notes on the effect of a recipe's sparsity on a network."""
    if recipe is None or recipe.sparsity is None:
        return ()
    if network.quantized or all(layer.ternary for layer in ternary_layers(network)):
        return (f"{network.name} keeps its weights, which are already ternary or in integers: sparsity has no effect",)
    return ("weights were made ternary without training: costs are valid, accuracy is not; see ternarize",)
