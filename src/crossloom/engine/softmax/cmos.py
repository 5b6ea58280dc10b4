"""The digital softmax unit that in-memory ones are compared with: comparator, subtractor, a table of exponentials, adder, divider.

For scores of b bits, F of them after the point, with d_i = x_max - x_i:

    E_k = round((2^w - 1) · exp(-k · 2^-F))  for every distance k < 2^b,    D = Σ_i E(d_i)
    y_i = min(2^m - 1, floor((2 · E(d_i) · 2^m + D) / (2 · D)))

This is what STAR computes (`star.py`) without its two shortcuts: no distance is too large for the table, no counter is ever full. It is not
a published design. Chosen by us: w = 16 and m = 8 bits, one lane.

A row of n scores passes three times, one score per cycle: for the maximum; through the table into the sum; through the divider. The three
passes work on three rows at once, so that a row may start every n cycles; each ends with one cycle in which its result is handed on, and a
row takes 3n + 3 cycles.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from crossloom.engine.softmax.arithmetic import distances, exponentials, in_blocks, look_up, quotients, weights_of, within
from crossloom.engine.softmax.formats import Fixed
from crossloom.network.quantization import Quantization


@dataclass(frozen=True, slots=True)
class Cmos:
    """A digital softmax unit of one lane."""

    name: ClassVar[str] = "cmos"

    format: Fixed
    exp_bits: int = 16
    quotient_bits: int = 8

    def __post_init__(self) -> None:
        within("exp_bits", self.exp_bits, 1, 24)
        within("quotient_bits", self.quotient_bits, 1, 16)

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
        table = exponentials(self.format, (1 << self.exp_bits) - 1, self.format.codes)
        powers = look_up(table, distances(codes, self.format))
        return quotients(powers, powers.sum(1, keepdim=True), self.quotient_bits, codes.shape[1] << self.exp_bits)

    def actions(self, elements: int, rows: int, length: int) -> Counter[str]:
        """Return what the parts do: each acts once for each score."""
        parts = ("comparator.compare", "subtractor.subtract", "exp_lut.read", "adder.add", "divider.divide")
        return Counter(dict.fromkeys(parts, elements))

    def cycles(self, length: int) -> tuple[int, int]:
        """Return interval and latency as derived above."""
        return length, 3 * length + 3
