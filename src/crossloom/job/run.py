"""Runs of a job: compile, compute and read, on one machine or on several."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from crossloom.compiler import compile_network
from crossloom.engine import Counts
from crossloom.errors import InputError
from crossloom.job.job import Job
from crossloom.job.metrics import Answer, Metrics, accuracy, judge
from crossloom.job.progress import Progress, silent
from crossloom.job.quantised import Quantised
from crossloom.job.result import Accuracy, Perplexity, Result
from crossloom.job.seed_statistics import SeedStatistics
from crossloom.job.source import machine as machine_of
from crossloom.machines import ActionKey, Machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import Recipe
from crossloom.program.program import Program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import Timeline, read_timeline
from crossloom.read.values import Values


def run(
    network: Graph,
    machine: Machine | str | Path,
    data: Any = None,
    *,
    calibration: Any = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    runs: int = 1,
    batch: int = 64,
    device: str = "cpu",
    rate: float | None = None,
    progress: Progress = silent,
) -> Result:
    """Return the result of running a network on a machine.

    Args:
        network, machine, data, calibration, recipe, seed, runs, batch, device, rate: see `crossloom.job.job.Job`. A machine can be given by name.
        progress: reports the batches as they are computed.

    Raises:
        InputError: an option out of its range; ModelError, MachineError, DataError or CapacityError for inputs that do not fit together.
    """
    return run_job(Job(network, _machine(machine), data, calibration, recipe, seed, runs, batch, device, rate), progress)


def compare(
    network: Graph,
    machines: Iterable[Machine | str | Path],
    data: Any = None,
    *,
    calibration: Any = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    runs: int = 1,
    batch: int = 64,
    device: str = "cpu",
    rate: float | None = None,
    progress: Progress = silent,
) -> list[Result]:
    """Return one result per machine; the network is quantised once, so that all machines compute the same integers.

    Args:
        machines: at least one, each a machine or its name.
        network, data, calibration, recipe, seed, runs, batch, device, rate, progress: as in `run`.
    """
    chips = [_machine(each) for each in machines]
    if not chips:
        raise InputError("compare needs at least one machine; name them separated by commas")
    return compare_jobs(Job(network, chips[0], data, calibration, recipe, seed, runs, batch, device, rate), chips, progress)


def compare_jobs(job: Job, chips: Sequence[Machine], progress: Progress = silent) -> list[Result]:
    """Return the results of one job on several machines; the first machine is the job's own."""
    integers = job.quantised(progress)
    first = _read(job, integers, progress)
    rest = replace(job, network=integers.graph, data=job.samples)
    others = [_read(rest.on(chip), Quantised(integers.graph), progress) for chip in chips[1:]]
    return [first, *(replace(other, accuracy=_with_float(other.accuracy, first.accuracy)) for other in others)]


def _with_float(accuracy: Accuracy | None, first: Accuracy | None) -> Accuracy | None:
    """Return an accuracy with the floating-point figures of another."""
    if accuracy is None or first is None:
        return None
    perplexity = accuracy.perplexity and first.perplexity and replace(accuracy.perplexity, float=first.perplexity.float)
    return replace(accuracy, float=first.float, perplexity=perplexity)


def _machine(given: Machine | str | Path) -> Machine:
    return given if isinstance(given, Machine) else machine_of(given)


def run_job(job: Job, progress: Progress = silent) -> Result:
    """Return the result of a job."""
    return _read(job, job.quantised(progress), progress)


def _read(job: Job, integers: Quantised, progress: Progress) -> Result:
    """Return the three readings of a network in integers."""
    program = compile_network(integers.graph, job.machine)
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    values = Values.of(program, device=job.device, seed=job.seed)
    found, counts, chance = _computed(job, values, progress)
    alone = (
        (f"{job.runs} runs compare accuracies, but there are no samples with labels: only one run was computed",)
        if job.runs > 1 and chance is None
        else ()
    )
    return Result(
        program=program,
        timeline=timeline,
        ledger=ledger,
        accuracy=found,
        plans=tuple(values.plans),
        seed=job.seed,
        warnings=(*integers.notes, *alone, *job.notes, *program.notes, *_limits(program, timeline)),
        counts=counts,
        chance=chance,
        versions=versions(),
        given_rate=job.rate,
    )


def _computed(job: Job, values: Values, progress: Progress) -> tuple[Accuracy | None, dict[str, int] | None, SeedStatistics | None]:
    """Return the accuracies (None without labels), the actions that one inference performed, and the machine's accuracies over several seeds."""
    if (samples := job.samples) is None:
        return None, None, None
    performed: Counts = Counter()

    def machine(inputs: Sequence[Tensor], first: int) -> tuple[Tensor, ...]:
        outputs, counts = values(inputs, values.inferences(first))
        performed.update(counts)
        return outputs

    answers: dict[str, Answer] = {"machine": machine}
    if job.labelled:
        exact = values.program.network
        answers["quantized"] = lambda inputs, first: exact(*inputs)
        if not job.network.quantized:
            answers["float"] = lambda inputs, first: job.network(*inputs)
    found = judge(answers, samples, job.size, job.device, progress)
    counts = {name: count // values.inferences(len(samples)) for name, count in performed.items()}
    if samples.labels is None:
        return None, counts, None
    judged = _judged(found, len(samples), for_tokens=samples.labels.dim() > 1)
    if job.runs == 1:
        return judged, counts, None
    others = progress(range(job.seed + 1, job.seed + job.runs), "other cells", job.runs - 1)
    again = (Values.of(values.program, device=job.device, seed=seed) for seed in others)
    chance = SeedStatistics((judged.machine, *(machine_metrics(each, job).share for each in again)))
    return replace(judged, machine=chance.mean), counts, chance


def machine_metrics(values: Values, job: Job) -> Metrics:
    """Return the metrics of a machine that is ready to compute, on the samples of a job."""
    assert job.samples is not None
    return accuracy(lambda inputs, first: values(inputs, values.inferences(first))[0], job.samples, job.size, job.device)


def _judged(found: Mapping[str, Metrics], samples: int, *, for_tokens: bool) -> Accuracy:
    """Return accuracies and, for per-token answers, perplexities."""
    real, exact, machine = found.get("float"), found["quantized"], found["machine"]
    perplexity = Perplexity(None if real is None else real.perplexity, exact.perplexity, machine.perplexity, machine.answers) if for_tokens else None
    return Accuracy(None if real is None else real.share, exact.share, machine.share, samples, perplexity)


def _limits(program: Program, timeline: Timeline) -> list[str]:
    """Return a warning if the throughput depends on a latency that is neither published nor derived."""
    limit = timeline.limited_by
    key = ActionKey.of(limit)
    part = program.machine.optional(key.part)
    if part is None or key.action not in part.actions:
        return []
    latency = part.actions[key.action].latency_s
    if latency.mark in ("published", "derived"):
        return []
    return [f"throughput is limited by {limit}, whose latency is {latency.mark}, not published: {latency.source}"]


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
