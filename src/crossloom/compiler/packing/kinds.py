"""What is packed and what comes out: kinds of blocks, arrays that hold them, and the rules that a packing keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

Owner = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockKind:
    """So many identical rectangles of cells that one stage works with.

    The stage is active in the slots t with t mod period = its phase, and all blocks of one owner share period and phase. A block that
    `writes` is written while it works, and an array takes one write operation at a time. Raises ValueError for figures without sense.
    """

    owner: Owner
    rows: int
    columns: int
    count: int = 1
    period: int = 1
    writes: bool = False

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or self.count < 0:
            raise ValueError(f"block of {self.owner}: needs rows and columns >= 1 and count >= 0, got {self.rows} x {self.columns}, {self.count}")
        if self.period < 1 or self.period & (self.period - 1):
            raise ValueError(f"block of {self.owner}: period must be a power of two, got {self.period}")

    @property
    def cells(self) -> int:
        """Cells of one block."""
        return self.rows * self.columns


class Placed(NamedTuple):
    """A block in an array: whose it is, which of the packing's kinds, and its first word line and bit line."""

    owner: Owner
    kind: int
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """The content of an array, and how many arrays are filled like it."""

    blocks: tuple[Placed, ...]
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Every block in an array of `rows` x `columns` cells, and the phase of each owner."""

    rows: int
    columns: int
    kinds: tuple[BlockKind, ...]
    patterns: tuple[Pattern, ...]
    phases: Mapping[Owner, int]

    @property
    def arrays(self) -> int:
        """How many arrays are used."""
        return sum(pattern.times for pattern in self.patterns)

    @property
    def cells(self) -> int:
        """How many cells belong to a block, in all arrays together."""
        return sum(pattern.times * sum(self.kinds[block.kind].cells for block in pattern.blocks) for pattern in self.patterns)

    @property
    def utilisation(self) -> float:
        """The part of the used arrays' cells that belong to a block; 1 where nothing was to be packed."""
        return self.cells / (self.arrays * self.rows * self.columns) if self.patterns else 1.0

    def near_hits(self, near: Mapping[Owner, Owner]) -> int:
        """Return how many blocks lie in an array with a block of the owner that theirs would best be near."""
        hits = 0
        for pattern in self.patterns:
            owners = {block.owner for block in pattern.blocks}
            hits += pattern.times * sum(block.owner in near and near[block.owner] in owners for block in pattern.blocks)
        return hits


def check(packing: Packing, kinds: Sequence[BlockKind]) -> tuple[str, ...]:
    """Return every rule that a packing of these kinds breaks, in words; nothing if it is right.

    Plain on purpose: it walks through the slots one by one and counts on each line the blocks that are active.
    """
    if packing.kinds != tuple(kinds):
        return ("the packing is of other kinds",)
    broken = [*_counts(packing), *_phases(packing)]
    if broken:
        return tuple(broken)
    for index, pattern in enumerate(packing.patterns):
        problem = _outside(packing, pattern) or _overlap(packing, pattern) or _turns(packing, pattern) or _crossings(packing, pattern)
        broken += [f"pattern {index}: {problem}"] if problem else []
    return tuple(broken)


def _counts(packing: Packing) -> list[str]:
    """Return which kinds are not placed as often as they should be."""
    placed = [0] * len(packing.kinds)
    for pattern in packing.patterns:
        if pattern.times < 1 or not pattern.blocks:
            return ["a pattern is empty or used less than once"]
        for block in pattern.blocks:
            if not 0 <= block.kind < len(placed) or packing.kinds[block.kind].owner != block.owner:
                return [f"no kind {block.kind} of owner {block.owner}"]
            placed[block.kind] += pattern.times
    return [
        f"kind {k}: placed {have} times, not {kind.count}"
        for k, (have, kind) in enumerate(zip(placed, packing.kinds, strict=True))
        if have != kind.count
    ]


def _phases(packing: Packing) -> list[str]:
    """Return which owners have no phase, or one that their period does not have."""
    return [
        f"owner {kind.owner}: no phase below {kind.period}" for kind in packing.kinds if not 0 <= packing.phases.get(kind.owner, -1) < kind.period
    ]


def _outside(packing: Packing, pattern: Pattern) -> str:
    """Return which block lies outside the array."""
    for block in pattern.blocks:
        kind = packing.kinds[block.kind]
        if block.row < 0 or block.column < 0 or block.row + kind.rows > packing.rows or block.column + kind.columns > packing.columns:
            return f"{block} outside the array"
    return ""


def _overlap(packing: Packing, pattern: Pattern) -> str:
    """Return which cell belongs to two blocks."""
    taken: set[tuple[int, int]] = set()
    for block in pattern.blocks:
        kind = packing.kinds[block.kind]
        cells = {(row, column) for row in _range(block.row, kind.rows) for column in _range(block.column, kind.columns)}
        if not cells.isdisjoint(taken):
            return f"{block} on cells of another block"
        taken |= cells
    return ""


def _turns(packing: Packing, pattern: Pattern) -> str:
    """Return which line two active blocks share, or which slot has two writers."""
    for slot in range(max(packing.kinds[block.kind].period for block in pattern.blocks)):
        rows: set[int] = set()
        columns: set[int] = set()
        writing = False
        for block in pattern.blocks:
            kind = packing.kinds[block.kind]
            if slot % kind.period != packing.phases[block.owner]:
                continue
            if not rows.isdisjoint(_range(block.row, kind.rows)):
                return f"slot {slot}: {block} on a word line of another active block"
            if not columns.isdisjoint(_range(block.column, kind.columns)):
                return f"slot {slot}: {block} on a bit line of another active block"
            if writing and kind.writes:
                return f"slot {slot}: {block} is a second writer"
            rows.update(_range(block.row, kind.rows))
            columns.update(_range(block.column, kind.columns))
            writing = writing or kind.writes
    return ""


def _crossings(packing: Packing, pattern: Pattern) -> str:
    """Return which block lies where word lines of a second cross bit lines of a third that is active with the second."""
    for first, second in permutations(pattern.blocks, 2):
        one, two = packing.kinds[first.kind], packing.kinds[second.kind]
        if (packing.phases[first.owner] - packing.phases[second.owner]) % min(one.period, two.period):
            continue
        crossing = {(row, column) for row in _range(first.row, one.rows) for column in _range(second.column, two.columns)}
        for block in pattern.blocks:
            kind = packing.kinds[block.kind]
            cells = {(row, column) for row in _range(block.row, kind.rows) for column in _range(block.column, kind.columns)}
            if block not in (first, second) and not crossing.isdisjoint(cells):
                return f"{block} where {first} crosses {second}"
    return ""


def _range(first: int, length: int) -> range:
    return range(first, first + length)
