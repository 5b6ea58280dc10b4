"""The digital units and ReTransformer's, plain and slow: row by row, score by score, in Python's whole numbers; actions counted as they happen.

These are the definitions; the units must give the same integers and the same counts. STAR's is in `star_reference.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.softmax.cmos import Cmos
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.engine.softmax.softermax import Softermax


def reference(unit: Cmos | LogSumExp | Softermax, codes: Tensor, seen: Tensor, counts: Counts) -> Tensor:
    """Return the weights (rows, n) of scores (rows, n) with a mask (rows, n), int64; counts actions."""
    compute: Callable[[list[int | None], Counts], list[int]]
    match unit:
        case Cmos():
            compute = _Cmos(unit).row
        case LogSumExp():
            compute = _LogSumExp(unit).row
        case Softermax():
            compute = _Softermax(unit).row
    weights = torch.zeros(codes.shape, dtype=torch.int64)
    for scores, mask, result in zip(codes.tolist(), seen.tolist(), weights, strict=True):
        if any(mask):
            result[:] = torch.tensor(compute([x if shown else None for x, shown in zip(scores, mask, strict=True)], counts))
    return weights


def half_up(real: float) -> int:
    """Return the nearest whole number, the upper one of two."""
    return math.floor(real + 0.5)


def nearest(numerator: int, denominator: int) -> int:
    """Return the nearest whole number to a quotient, the upper one of two."""
    return (2 * numerator + denominator) // (2 * denominator)


class _Cmos:
    def __init__(self, unit: Cmos) -> None:
        self.unit = unit

    def row(self, scores: list[int | None], counts: Counts) -> list[int]:
        largest = max(self.compared(scores, counts))
        powers = [None if x is None else self.power(largest - x, counts) for x in scores]
        total = 0
        for power in powers:
            if power is not None:
                total += power
                counts["adder.add"] += 1
        return [0 if power is None else self.quotient(power, total, counts) for power in powers]

    def compared(self, scores: list[int | None], counts: Counts) -> list[int]:
        shown = [x for x in scores if x is not None]
        counts["comparator.compare"] += len(shown)
        return shown

    def power(self, distance: int, counts: Counts) -> int:
        counts["subtractor.subtract"] += 1
        counts["exp_lut.read"] += 1
        return half_up(((1 << self.unit.exp_bits) - 1) * math.exp(-distance / (1 << self.unit.format.fraction)))

    def quotient(self, power: int, total: int, counts: Counts) -> int:
        counts["divider.divide"] += 1
        return min(self.unit.output.high, nearest(power << self.unit.quotient_bits, total))


class _LogSumExp:
    def __init__(self, unit: LogSumExp) -> None:
        self.unit = unit

    def row(self, scores: list[int | None], counts: Counts) -> list[int]:
        largest = self.tournament([x for x in scores if x is not None], counts)
        distances = [None if x is None else self.distance(largest, x, counts) for x in scores]
        total = 0
        for d in distances:
            if d is not None:
                total += self.power(d, counts)
                counts["adder.add"] += 1
        logarithm = self.logarithm(total, counts)
        return [0 if d is None else self.weight(d, logarithm, counts) for d in distances]

    def tournament(self, scores: Sequence[int], counts: Counts) -> int:
        """Return the largest: pair by pair, level by level; one without a partner moves up."""
        while len(scores) > 1:
            pairs = [scores[i : i + 2] for i in range(0, len(scores), 2)]
            for pair in pairs:
                if len(pair) == 2:
                    counts["logic.compare"] += 1
                    counts["logic.select"] += 1
            scores = [max(pair) for pair in pairs]
        return scores[0]

    def distance(self, largest: int, score: int, counts: Counts) -> int:
        counts["subtractor.subtract"] += 1
        return largest - score

    def power(self, distance: int, counts: Counts) -> int:
        counts["exp_lut.read"] += 1
        return half_up((1 << self.unit.exp_bits) * math.exp(-distance / (1 << self.unit.format.fraction)))

    def logarithm(self, total: int, counts: Counts) -> int:
        """Return 2^G · ln(total / 2^w) as the two tables have it."""
        counts["log_lut.read"] += 1
        position, address, one = total.bit_length() - 1, self.unit.log_address, 1 << self.unit.log_fraction
        after = ((total << address) >> position) - (1 << address)
        octaves = half_up(one * (position - self.unit.exp_bits) * math.log(2))
        return octaves + half_up(one * math.log(1 + after / (1 << address)))

    def weight(self, distance: int, logarithm: int, counts: Counts) -> int:
        counts["subtractor.subtract"] += 1
        counts["exp_lut.read"] += 1
        fraction = self.unit.log_fraction
        exponent = (distance << (fraction - self.unit.format.fraction)) + logarithm
        return min(self.unit.output.high, half_up((1 << self.unit.quotient_bits) * math.exp(-exponent / (1 << fraction))))


class _Softermax:
    def __init__(self, unit: Softermax) -> None:
        self.unit = unit

    def row(self, scores: list[int | None], counts: Counts) -> list[int]:
        lanes = self.unit.lanes
        slices = [scores[i : i + lanes] for i in range(0, len(scores), lanes)]
        maximum, total, results = None, 0, []
        for part in slices:
            counts["shifter.shift"] += 2
            largest, powers = self.powers(part, counts)
            results.append((largest, powers))
            if largest is None:
                continue
            higher = largest if maximum is None else max(maximum, largest)
            before = 0 if maximum is None else total >> (higher - maximum)
            total = min((1 << 16) - 1, before + (sum(powers) >> 9 >> (higher - largest)))
            maximum = higher
        counts["reciprocal.read"] += 1
        total = total or 1
        position = total.bit_length() - 1
        reciprocal = nearest(128 << position, total)
        assert maximum is not None
        for part, (largest, powers) in zip(slices, results, strict=True):
            counts["multiplier.multiply"] += sum(x is not None for x in part)
            if largest is not None:
                powers[:] = [min(255, nearest((u >> (maximum - largest)) * reciprocal, 1 << (9 + position))) for u in powers]
        return [y for _, weights in results for y in weights]

    def powers(self, part: list[int | None], counts: Counts) -> tuple[int | None, list[int]]:
        """Return a slice's whole maximum, None if nothing in it is seen, and its powers of two, 0 for what is not seen."""
        step = 1 << self.unit.format.fraction
        shown = [x for x in part if x is not None]
        for action in ("comparator.compare", "power.read", "adder.add"):
            counts[action] += len(shown)
        largest = max((-(-x // step) for x in shown), default=None)
        if largest is None:
            return None, [0] * len(part)
        return largest, [0 if x is None else half_up(2**15 * 2.0 ** (x / step - largest)) for x in part]
