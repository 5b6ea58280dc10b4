"""Read noise: fluctuation from one read to the next."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

BOLTZMANN = 1.380649e-23
ELEMENTARY = 1.602176634e-19


class Reading(Protocol):
    """Read noise of a cell."""

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return the standard deviation (S), given the present and the written conductances."""
        ...


@dataclass(frozen=True, slots=True)
class Quiet:
    """No read noise."""

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(now_s)


@dataclass(frozen=True, slots=True)
class Flicker:
    """1/f noise: σ = g·Q(x)·√ln((t + t_read)/(2·t_read)), x the written conductance relative to the highest, t counted from `start_s` before writing.

    Attributes:
        start_s: t₀ of the drift, included in t.
        read_s: t_read, duration of a read.
        amplitude: Q as a function of x.
    """

    start_s: float
    read_s: float
    amplitude: Callable[[Tensor], Tensor]

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return σ."""
        reads = (time_s + self.start_s + self.read_s) / (2 * self.read_s)
        return now_s * self.amplitude((written_s / high_s).clamp(min=1e-9)) * math.sqrt(max(0.0, math.log(reads)))


@dataclass(frozen=True, slots=True)
class LogFlicker:
    """σ = factor·log₁₀(g/µS)·√ln((t + t_read)/(2·t_read)) µS, never below zero."""

    factor: float
    read_s: float

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return σ."""
        reads = (time_s + self.read_s) / (2 * self.read_s)
        return (self.factor * torch.log10((now_s / 1e-6).clamp(min=1.0)) * math.sqrt(max(0.0, math.log(reads)))) * 1e-6


@dataclass(frozen=True, slots=True)
class Share:
    """σ is a fixed fraction of the highest conductance."""

    share: float

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return share · highest conductance."""
        return torch.full_like(now_s, self.share * high_s)


@dataclass(frozen=True, slots=True)
class Physical:
    """Thermal and shot noise of a read at a voltage, and random telegraph noise, with the constants of PytorX (He et al., DAC 2019).

    σ² = g·f·(4kT + 2qV)/V². A telegraph step δ = g·(b·g + a)/(g − (b·g + a)), present half of the time, adds (δ/2)².
    PytorX's own σ has a further term (ΔG/3)²; it is left out because our sources do not define its ΔG.

    Attributes:
        volts: read voltage.
        rate_hz: bandwidth f.
        kelvin: temperature.
        telegraph: (a in S, b); (0, 0) leaves it out.
    """

    volts: float
    rate_hz: float = 10e6
    kelvin: float = 300.0
    telegraph: tuple[float, float] = (1.662e-7, 0.0015)

    def step(self, now_s: Tensor) -> Tensor:
        """Return the telegraph step δ (S), which cannot exceed the conductance itself."""
        trap = self.telegraph[1] * now_s + self.telegraph[0]
        return torch.where(now_s > 2 * trap, now_s * trap / (now_s - trap).clamp(min=1e-30), now_s)

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return σ of thermal and shot noise, and of telegraph noise that spends half of the time in each state (δ/2)."""
        carried = now_s * self.rate_hz * (4 * BOLTZMANN * self.kelvin + 2 * ELEMENTARY * self.volts) / self.volts**2
        step = self.step(now_s) if any(self.telegraph) else torch.zeros_like(now_s)
        return torch.sqrt(carried + (step / 2) ** 2)
