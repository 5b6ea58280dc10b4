"""The analog-to-digital converter at the foot of a bit line, as arithmetic on sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Converter:
    """Returns multiples of 2^shift: rounds to the nearest (ties up) and saturates at its lowest and highest code.

    With shift 0 a sum within its reach comes out as it went in. A `signed` one has half of its codes below zero: it is at the end of a
    differential pair.
    """

    bits: int
    shift: int
    signed: bool = False

    @classmethod
    def covering(cls, bits: int, high: int, low: int = 0) -> Converter:
        """Return the converter with the smallest step, a power of two, whose codes reach from `low` (0 or less) to `high`."""
        signed = low < 0
        codes = 1 << (bits - signed)
        need = max(high + 1, -low)
        return cls(bits, max(0, math.ceil(math.log2(need / codes))) if need > codes else 0, signed)

    @property
    def codes(self) -> tuple[int, int]:
        """The lowest and the highest code."""
        return (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if self.signed else (0, (1 << self.bits) - 1)

    @property
    def limit(self) -> int:
        """The largest value that comes out."""
        return self.codes[1] << self.shift

    def lossless(self, largest: Tensor) -> Tensor:
        """Return for each column whether sums from 0 to `largest` come out unchanged."""
        return (largest <= self.limit) if self.shift == 0 else (largest <= 0)

    def holds(self, low: int, high: int) -> bool:
        """Return whether all whole sums from `low` to `high` come out unchanged."""
        lowest, highest = self.codes
        return self.shift == 0 and lowest <= low and high <= highest

    def __call__(self, sums: Tensor) -> Tensor:
        """Return what the converter gives for whole sums; overwrites its argument."""
        if self.shift:
            sums.add_(1 << (self.shift - 1)).bitwise_right_shift_(self.shift).bitwise_left_shift_(self.shift)
        lowest, highest = self.codes
        return torch.clamp_(sums, lowest << self.shift, highest << self.shift)
