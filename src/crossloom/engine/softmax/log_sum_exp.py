"""ReTransformer's hybrid softmax: the maximum by logic in memory, the rest in log-sum-exp form, without a divider.

Yang, Yan, Li, Chen, ICCAD 2020, doi 10.1145/3400302.3415640, Section 4.3: softmax(x)_i = exp(x_i - x_max - ln Σ_j exp(x_j - x_max)), exp and
ln by look-up tables; a comparison takes 13 cycles of logic in the array, the selection of the larger number 8. The widths of the tables are
not given. Here, for scores of b bits, F of them after the point, with d_i = x_max - x_i:

    E_k = round(2^w · exp(-k · 2^-F)),  k < 2^b        S = Σ_i E(d_i) = 2^e · (1 + f)
    L   = round(2^G · (e - w) · ln 2) + round(2^G · ln(1 + j · 2^-a))      ≈ 2^G · ln(S / 2^w)
    t_i = d_i · 2^(G-F) + L                                                  in units of 2^-G
    y_i = min(2^m - 1, floor(2^m · exp(-t_i · 2^-G) + 1/2))

e is the position of S's leading one, and j the a bits after it; the rest is cut off. The term of e comes from a table, as does that of j, and
as do both exponentials; beyond the last entry that is not 0, y is 0. No t is negative: the maximum itself adds 2^w to S, so that e >= w.

Chosen by us: w = 16, a = 8, G = 6, m = 8, rounding to the nearest in the tables and cutting off before them, as hardware would; an adder of
the sum; a second subtraction for t; and the timing. The maximum is found level by level in a tree, with as many compare units as a level
needs: ceil(log2 n) levels of 13 + 8 cycles, in which the array is busy. Then the scores pass twice, one per cycle, for the sum and for the
weights, each pass with its table, and three cycles hand on the sum, its logarithm and the last weight:

    interval = max(21 · levels, n)        latency = 21 · levels + 2n + 3
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from crossloom.engine.softmax.arithmetic import distances, exponentials, in_blocks, look_up, weights_of, within
from crossloom.engine.softmax.formats import Fixed
from crossloom.network.quantization import Quantization

COMPARE, SELECT = 13, 8
"""Cycles of logic in memory; ReTransformer, Section 4.3."""

OCTAVES = 40
"""Entries of the table over e - w: rows of up to 2^39 scores."""


@dataclass(frozen=True, slots=True)
class LogSumExp:
    """ReTransformer's softmax: w is `exp_bits`, a `log_address`, G `log_fraction` and m `quotient_bits`."""

    name: ClassVar[str] = "log-sum-exp"

    format: Fixed
    exp_bits: int = 16
    log_address: int = 8
    log_fraction: int = 6
    quotient_bits: int = 8

    def __post_init__(self) -> None:
        within("exp_bits", self.exp_bits, 1, 24)
        within("log_address", self.log_address, 1, 16)
        within("quotient_bits", self.quotient_bits, 1, 16)
        if not self.format.fraction <= self.log_fraction <= 16:
            raise ValueError(
                f"log_fraction is {self.log_fraction} and format {self.format} has {self.format.fraction} bits after the point: "
                f"give {self.format.fraction} to 16, so that a logarithm is at least as fine as a score"
            )

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
        total = look_up(exponentials(self.format, 1 << self.exp_bits, self.format.codes), distance).sum(1, keepdim=True)
        table = weight_table(self.log_fraction, self.quotient_bits)
        exponents = torch.add(self._logarithm(total), distance, alpha=1 << (self.log_fraction - self.format.fraction))
        return look_up(table, exponents.clamp_(max=len(table) - 1))

    def _logarithm(self, total: Tensor) -> Tensor:
        """Return L (rows, 1), int64, for sums (rows, 1), whole in float64; a sum of nothing counts as 2^w."""
        half, position = torch.frexp(total.clamp(min=1 << self.exp_bits))  # `half` is (1 + f) / 2
        after = ((2 * half - 1) * (1 << self.log_address)).to(torch.int64)
        octaves, logarithms = log_tables(self.log_address, self.log_fraction)
        return look_up(octaves, position.to(torch.int64) - 1 - self.exp_bits) + look_up(logarithms, after)

    def actions(self, elements: int, rows: int, length: int) -> Counter[str]:
        """Return what the parts do: a tournament of n scores has n - 1 matches."""
        matches, twice = elements - rows, 2 * elements
        logic = {"logic.compare": matches, "logic.select": matches}
        return Counter(logic | {"subtractor.subtract": twice, "exp_lut.read": twice, "adder.add": elements, "log_lut.read": rows})

    def cycles(self, length: int) -> tuple[int, int]:
        """Return interval and latency as derived above."""
        maximum = (length - 1).bit_length() * (COMPARE + SELECT)
        return max(maximum, length), maximum + 2 * length + 3


@lru_cache(maxsize=16)
def log_tables(address: int, fraction: int) -> tuple[Tensor, Tensor]:
    """Return round(2^G · k · ln 2), (40,), and round(2^G · ln(1 + j / 2^a)), (2^a,), int64."""
    octaves = torch.arange(OCTAVES, dtype=torch.float64) * math.log(2)
    logarithms = torch.log1p(torch.arange(1 << address, dtype=torch.float64) / (1 << address))
    return tuple(torch.round(t * (1 << fraction)).to(torch.int64) for t in (octaves, logarithms))  # type: ignore[return-value]


@lru_cache(maxsize=16)
def weight_table(fraction: int, bits: int) -> Tensor:
    """Return min(2^m - 1, floor(2^m · exp(-t / 2^G) + 1/2)) for t from 0 to the first that gives 0, int32."""
    last = math.ceil((bits + 1) * math.log(2) * (1 << fraction))
    exponents = torch.arange(last + 1, dtype=torch.float64) / (1 << fraction)
    return torch.floor(torch.exp(-exponents) * (1 << bits) + 0.5).clamp(max=(1 << bits) - 1).to(torch.int32)
