"""NNADC: an eight-bit pipelined converter whose stages are networks of RRAM and inverters.

A stage compares its input with M thresholds D apart and passes on the amplified residue:

    s_i = sign(x − t_i),  t_i = D (i − (M−1)/2),        y = G · (x − D/2 · Σ_i s_i).

The M decisions form a thermometer code: neighbouring levels differ in one bit, and no bit toggles twice (cao2019 requires such smooth codes). Each
comparator is one node of a crossbar, w_v·x + w_b·bias, followed by an amplifying neuron and a clocked latch. The residue comes from a pair network
trained for that sum. With G·D = 0.25 V the residue fills half of the next stage's range; the other half absorbs wrong comparator decisions.
Digital logic weights the decisions; the weights are found once per converter by least squares on known inputs (calibration). The last
stage has only comparators. For narrower ranges, a first stage with fewer comparators amplifies by four.

cao2022 specifies neither the stages nor the number of hidden neurons. Plain stages without the spare half do not reach eight bits (docs/periphery.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from crossloom.periphery.adder import BIAS_V, HALF_V, LOSS, noise_v
from crossloom.periphery.neuron import Neuron
from crossloom.periphery.pairs import SIGMA, Instances, PairNetwork, Parts, cells_of, levels_of
from crossloom.periphery.task import FitTask

BITS = 8
V_ROWS, BIAS_ROWS = 8, 4
"""Number of rows for a comparator's input and for its bias."""
PREAMPLIFIER = Neuron(8.0, 0.05)
LATCH_V = 3e-3
"""Offset of a latch, one standard deviation (assumed); referred to the input it is divided by the amplifier's gain."""
REST_ROWS = 20
"""Number of rows for the input in the residue network."""
HOLDS_F = {0.5: (200e-15,), 0.25: (400e-15, 100e-15), 0.125: (2000e-15, 200e-15)}
"""Capacitors of the first samples for each range, sized so that thermal noise permits eight bits; later samples use `LATER_F`."""
LATER_F = 50e-15


@dataclass(frozen=True)
class Stage:
    """A stage: comparators with thresholds `width_v` apart, and the residue network (None in the last stage)."""

    width_v: float
    comparators: int
    gain: float = 0.0
    rest: PairNetwork | None = None

    @property
    def thresholds_v(self) -> Tensor:
        """Nominal thresholds (V) of the comparators (M,)."""
        return self.width_v * (torch.arange(self.comparators, dtype=torch.float64) - (self.comparators - 1) / 2)

    @cached_property
    def levels(self) -> Tensor:
        """Levels (M, rows) of the comparators' cells gU: first the rows of the input, then those of the bias."""
        return torch.stack([_comparator(float(threshold)) for threshold in self.thresholds_v])

    def task(self) -> FitTask:
        """Return the task of the residue network: a sum of the input, the decisions and a bias."""
        share = -self.gain * self.width_v / 2 / BIAS_V
        target = torch.tensor([self.gain, *[share] * self.comparators, 0.0], dtype=torch.float64)
        return FitTask(target, (REST_ROWS, *[1] * self.comparators, 1), partial(_signals, self), noise_v(LATER_F), 0.4)

    def parts(self, count: int, generator: torch.Generator, sigma: float = SIGMA, mismatch: float = 1.0) -> StageParts:
        """Return the cells, offsets and residue-network parts of a number of instances."""
        amplifier = PREAMPLIFIER.curves
        offset = (amplifier[1:, 0] * PREAMPLIFIER.sigmas).square().sum() / amplifier[0, 1].square() / 2 + (LATCH_V / PREAMPLIFIER.strength) ** 2
        return StageParts(
            cells_of(self.levels, count, generator, sigma),
            mismatch * offset.sqrt() * torch.randn(count, self.comparators, generator=generator, dtype=torch.float64),
            self.rest.parts(count, generator, sigma, mismatch) if self.rest else None,
        )

    def built(self, parts: StageParts) -> StageInstances:
        """Return the stages built from these parts."""
        upper, lower = parts.cells
        weights = ((upper - lower) / (upper + lower).sum(-1, keepdim=True)).mean(1)
        limit = parts.offset_v - BIAS_V * weights[..., V_ROWS:].sum(-1)
        rest = self.rest.built(parts.rest) if self.rest and parts.rest else None
        return StageInstances(weights[..., :V_ROWS].sum(-1), limit, rest)


@dataclass(frozen=True)
class StageParts:
    """Parts of stages: comparator cells gU and gL (B, 2, M, rows), their offsets (B, M) at the nodes, and the parts of the residue network."""

    cells: tuple[Tensor, Tensor]
    offset_v: Tensor
    rest: Parts | None


@dataclass(frozen=True)
class StageInstances:
    """Stages as built: comparators that decide slope·x > limit, both (B, M), and the residue networks."""

    slope: Tensor
    limit: Tensor
    rest: Instances | None

    def __getitem__(self, chosen: slice) -> StageInstances:
        return StageInstances(self.slope[chosen], self.limit[chosen], self.rest[chosen] if self.rest else None)

    def __call__(self, signal: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return decisions (B, M, P) as −1 and 1, and the residue (B, P), for inputs (B, P)."""
        decided = torch.where(self.slope[..., None] * signal[:, None] > self.limit[..., None], 1.0, -1.0).to(torch.float64)
        if self.rest is None:
            return decided, None
        bias = torch.full((len(signal), 1, signal.shape[1]), BIAS_V, dtype=torch.float64)
        return decided, self.rest(torch.cat((signal[:, None], BIAS_V * decided, bias), 1))


@dataclass(frozen=True)
class Converter:
    """A pipeline of stages for inputs in a range around mid-supply."""

    range_v: float
    stages: tuple[Stage, ...]

    @property
    def lsb_v(self) -> float:
        """Step of the converter (V)."""
        return self.range_v / (1 << BITS)

    @cached_property
    def weights(self) -> Tensor:
        """Nominal weight of each decision, in steps."""
        found, gain = [], 1.0
        for stage in self.stages:
            found += [stage.width_v / 2 / gain / self.lsb_v] * stage.comparators
            gain *= stage.gain or 1.0
        return torch.tensor(found, dtype=torch.float64)

    @property
    def noise_v(self) -> tuple[float, ...]:
        """Thermal noise of each stage's sample (V), on a pair of capacitors."""
        first = HOLDS_F[self.range_v]
        return tuple(noise_v(first[k] if k < len(first) else LATER_F) / 2**0.5 for k in range(len(self.stages)))

    def drawn(self, count: int, generator: torch.Generator, *, sigma: float = SIGMA, mismatch: float = 1.0, calibrate: int = 1024) -> Converters:
        """Return drawn converters, each calibrated on `calibrate` known inputs; with 0 they keep the nominal weights."""
        built = tuple(stage.built(stage.parts(count, generator, sigma, mismatch)) for stage in self.stages)
        weights = torch.cat((self.weights, torch.zeros(1, dtype=torch.float64))).expand(count, -1)
        plain = Converters(self, built, weights)
        return plain.calibrated(calibrate, generator) if calibrate else plain


@dataclass(frozen=True)
class Converters:
    """Converters as built, each with its digital weights (B, decisions + 1)."""

    design: Converter
    stages: tuple[StageInstances, ...]
    weights: Tensor

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, chosen: slice) -> Converters:
        return Converters(self.design, tuple(stage[chosen] for stage in self.stages), self.weights[chosen])

    def decisions(self, signal: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return all decisions and a constant, (B, decisions + 1, P), for inputs (B, P) in volts; with noise if a generator is given."""
        found = []
        for place, (stage, noise) in enumerate(zip(self.stages, self.design.noise_v, strict=True)):
            if place:
                signal = (signal + HALF_V) * (1 - LOSS) - HALF_V
            if generator is not None:
                signal = signal + noise * torch.randn(signal.shape, generator=generator, dtype=torch.float64)
            decided, rest = stage(signal)
            found.append(decided)
            signal = signal if rest is None else rest
        return torch.cat((*found, torch.ones_like(found[0][:, :1])), 1)

    def __call__(self, signal: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (B, P), 0 to 255, for inputs (B, P) or (P,) in volts relative to mid-supply."""
        decided = self.decisions(signal.expand(len(self), signal.shape[-1]), generator)
        steps = torch.einsum("bn,bnp->bp", self.weights, decided)
        return (steps + (1 << (BITS - 1))).floor().clamp(0, (1 << BITS) - 1)

    def calibrated(self, samples: int, generator: torch.Generator) -> Converters:
        """Return the converters with weights optimised on known inputs, in 64ths of a step.

        The correction is found by ridge regression on the error; a decision that never changes keeps its nominal weight.
        """
        known = (torch.rand(len(self), samples, generator=generator, dtype=torch.float64) - 0.5) * self.design.range_v * 1.02
        found = []
        for start in range(0, len(self), 50):
            part, inputs = self[slice(start, start + 50)], known[start : start + 50]
            decided = part.decisions(inputs, generator)
            missing = inputs / self.design.lsb_v - torch.einsum("bn,bnp->bp", part.weights, decided)
            normal = decided @ decided.mT / samples + 1e-5 * torch.eye(decided.shape[1], dtype=torch.float64)
            change = torch.linalg.solve(normal, (decided @ missing[..., None]) / samples)[..., 0]
            found.append(torch.round((part.weights + change) * 64) / 64)
        return Converters(self.design, self.stages, torch.cat(found))


def trained(train: Callable[[FitTask], PairNetwork]) -> dict[float, Converter]:
    """Return the converters of the three ranges; each distinct network is trained once."""
    networks: dict[Stage, PairNetwork] = {}
    found = {}
    for range_v in HOLDS_F:
        stages = stages_for(range_v)
        for stage in stages:
            if stage.gain and stage not in networks:
                networks[stage] = train(stage.task())
        found[range_v] = Converter(range_v, tuple(replace(stage, rest=networks.get(stage)) for stage in stages))
    return found


def stages_for(range_v: float) -> tuple[Stage, ...]:
    """Return the stages of a converter for a range of 0.5, 0.25 or 0.125 V, with untrained networks."""
    first = {0.5: (), 0.25: (Stage(0.0625, 3, 4.0),), 0.125: (Stage(0.0625, 1, 4.0),)}[range_v]
    return (*first, *(Stage(0.0625, 7, 4.0) for _ in range(3)), Stage(0.03125, 15))


def _comparator(threshold_v: float) -> Tensor:
    """Return the levels of a comparator's cells: of all sums of odd weights, those whose ratio is nearest to the threshold; of equals, the largest."""
    choices = [
        (abs(BIAS_V * bias / signal - threshold_v) + 1e-4 * (7 * V_ROWS - signal) / 14, signal, bias)
        for signal in range(5 * V_ROWS, 7 * V_ROWS + 1, 2)
        for bias in range(-7 * BIAS_ROWS, 7 * BIAS_ROWS + 1, 2)
    ]
    _, signal, bias = min(choices)
    return levels_of(torch.tensor(_odd(signal, V_ROWS) + _odd(-bias, BIAS_ROWS)))


def _odd(total: int, rows: int) -> list[int]:
    """Return odd weights for a number of rows with a given sum, as equal as possible."""
    steps = (total + 7 * rows) // 2
    return [-7 + 2 * (steps // rows + (place < steps % rows)) for place in range(rows)]


def _signals(stage: Stage, count: int, generator: torch.Generator) -> Tensor:
    """Return inputs of the residue network as they occur in use: an input of the stage, the decisions on it, the bias."""
    reach = stage.width_v * (stage.comparators + 1) / 2
    signal = (torch.rand(count, generator=generator, dtype=torch.float64) - 0.5) * 2 * reach
    decided = torch.where(signal > stage.thresholds_v[:, None], BIAS_V, -BIAS_V).to(torch.float64)
    return torch.cat((signal[None], decided, torch.full((1, count), BIAS_V, dtype=torch.float64)))
