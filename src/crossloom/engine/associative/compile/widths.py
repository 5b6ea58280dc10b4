"""How many bits values take: exact ranges, and the two's complement that holds them.

A sum of inputs with coefficients w lies between Σ min(w·low, w·high) and Σ max(w·low, w·high), and reaches both. Widths are those of these ranges, so that
temporaries of a few inputs are narrow, and a sum over channels grows channel by channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossloom.kernels.jit import compiled

Integers = NDArray[np.int64]


@compiled
def width(low: int, high: int) -> tuple[int, bool]:
    """Return the bits of the shortest integer that holds a range, and whether it is signed: only if something is negative. At least one bit."""
    bits = 1
    if low >= 0:
        while (1 << bits) <= high:
            bits += 1
        return bits, False
    while (1 << (bits - 1)) <= high or -(1 << (bits - 1)) > low:
        bits += 1
    return bits, True
