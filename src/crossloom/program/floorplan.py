"""The floor plan of arrays that several stages share: which rectangle of which array belongs to which stage.

Word lines and bit lines run through a whole array, so cells beside a block are biased with it. Time is therefore divided into *slots*,
each as long as one operation. A stage has every `period`-th slot (`crossloom.program.stage.Slots`), and stages that share a line never have
the same slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellBlock:
    """`count` identical rectangles of cells that a copy of a stage takes: `rows` word lines by `columns` bit lines each.

    `cells` is the number of cells in use in each, `writes` whether they are written while the stage works, `role` their function.
    """

    rows: int
    columns: int
    count: int = 1
    cells: int = 0
    writes: bool = False
    role: str = "product"


@dataclass(frozen=True, slots=True)
class LaidBlock:
    """A placed block: its stage, and its first word line and bit line."""

    stage: str
    row: int
    column: int
    block: CellBlock

    def crosses(self, other: LaidBlock) -> bool:
        """Return whether the two share a word line or a bit line."""
        rows = self.row < other.row + other.block.rows and other.row < self.row + self.block.rows
        columns = self.column < other.column + other.block.columns and other.column < self.column + self.block.columns
        return rows or columns


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """The contents of each of `count` identical arrays."""

    count: int
    blocks: tuple[LaidBlock, ...]


@dataclass(frozen=True)
class FloorPlan:
    """The arrays of a program, `rows` by `columns` cells each, in numerical order."""

    rows: int
    columns: int
    layouts: tuple[ArrayLayout, ...]

    @property
    def arrays(self) -> int:
        """Number of arrays in use."""
        return sum(layout.count for layout in self.layouts)

    @property
    def cells(self) -> int:
        """Number of cells in use."""
        return sum(layout.count * laid.block.cells for layout in self.layouts for laid in layout.blocks)

    def of(self, stage: str) -> Iterator[tuple[range, LaidBlock]]:
        """Yield a stage's blocks, each with the numbers of the arrays in which it lies."""
        first = 0
        for layout in self.layouts:
            yield from ((range(first, first + layout.count), laid) for laid in layout.blocks if laid.stage == stage)
            first += layout.count
