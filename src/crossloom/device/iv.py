"""Current-voltage laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Iv(Protocol):
    """The current-voltage law of a cell."""

    @property
    def ohmic(self) -> bool:
        """Whether current is proportional to voltage."""
        ...

    def current_a(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return the current."""
        ...

    def slope_s(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return its derivative with respect to the voltage."""
        ...

    def spice(self, conductance_s: float, across: str) -> str:
        """Return the current as a SPICE expression in the voltage `across`."""
        ...


@dataclass(frozen=True, slots=True)
class Ohmic:
    """I = g·V."""

    ohmic: bool = True

    def current_a(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return g·V."""
        return conductance_s * volts

    def slope_s(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return g."""
        return conductance_s + torch.zeros_like(volts)

    def spice(self, conductance_s: float, across: str) -> str:
        """Return g·V."""
        return f"{conductance_s!r}*{across}"


@dataclass(frozen=True, slots=True)
class Cubic:
    """I = g·V + n₂·V·|V| + n₃·V³ with n₂ and n₃ functions of g. It is taken as odd in V because negative voltages were not measured.

    Attributes:
        second, third: n₂ (A/V²) and n₃ (A/V³) as functions of g (S).
        highest_v: highest measured voltage.
    """

    second: Callable[[Tensor], Tensor]
    third: Callable[[Tensor], Tensor]
    highest_v: float
    ohmic: bool = False

    def current_a(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return the current."""
        g = conductance_s
        return g * volts + self.second(g) * volts * volts.abs() + self.third(g) * volts**3

    def slope_s(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return dI/dV."""
        g = conductance_s
        return g + 2 * self.second(g) * volts.abs() + 3 * self.third(g) * volts**2

    def spice(self, conductance_s: float, across: str) -> str:
        """Return the polynomial."""
        g = torch.tensor(conductance_s, dtype=torch.float64)
        second, third = float(self.second(g)), float(self.third(g))
        return f"{conductance_s!r}*{across}+({second!r})*{across}*abs({across})+({third!r})*{across}*{across}*{across}"


@dataclass(frozen=True, slots=True)
class Sinh:
    """I = g·v₀·sinh(V/v₀), the usual law of a tunnelling barrier; g is the small-signal conductance."""

    scale_v: float
    ohmic: bool = False

    def current_a(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return the current."""
        return conductance_s * self.scale_v * torch.sinh(volts / self.scale_v)

    def slope_s(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return dI/dV."""
        return conductance_s * torch.cosh(volts / self.scale_v)

    def spice(self, conductance_s: float, across: str) -> str:
        """Return g·v₀·sinh(V/v₀)."""
        return f"{conductance_s * self.scale_v!r}*sinh({across}/{self.scale_v!r})"
