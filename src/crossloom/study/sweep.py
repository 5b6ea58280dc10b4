"""One network on many versions of a machine: what a field, or two, does to accuracy and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from typing import Any

from crossloom.compiler import compile_network
from crossloom.errors import CapacityError, InputError, MachineError, ModelError
from crossloom.job.data import Data, load_data
from crossloom.job.metrics import Tally, tally
from crossloom.job.run import quantized_for
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import Recipe
from crossloom.program.program import Program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values

MOST = 4096
"""Versions of a machine in one sweep."""

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Score:
    """What answers are worth: the share of right ones, and where each token has one, the perplexity."""

    accuracy: float
    perplexity: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One version of the machine. Times in s, energy in J of one inference, area in mm². `fails` says why it cannot run the network; empty if it can."""

    values: Mapping[str, Any]
    score: Score | None = None
    latency_s: float = 0.0
    throughput_per_s: float = 0.0
    energy_j: float = 0.0
    area_mm2: float = 0.0
    fails: str = ""


@dataclass(frozen=True)
class Sweep:
    """All versions, and what the network is worth without a machine: in floating point (None if it came quantised) and in integers."""

    network: str
    machine: str
    fields: tuple[str, ...]
    points: tuple[Point, ...]
    float_score: Score | None
    quantized_score: Score | None
    samples: int
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep as plain data."""
        return asdict(self)


def sweep(
    network: Graph,
    machine: Machine,
    over: Mapping[str, Sequence[Any]],
    data: Any = None,
    *,
    calibration: Any = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    batch: int = 64,
    device: str = "cpu",
    progress: Progress = lambda items, what, total: items,
) -> Sweep:
    """Return what a network does on every combination of some fields' values.

    Args:
        network: in floating point or quantised; it is quantised once, so that all versions compute the same integers.
        machine: the version from which the others differ.
        over: fields of the machine with the values that each takes.
        data: samples with labels for accuracies (perplexities where each token has a label). Without, only times and costs are read.
        calibration, recipe, seed, batch, device, progress: as of `crossloom.run`.

    Raises InputError for nothing to sweep or too much of it, MachineError for a field or value that makes no sense.
    """
    count = prod(len(values) for values in over.values())
    if not over or not count or count > MOST:
        raise InputError(f"a sweep takes 1 to {MOST} combinations of values, got {count if over else 0}; name fields with their values")
    combinations = [dict(zip(over, values, strict=True)) for values in product(*over.values())]
    machines = [machine.with_(**values) for values in combinations]
    samples = None if data is None else load_data(data, network)
    if samples is not None and samples.labels is None:
        raise InputError("a sweep over samples compares accuracies; give labels, or no samples for times and costs alone")
    warnings: list[str] = []
    quantized = quantized_for(network, samples, calibration, recipe, seed, warnings, progress)
    judge = _Judge(samples, network.batch or batch, device)
    points = []
    for values, each in progress(list(zip(combinations, machines, strict=True)), "versions", count):
        points.append(_point(values, each, quantized, judge, seed))
    if all(point.fails for point in points):
        raise InputError(f"no version of {machine.name} runs {network.name}; the first: {points[0].fails}")
    real = None if network.quantized else judge(lambda inputs, _: network(*inputs))
    exact = judge(lambda inputs, _: quantized(*inputs))
    return Sweep(network.name, machine.name, tuple(over), tuple(points), real, exact, len(samples) if samples else 0, tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Judge:
    """Scores what answers some samples, a batch at a time; None without samples."""

    samples: Data | None
    batch: int
    device: str

    def __call__(self, answer: Callable[[Any, int], Any]) -> Score | None:
        """Return the score of a function of a batch's inputs and the number of its first sample."""
        if self.samples is None or self.samples.labels is None:
            return None
        found = Tally()
        for place, (inputs, labels) in enumerate(self.samples.batches(self.batch, self.device)):
            assert labels is not None
            outputs = answer(inputs, place * self.batch)
            found += tally(outputs[0] if isinstance(outputs, tuple) else outputs, labels.to(self.device))
        return Score(found.share, found.perplexity if self.samples.labels.dim() > 1 else None)


def _point(values: Mapping[str, Any], machine: Machine, graph: Graph, judge: _Judge, seed: int) -> Point:
    try:
        program = compile_network(graph, machine)
    except (CapacityError, MachineError, ModelError) as problem:
        return Point(values, fails=str(problem))
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    score = _score(program, judge, seed) if judge.samples is not None else None
    return Point(values, score, timeline.latency_s, timeline.throughput_per_s, ledger.energy_j, ledger.total_area_mm2)


def _score(program: Program, judge: _Judge, seed: int) -> Score | None:
    computed = Values.of(program, device=judge.device, seed=seed)
    return judge(lambda inputs, first: computed(inputs, computed.inferences(first))[0])
