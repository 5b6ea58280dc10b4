"""One array being filled with blocks: where the next one fits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Lines:
    """The word lines and bit lines that blocks of one period and phase take, as bits of two integers; whether one of them writes."""

    rows: int = 0
    columns: int = 0
    writes: bool = False


@dataclass(slots=True)
class Filling:
    """An array being filled; the only thing here that changes, and it lives as long as one pattern is made.

    The array is cut into strips of word lines at every block's first and last line; within a strip all word lines have the same free
    cells, one bit each. `probes` counts the strips looked at: the search's measure of time, which does not depend on the computer.
    """

    rows: int
    columns: int
    tops: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    lines: dict[tuple[int, int], Lines] = field(default_factory=dict)
    probes: int = 0

    def __post_init__(self) -> None:
        self.tops, self.taken = [0, self.rows], [0]

    def spots(self, rows: int, columns: int, period: int, phase: int, writes: bool) -> Iterator[tuple[int, int]]:
        """Yield where a block fits: the first word line that takes it, and there the first bit line. Lexicographically least, then onwards.

        If the caller puts a block of this size, period and phase there (`put`), the next spot is for one more of them: below the first
        there was nothing to find, so one sweep over the strips places a whole diagonal of copies.
        """
        busy_rows = busy_columns = 0
        for (other, other_phase), lines in self.lines.items():
            if not (phase ^ other_phase) & (min(period, other) - 1):
                if writes and lines.writes:
                    return
                busy_rows |= lines.rows
                busy_columns |= lines.columns
        self.probes += 1
        row_starts = _starts(~busy_rows & ((1 << self.rows) - 1), rows)
        free = ~busy_columns & ((1 << self.columns) - 1)
        if not row_starts or not _starts(free, columns):
            return
        tops, taken, index = self.tops, self.taken, 0
        while index < len(taken):
            top, strip = tops[index], index
            index += 1
            if not row_starts >> top & 1:
                continue
            self.probes += 1
            open_columns, end = free, top + rows
            while strip < len(taken) and tops[strip] < end:
                open_columns &= ~taken[strip]
                strip += 1
            starts = _starts(open_columns, columns)
            if starts:
                column = (starts & -starts).bit_length() - 1
                yield top, column
                if writes:
                    return
                free &= ~(((1 << columns) - 1) << column)
                row_starts = row_starts >> end << end
                if not row_starts or not _starts(free, columns):
                    return

    def put(self, row: int, column: int, rows: int, columns: int, period: int, phase: int, writes: bool) -> None:
        """Take the cells and lines of a block that fits here."""
        first, last = self._cut(row), self._cut(row + rows)
        mask = ((1 << columns) - 1) << column
        for strip in range(first, last):
            self.taken[strip] |= mask
        lines = self.lines.setdefault((period, phase), Lines())
        lines.rows |= ((1 << rows) - 1) << row
        lines.columns |= mask
        lines.writes = lines.writes or writes

    def _cut(self, row: int) -> int:
        """Return the index of the strip that begins at this word line; cut one in two if none does."""
        index = bisect_left(self.tops, row)
        if self.tops[index] != row:
            self.tops.insert(index, row)
            self.taken.insert(index, self.taken[index - 1])
        return index


def _starts(free: int, length: int) -> int:
    """Return the bits of `free` that begin a run of at least `length` set bits."""
    done = 1
    while done < length:
        step = min(done, length - done)
        free &= free >> step
        done += step
    return free
