"""Stuck cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.errors import InputError


@dataclass(frozen=True, slots=True)
class Faults:
    """Fractions of cells stuck at their highest conductance (low resistance) and at their lowest (high resistance).

    The states are named after the conductance because "stuck at 0" means either of them, depending on the paper or tool.
    """

    stuck_high: float = 0.0
    stuck_low: float = 0.0

    def __post_init__(self) -> None:
        if self.stuck_high < 0 or self.stuck_low < 0 or self.stuck_high + self.stuck_low > 1:
            raise InputError(
                f"faults: fractions must not be negative, and their sum must not exceed 1, got {self.stuck_high:g} high and {self.stuck_low:g} low"
            )

    def stuck(self, uniform: Tensor) -> Tensor:
        """Return 1 (highest conductance), −1 (lowest) or 0 for uniform numbers in [0, 1); a higher fraction keeps the faults of a lower one."""
        high, low = uniform < self.stuck_high, uniform > 1 - self.stuck_low
        return high.to(torch.int8) - low.to(torch.int8)


CHEN_2015 = Faults(stuck_high=0.0175, stuck_low=0.0904)
"""A 4-Mb HfO2 test chip: Chen et al., IEEE Trans. Computers 64(1), 2015, as quoted by He et al. (DAC 2019)."""
