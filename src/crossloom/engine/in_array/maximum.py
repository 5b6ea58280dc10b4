"""Maximum of several values, and ReLU, in a block of cells: closed forms, a cell-by-cell program, and the integers.

Values lie along bit lines, one bit per row, highest first: the b bits of candidate j are rows j·b to j·b + b - 1, and every bit line finds
the maximum of its own k candidates. Cells can only compare unsigned values, so the write drivers invert the sign of signed values
(x + 2^(b-1)).

- Load: one set pulse per row.                                                                                            k·b cycles
- ReLU: the sign row of a candidate is sensed; where it is 1, all rows of the candidate are reset, including the sign.      k cycles
- For each of the c compared bits, from the highest:
  - OR over the k rows of this bit: the bit of the maximum. It is output through the latch and, except for the last bit,
    also written to its own row r in the same cycle;                                                                        c cycles
  - XOR of r with each candidate's bit, except for the last bit: where it is 1 the candidate has lost, and all its lower
    rows are reset together. A loser is below the maximum in this bit and 0 in lower bits, so it does not affect an OR. (c - 1)·k cycles
- Erase: all rows in one pulse. The last OR needs no write, so this is the write phase of its cycle.                          0 cycles

The maximum is read out by the ORs themselves: sensing the rows of r again would take c cycles and yield the same. With c = b

    cycles = k·b + b + (b - 1)·k

With ReLU, c = b - 1, as all signs are 0 after it: k·b + k + (b - 1) + (b - 2)·k = k·b + (b - 1)·(k + 1) cycles. This is one less than for the
signed maximum, whose signs are compared by an OR and k XORs. Rectifying each candidate thus saves a cycle, while rectifying the maximum
afterwards would cost one. A single candidate has no opponent and needs neither r nor XOR: 2b cycles, both for ReLU and for keeping a value.

Rows: k·b for the candidates and c - 1 for r. After ReLU the k sign rows hold 0 and serve as the first rows of r at no cost; the rest are added.
The price is wear: a cell of such a row can be set twice per result, once as a sign and once as a bit of the maximum; all others once.

A ReLU by itself writes in few of its cycles, so two vertically adjacent blocks alternate (`Alternating`): while one is rectified and read,
the other is loaded in the remaining write phases. A period has the sense of the signs with its reset, b - 1 senses of bits, the last
with the erase, and two more loads: b + 2 cycles, equal to the number of write pulses, instead of 2b.

A tournament has levels of such matches, each in the corner of the same cells. m groups of g = ceil(n / m) candidates lie side by side in m
times as many bit lines; their winners are loaded again and compared with each other. It is needed if the candidates do not fit in the rows, and
pays if bit lines are free: a level takes g·(2b - 1) + b cycles, so a few levels of about four candidates beat one level of many. `tournament`
finds the optimum exactly, by dynamic programming over the remaining candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import torch
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.in_array.cells import Controller, Gate, Plane


class Form(Enum):
    """Format of the values: unsigned, two's complement, or two's complement to which a ReLU is applied first."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    RECTIFIED = "rectified"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxBlock:
    """A match of `candidates` values of `bits` bits in each of `width` bit lines; `empty` bit lines lack the last candidate."""

    candidates: int
    bits: int
    form: Form = Form.UNSIGNED
    width: int = 1
    empty: int = 0

    def __post_init__(self) -> None:
        least = 1 if self.form is Form.UNSIGNED else 2
        if self.candidates < 1 or self.width < 1 or not least <= self.bits <= 32:
            raise ValueError(
                f"a match of {self.candidates} {self.form.value} values of {self.bits} bits in {self.width} columns; give at least 1 value, "
                f"{least} to 32 bits and 1 column"
            )
        if not 0 <= self.empty < self.width:
            raise ValueError(f"{self.empty} of {self.width} columns without a last candidate; omit the candidate, or fill at least one column")

    @property
    def compared(self) -> int:
        """Number of compared bits, c."""
        return self.bits - (self.form is Form.RECTIFIED)

    @property
    def scratch(self) -> tuple[int, ...]:
        """Rows that store the bits of the maximum, all but the last."""
        needed = self.compared - 1 if self.candidates > 1 else 0
        free = range(0, self.candidates * self.bits, self.bits) if self.form is Form.RECTIFIED else ()
        own = range(self.candidates * self.bits, self.candidates * self.bits + needed)
        return (*free, *own)[:needed]

    @property
    def rows(self) -> int:
        """Number of rows of cells."""
        return max(self.candidates * self.bits, 1 + max(self.scratch, default=0))

    @property
    def cycles(self) -> int:
        """Number of cycles from the first load to the erased block."""
        rectify = self.candidates if self.form is Form.RECTIFIED else 0
        return self.candidates * self.bits + rectify + self.compared + self._matches

    @property
    def writes(self) -> int:
        """Largest number of sets of a cell per result."""
        return 2 if self.form is Form.RECTIFIED and self.scratch else 1

    @property
    def _matches(self) -> int:
        return (self.compared - 1) * self.candidates if self.candidates > 1 else 0

    def actions(self, windows: int = 1) -> Counts:
        """Return the action counts for a number of windows, each with a result in every bit line."""
        k, loads, bits = self.candidates, self.candidates * self.bits, self.compared
        rectify = k if self.form is Form.RECTIFIED else 0
        driven = rectify + bits * k + 2 * self._matches
        senses = (rectify + bits + self._matches) * self.width
        counts = {
            "array.bias": loads + rectify + len(self.scratch) + self._matches + 1,
            "array.write_cell": (loads + len(self.scratch)) * self.width - self.bits * self.empty,
            "array.read_row": driven,
            "dac.drive": driven,
            "sense_amplifier.sense": senses,
            "output_register.access": bits * self.width,
        }
        return Counts({name: windows * count for name, count in counts.items()})


@dataclass(frozen=True, slots=True)
class Alternating:
    """ReLU in two vertically adjacent blocks; one is loaded while the other is rectified and read."""

    block: MaxBlock

    def __post_init__(self) -> None:
        if self.block.candidates != 1 or self.block.form is not Form.RECTIFIED:
            raise ValueError(f"blocks alternate only for a ReLU, not for {self.block.candidates} {self.block.form.value} values; take one block")

    @property
    def rows(self) -> int:
        """Number of rows of cells of both blocks."""
        return 2 * self.block.rows

    @property
    def columns(self) -> int:
        """Number of bit lines."""
        return self.block.width

    @property
    def cycles(self) -> int:
        """Number of cycles from one result to the next, with a write pulse in each."""
        return self.block.bits + 2

    @property
    def latency(self) -> int:
        """Number of cycles from the first load to the last bit."""
        return self.cycles + self.block.bits - 1

    @property
    def writes(self) -> float:
        """Largest number of sets of a cell per result; each block takes every other result."""
        return self.block.writes / 2

    def actions(self, windows: int = 1) -> Counts:
        """Return the action counts for a number of windows."""
        return self.block.actions(windows)


@dataclass(frozen=True, slots=True)
class Tournament:
    """A tournament: levels of matches, each between the winners of the previous level, in a corner of the first level's cells."""

    levels: tuple[MaxBlock, ...]

    @property
    def rows(self) -> int:
        """Number of rows of cells."""
        return max(level.rows for level in self.levels)

    @property
    def columns(self) -> int:
        """Number of bit lines."""
        return self.levels[0].width

    @property
    def cycles(self) -> int:
        """Number of cycles from the first load to the erased block; all winners of a level are known before the next is loaded."""
        return sum(level.cycles for level in self.levels)

    @property
    def writes(self) -> int:
        """Largest number of sets of a cell per result; the first cell is used in all levels."""
        return sum(level.writes for level in self.levels)

    def actions(self, windows: int = 1) -> Counts:
        """Return the action counts for a number of windows."""
        return sum((level.actions(windows) for level in self.levels), Counts())


@lru_cache(maxsize=256)
def tournament(candidates: int, bits: int, form: Form, lanes: int, *, rows: int, columns: int) -> Tournament:
    """Return the tournament with fewest cycles, then fewest columns in the first level, that fits in rows x columns cells.

    `lanes` results are computed in parallel. Raises ValueError if no split fits.
    """
    found = _cheapest(candidates, bits, form, rows, columns // lanes)
    if found is None:
        raise ValueError(
            f"the largest of {candidates} {form.value} values of {bits} bits, {lanes} in parallel, does not fit into {rows} x {columns} cells; "
            "take fewer in parallel, or larger arrays"
        )
    levels, left = [], candidates
    for groups in found[1]:
        places = -(-left // groups)
        empty = (places * groups - left) * lanes
        levels.append(MaxBlock(candidates=places, bits=bits, form=form, width=groups * lanes, empty=empty))
        left, bits, form = groups, *_won(bits, form)
    return Tournament(tuple(levels))


def _won(bits: int, form: Form) -> tuple[int, Form]:
    """Return the bits and format of a match's results."""
    return (bits - 1, Form.UNSIGNED) if form is Form.RECTIFIED else (bits, form)


@lru_cache(maxsize=1 << 14)
def _cheapest(candidates: int, bits: int, form: Form, rows: int, limit: int) -> tuple[int, tuple[int, ...]] | None:
    """Return the fewest cycles, and the groups of each level; None if nothing fits in `rows` rows with at most `limit` groups side by side."""
    best: tuple[int, tuple[int, ...]] | None = None
    for groups in range(1, min(limit, (candidates + 1) // 2) + 1):
        level = MaxBlock(candidates=-(-candidates // groups), bits=bits, form=form)
        if level.rows > rows:
            continue
        after = (0, ()) if groups == 1 else _cheapest(groups, *_won(bits, form), rows, limit)
        if after is not None and (best is None or level.cycles + after[0] < best[0]):
            best = (level.cycles + after[0], (groups, *after[1]))
    return best


def largest(values: Tensor, form: Form) -> Tensor:
    """Return the largest (..., channels) of values (..., k, channels), clamped at 0 with a ReLU."""
    top = values.amax(-2)
    return top.clamp(min=0) if form is Form.RECTIFIED else top


def match(plane: Plane, values: Tensor, block: MaxBlock, present: Tensor | None = None) -> Tensor:
    """Return the largest (N, width), int64, of values (N, k, width), computed cell by cell in an erased plane of batch (N,).

    `present` (N, k, width), bool, marks the values present; the others are not loaded and count as the lowest. The plane is left erased.
    Raises ValueError for values that do not fit in the bits.
    """
    stored = _stored(values, block)
    for j in range(block.candidates):
        for i in range(block.bits):
            with plane.controller.cycle():
                plane.load(j * block.bits + i, (stored[:, j] >> (block.bits - 1 - i) & 1).bool(), None if present is None else present[:, j])
    if block.form is Form.RECTIFIED:
        for j in range(block.candidates):
            _rectify(plane, range(j * block.bits, (j + 1) * block.bits))
    result = torch.zeros_like(stored[:, 0])
    first = block.bits - block.compared
    for place in range(first, block.bits):
        rows = range(place, block.candidates * block.bits, block.bits)
        row = block.scratch[place - first] if place - first < len(block.scratch) else None
        with plane.controller.cycle():
            bit = plane.sense(Gate.OR, rows)
            plane.controller.count(plane.instances, output_register__access=plane.columns)
            if row is not None:
                plane.set(row, bit)
            elif place == block.bits - 1:
                plane.erase()
        result = 2 * result + bit
        if row is not None:
            _drop_losers(plane, row, rows, block.bits - 1 - place)
    return result - (1 << block.bits - 1) if block.form is Form.SIGNED else result


def rectify_in_turn(halves: tuple[Plane, Plane], values: Tensor, rule: Alternating) -> Tensor:
    """Return the ReLU (steps, N, width), int64, of values (steps, N, width), in two erased planes of batch (N,) that share a controller.

    Both are left erased. Raises ValueError for values that do not fit in the bits.
    """
    block, results = rule.block, []
    stored = [_stored(each[:, None], block)[:, 0] for each in values]
    for row in range(block.bits):
        with halves[0].controller.cycle():
            _load_bit(halves[0], row, stored[0], block)
    for step in range(len(stored)):
        now, other = halves[step % 2], halves[1 - step % 2]
        following = stored[step + 1] if step + 1 < len(stored) else None
        result = torch.zeros_like(stored[step])
        _rectify(now, range(block.bits))
        for cycle in range(1, rule.cycles if following is not None else block.bits):
            with now.controller.cycle():
                if cycle < block.bits:
                    result = 2 * result + now.sense(Gate.OR, (cycle,))
                    now.controller.count(now.instances, output_register__access=now.columns)
                if cycle == block.bits - 1:
                    now.erase()
                elif following is not None:
                    _load_bit(other, cycle - 1 - (cycle >= block.bits), following, block)
        results.append(result)
    return torch.stack(results)


def _load_bit(plane: Plane, row: int, stored: Tensor, block: MaxBlock) -> None:
    plane.load(row, (stored >> (block.bits - 1 - row) & 1).bool())


def _stored(values: Tensor, block: MaxBlock) -> Tensor:
    """Return the values that the write drivers store in the cells, as unsigned numbers, int64."""
    values = values.to(torch.int64)
    low = 0 if block.form is Form.UNSIGNED else -(1 << block.bits - 1)
    if values.numel() and not (low <= int(values.min()) and int(values.max()) < low + (1 << block.bits)):
        raise ValueError(f"values from {values.min()} to {values.max()} in {block.bits} {block.form.value} bits; give more bits")
    return values & (1 << block.bits) - 1 if block.form is Form.RECTIFIED else values - low


def _rectify(plane: Plane, rows: range) -> None:
    """Reset a value, including its sign, where the sign is 1. The remaining values are non-negative, and the sign row is free."""
    with plane.controller.cycle():
        plane.reset(rows, plane.sense(Gate.OR, rows[:1]))


def _drop_losers(plane: Plane, top: int, rows: Sequence[int], lower: int) -> None:
    """Reset the lower rows of each candidate whose bit differs from the maximum's."""
    for row in rows:
        with plane.controller.cycle():
            plane.reset(range(row + 1, row + 1 + lower), plane.sense(Gate.XOR, (top, row)))


def play(plane: Plane, values: Tensor, rules: Tournament, present: Tensor | None = None) -> Tensor:
    """Return the largest (N, lanes), int64, of values (N, n, lanes), computed level by level in an erased plane of batch (N,).

    Candidate i of a level has place i // m in group i % m, so that only the last place has groups without a candidate.
    """
    for level in rules.levels:
        count, lanes = values.shape[0], values.shape[2]
        places, groups = level.candidates, level.width // lanes
        missing = places * groups - values.shape[1]
        if present is None and missing:
            present = torch.ones_like(values, dtype=torch.bool)
        padded = [None if t is None else _pad(t, missing).reshape(count, places, level.width) for t in (values, present)]
        assert padded[0] is not None
        winners = match(plane.corner(level.rows, level.width), padded[0], level, padded[1])
        values, present = winners.reshape(count, groups, lanes), None
    return values[:, 0]


def _pad(values: Tensor, missing: int) -> Tensor:
    return torch.cat((values, values.new_zeros(values.shape[0], missing, values.shape[2])), 1)


def largest_in_cells(values: Tensor, rules: Tournament) -> tuple[Tensor, Plane]:
    """Return the largest (N, lanes), int64, of values (N, n, lanes), and the plane that computed it, with counts and cycles in its controller."""
    plane = Plane(Controller(), rules.rows, rules.columns, (len(values),), values.device)
    return play(plane, values, rules), plane
