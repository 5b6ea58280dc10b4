"""Fluctuation from one read to the next."""

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
        """Return the standard deviation (S) for conductances as they are now and as they were written."""
        ...


@dataclass(frozen=True, slots=True)
class Quiet:
    """Every read is alike."""

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(now_s)


@dataclass(frozen=True, slots=True)
class Flicker:
    """1/f noise: σ = g·Q(x)·√ln((t + t_read)/(2·t_read)), x the written share of the highest conductance, t counted from `start_s` before writing.

    Attributes:
        start_s: t₀ of the drift, which t includes.
        read_s: t_read, how long a read takes.
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
    """σ is a share of the highest conductance."""

    share: float

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return share · highest conductance."""
        return torch.full_like(now_s, self.share * high_s)


@dataclass(frozen=True, slots=True)
class Physical:
    """Thermal and shot noise of a read at a voltage, and random telegraph noise, with the constants of PytorX (He et al., DAC 2019).

    σ² = g·f·(4kT + 2qV)/V², and a telegraph step δ = g·(b·g + a)/(g − (b·g + a)) that is there half of the time, which adds (δ/2)².
    PytorX's own σ has a further term (ΔG/3)², whose ΔG our sources do not define; it is left out.

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
        """Return the telegraph's step δ (S); it cannot be larger than the conductance itself."""
        trap = self.telegraph[1] * now_s + self.telegraph[0]
        return torch.where(now_s > 2 * trap, now_s * trap / (now_s - trap).clamp(min=1e-30), now_s)

    def sigma(self, now_s: Tensor, written_s: Tensor, time_s: float, high_s: float) -> Tensor:
        """Return σ of thermal and shot noise, and of a telegraph that is in either state half of the time (δ/2)."""
        carried = now_s * self.rate_hz * (4 * BOLTZMANN * self.kelvin + 2 * ELEMENTARY * self.volts) / self.volts**2
        step = self.step(now_s) if any(self.telegraph) else torch.zeros_like(now_s)
        return torch.sqrt(carried + (step / 2) ** 2)
