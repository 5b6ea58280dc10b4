"""Programming error: the deviation of a written cell from its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

MICRO = 1e-6


def polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Return Σ cₖ·xᵏ; the constant coefficient comes first."""
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


class Programming(Protocol):
    """The programming error of a cell."""

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return the standard deviation (S) around a target; `high_s` is the cell's highest conductance."""
        ...

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return the written conductance for standard normal errors."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """No programming error."""

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(target_s)

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return the target."""
        return target_s


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Normal error with σ a polynomial in the target: Σ cₖ·xᵏ µS.

    Attributes:
        coefficients_us: c₀, c₁, ... in µS.
        of: x is the target over the highest conductance ("share"), or the target in µS ("microsiemens").
        reference_s: highest conductance of the measured devices; σ scales with the ratio of the cell's own to it. None: σ does not scale.
    """

    coefficients_us: tuple[float, ...]
    of: Literal["share", "microsiemens"] = "share"
    reference_s: float | None = None

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return σ, never below zero."""
        x = target_s / high_s if self.of == "share" else target_s / MICRO
        total = polynomial(self.coefficients_us, x)
        scale = high_s / self.reference_s if self.reference_s is not None else 1.0
        return total.clamp(min=0.0) * (MICRO * scale)

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return target + σ·error."""
        return target_s + self.sigma(target_s, high_s) * error


@dataclass(frozen=True, slots=True)
class Measured:
    """Normal error with a bias: bias and σ are polynomials (µS) in the target over the highest conductance."""

    bias_us: tuple[float, ...]
    sigma_us: tuple[float, ...]

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return σ, never below zero."""
        return Polynomial(self.sigma_us).sigma(target_s, high_s)

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return target + bias + σ·error."""
        return target_s + polynomial(self.bias_us, target_s / high_s) * MICRO + self.sigma(target_s, high_s) * error


@dataclass(frozen=True, slots=True)
class LogNormal:
    """g = target·e^θ, θ normal with standard deviation `spread`: the classic variation law."""

    spread: float

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return the standard deviation of the log-normal distribution."""
        square = torch.tensor(self.spread**2, dtype=torch.float64)
        return target_s * torch.sqrt(torch.expm1(square) * torch.exp(square))

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return target·e^(spread·error)."""
        return target_s * torch.exp(self.spread * error)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal error with σ a fixed fraction of the highest conductance."""

    share: float

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return share · highest conductance."""
        return torch.full_like(target_s, self.share * high_s)

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return target + σ·error."""
        return target_s + self.sigma(target_s, high_s) * error
