"""Representation of a real-valued tensor in integers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale · (integer − zero), integers of `bits` bits.

    `scale` has one entry, or one for each index along `axis` (weights per output channel; `zero` is then 0).
    A `narrow` range excludes the most negative integer and is therefore symmetric; it is used for weights. `bits` is 1 to 16,
    or 17 for a 16-bit constant whose zero point was removed.
    """

    scale: tuple[float, ...]
    zero: int = 0
    bits: int = 8
    signed: bool = True
    axis: int | None = None
    narrow: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 17:
            raise ValueError(f"Quantization.bits must be 1..17, got {self.bits}")
        if not self.scale or not all(0 < s < float("inf") for s in self.scale):
            raise ValueError("Quantization.scale must be positive and finite")
        if self.axis is None and len(self.scale) != 1:
            raise ValueError(f"Quantization.scale has {len(self.scale)} entries and no axis")

    @property
    def low(self) -> int:
        """Smallest integer."""
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def high(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def scale_of(self, dims: int) -> Tensor:
        """Return the scale as float32, shaped to broadcast against a tensor of `dims` dimensions."""
        scale = torch.tensor(self.scale, dtype=torch.float32)
        if self.axis is None:
            return scale.reshape(())
        return scale.reshape([-1 if i == self.axis % dims else 1 for i in range(dims)])

    def quantize(self, real: Tensor) -> Tensor:
        """Return the integers (in float32) nearest to `real`: float32 division, rounding half to even, saturation."""
        steps = torch.round(real.to(torch.float32) / self.scale_of(real.dim()).to(real.device))
        return torch.clamp(steps + self.zero, self.low, self.high)

    def dequantize(self, integers: Tensor) -> Tensor:
        """Return the real numbers (float32) that the integers represent."""
        return (integers.to(torch.float32) - self.zero) * self.scale_of(integers.dim()).to(integers.device)

    def __str__(self) -> str:
        kind = f"{'s' if self.signed else 'u'}{self.bits}{'n' if self.narrow else ''}"
        scale = f"{self.scale[0]!r}" if self.axis is None else f"{len(self.scale)} scales along {self.axis}"
        return f"{kind}({scale}{f', zero={self.zero}' if self.zero else ''})"


def carrier(q: Quantization) -> torch.dtype:
    """Return a torch integer type that holds the integers and the usual arithmetic of one step on them."""
    if q.bits <= 8:
        return torch.int8 if q.signed else torch.uint8
    return torch.int16 if q.signed and q.bits <= 16 else torch.int32
