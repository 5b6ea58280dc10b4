"""What time does to a cell after it is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

MICRO = 1e-6
Of = Callable[[Tensor], Tensor]


class Drift(Protocol):
    """The way of a conductance through time."""

    def after(self, written_s: Tensor, pace: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return the conductance a time after writing; `pace` holds a standard normal number for each cell."""
        ...


@dataclass(frozen=True, slots=True)
class Steady:
    """Nothing changes."""

    def after(self, written_s: Tensor, pace: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return what was written."""
        return written_s


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

    def after(self, written_s: Tensor, pace: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return the drifted conductance."""
        share = (written_s / high_s).clamp(min=1e-9)
        return written_s * torch.exp(-self.exponent(share, pace) * math.log1p(time_s / self.start_s))


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """g(t) = g + (slope·ln t + (spread·ln t + spread_1s)·pace) µS for t of at least a second: relaxation that does not depend on g."""

    slope_us: float
    spread_us: float
    spread_1s_us: float

    def after(self, written_s: Tensor, pace: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return the relaxed conductance; nothing is said of the first second."""
        if time_s < 1.0:
            return written_s
        log = math.log(time_s)
        return written_s + (self.slope_us * log + (self.spread_us * log + self.spread_1s_us) * pace) * MICRO


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
        return (_polynomial(self.coefficients_us[earlier], share) * (1 - weight) + _polynomial(self.coefficients_us[later], share) * weight) * MICRO

    def after(self, written_s: Tensor, pace: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return the relaxed conductance."""
        return written_s + self.sigma((written_s / high_s).clamp(0.0, 1.0), time_s) * pace


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total.clamp(min=0.0)
