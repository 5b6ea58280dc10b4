"""A residual on the bit lines of a product: y_c = Σ_i w_ci x_i + K_c r_c, with r on word lines of its own whose cells hold K on a diagonal.

One weight reaches 2^(b−1) − 1, so that K takes m rows whose weights add up to it. Where that would be more rows than a machine allows, r is driven
k binary places higher than x, as r·2^k in digits of the same weights: the cells hold K / 2^k, and an operation takes up to k bits of input more.
Digits of r have the signs of those of x: r's integers are moved by a constant into the range of x's, and K times the constant is taken off
digitally, with what zero points give.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.network.quantization import Quantization


@dataclass(frozen=True, slots=True)
class Added:
    """How a residual is driven, and what its cells hold.

    Attributes:
        q: of the residual.
        gains: K (C,) int64, multiples of 2^places.
        rows: m, word lines for each of its elements.
        places: k, binary places by which its integers are driven higher than they are.
        moved: what is added to its integers before.
        bits: of what is driven, product's input and residual alike.
    """

    q: Quantization
    gains: Tensor
    rows: int
    places: int
    moved: int
    bits: int

    @classmethod
    def of(cls, q: Quantization, gains: Tensor, x: Quantization, weight: Quantization, most_rows: int) -> Added:
        """Return the fewest places, and with them the fewest rows, that hold the gains beside inputs and weights in these quantisations."""
        largest = int(gains.abs().max())
        places = places_of(largest, weight, most_rows)
        bits = max(x.bits, q.bits + places)
        low = -(1 << (bits - places - 1)) if x.signed else 0
        high = low + (1 << (bits - places)) - 1
        moved = 0 if low <= q.low and q.high <= high else low - q.low
        return cls(q, gains, max(1, -(-(largest >> places) // weight.high)), places, moved, bits)

    @property
    def whole(self) -> bool:
        """Whether cells can hold the gains exactly."""
        return not bool((self.gains % (1 << self.places)).any())

    @property
    def constant(self) -> Tensor:
        """What the arrays add to each result (C,) for a residual of zero, int64."""
        return self.gains * (self.q.zero + self.moved)

    def block(self, groups: int) -> Tensor:
        """Return the weights (G, m·C/G, C/G) int64 of the residual's word lines: m diagonals, one below the other, that add up to K / 2^k."""
        held = (self.gains >> self.places).reshape(groups, -1)
        size, sign = held.abs(), held.sign()
        parts = [sign * (size // self.rows + (row < size % self.rows)) for row in range(self.rows)]
        return torch.cat([torch.diag_embed(part) for part in parts], 1)

    def driven(self, residual: Tensor, groups: int) -> Tensor:
        """Return what the word lines get (M, G, m·C/G), int32, for a residual (M, C)."""
        return ((residual.to(torch.int32) + self.moved) << self.places).reshape(len(residual), groups, -1).repeat(1, 1, self.rows)


def places_of(largest: int, weight: Quantization, most_rows: int) -> int:
    """Return the fewest binary places by which a gain exceeds what `rows` rows of weights can represent."""
    most = most_rows * weight.high
    return max(0, (-(-largest // most) - 1).bit_length())


def column_groups(columns: int, fit: int) -> int:
    """Return into how many matrices the results of a product with a residual are cut, of which `fit` lie side by side in an array.

    A residual's word line serves one result. With as many matrices as there are column tiles no array has rows for results that lie elsewhere;
    where no divisor of the results nearly fills an array, all stay one matrix.
    """
    groups = next(groups for groups in range(1, columns + 1) if columns % groups == 0 and columns // groups <= fit)
    return groups if groups == 1 or 2 * (columns // groups) >= fit else 1
