"""Which blocks of an array may be active in one pulse, and the levels of the lines.

Every word line and every bit line is held at one of four levels during a pulse, in thirds of the voltage V that sets a cell:
0, 1, 2, 3. A cell sees d = level of its word line − level of its bit line.

* A cell that is to be set sees d = 3, one that is to be reset d = −3.
* A cell that is read sees d = 0 for an input bit 0 and d = s for a 1, with s = 1 or −1 the same for all cells of a sum.
* A bit line that is read carries its sum alone: d = 0 at each of its cells outside the blocks of the sum.
* Every other cell sees |d| ≤ 1: V/3, which it withstands.

A driver knows what the pulse is and the bit of its own line: the operand's bit on a word line, the mask's on a bit line. Any pattern of these
bits may come, so that the conditions hold for every pair of bits of a word line and a bit line.

There is no transistor in series with a cell, so every word line reaches every bit line. Hence, with *the product* of a pulse all cells
where a word line of any of its activities meets a bit line of any of them:

* A driven word line takes two levels, for its bits 0 and 1, so d is not 0 for one of them on any bit line. **A bit line that is read may meet
  no driven word line outside the blocks of its sum**: reads fill their product. Two reads alone share all their word lines (and the
  operand) or all their bit lines (and the sum). Two blocks that lie diagonally do not go together, although they share no line: the word
  lines of one drive current through the cells on its crossing with the bit lines of the other, whatever these cells hold.
* In a set, a selected word line at 3 and a selected bit line at 0 select the cell between them; in a reset likewise. **Writes fill their product,
  too.** Two writes alone share all their word lines (with any masks) or all their bit lines (and the mask).
* **A set and a read exclude each other.** The set's word line must feed no bit line that is read, so those stand at 3, and word lines with
  an input bit 0 as well; but then these set cells in the selected bit lines, which are at 0. In a reset, the same mirrored.
* **A set and a reset exclude each other.** A bit line that the set's mask leaves out stands within 1 of the set's word lines, at 2 or 3; the word
  lines of the reset, at 0, would give its cells 2 or more.

Three activities may go together although two of them alone do not: diagonal blocks whose crossings are filled by the others. The converse
does not happen: where every pair goes together, all do, as they share either all their word lines or all their bit lines.

**Erased crossings.** Reads on a diagonal do go together where the cells on their crossings belong to nobody and are erased. What these add to
a sum is the current of erased cells, d · G_off for each driven word line, the same in every bit line; a block's own cells that hold 0 add
the like. Read against one bit line of erased cells beside the array, which all driven word lines cross, all of it falls out. That is how reads of
several layers share a pulse here, at the price of the cells on their crossings; without such a bit line, they may not.

None of this rests on thirds but the last point, nor on whether lines are left over. If cells withstood V/2, levels of halves would let
one set and one reset of blocks that share no line go together (all other lines at V/2), and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from crossloom.errors import InputError

TOP = 3
"""The highest level: V, in steps of what a cell withstands."""


@dataclass(frozen=True, slots=True)
class ArrayRegion:
    """A rectangle of cells. Raises InputError where it is empty or has gaps."""

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
    """Word lines driven with the bits of an operand, bit lines sensed.

    Attributes:
        operand: names the bits; the same name in the same rows is the same bits.
        sum: names what the bit lines' currents are; reads of one sum add up where they share bit lines.
    """

    operand: str
    sum: str

    def __str__(self) -> str:
        return f"the read of {ArrayRegion.__str__(self)}"


@dataclass(frozen=True, slots=True)
class Write(ArrayRegion):
    """All word lines selected, and the bit lines that a mask names.

    Attributes:
        mask: names the mask's bits; the same name in the same columns is the same bits.
        bit: what the selected cells hold afterwards: 1 for a set, 0 for a reset.
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
    """Return why activities cannot share a pulse, or None if levels exist for all data. One activity alone never conflicts.

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
    """Return the levels of an array's lines in a pulse, or None where the activities conflict.

    Bit lines without a part in a read are held at 0 as well, so that nothing flows where a word line is not driven.

    Args:
        activities: all of the pulse.
        rows, columns: of the array.
        bits: for each operand and mask, one bit for each line of its blocks.

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
    """Return the levels of a set; those of a reset are the same, counted from the top."""
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
    """Return why two activities never share a pulse, whatever else is active."""
    both = f"{first} and {second}"
    if isinstance(first, Read) != isinstance(second, Read):
        return f"{both}: a word line that writes would feed the bit lines that are read"
    rows, columns = _overlap(first.rows, second.rows), _overlap(first.columns, second.columns)
    if rows and columns:
        return f"{both} share cells"
    if isinstance(first, Read) and isinstance(second, Read):
        if rows and (first.operand, first.rows) != (second.operand, second.rows):
            return f"{both} share word lines, which would carry different bits"
        return f"{both} share bit lines, but not their sum" if columns and first.sum != second.sum else None
    if isinstance(first, Write) and isinstance(second, Write):
        if first.bit != second.bit:
            return f"{both}: what one leaves out, the other would write"
        if columns and (first.mask, first.columns) != (second.mask, second.columns):
            return f"{both} share bit lines, which would carry different masks"
    return None


def _crossing(activities: Sequence[Activity]) -> str:
    """Return which two activities have word lines and bit lines that meet outside all of them."""
    for first in activities:
        for second in activities:
            covered = sum(len(_shared(each.rows, first.rows)) * len(_shared(each.columns, second.columns)) for each in activities)
            if covered < len(first.rows) * len(second.columns):
                does = "feed the bit lines that are read" if isinstance(first, Read) else "be written"
                return f"{first} and {second}: cells where word lines of the first meet bit lines of the second would {does}"
    raise AssertionError("the activities fill their product")


def _lines(activities: Sequence[Activity]) -> tuple[set[int], set[int]]:
    return {row for each in activities for row in each.rows}, {column for each in activities for column in each.columns}


def _shared(first: range, second: range) -> range:
    return range(max(first.start, second.start), min(first.stop, second.stop))


def _overlap(first: range, second: range) -> bool:
    return bool(_shared(first, second))
