"""Cell models and programmed cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from crossloom.device.faults import Faults
from crossloom.device.iv import Iv, Ohmic
from crossloom.device.programming import Exact, Programming
from crossloom.device.reading import Quiet, Reading
from crossloom.device.time import CellState, Drift, Steady
from crossloom.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A kind of memory cell.

    Attributes:
        name, title: short and long name.
        source: origin of its figures.
        low_s, high_s: range of target conductances (S).
        programming: programming error, the deviation from the target.
        drift: change of the conductance over time.
        reading: read-to-read fluctuation.
        faults: stuck cells.
        iv: current-voltage law.
        longest_s: latest time after writing covered by the source's measurements; beyond it the model extrapolates.
        note: notes for the user.
    """

    name: str
    title: str
    source: str
    low_s: float
    high_s: float
    programming: Programming = field(default_factory=Exact)
    drift: Drift = field(default_factory=Steady)
    reading: Reading = field(default_factory=Quiet)
    faults: Faults = field(default_factory=Faults)
    iv: Iv = field(default_factory=Ohmic)
    longest_s: float = math.inf
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.low_s < self.high_s < math.inf:
            raise InputError(f"cell {self.name}: the range must satisfy 0 <= low < high, got {self.low_s:g} to {self.high_s:g} S")

    def with_(self, **changes: Any) -> Cell:
        """Return a variant with other fields. Raises InputError for a field that does not exist."""
        if unknown := [name for name in changes if name not in self.__dataclass_fields__]:
            raise InputError(f"cell {self.name} has no field {unknown[0]}; choose from {', '.join(self.__dataclass_fields__)}")
        return replace(self, **changes)

    def write(self, target_s: Tensor, generator: torch.Generator) -> Written:
        """Return cells written to target conductances (S, float64). Raises InputError for targets outside the range.

        The draws do not depend on which effects are enabled, so variants of a cell can be compared seed by seed.
        """
        target = target_s.to(torch.float64)
        slack = 1e-9 * self.high_s
        if bool(((target < self.low_s - slack) | (target > self.high_s + slack) | ~torch.isfinite(target)).any()):
            raise InputError(
                f"cell {self.name}: targets range from {float(target.min()):g} to {float(target.max()):g} S, but the cell holds {self.low_s:g} to {self.high_s:g} S"
            )
        normal = torch.randn(2, *target.shape, dtype=torch.float64, generator=generator)
        uniform = torch.rand(target.shape, dtype=torch.float64, generator=generator)
        return Written(self, target, normal[0], normal[1], self.faults.stuck(uniform))


@dataclass(frozen=True)
class Written:
    """Programmed cells: their targets and the random numbers drawn at programming.

    Attributes:
        cell: the cell model.
        target_s: target conductances (S).
        error, pace: standard normal numbers, one per cell, for its programming error and its rate of drift.
        stuck: −1 for a cell stuck at its lowest conductance, 1 at its highest, 0 for a working cell.
    """

    cell: Cell
    target_s: Tensor
    error: Tensor
    pace: Tensor
    stuck: Tensor

    @property
    def written_s(self) -> Tensor:
        """Conductances (S) right after writing, without faults."""
        return self.cell.programming.written(self.target_s, self.error, self.cell.high_s).clamp(min=0.0)

    def conductance_s(self, time_s: float = 0.0) -> Tensor:
        """Return the conductances (S) `time_s` after writing, without read noise. Raises InputError for a negative time."""
        if not 0 <= time_s < math.inf:
            raise InputError(f"cell {self.cell.name}: the time after writing must be at least 0 s, got {time_s:g}")
        g = self.cell.drift.after(CellState(self.target_s, self.written_s, self.error, self.pace), time_s, self.cell.high_s).clamp(min=0.0)
        g = torch.where(self.stuck < 0, self.cell.low_s, g)
        return torch.where(self.stuck > 0, self.cell.high_s, g)

    def reading_sigma_s(self, time_s: float = 0.0) -> Tensor:
        """Return the read-to-read standard deviation (S) of the conductances, `time_s` after writing."""
        return self.cell.reading.sigma(self.conductance_s(time_s), self.written_s, time_s, self.cell.high_s)
