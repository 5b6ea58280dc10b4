"""Input and output of the packing: kinds of blocks, arrays that hold them, and the rules that a packing must obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

Owner = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockKind:
    """`count` identical rectangles of cells that one stage works with.

    The stage is active in the slots t with t mod period = its phase, and all blocks of one owner share period and phase. A block with
    `writes` is written while the stage works, and an array allows one write operation at a time. Raises ValueError for invalid values.
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
    """A block in an array: its owner, its kind (index into the packing's kinds), and its first word line and bit line."""

    owner: Owner
    kind: int
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """The content of an array, and the number of arrays filled like it."""

    blocks: tuple[Placed, ...]
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """A placement of every block in arrays of `rows` x `columns` cells, and the phase of each owner."""

    rows: int
    columns: int
    kinds: tuple[BlockKind, ...]
    patterns: tuple[Pattern, ...]
    phases: Mapping[Owner, int]

    @property
    def arrays(self) -> int:
        """Number of arrays used."""
        return sum(pattern.times for pattern in self.patterns)

    @property
    def cells(self) -> int:
        """Number of cells that belong to a block, over all arrays."""
        return sum(pattern.times * sum(self.kinds[block.kind].cells for block in pattern.blocks) for pattern in self.patterns)

    @property
    def utilisation(self) -> float:
        """Share of the used arrays' cells that belong to a block; 1 if there was nothing to pack."""
        return self.cells / (self.arrays * self.rows * self.columns) if self.patterns else 1.0

    def near_hits(self, near: Mapping[Owner, Owner]) -> int:
        """Return the number of blocks that lie in an array with a block of the owner that theirs should be near."""
        hits = 0
        for pattern in self.patterns:
            owners = {block.owner for block in pattern.blocks}
            hits += pattern.times * sum(block.owner in near and near[block.owner] in owners for block in pattern.blocks)
        return hits


def check(packing: Packing, kinds: Sequence[BlockKind]) -> tuple[str, ...]:
    """Return a description of every rule that a packing of these kinds breaks; empty if it is valid.

    Deliberately simple: it walks through the slots one by one and checks the active blocks on each line.
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
    """Return the kinds that are not placed the right number of times."""
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
    """Return the owners without a phase, or with a phase outside their period."""
    return [
        f"owner {kind.owner}: no phase below {kind.period}" for kind in packing.kinds if not 0 <= packing.phases.get(kind.owner, -1) < kind.period
    ]


def _outside(packing: Packing, pattern: Pattern) -> str:
    """Return a block that lies outside the array, or an empty text."""
    for block in pattern.blocks:
        kind = packing.kinds[block.kind]
        if block.row < 0 or block.column < 0 or block.row + kind.rows > packing.rows or block.column + kind.columns > packing.columns:
            return f"{block} outside the array"
    return ""


def _overlap(packing: Packing, pattern: Pattern) -> str:
    """Return a block that overlaps another, or an empty text."""
    taken: set[tuple[int, int]] = set()
    for block in pattern.blocks:
        kind = packing.kinds[block.kind]
        cells = {(row, column) for row in _range(block.row, kind.rows) for column in _range(block.column, kind.columns)}
        if not cells.isdisjoint(taken):
            return f"{block} on cells of another block"
        taken |= cells
    return ""


def _turns(packing: Packing, pattern: Pattern) -> str:
    """Return two active blocks that share a line or both write in a slot, or an empty text."""
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
    """Return a block that lies where word lines of a second block cross bit lines of a third that is active with the second, or an empty text."""
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
