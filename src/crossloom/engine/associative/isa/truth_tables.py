"""Truth tables of the associative processor: searches and writes for one bit of an operation, in all rows in parallel.

A *step* compares a key with some cells of every row, and writes into cells of the rows that match; a step without a key writes into every row. The
cells of a row that take part in an operation are the carry (or borrow) C, the target B or R, and the operands A and B. Bits are processed from the
lowest to the highest, with C cleared first. Where an operand has no bits left, it counts as 0 if it is unsigned; the sign bit of a signed operand
stays under the port and is read again.

The order of steps matters: a row that one step has written must not match the key of a later one. The tables for addition and subtraction of two
bits are those of the literature on associative processors: four steps in place, as hard-wired in published RTL (github.com/hongzhengTian/
Associative-Processor-on-FPGA, AP_ctrl.v), and five out of place. Only cells that change are written here (0.75 per bit in place over random bits,
not 1). Tests show by exhaustive search that no table can use fewer steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

TruthCell = Literal["C", "B", "A", "R"]
CELLS: tuple[TruthCell, ...] = ("C", "B", "A", "R")


@dataclass(frozen=True, slots=True)
class Step:
    """Cells that must match, by name, and the values written in the rows that match."""

    key: Mapping[TruthCell, int]
    write: Mapping[TruthCell, int]

    @property
    def chance(self) -> float:
        """Fraction of rows that match if all bits are equally likely."""
        return 0.5 ** len(self.key)


@dataclass(frozen=True, slots=True)
class TruthTable:
    """Steps for one bit of an operation, and their specification: the new (C, target) as a function of the old C, B and A."""

    name: str
    steps: tuple[Step, ...]
    target: TruthCell
    means: Callable[[int, int, int], tuple[int, int]]
    reads: tuple[TruthCell, ...]

    @property
    def searches(self) -> int:
        """Number of steps that compare."""
        return sum(bool(step.key) for step in self.steps)

    @property
    def writes(self) -> int:
        """Number of steps that write: all of them."""
        return len(self.steps)

    @property
    def compared(self) -> int:
        """Number of cells of a row that are compared."""
        return sum(len(step.key) for step in self.steps)

    @property
    def written_eighths(self) -> int:
        """Mean number of cells of a row that are written, in eighths over random bits."""
        return sum(len(step.write) * 8 >> len(step.key) for step in self.steps)


def _steps(text: str) -> tuple[Step, ...]:
    """Return steps from text such as `C0 B1 A1 > C1 B0; C0 B0 A1 > B1`."""

    def cells(part: str) -> dict[TruthCell, int]:
        return {name: int(word[1]) for word in part.split() for name in CELLS if name == word[0]}

    return tuple(Step(cells(key), cells(write)) for key, _, write in (line.partition(">") for line in text.split(";")))


def _sum(c: int, b: int, a: int) -> tuple[int, int]:
    return (c + b + a) >> 1, (c + b + a) & 1


def _difference(c: int, b: int, a: int) -> tuple[int, int]:
    return int(b - a - c < 0), (b - a - c) & 1


ADD = TruthTable("add", _steps("C0 B1 A1 > C1 B0; C0 B0 A1 > B1; C1 B0 A0 > C0 B1; C1 B1 A0 > B0"), "B", _sum, ("C", "B", "A"))
"""B ← B + A."""
SUBTRACT = TruthTable("subtract", _steps("C0 B0 A1 > C1 B1; C0 B1 A1 > B0; C1 B1 A0 > C0 B0; C1 B0 A0 > B1"), "B", _difference, ("C", "B", "A"))
"""B ← B − A."""
CARRY = TruthTable("carry", _steps("C1 B0 > C0 B1; C1 B1 > B0"), "B", lambda c, b, a: _sum(c, b, 0), ("C", "B"))
"""B ← B + 0: carry propagation above the highest bit of A."""
BORROW = TruthTable("borrow", _steps("C1 B1 > C0 B0; C1 B0 > B1"), "B", lambda c, b, a: _difference(c, b, 0), ("C", "B"))
"""B ← B − 0."""
SUM = TruthTable("sum", _steps("> R0; C0 B0 A1 > R1; C0 B1 A0 > R1; C1 B0 A0 > C0 R1; C1 B1 A1 > R1; C0 B1 A1 > C1"), "R", _sum, ("C", "B", "A"))
"""R ← B + A."""
DIFFERENCE = TruthTable(
    "difference", _steps("> R0; C0 B0 A1 > C1 R1; C0 B1 A0 > R1; C1 B0 A0 > R1; C1 B1 A1 > R1; C1 B1 A0 > C0"), "R", _difference, ("C", "B", "A")
)
"""R ← B − A."""
SUM_OF_B = TruthTable("sum_of_b", _steps("> R0; C1 B0 > C0 R1; C0 B1 > R1"), "R", lambda c, b, a: _sum(c, b, 0), ("C", "B"))
"""R ← B + 0."""
SUM_OF_A = TruthTable("sum_of_a", _steps("> R0; C1 A0 > C0 R1; C0 A1 > R1"), "R", lambda c, b, a: _sum(c, 0, a), ("C", "A"))
"""R ← 0 + A."""
MINUEND = TruthTable("minuend", _steps("> R1; C0 B0 > R0; C1 B1 > C0 R0"), "R", lambda c, b, a: _difference(c, b, 0), ("C", "B"))
"""R ← B − 0."""
NEGATIVE = TruthTable("negative", _steps("> R0; C1 A0 > R1; C0 A1 > C1 R1"), "R", lambda c, b, a: _difference(c, 0, a), ("C", "A"))
"""R ← 0 − A."""
LAST = TruthTable("last", _steps("> R0; C1 > R1"), "R", lambda c, b, a: (c, c), ("C",))
"""R ← C: the bits above both operands; all but the first are copies of a sign."""
COPY = TruthTable("copy", _steps("> R0; A1 > R1"), "R", lambda c, b, a: (c, a), ("A",))
"""R ← A."""
CLEAR = TruthTable("clear", _steps("> R0"), "R", lambda c, b, a: (c, 0), ())
"""R ← 0."""
TABLES = (ADD, SUBTRACT, CARRY, BORROW, SUM, DIFFERENCE, SUM_OF_B, SUM_OF_A, MINUEND, NEGATIVE, LAST, COPY, CLEAR)


def outcomes(table: TruthTable) -> Iterator[tuple[dict[TruthCell, int], dict[TruthCell, int]]]:
    """Yield each state of a row before a table (cells by name), with the state after its steps."""
    for values in product((0, 1), repeat=len(CELLS)):
        before = dict(zip(CELLS, values, strict=True))
        row = dict(before)
        for step in table.steps:
            if all(row[cell] == bit for cell, bit in step.key.items()):
                row |= step.write
        yield before, row
