"""The analog-to-digital converter at the foot of a bit line, as arithmetic on partial sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Converter:
    """Returns multiples of 2^shift: rounds to the nearest (ties up) and saturates at the largest code.

    With shift 0 a partial sum below 2^bits comes out as it went in.
    """

    bits: int
    shift: int

    @classmethod
    def covering(cls, bits: int, largest: int) -> Converter:
        """Return the converter with the smallest step, a power of two, whose codes reach `largest`."""
        return cls(bits, max(0, math.ceil(math.log2((largest + 1) / (1 << bits)))) if largest >= 1 << bits else 0)

    @property
    def limit(self) -> int:
        """The largest value that comes out."""
        return ((1 << self.bits) - 1) << self.shift

    def lossless(self, largest: Tensor) -> Tensor:
        """Return for each column whether sums up to `largest` come out unchanged."""
        return (largest <= self.limit) if self.shift == 0 else (largest <= 0)

    def __call__(self, sums: Tensor) -> Tensor:
        """Return what the converter gives for non-negative partial sums; overwrites its argument."""
        if self.shift:
            sums.add_(1 << (self.shift - 1)).bitwise_right_shift_(self.shift).bitwise_left_shift_(self.shift)
        return torch.clamp_(sums, max=self.limit)
