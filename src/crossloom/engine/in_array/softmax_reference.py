"""Cell-by-cell reference of softmax in blocks of cells, defining the results of `softmax.py` and the activity of its arrays.

Rows of scores run in parallel, each in its own blocks. Exponentials and logarithms come only from the contents of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.in_array.cells import Controller, Gate, LookUpTable, Plane, digits_of, number_of
from crossloom.engine.in_array.maximum import play
from crossloom.engine.in_array.softmax import InMemorySoftmax, SoftmaxLayout


@dataclass(frozen=True, slots=True)
class SoftmaxBlocks:
    """Blocks that compute rows of n scores in parallel."""

    unit: InMemorySoftmax
    plan: SoftmaxLayout
    controller: Controller
    maximum: Plane
    scores: Plane
    sums: Plane
    powers: LookUpTable
    octaves: LookUpTable
    logarithms: LookUpTable
    weights: LookUpTable

    @classmethod
    def of(cls, unit: InMemorySoftmax, count: int, length: int, device: torch.device) -> SoftmaxBlocks:
        """Return the blocks for `count` rows, with tables written and everything else erased."""
        plan, control = unit.layout(length), Controller()
        maximum, scores, sums = (Plane(control, area.rows, area.columns, (count,), device) for area in unit.blocks(length)[:3])
        kept = (unit.powers, *unit.logarithms(length), unit.weights)
        powers, octaves, logarithms, weights = (LookUpTable(control, table.entries.to(device), table.width, table.most) for table in kept)
        return cls(unit, plan, control, maximum, scores, sums, powers, octaves, logarithms, weights)

    def compute(self, codes: Tensor, seen: Tensor) -> Tensor:
        """Return the weights (N, n), int64, of scores (N, n), masked by `seen` (N, n) with at least one seen score per row."""
        form, fraction = self.unit.arithmetic.format, self.unit.arithmetic.log_fraction
        top = play(self.maximum, codes[..., None], self.plan.matches, seen[..., None])[:, 0]
        self._keep(codes, seen)
        total = self._total(top, seen)
        finer = fraction - form.fraction
        exponent = self._logarithm(total, codes.shape[1]) + (top << finer)
        return self._weights(exponent, finer, seen)

    def _keep(self, codes: Tensor, seen: Tensor) -> None:
        """Write the scores along rows."""
        count, length = codes.shape
        missing = self.plan.score_rows * self.plan.abreast - length
        bits = self.unit.arithmetic.format.bits
        words = digits_of(torch.nn.functional.pad(codes, (0, missing)), bits).reshape(count, self.plan.score_rows, -1)
        there = torch.nn.functional.pad(seen, (0, missing)).repeat_interleave(bits, 1).reshape(words.shape)
        with self.controller.cycle():
            self.scores.erase()
        for row in range(self.plan.score_rows):
            with self.controller.cycle():
                self.scores.load(row, words[:, row], there[:, row])

    def _subtract(self, start: Tensor, index: int, places: int, active: Tensor) -> Tensor:
        """Return start - x · 2^places (N,) for a score's bits x, subtracted one by one as they are sensed."""
        bits = self.unit.arithmetic.format.bits
        row, group = divmod(index, self.plan.abreast)
        sensed = self.scores.sense(Gate.OR, (row,), slice(group * bits, (group + 1) * bits), active)
        self.controller.count(int(active.sum()), shift_add__add=bits)
        sign = sensed[:, 0].to(torch.int64) << bits
        return start - ((number_of(sensed) - sign) << places)

    def _total(self, top: Tensor, seen: Tensor) -> Tensor:
        """Return S (N,)."""
        total, distance = torch.zeros_like(top), torch.zeros_like(top)
        length = seen.shape[1]
        for i in range(length + 1):
            with self.controller.cycle():
                following = self._subtract(top, i, 0, seen[:, i]) if i < length else distance
                if i:
                    self._set_power((i - 1) % self.plan.sum_rows, distance, seen[:, i - 1])
            distance = following
            if i and (i % self.plan.sum_rows == 0 or i == length):
                total += self._sum((i - 1) % self.plan.sum_rows + 1)
        return total

    def _set_power(self, row: int, distance: Tensor, active: Tensor) -> None:
        """Look up a distance, and set the latched bits in a row below that part of the table, on the same bit lines."""
        power = self.powers.read(distance, active)
        part = (distance // self.powers.rows).clamp(max=self.powers.parts - 1)
        below = torch.zeros_like(self.sums.bits[:, 0]).reshape(len(power), self.powers.parts, -1)
        below[torch.arange(len(power), device=power.device), part] = power
        self.sums.set(row, below.flatten(1), active, power.shape[1])

    def _sum(self, rows: int) -> Tensor:
        """Return the sum (N,) of the first rows of all parts, and erase them."""
        with self.controller.cycle():
            codes = self.sums.convert(range(rows))
            self.sums.erase()
        self.controller.count(codes.numel(), shift_add__add=1, output_register__access=1)
        parts = codes.reshape(len(codes), self.powers.parts, -1)
        return (parts << torch.arange(parts.shape[2] - 1, -1, -1, device=parts.device)).sum((1, 2))

    def _logarithm(self, total: Tensor, length: int) -> Tensor:
        """Return L (N,). The leading one is found by shifting; the bits after it and the number of shifts are the addresses."""
        arithmetic = self.unit.arithmetic
        most = length.bit_length() - 1
        one = arithmetic.exp_bits + most
        octave = torch.full_like(total, most)
        with self.controller.cycle():
            for _ in range(most):
                small = (total >> one) == 0
                total, octave = total << small.to(torch.int64), octave - small.to(torch.int64)
                self.controller.count(total.numel(), shift_add__add=1)
        after = (total << arithmetic.log_address >> one) & ((1 << arithmetic.log_address) - 1)
        with self.controller.cycle():
            found = [self.octaves.read(octave), self.logarithms.read(after)]
        self.controller.count(total.numel(), shift_add__add=sum(bits.shape[1] for bits in found))
        return number_of(found[0]) + number_of(found[1])

    def _weights(self, start: Tensor, places: int, seen: Tensor) -> Tensor:
        """Return y (N, n), where t is `start` minus a score's bits at their places."""
        length = seen.shape[1]
        weights = torch.zeros(seen.shape, dtype=torch.int64, device=seen.device)
        exponent = start
        for i in range(length + 1):
            with self.controller.cycle():
                following = self._subtract(start, i, places, seen[:, i]) if i < length else exponent
                if i:
                    bits = self.weights.read(exponent, seen[:, i - 1])
                    self.controller.count(int(seen[:, i - 1].sum()), output_register__access=bits.shape[1])
                    weights[:, i - 1] = number_of(bits)
            exponent = following
        return weights


def softmax_in_cells(unit: InMemorySoftmax, codes: Tensor, seen: Tensor) -> tuple[Tensor, SoftmaxBlocks]:
    """Return the weights (rows, n), int64, of scores (rows, n) with a mask (rows, n), and the blocks, with counts and cycles in their controller.

    Rows without seen scores do nothing and give 0. All rows run in parallel, so the cycles are the latency of one row.
    """
    busy = seen.any(1)
    blocks = SoftmaxBlocks.of(unit, int(busy.sum()), codes.shape[1], codes.device)
    weights = torch.zeros(codes.shape, dtype=torch.int64, device=codes.device)
    if busy.any():
        weights[busy] = blocks.compute(codes[busy].to(torch.int64), seen[busy])
    return weights, blocks
