"""STAR's arrays cell by cell, plain and slow: the definition of what `star.py` computes, and of what it does to compute it.

Every array is a matrix of cells that hold 0 or 1; what leaves it is the sum of what its driven cells let through. One row of scores is
computed at a time, and actions are counted where they happen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.softmax.star import Star


def bits_of(numbers: Tensor, width: int) -> Tensor:
    """Return the lowest bits (..., width) of whole numbers (...), in two's complement, lowest first."""
    return (numbers[..., None].to(torch.int64) >> torch.arange(width)) & 1


def currents(drive: Tensor, cells: Tensor) -> Tensor:
    """Return the sums (k, columns) at the feet of the columns of cells (rows, columns) for drives (k, rows), in units of one cell."""
    return (drive.to(torch.float64) @ cells.to(torch.float64)).to(torch.int64)  # small whole numbers, exact


@dataclass(frozen=True)
class Cam:
    """An array that is searched: `words` (rows, b), each bit in two neighbouring cells, itself and its complement."""

    words: Tensor

    @property
    def cells(self) -> Tensor:
        """The cells (rows, 2b)."""
        return torch.stack((self.words, 1 - self.words), 2).flatten(1)

    def search(self, words: Tensor) -> Tensor:
        """Return the match lines (k, rows), 0 or 1, for words (k, b).

        For a 1 the complement's line is driven, for a 0 that of the bit itself: a cell conducts, and discharges its row, where bits differ.
        """
        lines = torch.stack((1 - words, words), 2).flatten(1)
        return (currents(lines, self.cells.T) == 0).to(torch.int64)


@dataclass(frozen=True)
class Arrays:
    """The arrays of one engine: scores in descending order, distances in ascending order, and the entries of the table."""

    unit: Star
    scores: Cam
    distances: Cam
    table: Tensor

    @classmethod
    def of(cls, unit: Star) -> Arrays:
        """Return the arrays as they are programmed."""
        form = unit.format
        scores = Cam(bits_of(torch.arange(form.high, form.low - 1, -1), form.bits))
        distances = Cam(bits_of(torch.arange(unit.entries), form.bits))
        highest = (1 << unit.entry_bits) - 1
        entries = [math.floor(highest * math.exp(-k / (1 << form.fraction)) + 0.5) for k in range(unit.entries)]
        return cls(unit, scores, distances, bits_of(torch.tensor(entries), unit.entry_bits))

    def subtract(self, top: Tensor, row: Tensor) -> Tensor:
        """Return what match lines (k, rows) of a maximum and of scores differ by (k,): the first driven with +V, the second with -V."""
        bits = self.unit.format.bits
        differences = currents(top - row, self.scores.cells[:, ::2])
        return differences @ torch.tensor([1 << j for j in range(bits - 1)] + [-(1 << (bits - 1))])

    def row(self, codes: Tensor, counts: Counts) -> list[int]:
        """Return the weights of scores (n,), all of which are seen; n >= 1."""
        marks = self.scores.search(bits_of(codes, self.unit.format.bits))
        counts["cam.search"] += len(codes)
        together = marks.amax(0)
        first = int(together.nonzero()[0])
        counts["cam.encode"] += 1
        top = torch.zeros_like(marks)
        top[:, first] = 1
        distance = self.subtract(top, marks)
        counts["cam.subtract"] += len(codes)
        found = self.distances.search(bits_of(distance, self.unit.format.bits))
        counts["exp_cam.search"] += len(codes)
        powers = _numbers(currents(found, self.table))
        counts["lut.read"] += len(codes)
        total = self._denominator(self._count(found, counts), counts)
        return [self._divide(power, total, counts) for power in powers.tolist()]

    def _count(self, found: Tensor, counts: Counts) -> Tensor:
        """Return the counters (rows,) after match lines (n, rows), one after the other."""
        counters = torch.zeros(found.shape[1], dtype=torch.int64)
        for match in found:
            counters = (counters + match).clamp(max=(1 << self.unit.counter_bits) - 1)
            counts["counter.count"] += 1
        return counters

    def _denominator(self, counters: Tensor, counts: Counts) -> int:
        """Return the product of counters and table, one digit of all counters at a time, every bit line converted and shifted to its place."""
        total = 0
        for place in range(self.unit.counter_bits):
            lines = currents((counters >> place & 1)[None], self.table)
            counts["denominator.read"] += 1
            counts["denominator.convert"] += lines.numel()
            total += int(_numbers(lines)) << place
        return total

    def _divide(self, power: int, total: int, counts: Counts) -> int:
        """Return a quotient rounded half up, in whole numbers."""
        counts["divider.divide"] += 1
        bits = self.unit.quotient_bits
        return min((1 << bits) - 1, (2 * power * (1 << bits) + total) // (2 * total))


def _numbers(lines: Tensor) -> Tensor:
    """Return numbers (k,) whose bits, lowest first, are what bit lines (k, w) read."""
    return (lines << torch.arange(lines.shape[1])).sum(1)


def reference_star(unit: Star, codes: Tensor, seen: Tensor, counts: Counts) -> Tensor:
    """Return the weights (rows, n) of scores (rows, n) with a mask (rows, n) as STAR's arrays compute them, int64; counts actions."""
    arrays = Arrays.of(unit)
    weights = torch.zeros(codes.shape, dtype=torch.int64)
    for scores, mask, result in zip(codes, seen, weights, strict=True):
        if mask.any():
            result[mask] = torch.tensor(arrays.row(scores[mask], counts))
    return weights
