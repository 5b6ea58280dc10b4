"""Diagnosis of accuracy loss on a machine: effect by effect, and layer by layer.

The ladder enables effects one at a time and keeps the previous ones: floating point, quantisation, converters, the stages before them (buffers,
trained circuits), then the effects of the machine's cells and wires. The random draws of cells are the same on every rung, so that two rungs differ
only in the new effect. Each layer and rung has two signal-to-error ratios of the layer's result, in decibels. The layer's *own* error, with exact
inputs, identifies the layer at fault; the error that has *arrived* there includes the errors that earlier layers passed on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from crossloom.compiler import compile_network
from crossloom.engine import Inferences, engines_of
from crossloom.engine.crossbar.cell_settings import Effect
from crossloom.engine.crossbar.settings import crossbars
from crossloom.errors import DataError, InputError
from crossloom.job.job import Job
from crossloom.job.metrics import Answer, accuracy
from crossloom.job.progress import Progress, silent
from crossloom.job.run import machine_metrics
from crossloom.job.seed_statistics import SeedStatistics
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.quantize.post_training import Recipe
from crossloom.program.program import Program
from crossloom.read.values import Values

RUNS = 5
"""Number of seeds for a rung with random effects."""
PROBED = 32
"""Number of samples with which layers are compared."""
NAMES: dict[Effect, str] = {
    "programming": "programming",
    "faults": "stuck cells",
    "drift": "drift",
    "reading": "read noise",
    "curve": "curved cells",
    "wires": "IR drop",
}
CHANCE: set[Effect] = {"programming", "faults", "drift", "reading"}
"""Effects that differ from seed to seed."""


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: its name, the accuracies of its runs, and each layer's signal-to-error ratios in decibels (None: exact)."""

    name: str
    accuracy: SeedStatistics
    own_db: dict[str, float | None] = field(default_factory=dict)
    arrived_db: dict[str, float | None] = field(default_factory=dict)

    @property
    def weakest(self) -> str | None:
        """The layer whose own error is largest relative to its signal."""
        known = {layer: value for layer, value in self.own_db.items() if value is not None}
        return min(known, key=lambda layer: known[layer]) if known else None


@dataclass(frozen=True)
class Diagnosis:
    """The ladder of a network on a machine."""

    network: str
    machine: str
    samples: int
    rungs: tuple[Rung, ...]
    warnings: tuple[str, ...] = ()

    @property
    def losses(self) -> dict[str, float]:
        """Mean accuracy that each rung loses relative to the one before."""
        return {after.name: before.accuracy.mean - after.accuracy.mean for before, after in zip(self.rungs, self.rungs[1:], strict=False)}

    @property
    def worst(self) -> Rung | None:
        """The rung that loses most; None if none loses more than half a percentage point."""
        name, loss = max(self.losses.items(), key=lambda item: item[1])
        return next(rung for rung in self.rungs if rung.name == name) if loss > 0.005 else None

    @property
    def verdict(self) -> str:
        """The finding in one sentence."""
        first, last = self.rungs[0].accuracy.mean, self.rungs[-1].accuracy.mean
        if self.worst is None:
            return f"No effect costs more than half a percentage point: {first:.1%} at the start, {last:.1%} with all effects."
        layer = self.worst.weakest
        where = f"; the weakest layer there is {layer} (own signal-to-error ratio {self.worst.own_db[layer]:.1f} dB)" if layer is not None else ""
        return f"Largest loss: {self.worst.name}, {self.losses[self.worst.name] * 100:.1f} of the {(first - last) * 100:.1f} points lost{where}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the JSON document of `crossloom diagnose`."""
        rungs = [
            {
                "name": rung.name,
                "accuracy": rung.accuracy.to_dict(),
                "loss": self.losses.get(rung.name),
                "layers": [{"name": layer, "own_db": own, "arrived_db": rung.arrived_db[layer]} for layer, own in rung.own_db.items()],
            }
            for rung in self.rungs
        ]
        return {
            "model": self.network,
            "machine": self.machine,
            "samples": self.samples,
            "rungs": rungs,
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


def diagnose(
    network: Graph,
    machine: Machine,
    data: Any,
    *,
    calibration: Any = None,
    recipe: Recipe | None = None,
    runs: int = RUNS,
    seed: int = 0,
    batch: int = 64,
    device: str = "cpu",
    progress: Progress = silent,
) -> Diagnosis:
    """Return the ladder of accuracies of a network on a machine.

    Args:
        network, machine, data, calibration, recipe, batch, device, progress: as in `run`; data needs labels.
        runs: number of seeds, starting at `seed`, for each rung with random effects.
        seed: the first seed; layers are compared with this seed.

    Raises:
        DataError: the data have no labels.
        InputError: fewer than one run, or a machine without crossbars.
    """
    return diagnose_job(Job(network, machine, data, calibration, recipe, seed, runs, batch, device), progress)


def diagnose_job(job: Job, progress: Progress = silent) -> Diagnosis:
    """Return the ladder of accuracies of a job; see `diagnose`."""
    machine, network = job.machine, job.network
    if "crossbar" not in {engine.name for engine in engines_of(machine.views[0])}:
        raise InputError(
            f"diagnose enables the effects of crossbars one by one, and {machine.name} has none; run it with its own faults set, or sweep them"
        )
    if job.samples is None or not job.labelled:
        raise DataError("diagnose compares accuracies, but the data have no labels; give samples with labels")
    integers = job.quantised(progress)
    notes = [*integers.notes, *job.notes]
    rungs = [] if network.quantized else [_exact_rung("float", lambda inputs, first: network(*inputs), job)]
    rungs.append(_exact_rung("quantised", lambda inputs, first: integers.graph(*inputs), job))
    steps = _steps(machine)
    if len(steps) == 1:
        notes.append(
            f"no effects of {machine.name}'s cells and wires are computed; set real ones, such as --set cell=pcm --set age='1 h' "
            "(crossloom device list)"
        )
    for step in steps:
        program = compile_network(integers.graph, machine.with_(**step.changes))
        rungs.append(_rung(step.name, program, job if step.random else replace(job, runs=1), progress))
    return Diagnosis(network.name, machine.name, len(job.samples), tuple(rungs), tuple(notes))


@dataclass(frozen=True)
class _Step:
    """A rung below the quantised network: the crossbar settings with which it is computed, and whether it has random effects."""

    name: str
    changes: dict[str, Any]
    random: bool


def _steps(machine: Machine) -> list[_Step]:
    """Return the rungs of a machine: first the circuits between cells and converters, then the effects of the cells."""
    xbar = crossbars(machine.views[0])
    off: dict[str, Any] = {"crossbar.effects": "none", "crossbar.adder": "ideal", "crossbar.converter": "ideal", "crossbar.buffer_sigma": 0.0}
    steps = [_Step("converters", off, False)]
    if xbar.buffer:
        steps.append(_Step("buffer cells", steps[-1].changes | {"crossbar.buffer_sigma": xbar.buffer.sigma}, True))
    if xbar.circuits.trained:
        names = {key: name or "ideal" for key, name in (("crossbar.adder", xbar.circuits.adder), ("crossbar.converter", xbar.circuits.converter))}
        steps.append(_Step("trained circuits", steps[-1].changes | names, True))
    there = xbar.physics.effects
    for place, effect in enumerate(there):
        random = steps[-1].random or effect in CHANCE
        steps.append(_Step(NAMES[effect], steps[-1].changes | {"crossbar.effects": ",".join(there[: place + 1])}, random))
    return steps


def _exact_rung(name: str, answer: Answer, job: Job) -> Rung:
    """Return a rung on which nothing is random."""
    assert job.samples is not None
    return Rung(name, SeedStatistics((accuracy(answer, job.samples, job.size, job.device).share,)))


def _rung(name: str, program: Program, job: Job, progress: Progress) -> Rung:
    """Return a rung of the machine, over the seeds of a job."""
    accuracies: list[float] = []
    layers: tuple[dict[str, float | None], dict[str, float | None]] = {}, {}
    for seed in progress(range(job.seed, job.seed + job.runs), name, job.runs):
        values = Values.of(program, device=job.device, seed=seed)
        accuracies.append(machine_metrics(values, job).share)
        layers = layers if accuracies[1:] else _layers(values, job)
    return Rung(name, SeedStatistics(tuple(accuracies)), *layers)


def _layers(values: Values, job: Job) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return, for each layer with arrays, the signal-to-error ratios (dB) of its own error and of the error that has arrived."""
    assert job.samples is not None
    count = values.program.graph.batch or PROBED
    inputs, _ = next(iter(job.samples.first(count).batches(count, job.device)))
    held = {stage.nodes[0] for stage in values.program.stages if stage.arrays}
    exact: dict[str, tuple[Sequence[Tensor], Tensor]] = {}
    reached: dict[str, Tensor] = {}

    def remember(node: Node, given: Sequence[Tensor], result: Tensor) -> None:
        if node.name in held:
            exact[node.name] = (list(given), result)

    def compare(node: Node, given: Sequence[Tensor], result: Tensor) -> None:
        if node.name in held:
            reached[node.name] = result

    Values.exactly(values.program, job.device)(inputs, watch=remember)
    values(inputs, watch=compare)
    own, arrived = {}, {}
    for name, (given, want) in exact.items():
        zero = values.program.graph.quantization[name].zero
        mine = values.executors[name](given, Inferences(values.inferences(min(count, len(job.samples)))), Counter())
        own[name], arrived[name] = _decibels(want, mine, zero), _decibels(want, reached[name], zero)
    return own, arrived


def _decibels(want: Tensor, got: Tensor, zero: int) -> float | None:
    """Return 10·log10(Σ signal² / Σ error²), None without an error."""
    signal, error = (want.double() - zero).square().sum(), (got.double() - want.double()).square().sum()
    if float(error) == 0:
        return None
    return 10 * math.log10(max(float(signal), 1e-300) / float(error))
