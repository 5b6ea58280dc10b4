"""Where the partial sums of a dot product meet, and when they are converted: three dataflows as one idea.

The partial sum of digit b and slice k is p_bk = Σ_i d_ib · M_ik, and the dot product Σ_b Σ_k α_b β_k p_bk. What is converted at once is a
*line*: a weighted sum of some of the partial sums, formed in analog,

    line = Σ_(b,k) f_bk · p_bk,        dot product = Σ_lines weight · A(line),        f_bk · weight = α_b β_k.

* **digital** (strategy A of cao2022; ISAAC): every partial sum is a line of its own: C · K conversions for C digits and K slices.
* **buffered** (strategy B; CASCADE): a buffer of cells keeps all partial sums. Those of digit b are written into its row b, b columns further on,
  so that a column holds what has the same place value, and is read as one sum: C + K − 1 conversions. With digits and slices of v and w bits
  the places within a column differ by 2^((v−w)·b) from row to row, which the row's drive has to make up for: no difference where v = w, as in
  CASCADE. Of the columns of high places some are converted each by itself; the others can be summed by scaled amplifiers into one carry.
* **analog** (strategy C; Neural-PIM): a cyclic shift-and-add accumulates everything, and the dot product is converted once. What counts
  negative is subtracted in a differential pair, so that the converter is a signed one.

Partial sums that count positive and negative share no line of a buffer. A line's converter needs codes for everything from its lowest to its
highest value, `Line.span`; cao2022 gives the same in its Equations 2 to 4 (docs/accumulation.md compares them).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from crossloom.engine.crossbar.mapping.encode import Digits, Slices
from crossloom.engine.crossbar.settings import Accumulates


@dataclass(frozen=True, slots=True)
class Line:
    """What is converted at once.

    Attributes:
        terms: digit, slice and factor of each partial sum that meets there.
        weight: with which the converted value counts.
        shift: binary places of the line below the unit of its converter.
        columns: columns of a buffer that it joins.
    """

    terms: tuple[tuple[int, int, int], ...]
    weight: int
    shift: int = 0
    columns: int = 1

    def span(self, rows: int, digits: Digits, slices: Slices) -> tuple[int, int]:
        """Return the lowest and the highest value that the line can have in arrays of some rows."""
        values = [factor * rows * ((1 << digits.cuts[b][1]) - 1) * ((1 << slices.widths[k]) - 1) for b, k, factor in self.terms]
        if digits.signs:
            return -sum(map(abs, values)), sum(map(abs, values))
        return sum(value for value in values if value < 0), sum(value for value in values if value > 0)


@cache
def lines(accumulate: Accumulates, digits: Digits, slices: Slices, separate: int = 0) -> tuple[Line, ...]:
    """Return what is converted at once for a dot product, of lines with the same sign the highest place last.

    Args:
        accumulate: the dataflow.
        digits, slices: how inputs and weights are cut.
        separate: columns of a buffer that are converted each by itself; 0 for all.
    """
    products = [(b, k, dw * sw) for b, dw in enumerate(digits.weights) for k, sw in enumerate(slices.weights)]
    if accumulate == "digital":
        return tuple(Line(((b, k, 1),), weight) for b, k, weight in products)
    if accumulate == "analog":
        return (Line(tuple(products), 1),)
    found: list[Line] = []
    for sign in (1, -1):
        columns: dict[int, list[tuple[int, int, int]]] = {}
        for b, k, weight in products:
            if weight * sign > 0:
                columns.setdefault(b + _place(k, slices), []).append((b, k, abs(weight)))
        found += _carried(sorted((_column(terms, sign) for terms in columns.values()), key=lambda line: abs(line.weight)), separate)
    return tuple(found)


def _place(k: int, slices: Slices) -> int:
    """Return how many columns to the left a slice lies; the two halves of a differential weight lie in buffers of their own."""
    return k % (len(slices) // 2) if slices.encoding == "differential" else k


def _column(terms: list[tuple[int, int, int]], sign: int) -> Line:
    least = min(weight for _, _, weight in terms)
    return Line(tuple((b, k, weight // least) for b, k, weight in terms), sign * least)


def _carried(columns: list[Line], separate: int) -> list[Line]:
    """Return the lines with all but the highest summed into one carry, whose unit is that of the lowest line that stays."""
    if not separate or len(columns) <= separate + 1:
        return columns
    low, high = columns[:-separate], columns[-separate:]
    unit = low[0].weight
    terms = tuple((b, k, factor * (line.weight // unit)) for line in low for b, k, factor in line.terms)
    return [Line(terms, unit, (high[0].weight // unit).bit_length() - 1, len(low)), *high]
