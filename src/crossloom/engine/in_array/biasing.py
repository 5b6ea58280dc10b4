"""Biasing rule: the blocks of an array that may be active in one pulse, and the levels of the lines.

Every word line and every bit line is held at one of four levels during a pulse, in thirds of the voltage V that sets a cell:
0, 1, 2, 3. A cell sees d = level of its word line − level of its bit line.

* A cell to be set sees d = 3, a cell to be reset d = −3.
* A cell being read sees d = 0 for an input bit 0 and d = s for a 1, with s = 1 or −1 the same for all cells of a sum.
* A bit line being read carries only its sum: d = 0 at each of its cells outside the blocks of the sum.
* Every other cell sees |d| ≤ 1: V/3, which it withstands.

A driver knows the kind of pulse and the bit of its own line: the operand's bit on a word line, the mask's on a bit line. These bits may form
any pattern, so the conditions must hold for every pair of bits of a word line and a bit line.

There is no transistor in series with a cell, so every word line reaches every bit line. Let *the product* of a pulse be all cells where a
word line of any of its activities meets a bit line of any of them. Then:

* A driven word line takes two levels, for its bits 0 and 1, so d is non-zero for one of them on any bit line. **A bit line being read may not
  meet a driven word line outside the blocks of its sum**: reads fill their product. Two reads by themselves share all their word lines (and
  the operand) or all their bit lines (and the sum). Two diagonal blocks are incompatible, although they share no line: the word
  lines of one drive current through the cells on its crossing with the bit lines of the other, whatever these cells hold.
* In a set, a selected word line at 3 and a selected bit line at 0 select the cell between them; a reset is analogous. **Writes fill their
  product, too.** Two writes by themselves share all their word lines (with any masks) or all their bit lines (and the mask).
* **A set and a read exclude each other.** The set's word line must not feed a bit line being read, so those are held at 3, as are word lines
  with an input bit 0. But the latter would then set cells in the selected bit lines, which are at 0. In a reset, the same holds mirrored.
* **A set and a reset exclude each other.** A bit line excluded by the set's mask is within 1 of the set's word lines, at 2 or 3. The word
  lines of the reset, at 0, would apply 2 or more to its cells.

Three activities may be compatible although two of them by themselves are not: diagonal blocks whose crossings are filled by the others. The
converse does not occur: if every pair is compatible, all are, since they share either all their word lines or all their bit lines.

**Erased crossings.** Diagonal reads are compatible if the cells on their crossings belong to no activity and are erased. These cells add to
a sum the current of erased cells, d · G_off for each driven word line, the same in every bit line. A block's own cells that hold 0 add
the same. Sensing relative to one bit line of erased cells beside the array, which all driven word lines cross, cancels all of it. This is how
reads of several layers share a pulse here, at the cost of the cells on their crossings. Without such a bit line, they may not share one.

Only the last rule (set and reset) depends on thirds, and none depends on whether lines are left over. If cells withstood V/2, levels of halves
would allow one set and one reset of blocks that share no line (all other lines at V/2), and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from crossloom.errors import InputError

TOP = 3
"""Highest level: V, in units of the voltage that a cell withstands."""


@dataclass(frozen=True, slots=True)
class ArrayRegion:
    """A rectangle of cells. Raises InputError if it is empty or has gaps."""

    rows: range
    columns: range

    def __post_init__(self) -> None:
        for name, lines in (("rows", self.rows), ("columns", self.columns)):
            if lines.step != 1 or not lines or lines.start < 0:
                raise InputError(f"a block's {name} must be a range of at least one line, from 0 on and with step 1, got {lines}")

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.rows) * len(self.columns)

    def __str__(self) -> str:
        return f"rows {self.rows.start}-{self.rows.stop - 1}, columns {self.columns.start}-{self.columns.stop - 1}"


@dataclass(frozen=True, slots=True)
class Read(ArrayRegion):
    """A read: word lines driven with the bits of an operand, bit lines sensed.

    Attributes:
        operand: name of the bits; the same name in the same rows means the same bits.
        sum: name of the sum of the bit-line currents; reads of one sum add up where they share bit lines.
    """

    operand: str
    sum: str

    def __str__(self) -> str:
        return f"the read of {ArrayRegion.__str__(self)}"


@dataclass(frozen=True, slots=True)
class Write(ArrayRegion):
    """A write of all its word lines, and of the bit lines selected by a mask.

    Attributes:
        mask: name of the mask's bits; the same name in the same columns means the same bits.
        bit: value of the selected cells afterwards: 1 for a set, 0 for a reset.
    """

    mask: str
    bit: Literal[0, 1]

    def __str__(self) -> str:
        return f"the {'set' if self.bit else 'reset'} of {ArrayRegion.__str__(self)}"


Activity = Read | Write


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of all word lines and all bit lines, 0 to 3."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def conflict(*activities: Activity, erased: bool = False) -> str | None:
    """Return why activities cannot share a pulse, or None if levels exist for all data. A single activity never conflicts.

    With `erased`, cells where word lines of one read meet bit lines of another, and which belong to no activity, are known to be erased.
    """
    for first, second in combinations(activities, 2):
        if problem := _clash(first, second):
            return problem
    rows, columns = _lines(activities)
    if sum(each.cells for each in activities) == len(rows) * len(columns):
        return None
    reads = all(isinstance(each, Read) for each in activities)
    return None if erased and reads else _crossing(activities)


def levels(activities: Sequence[Activity], rows: int, columns: int, bits: Mapping[str, Sequence[int]]) -> Levels | None:
    """Return the levels of an array's lines in a pulse, or None if the activities conflict.

    Bit lines that take no part in a read are held at 0 as well, so that no current flows where a word line is not driven.

    Args:
        activities: all activities of the pulse.
        rows, columns: size of the array.
        bits: for each operand and mask, one bit per line of its blocks.

    Raises InputError for blocks outside the array and for bits that are missing, too few or too many.
    """
    for each in activities:
        if each.rows.stop > rows or each.columns.stop > columns:
            raise InputError(f"{each} does not fit into an array of {rows} x {columns}")
    if conflict(*activities):
        return None
    if not activities or isinstance(activities[0], Read):
        word = [0] * rows
        for each in activities:
            if isinstance(each, Read):
                word[each.rows.start : each.rows.stop] = _bits(bits, each.operand, each.rows)
        return Levels(tuple(word), (0,) * columns)
    return _written(activities, rows, columns, bits)


def _written(activities: Sequence[Activity], rows: int, columns: int, bits: Mapping[str, Sequence[int]]) -> Levels:
    """Return the levels of a write. A reset has the levels of a set, counted from the top."""
    word, bit, sets = [1] * rows, [TOP - 1] * columns, True
    for each in activities:
        if isinstance(each, Write):
            sets = bool(each.bit)
            word[each.rows.start : each.rows.stop] = [TOP] * len(each.rows)
            bit[each.columns.start : each.columns.stop] = [0 if chosen else TOP - 1 for chosen in _bits(bits, each.mask, each.columns)]
    found = Levels(tuple(word), tuple(bit))
    return found if sets else Levels(tuple(TOP - level for level in word), tuple(TOP - level for level in bit))


def _bits(bits: Mapping[str, Sequence[int]], name: str, lines: range) -> list[int]:
    found = list(bits.get(name, ()))
    if len(found) != len(lines) or any(bit not in (0, 1) for bit in found):
        raise InputError(f"{name!r} must have {len(lines)} bits, one for each of lines {lines.start}-{lines.stop - 1}, got {found[:16]}")
    return found


def _clash(first: Activity, second: Activity) -> str | None:
    """Return why two activities can never share a pulse, whatever else is active, or None."""
    both = f"{first} and {second}"
    if isinstance(first, Read) != isinstance(second, Read):
        return f"{both}: a word line that writes would feed the bit lines being read"
    rows, columns = _overlap(first.rows, second.rows), _overlap(first.columns, second.columns)
    if rows and columns:
        return f"{both} share cells"
    if isinstance(first, Read) and isinstance(second, Read):
        if rows and (first.operand, first.rows) != (second.operand, second.rows):
            return f"{both} share word lines, which would carry different bits"
        return f"{both} share bit lines but not their sum" if columns and first.sum != second.sum else None
    if isinstance(first, Write) and isinstance(second, Write):
        if first.bit != second.bit:
            return f"{both}: cells that one excludes, the other would write"
        if columns and (first.mask, first.columns) != (second.mask, second.columns):
            return f"{both} share bit lines, which would carry different masks"
    return None


def _crossing(activities: Sequence[Activity]) -> str:
    """Return a message naming two activities whose word lines and bit lines meet outside all activities."""
    for first in activities:
        for second in activities:
            covered = sum(len(_shared(each.rows, first.rows)) * len(_shared(each.columns, second.columns)) for each in activities)
            if covered < len(first.rows) * len(second.columns):
                does = "feed the bit lines being read" if isinstance(first, Read) else "be written"
                return f"{first} and {second}: cells where word lines of the first meet bit lines of the second would {does}"
    raise AssertionError("the activities fill their product")


def _lines(activities: Sequence[Activity]) -> tuple[set[int], set[int]]:
    return {row for each in activities for row in each.rows}, {column for each in activities for column in each.columns}


def _shared(first: range, second: range) -> range:
    return range(max(first.start, second.start), min(first.stop, second.stop))


def _overlap(first: range, second: range) -> bool:
    return bool(_shared(first, second))
