"""Change of a cell's conductance over time after writing."""

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
    """Cells just written: target and written conductance, and the standard normal numbers of the programming error and of the drift rate."""

    target_s: Tensor
    written_s: Tensor
    error: Tensor
    pace: Tensor


class Drift(Protocol):
    """The drift of a conductance over time."""

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the conductance `time_s` after writing; `high_s` is the cell's highest conductance."""
        ...


@dataclass(frozen=True, slots=True)
class Steady:
    """No drift."""

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the conductance as written."""
        return state.written_s


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """g(t) = g·((t + t₀)/t₀)^−ν, ν = |N(mean(x), σ(x))| with x the written conductance relative to the highest.

    Attributes:
        start_s: t₀, the time at which the written conductance was measured.
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
    """g(t) = g + (slope·ln t + (spread·ln t + spread_1s)·pace) µS for t of at least one second: relaxation independent of g."""

    slope_us: float
    spread_us: float
    spread_1s_us: float

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the relaxed conductance; during the first second, which the law does not cover, the conductance as written."""
        if time_s < 1.0:
            return state.written_s
        log = math.log(time_s)
        return state.written_s + (self.slope_us * log + (self.spread_us * log + self.spread_1s_us) * state.pace) * MICRO


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Programming error that grows with time: σ(x) µS is a polynomial at each tabulated time, interpolated linearly in the logarithm of time.

    Cells keep their place in the distribution: pace·σ(t). σ is zero before the first time and constant after the last.

    Attributes:
        times_s: times after writing.
        coefficients_us: c₀, c₁, ... for each time, with x the written conductance relative to the highest.
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
    """Drift fitted to repeated measurements: bias and σ (µS, polynomials in target over highest conductance) at each later time.

    Between times the change is linear in ln(1 + t/t₁), t₁ the first later time; after the last time nothing changes. A cell keeps its
    place in the distribution.

    Attributes:
        bias_us, sigma_us: coefficients of the first measurement, which the written conductances follow.
        times_s: later times, counted from the first measurement.
        later_bias_us, later_sigma_us: coefficients at each later time.
    """

    bias_us: tuple[float, ...]
    sigma_us: tuple[float, ...]
    times_s: tuple[float, ...]
    later_bias_us: tuple[tuple[float, ...], ...]
    later_sigma_us: tuple[tuple[float, ...], ...]

    def after(self, state: CellState, time_s: float, high_s: float) -> Tensor:
        """Return the conductance that would be measured."""
        if not self.times_s or not time_s:
            return state.written_s
        steps = (0.0, *(math.log1p(time / self.times_s[0]) for time in self.times_s))
        now = min(math.log1p(time_s / self.times_s[0]), steps[-1])
        later = next(k for k, step in enumerate(steps) if k and step >= now)
        share = (now - steps[later - 1]) / (steps[later] - steps[later - 1])
        bias, sigma, x = (self.bias_us, *self.later_bias_us), (self.sigma_us, *self.later_sigma_us), state.target_s / high_s
        moved = [polynomial(bias[k], x) + polynomial(sigma[k], x).clamp(min=0.0) * state.error for k in (later - 1, later)]
        return state.target_s + (moved[0] * (1 - share) + moved[1] * share) * MICRO
