"""What time does to a cell after it is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from crossloom.device.programming import polynomial

MICRO = 1e-6
Of = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class CellState:
    """Cells just written: what was meant, what came of it, and standard normal numbers for the error made and for the pace of what follows."""

    target_s: Tensor
    written_s: Tensor
    error: Tensor
    pace: Tensor


class Drift(Protocol):
    """The way of a conductance through time."""

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the conductance a time after writing; `high_s` is the cell's highest conductance."""
        ...


@dataclass(frozen=True, slots=True)
class Steady:
    """Nothing changes."""

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return what was written."""
        return state.written_s


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """g(t) = g·((t + t₀)/t₀)^−ν, ν = |N(mean(x), σ(x))| with x the written share of the highest conductance.

    Attributes:
        start_s: t₀, when the conductance that was written was measured.
        mean, sigma: ν's mean and standard deviation as functions of x.
    """

    start_s: float
    mean: Of
    sigma: Of

    def exponent(self, share: Tensor, pace: Tensor) -> Tensor:
        """Return ν of each cell."""
        return (self.mean(share) + self.sigma(share) * pace).abs()

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the drifted conductance."""
        if not time_s:
            return state.written_s
        share = (state.written_s / high_s).clamp(min=1e-9)
        return state.written_s * torch.exp(-self.exponent(share, state.pace) * math.log1p(time_s / self.start_s))


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """g(t) = g + (slope·ln t + (spread·ln t + spread_1s)·pace) µS for t of at least a second: relaxation that does not depend on g."""

    slope_us: float
    spread_us: float
    spread_1s_us: float

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the relaxed conductance; nothing is said of the first second."""
        if time_s < 1.0:
            return state.written_s
        log = math.log(time_s)
        return state.written_s + (self.slope_us * log + (self.spread_us * log + self.spread_1s_us) * state.pace) * MICRO


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Writing error that grows: σ(x) µS is a polynomial at each of some times, linear in the logarithm of time in between.

    Cells keep their place in the distribution: pace·σ(t). Before the first time nothing is added, after the last one no more.

    Attributes:
        times_s: times after writing.
        coefficients_us: for each time c₀, c₁, ... with x the written share of the highest conductance.
    """

    times_s: tuple[float, ...]
    coefficients_us: tuple[tuple[float, ...], ...]

    def sigma(self, share: Tensor, time_s: float) -> Tensor:
        """Return σ (S) at a time."""
        if time_s < self.times_s[0]:
            return torch.zeros_like(share)
        later = next((k for k, t in enumerate(self.times_s) if t >= time_s), len(self.times_s) - 1)
        earlier = max(0, later - 1)
        weight = 1.0
        if later != earlier and time_s < self.times_s[-1]:
            weight = math.log(time_s / self.times_s[earlier]) / math.log(self.times_s[later] / self.times_s[earlier])
        low, high = (polynomial(self.coefficients_us[k], share).clamp(min=0.0) for k in (earlier, later))
        return (low * (1 - weight) + high * weight) * MICRO

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the relaxed conductance."""
        return state.written_s + self.sigma((state.written_s / high_s).clamp(0.0, 1.0), time_s) * state.pace


@dataclass(frozen=True, slots=True)
class Remeasured:
    """What was written once, measured again: bias and σ (µS, polynomials in the share of the highest conductance) at each later time.

    Between times the change is linear in ln(1 + t/t₁), t₁ the first later time; after the last one nothing more changes. A cell keeps its
    place in the distribution.

    Attributes:
        bias_us, sigma_us: of the first measurement, to which the cell was written.
        times_s: later times, counted from the first measurement.
        later_bias_us, later_sigma_us: at each of them.
    """

    bias_us: tuple[float, ...]
    sigma_us: tuple[float, ...]
    times_s: tuple[float, ...]
    later_bias_us: tuple[tuple[float, ...], ...]
    later_sigma_us: tuple[tuple[float, ...], ...]

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return what would be measured."""
        if not self.times_s or not time_s:
            return state.written_s
        steps = (0.0, *(math.log1p(time / self.times_s[0]) for time in self.times_s))
        now = min(math.log1p(time_s / self.times_s[0]), steps[-1])
        later = next(k for k, step in enumerate(steps) if k and step >= now)
        share = (now - steps[later - 1]) / (steps[later] - steps[later - 1])
        bias, sigma, x = (self.bias_us, *self.later_bias_us), (self.sigma_us, *self.later_sigma_us), state.target_s / high_s
        moved = [polynomial(bias[k], x) + polynomial(sigma[k], x).clamp(min=0.0) * state.error for k in (later - 1, later)]
        return state.target_s + (moved[0] * (1 - share) + moved[1] * share) * MICRO
