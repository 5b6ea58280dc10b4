"""Bit widths of values: exact ranges, and the two's complement formats that hold them.

A sum of inputs with coefficients w lies between Σ min(w·low, w·high) and Σ max(w·low, w·high), and reaches both bounds. Widths follow from these
ranges, so temporaries of a few inputs are narrow, and a sum over channels widens channel by channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossloom.kernels.jit import compiled

Integers = NDArray[np.int64]


@compiled
def width(low: int, high: int) -> tuple[int, bool]:
    """Return the bits of the narrowest integer that holds a range (at least one), and whether it is signed (only if `low` is negative)."""
    bits = 1
    if low >= 0:
        while (1 << bits) <= high:
            bits += 1
        return bits, False
    while (1 << (bits - 1)) <= high or -(1 << (bits - 1)) > low:
        bits += 1
    return bits, True
