"""STAR's softmax engine: a maximum, a difference and an exponential in resistive arrays that are searched, and one divider.

Zhai, Li, Yan, Wang, DATE 2023, arXiv 2401.17582. For scores of b bits, F of them after the point (6.3, 6.2 and 5.2 in the paper):

- CAM/SUB array, 2^b rows of 2b cells. Row r stores the r-th largest code, each bit in two cells, itself and its complement. To search
  for a score, all rows are compared at once; the one that matches is marked. The marks of all scores of a row of the score matrix are
  OR-ed, and since the codes descend, the first 1 is the row of the maximum.
- The same array subtracts: the row of x_max is driven with +V and that of x_i with -V, so that the line of bit j carries the difference
  t_j of the two bits, -1, 0 or 1, and x_max - x_i = Σ_j t_j 2^j, where the sign bit weighs -2^(b-1).
- Exponential: a second array of 2^(b-1) rows is searched for the difference; its rows have 2b cells as well (b pairs, of which that of
  the highest bit holds 0), so that a difference of 2^(b-1) or more matches none: nothing is read then, nothing counted, the result is 0.
  The row that matches is read in a look-up array: E_k = round((2^w - 1) · exp(-k · 2^-F)) in w cells of one bit. A counter for each row
  counts how often its difference occurred; it stops at its highest number.
- Denominator: the counters drive the rows of the table, digit by digit, for one vector-matrix product: D = Σ_k count_k · E_k, exactly.
- Divider: y_i = min(2^m - 1, floor((2 · E_i · 2^m + D) / (2 · D))), the quotient rounded half up.

Chosen by us, since two pages do not say: w = 2b, as many bit lines as the CAM has (which agrees with the sizes that are in circulation for
nine bits: 512 x 18, 256 x 18, 256 x 18); counters of 10 bits, enough for the 512 scores of the paper's workload; a quotient of 8 bits;
rounding half up; that the numerators E_i wait in a buffer while the denominator is made. The converters are ideal.

Steps, one per cycle, for n scores in a row: the CAM/SUB array is searched n times, the maximum is encoded in one cycle, and the array, which
does one thing at a time, subtracts n times. Each difference is searched in the next cycle, read and counted in the one after. The counters'
digits take `counter_bits` cycles, the n divisions one cycle each, and the last quotient one to be written:

    latency  = n + 1 + n + 2 + counter_bits + n + 1

The next row starts when the CAM/SUB array is free, after 2n + 1 cycles, if its counts do not meet the last row's in the counters, which are
busy for n + counter_bits cycles:

    interval = max(2n + 1, n + counter_bits)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from crossloom.engine.softmax.arithmetic import distances, exponentials, in_blocks, look_up, quotients, weights_of, within
from crossloom.engine.softmax.formats import Fixed
from crossloom.network.quantization import Quantization


@dataclass(frozen=True, slots=True)
class Star:
    """STAR's softmax engine. `exp_bits` is w, the bits of an entry of the table; 0 stands for two for each bit of the format."""

    name: ClassVar[str] = "star"

    format: Fixed
    exp_bits: int = 0
    counter_bits: int = 10
    quotient_bits: int = 8

    def __post_init__(self) -> None:
        within("exp_bits", self.exp_bits, 0, 24)
        within("counter_bits", self.counter_bits, 1, 24)
        within("quotient_bits", self.quotient_bits, 1, 16)

    @property
    def entry_bits(self) -> int:
        """Bits of an entry of the table, w."""
        return self.exp_bits or 2 * self.format.bits

    @property
    def entries(self) -> int:
        """Rows of the exponential's arrays."""
        return self.format.codes // 2

    @property
    def table(self) -> Tensor:
        """E_k for every distance in float64: 0 for those that match no row and for what is not seen."""
        return exponentials(self.format, (1 << self.entry_bits) - 1, self.entries)

    @property
    def input(self) -> Quantization:
        """Scores in units of 2^-F."""
        return self.format.quantization()

    @property
    def output(self) -> Quantization:
        """Weights in units of 2^-m."""
        return weights_of(self.quotient_bits)

    def __call__(self, codes: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return weights (..., n) for scores (..., n)."""
        return in_blocks(codes, seen, self.format, self.output, self._rows)

    def _rows(self, codes: Tensor) -> Tensor:
        distance = distances(codes, self.format)
        powers = look_up(self.table, distance)
        length = codes.shape[1]
        total = powers.sum(1, keepdim=True) if length < 1 << self.counter_bits else self._counted(distance)
        return quotients(powers, total, self.quotient_bits, length << self.entry_bits)

    def _counted(self, distance: Tensor) -> Tensor:
        """Return the denominators (rows, 1) of counters that may be full: a count for each row of the table, and one product with it."""
        table = self.table.to(distance.device)
        counts = torch.zeros(len(distance), len(table), dtype=torch.float64, device=distance.device)
        counts.scatter_add_(1, distance, counts.new_ones(()).expand(distance.shape))
        return (counts.clamp_(max=(1 << self.counter_bits) - 1) @ table)[:, None]

    def actions(self, elements: int, rows: int, length: int) -> Counter[str]:
        """Return what the arrays do. A search that finds no match is followed by a read and a count all the same: they are attempted."""
        per_element = ("cam.search", "cam.subtract", "exp_cam.search", "lut.read", "counter.count", "divider.divide")
        digits = self.counter_bits * rows
        shared = {"cam.encode": rows, "denominator.read": digits, "denominator.convert": self.entry_bits * digits}
        return Counter(dict.fromkeys(per_element, elements) | shared)

    def cycles(self, length: int) -> tuple[int, int]:
        """Return interval and latency as derived above."""
        return max(2 * length + 1, length + self.counter_bits), 3 * length + self.counter_bits + 4
