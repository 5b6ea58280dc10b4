"""Softermax: base two, and a running maximum that is a whole number, so that a correction is a shift.

Stevens, Venkatesan, Dai, Khailany, Raghunathan, DAC 2021, arXiv 2103.09301. A row arrives in slices of as many scores as there are lanes.
Scores v are codes in units of 2^-F. For slice s and the scores i in it:

    m_s = max ceil(v_i · 2^-F)                          U_i = floor(2^15 · 2^(v_i · 2^-F - m_s) + 1/2)
    S_s = (Σ_i U_i) >> 9                                in units of 2^-6
    M'  = max(M, m_s)                                   P' = min(2^16 - 1, (P >> (M' - M)) + (S_s >> (M' - m_s)))

After the last slice, with P = 2^e · (1 + f):

    r   = floor(2^7 · 2^e / P + 1/2)                    y_i = min(255, floor((U_i >> (M - m_s)) · r / 2^(9+e) + 1/2))

y is in units of 2^-7: U / 2^15 · r / 2^7 · 2^-(e-6) · 2^7 = U · r / 2^(9+e).

From the paper, as far as we recall its table of formats and not read again: base two, the whole maximum, the slices; Q6.2 for scores, Q1.15
for U, Q10.6 for the sum, Q1.7 for the reciprocal and for the weights (unsigned, with one bit before the point). Chosen by us: U is rounded once
from the exact power of two where the paper interpolates linearly between a few points; sums and shifts cut off; the sum stops at its highest
number; weights are rounded half up once, after the shift; a sum of 0 counts as 1, which only happens where nothing is seen, since a maximum adds
more than 2^14 to the U of its slice. The factor log2(e) of a softmax to the base e is taken into the scale of the scores, ln 2 · 2^-F, so
that 2^(code · 2^-F) = e^x.

Two passes over the row, one slice per cycle, overlap with those of the rows before and after; two cycles to fill each:

    interval = ceil(n / lanes)            latency = 2 · ceil(n / lanes) + 4
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from crossloom.engine.softmax.arithmetic import in_blocks, look_up, max_distance, within
from crossloom.engine.softmax.formats import Fixed
from crossloom.network.quantization import Quantization

POWER, SUM, RECIPROCAL, WEIGHT = 15, 6, 7, 7
"""Bits after the point: Q1.15, Q10.6, Q1.7, Q1.7."""

SUM_HIGH, WEIGHT_HIGH = (1 << 16) - 1, (1 << 8) - 1
"""Largest sum and largest weight: 10 + 6 and 1 + 7 bits."""


@dataclass(frozen=True, slots=True)
class Softermax:
    """Softermax with `lanes` lanes."""

    name: ClassVar[str] = "softermax"

    format: Fixed = Fixed(6, 2)  # noqa: RUF009 - frozen
    lanes: int = 16

    def __post_init__(self) -> None:
        within("lanes", self.lanes, 1, 1024)

    @property
    def input(self) -> Quantization:
        """Scores in units of ln 2 · 2^-F."""
        return self.format.quantization(math.log(2))

    @property
    def output(self) -> Quantization:
        """Weights in units of 2^-7, up to nearly 2."""
        return Quantization((2.0**-WEIGHT,), bits=WEIGHT + 1, signed=False)

    def __call__(self, codes: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return weights (..., n) for scores (..., n)."""
        return in_blocks(codes, seen, self.format, self.output, self._rows)

    def _rows(self, codes: Tensor) -> Tensor:
        maxima, powers = self._unnormalised(codes)
        maximum, total = _running(maxima, powers.sum(2, dtype=torch.int32) >> (POWER - SUM))
        half, position = torch.frexp(total.clamp(min=1).to(torch.float64))  # total = 2^e · 2 · half, e = position - 1
        reciprocal = torch.floor((1 << RECIPROCAL) / (2 * half) + 0.5).to(torch.int32)[:, None, None]
        aligned = _shifted(powers, (maximum[:, None] - maxima)[:, :, None])
        shift = (POWER + RECIPROCAL - SUM - WEIGHT - 1 + position.to(torch.int32))[:, None, None]
        weights = aligned.mul_(reciprocal).add_(1 << (shift - 1)).bitwise_right_shift_(shift)
        return weights.clamp_(max=WEIGHT_HIGH).reshape(len(codes), -1)[:, : codes.shape[1]]

    def _unnormalised(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return m_s (rows, slices) and U (rows, slices, lanes), int32; U is 0 for what is not seen.

        A slice in which nothing is seen has the lowest maximum there is and no power: it changes neither M nor P.
        """
        slices = pad(codes, (0, -codes.shape[1] % self.lanes), value=self.format.low - max_distance(self.format)).reshape(len(codes), -1, self.lanes)
        maxima = -(-slices.amax(2).clamp_(min=self.format.low) >> self.format.fraction)
        distance = (maxima << self.format.fraction)[:, :, None] - slices
        powers = look_up(power_table(self.format), distance.to(torch.int64).reshape(len(codes), -1))
        return maxima.to(torch.int32), powers.reshape(distance.shape)

    def actions(self, elements: int, rows: int, length: int) -> Counter[str]:
        """Return what the parts do. A shift aligns the running sum or that of a slice; the shifts of weights are the multiplier's."""
        per_element = ("comparator.compare", "power.read", "adder.add", "multiplier.multiply")
        shifts = 2 * rows * self.slices(length)
        return Counter(dict.fromkeys(per_element, elements) | {"shifter.shift": shifts, "reciprocal.read": rows})

    def slices(self, length: int) -> int:
        """Return how many slices a row has."""
        return -(-length // self.lanes)

    def cycles(self, length: int) -> tuple[int, int]:
        """Return interval and latency as derived above."""
        return self.slices(length), 2 * self.slices(length) + 4


def _running(maxima: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Return M and P (rows,) after all slices, of maxima and sums (rows, slices)."""
    maximum, total = maxima[:, 0], sums[:, 0].clamp(max=SUM_HIGH)
    for own, part in zip(maxima.unbind(1)[1:], sums.unbind(1)[1:], strict=True):
        larger = torch.maximum(maximum, own)
        total = (_shifted(total, larger - maximum) + _shifted(part, larger - own)).clamp_(max=SUM_HIGH)
        maximum = larger
    return maximum, total


def _shifted(numbers: Tensor, places: Tensor) -> Tensor:
    """Return numbers without their lowest bits. torch leaves shifts by more than 31 places undefined; the result is 0 there."""
    return numbers >> places.clamp(max=30)


@lru_cache(maxsize=16)
def power_table(form: Fixed) -> Tensor:
    """Return floor(2^15 · 2^(-k · 2^-F) + 1/2) for distances k of codes from a whole maximum, and 0 for what is not seen, int32."""
    seen = form.codes + (1 << form.fraction)
    powers = [math.floor(math.ldexp(2.0 ** -(k / (1 << form.fraction)), POWER) + 0.5) for k in range(seen)]
    return torch.tensor(powers + [0] * max_distance(form), dtype=torch.int32)
