"""What the units share: rows in blocks, distances from a row's maximum, tables, and a division that is exact.

Everything here works on integers that are exact in the type that carries them, on any device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from crossloom.engine.softmax.formats import Fixed
from crossloom.network.quantization import Quantization, carrier

BLOCK = 1 << 19
"""Scores that are computed at once on a CPU: large enough for two cores to share, small enough for their float64 copies to stay in cache.

Measured on two cores with 6144 rows of 512 scores: 2.3 ms; with blocks of 2^17, 2.8 ms; in one piece, 10 ms.
"""
BLOCK_ELSEWHERE = 1 << 24
"""The same on a device where the start of a kernel is what costs."""

BIAS = 2.0**-50
"""What a reciprocal is made larger by, relative; see `quotients`."""


def within(name: str, value: int, least: int, most: int) -> None:
    """Raise ValueError unless a field of a unit is in a range."""
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}: give {least} to {most}")


def weights_of(bits: int) -> Quantization:
    """Return unsigned integers in units of 2^-bits, so that all ones is just below 1."""
    return Quantization((2.0**-bits,), bits=bits, signed=False)


def max_distance(form: Fixed) -> int:
    """Return how far below the lowest code lies what is not seen: no table has an entry there, as e^-12 is nothing in 16 bits."""
    return max(2 * form.codes, 12 << form.fraction)


def in_blocks(codes: Tensor, seen: Tensor | None, form: Fixed, output: Quantization, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what `compute` makes of scores (..., n), given it as int16 (rows, n) a block of rows at a time.

    What is not seen lies far below the lowest code, so that it is never the maximum and every table gives 0 for it.
    """
    codes = codes.to(torch.int16)
    if seen is not None:
        limits = torch.where(seen, form.high, form.low - max_distance(form)).to(torch.int16)
        codes = torch.minimum(codes, limits)  # several times as fast as `where`, and the mask stays as small as it came
    rows = codes.reshape(-1, codes.shape[-1])
    result = torch.empty(rows.shape, dtype=carrier(output), device=codes.device)
    block = max(1, (BLOCK if codes.device.type == "cpu" else BLOCK_ELSEWHERE) // rows.shape[1])
    for first in range(0, len(rows), block):
        part = slice(first, first + block)
        result[part] = compute(rows[part])
    return result.reshape(codes.shape)


def distances(codes: Tensor, form: Fixed) -> Tensor:
    """Return x_max - x_i (rows, n), int64, of scores (rows, n), int16: at least `reach` for what is not seen, below 2^b for the others."""
    return (codes.amax(1, keepdim=True).clamp_(min=form.low) - codes).to(torch.int64)


@lru_cache(maxsize=64)
def exponentials(form: Fixed, factor: int, entries: int) -> Tensor:
    """Return round(factor · exp(-k · 2^-F)) for distances k < entries, and 0 above for all that occur, in float64."""
    distance = torch.arange(max_distance(form) + form.codes, dtype=torch.float64)
    powers = torch.round(torch.exp(-distance * 2.0**-form.fraction) * factor)
    return torch.where(distance < entries, powers, 0.0)


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return a table's entries (rows, n) for indices (rows, n), int64. (Of torch's ways to say this, `gather` is the one in parallel.)"""
    return table.to(index.device).expand(len(index), -1).gather(1, index)


def quotients(powers: Tensor, total: Tensor, bits: int, largest: int) -> Tensor:
    """Return min(2^m - 1, floor((2 · E · 2^m + D) / (2 · D))), the rounded E / D in m bits, for E (rows, n) and D (rows, 1), whole in float64.

    No D is larger than `largest`. The result is in float64 and may have a fraction, to be cut off; `powers` is overwritten.

    Why this is exact: E · 2^m / D is either a tie k + 1/2 or at least 1 / (2D) away from one. The product with the reciprocal, which is made
    larger by the relative 2^-50 and rounded twice by 2^-53 at most, lies above the true value by a part between 2^-51 and 2^-49. So a tie
    is never missed, and nothing below a tie reaches it while 2^m · 2^-49, and the rounding of the sum, 2^m · 2^-53, stay below 1 / (2D):
    while D <= 2^(47-m). Beyond that whole numbers of 64 bits are divided, which is an order of magnitude slower.
    """
    total, high = total.clamp(min=1), (1 << bits) - 1
    if largest > 1 << (47 - bits):
        denominator = 2 * total.to(torch.int64)
        numerator = powers.to(torch.int64) * (2 << bits) + denominator // 2
        return torch.div(numerator, denominator, rounding_mode="floor").clamp_(max=high)
    return powers.mul_((1 << bits) * (1 + BIAS) / total).add_(0.5).clamp_(max=high)
