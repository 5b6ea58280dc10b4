"""One array being filled with blocks, and the locations where the next block fits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Lines:
    """The word lines and bit lines of blocks with the same period and phase, as bits of two integers, and whether one of the blocks writes."""

    rows: int = 0
    columns: int = 0
    writes: bool = False


class PlacedBlock(NamedTuple):
    """A block as an array sees it: its size, its owner's period, and whether it is written."""

    rows: int
    columns: int
    period: int
    writes: bool


@dataclass(slots=True)
class ArrayCells:
    """The free cells of an array that is being filled.

    The array is cut into strips of word lines at every block's first and last line; within a strip all word lines have the same free
    cells, one bit each. `held` are the cells of blocks. `taken` are these and the cells that must stay erased, because there the word lines of one
    block cross the bit lines of another that is active with it. `probes` counts the strips inspected: a measure of time that does not depend on
    the computer.
    """

    rows: int
    columns: int
    tops: list[int] = field(init=False)
    held: list[int] = field(init=False)
    taken: list[int] = field(init=False)
    lines: dict[tuple[int, int], Lines] = field(default_factory=dict)
    probes: int = 0

    def __post_init__(self) -> None:
        self.tops, self.held, self.taken = [0, self.rows], [0], [0]

    def spots(self, block: PlacedBlock, phase: int) -> Iterator[tuple[int, int]]:
        """Yield the locations where a block fits: the first word line with room and there the first bit line, then the next, and so on.

        If the caller puts the block there, the next spot is for another block of the same owner. The strips above need not be inspected again, so
        one sweep over the strips places a whole diagonal of copies.
        """
        self.probes += 1
        busy = self._busy(block, phase)
        if busy.writes and block.writes:
            return
        open_rows = ~busy.rows & ~self._rows_holding(busy.columns) & ((1 << self.rows) - 1)
        free = ~busy.columns & ~self._columns_held(busy.rows) & ((1 << self.columns) - 1)
        row_starts, index = _starts(open_rows, block.rows), 0
        while row_starts and _starts(free, block.columns):
            index = bisect_left(self.tops, (row_starts & -row_starts).bit_length() - 1, index)
            if index == len(self.taken):
                return
            top = self.tops[index]
            starts = _starts(free & ~self._taken(index, top + block.rows), block.columns) if row_starts >> top & 1 else 0
            row_starts = row_starts >> top + 1 << top + 1
            if starts:
                column = (starts & -starts).bit_length() - 1
                yield top, column
                if block.writes:
                    return
                free &= ~self._columns_held(((1 << block.rows) - 1) << top)
                open_rows &= ~self._rows_holding(((1 << block.columns) - 1) << column)
                row_starts = _starts(open_rows, block.rows) >> top + block.rows << top + block.rows

    def put(self, block: PlacedBlock, phase: int, row: int, column: int) -> None:
        """Mark the cells and lines of a block that fits here as taken."""
        busy = self._busy(block, phase)
        first, last = self._cut(row), self._cut(row + block.rows)
        mask = ((1 << block.columns) - 1) << column
        for strip, top in enumerate(self.tops[:-1]):
            if first <= strip < last:
                self.held[strip] |= mask
                self.taken[strip] |= mask | busy.columns
            elif busy.rows >> top & 1:
                self.taken[strip] |= mask
        lines = self.lines.setdefault((block.period, phase), Lines())
        lines.rows |= ((1 << block.rows) - 1) << row
        lines.columns |= mask
        lines.writes = lines.writes or block.writes

    def _rows_holding(self, columns: int) -> int:
        """Return the word lines on which some cell of these bit lines belongs to a block."""
        rows = 0
        if columns:
            for strip, held in enumerate(self.held):
                if held & columns:
                    rows |= (1 << self.tops[strip + 1]) - (1 << self.tops[strip])
        return rows

    def _columns_held(self, rows: int) -> int:
        """Return the bit lines on which some cell of these word lines belongs to a block."""
        columns = 0
        if rows:
            for top, held in zip(self.tops, self.held, strict=False):
                if rows >> top & 1:
                    columns |= held
        return columns

    def _busy(self, block: PlacedBlock, phase: int) -> Lines:
        """Return the lines of all blocks that share an active slot with this one."""
        busy = Lines()
        for (period, other), lines in self.lines.items():
            if not (phase ^ other) & (block.period - 1) & (period - 1):  # equal modulo the shorter period
                busy.rows |= lines.rows
                busy.columns |= lines.columns
                busy.writes = busy.writes or lines.writes
        return busy

    def _taken(self, index: int, end: int) -> int:
        """Return the bit lines on which some cell is taken between a strip's first word line and another."""
        self.probes += 1
        taken = 0
        while index < len(self.taken) and self.tops[index] < end:
            taken |= self.taken[index]
            index += 1
        return taken

    def _cut(self, row: int) -> int:
        """Return the index of the strip that begins at this word line, cutting a strip in two if none does."""
        index = bisect_left(self.tops, row)
        if self.tops[index] != row:
            self.tops.insert(index, row)
            self.held.insert(index, self.held[index - 1])
            self.taken.insert(index, self.taken[index - 1])
        return index


def _starts(free: int, length: int) -> int:
    """Return the bits of `free` that begin a run of at least `length` set bits."""
    run = 1
    while 2 * run <= length:
        free &= free >> run
        run *= 2
    return free & free >> length - run
