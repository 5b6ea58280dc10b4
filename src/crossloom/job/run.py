"""Compile, compute, read."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

from crossloom.compiler import compile_network
from crossloom.engine.base import Annotates
from crossloom.engine.registry import all_engines
from crossloom.errors import DataError, InputError
from crossloom.job.data import Data, as_batches, load_data, random_inputs
from crossloom.job.metrics import Tally, tally
from crossloom.job.result import Accuracy, Perplexity, Result
from crossloom.job.seed_statistics import Spread
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import Recipe, first_samples, needs_samples, quantize
from crossloom.network.quantize.ternary import ternary_layers
from crossloom.program.program import Program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import Timeline, read_timeline
from crossloom.read.values import Values

CALIBRATION = 256
"""Samples of the user's data that calibrate a network which comes in floating point, if nothing else is given."""

T = TypeVar("T")
Progress = Callable[[Iterable[T], str, int], Iterable[T]]


def _silent(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    return items


def run(
    network: Graph,
    machine: Machine,
    data: Any = None,
    *,
    calibration: Any = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    runs: int = 1,
    batch: int = 64,
    device: str = "cpu",
    rate: float | None = None,
    progress: Progress[Any] = _silent,
) -> Result:
    """Return what a network does on a machine.

    Args:
        network: in floating point (it is quantised by `recipe`, 8 bits by default) or quantised already.
        machine: from `crossloom.machines`.
        data: samples with labels for the accuracy; see `crossloom.job.data.load_data`. Without, only time and costs are read.
        calibration: samples for the quantisation; by default the first 256 of `data`, or 8 random ones if there are none.
        recipe: how to quantise.
        seed: of everything random in the run.
        runs: seeds, from `seed` on, with each of which the machine's cells are written anew; the machine's accuracy is then their mean.
        batch: samples computed at once; the result does not depend on it.
        device: where torch computes the values, "cpu" or "cuda".
        rate: inferences per second for which the life of cells that are written again and again is told; by default the throughput.
        progress: shown the batches as they are worked through.
    """
    if runs < 1:
        raise InputError(f"runs must be at least 1, got {runs}")
    if rate is not None and not 0 < rate < inf:
        raise InputError(f"rate must be a positive number of inferences per second, got {rate}")
    samples = None if data is None else load_data(data, network)
    warnings = [fixed_batch(network)] if network.fixed else []
    quantized = quantized_for(network, samples, calibration, recipe, seed, warnings, progress)
    program = compile_network(quantized, machine)
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    values = Values.of(program, device=device, seed=seed)
    accuracy, counts = (None, None) if samples is None else _accuracy(network, quantized, values, samples, batch, device, progress)
    chance = None
    if accuracy is None and runs > 1:
        warnings.append(f"{runs} runs compare accuracies, and there are no samples with labels: one was computed")
    if accuracy is not None and samples is not None and runs > 1:
        others = progress(range(seed + 1, seed + runs), "other cells", runs - 1)
        chance = Spread((accuracy.machine, *(_machine_accuracy(program, each, samples, batch, device) for each in others)))
        accuracy = replace(accuracy, machine=chance.mean)
    return Result(
        program=program,
        timeline=timeline,
        ledger=ledger,
        accuracy=accuracy,
        plans=tuple(values.plans),
        seed=seed,
        warnings=(*warnings, *engine_notes(machine), *program.notes, *_limits(program, timeline)),
        counts=counts,
        chance=chance,
        versions=versions(),
        given_rate=rate,
    )


def fixed_batch(network: Graph) -> str:
    """Return the line that says what an inference is, for a network that runs at one batch size alone."""
    return f"{network.name} runs at batch {network.batch} alone, and one inference is one call with all of it: {network.fixed}"


def engine_notes(machine: Machine) -> tuple[str, ...]:
    """Return what a machine's engines want known of its description."""
    return tuple(dict.fromkeys(note for engine in all_engines(machine) if isinstance(engine, Annotates) for note in engine.notes))


def _limits(program: Program, timeline: Timeline) -> list[str]:
    """Return a warning if the throughput hangs on a number that is not published."""
    limit = timeline.limited_by
    role, _, action = limit.partition(".")
    part = program.machine.optional(role)
    if part is None or action not in part.actions or part.actions[action].latency_s.mark in ("published", "derived"):
        return []
    latency = part.actions[action].latency_s
    return [f"the throughput hangs on the speed of {limit}, which is {latency.mark}: {latency.source}"]


def quantized_for(
    network: Graph, samples: Data | None, calibration: Any, recipe: Recipe | None, seed: int, warnings: list[str], progress: Progress[Any]
) -> Graph:
    """Return the network in integers: calibrated on `calibration`, else on the first of the samples, else on random inputs; adds warnings."""
    if recipe is not None and recipe.sparsity is not None:
        kept = network.quantized or all(layer.ternary for layer in ternary_layers(network))
        without = "weights were made ternary without training: costs hold, accuracy does not; see ternarize"
        warnings.append(f"{network.name} keeps its weights, which are ternary or in integers already: sparsity has no effect" if kept else without)
    if network.quantized:
        return network if network.samples or samples is None else replace(network, samples=first_samples(samples.inputs, network))
    if calibration is None and not needs_samples(network):
        return quantize(network, None, recipe)
    if calibration is not None:
        chosen = load_data(calibration, network, labels=False)
    elif samples is not None:
        chosen = samples.first(CALIBRATION)
        warnings.append(f"calibrated on the first {len(chosen)} of the given samples; give calibration data of their own for a clean accuracy")
    else:
        chosen = random_inputs(network, network.batch or 8, seed)
        warnings.append("calibrated on random inputs: times and costs hold, ranges of activations mean nothing")
        batches = as_batches(chosen, network.batch or 32)
        return replace(quantize(network, progress(batches, "calibrating", len(batches)), recipe), samples=())
    batches = as_batches(chosen, network.batch or 32)
    return quantize(network, progress(batches, "calibrating", len(batches)), recipe)


def _accuracy(
    network: Graph, quantized: Graph, values: Values, samples: Data, batch: int, device: str, progress: Progress[Any]
) -> tuple[Accuracy | None, dict[str, int]]:
    """Return accuracies (None without labels) and the actions of one inference as performed."""
    size = network.batch or batch
    if len(samples) % size and network.batch:
        raise DataError(f"{network.name} runs at batch {network.batch} alone and {len(samples)} samples are no multiple of it; give a multiple")
    tallies = {"quantized": Tally(), "machine": Tally()} | ({} if network.quantized else {"float": Tally()})
    performed: Counter[str] = Counter()
    for place, (inputs, labels) in enumerate(progress(samples.batches(size, device), "computing", -(-len(samples) // size))):
        outputs, counts = values(inputs, values.inferences(place * size))
        performed.update(counts)
        if labels is not None:
            labels = labels.to(device)
            tallies["machine"] += tally(outputs[0], labels)
            tallies["quantized"] += tally(_first(quantized(*inputs)), labels)
            if not network.quantized:
                tallies["float"] += tally(_first(network(*inputs)), labels)
    each = {name: count // values.inferences(len(samples)) for name, count in performed.items()}
    if samples.labels is None:
        return None, each
    return _judged(tallies, len(samples), for_tokens=samples.labels.dim() > 1), each


def _judged(tallies: Mapping[str, Tally], samples: int, *, for_tokens: bool) -> Accuracy:
    """Return accuracies, and with an answer for each token perplexities."""
    real, exact, machine = tallies.get("float"), tallies["quantized"], tallies["machine"]
    perplexity = Perplexity(None if real is None else real.perplexity, exact.perplexity, machine.perplexity, machine.answers) if for_tokens else None
    return Accuracy(None if real is None else real.share, exact.share, machine.share, samples, perplexity)


def _machine_accuracy(program: Program, seed: int, samples: Data, batch: int, device: str) -> float:
    """Return the share of right answers of a machine whose cells are those of a seed."""
    values, size, found = Values.of(program, device=device, seed=seed), program.graph.batch or batch, Tally()
    for place, (inputs, labels) in enumerate(samples.batches(size, device)):
        assert labels is not None
        found += tally(values(inputs, values.inferences(place * size))[0][0], labels.to(device))
    return found.share


def _first(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def versions() -> dict[str, str]:
    """Return the versions of everything that a result could depend on."""
    try:
        own = version("crossloom")
    except PackageNotFoundError:
        own = "not installed"
    return {
        "crossloom": own,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "machine": platform.machine(),
    }


def compare(network: Graph, machines: Iterable[Machine], data: Any = None, **options: Any) -> list[Result]:
    """Return one result for each machine; the network is quantised once, so that all compute the same integers."""
    chips = list(machines)
    if not chips:
        raise InputError("compare needs at least one machine; name them separated by commas")
    first = run(network, chips[0], data, **options)
    rest = {key: value for key, value in options.items() if key not in ("recipe", "calibration")}
    others = [run(first.program.network, chip, data, **rest) for chip in chips[1:]]
    return [first, *(replace(other, accuracy=_with_float(other.accuracy, first.accuracy)) for other in others)]


def _with_float(accuracy: Accuracy | None, first: Accuracy | None) -> Accuracy | None:
    """Return an accuracy with the figures in floating point of another."""
    if accuracy is None or first is None:
        return None
    perplexity = accuracy.perplexity and first.perplexity and replace(accuracy.perplexity, float=first.perplexity.float)
    return replace(accuracy, float=first.float, perplexity=perplexity)
