"""Sweeps: accuracy and costs of one network over fields of a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from typing import Any

from crossloom.compiler import compile_network
from crossloom.errors import CapacityError, InputError, MachineError, ModelError
from crossloom.job.job import Job
from crossloom.job.metrics import Answer, Metrics, accuracy
from crossloom.job.progress import Progress, silent
from crossloom.job.run import machine_metrics
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import Recipe
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values

MOST = 4096
"""Largest number of machine versions in one sweep."""


@dataclass(frozen=True, slots=True)
class Score:
    """The quality of answers: the share of correct answers and, for per-token answers, the perplexity."""

    accuracy: float
    perplexity: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One version of the machine. Times in s, energy per inference in J, area in mm². `fails` is why it cannot run the network; empty if it can."""

    values: Mapping[str, Any]
    score: Score | None = None
    latency_s: float = 0.0
    throughput_per_s: float = 0.0
    energy_j: float = 0.0
    area_mm2: float = 0.0
    fails: str = ""


@dataclass(frozen=True)
class Sweep:
    """All versions, and the score of the network without a machine: in floating point (None if given quantised) and in integers."""

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
    progress: Progress = silent,
) -> Sweep:
    """Return the accuracy and costs of a network for every combination of field values.

    Args:
        network: in floating point or quantised; it is quantised once, so that all versions compute the same integers.
        machine: the base version, whose fields are changed.
        over: fields of the machine, with the values of each.
        data: samples with labels for accuracies (perplexities for per-token labels). Without data, only times and costs are computed.
        calibration, recipe, seed, batch, device, progress: as in `crossloom.run`.

    Raises InputError for no combinations or too many, MachineError for an invalid field or value.
    """
    return sweep_job(Job(network, machine, data, calibration, recipe, seed, 1, batch, device), over, progress)


def sweep_job(job: Job, over: Mapping[str, Sequence[Any]], progress: Progress = silent) -> Sweep:
    """Return the accuracy and costs of a job's network for every combination of field values; see `sweep`."""
    count = prod(len(values) for values in over.values())
    if not over or not count or count > MOST:
        raise InputError(f"a sweep takes 1 to {MOST} combinations of values, got {count if over else 0}; name fields with their values")
    combinations = [dict(zip(over, values, strict=True)) for values in product(*over.values())]
    machines = [job.machine.with_(**values) for values in combinations]
    if job.samples is not None and not job.labelled:
        raise InputError("a sweep over samples compares accuracies; give labels, or omit the samples for times and costs only")
    integers = job.quantised(progress)
    versions = progress(list(zip(combinations, machines, strict=True)), "versions", count)
    points = tuple(_point(values, job.on(machine), integers.graph) for values, machine in versions)
    if all(point.fails for point in points):
        raise InputError(f"no version of {job.machine.name} runs {job.network.name}; the first fails with: {points[0].fails}")
    real = None if job.network.quantized else _score(lambda inputs, first: job.network(*inputs), job)
    exact = _score(lambda inputs, first: integers.graph(*inputs), job)
    samples = len(job.samples) if job.samples else 0
    return Sweep(job.network.name, job.machine.name, tuple(over), points, real, exact, samples, integers.notes)


def _point(values: Mapping[str, Any], job: Job, graph: Graph) -> Point:
    """Return the accuracy and costs of one version of the machine."""
    try:
        program = compile_network(graph, job.machine)
    except (CapacityError, MachineError, ModelError) as problem:
        return Point(values, fails=str(problem))
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    score = _scored(machine_metrics(Values.of(program, device=job.device, seed=job.seed), job), job) if job.labelled else None
    return Point(values, score, timeline.latency_s, timeline.throughput_per_s, ledger.energy_j, ledger.total_area_mm2)


def _score(answer: Answer, job: Job) -> Score | None:
    """Return the score of an answer function on a job's samples; None without labels."""
    return _scored(accuracy(answer, job.samples, job.size, job.device), job) if job.samples is not None and job.labelled else None


def _scored(metrics: Metrics, job: Job) -> Score:
    assert job.samples is not None and job.samples.labels is not None
    return Score(metrics.share, metrics.perplexity if job.samples.labels.dim() > 1 else None)
