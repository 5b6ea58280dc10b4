"""Derivation of the rule of `biasing` by exhaustive search, from the voltages that each cell may see.

Lines that cross the same activities and carry the same bits form a class, and one level suffices for the class. Each pair of a class of word
lines and a class of bit lines is a kind of cell, with the set of differences that it may see. Levels are searched over all classes, bits and
signs of the sums, without using the rule. One class in each direction crosses no activity: the lines that are left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from crossloom.engine.in_array.biasing import TOP, Activity, Read, Write


@dataclass(frozen=True, slots=True)
class Line:
    """A class of lines.

    Attributes:
        crosses: indices of the activities that the lines cross.
        ones: those whose bit is 1 on this line: reads on a word line, writes on a bit line.
    """

    crosses: frozenset[int]
    ones: frozenset[int]


Found = dict[Line, int]


def derive(activities: Sequence[Activity], top: int = TOP, *, erased: bool = False) -> tuple[Found, Found] | None:
    """Return levels for all classes of word lines and of bit lines, or None if there are none.

    Args:
        activities: all activities of a pulse; only a few, as the search is exhaustive.
        top: number of levels up to V; an unselected cell withstands one. 3 means thirds, 2 halves.
        erased: whether cells that belong to no activity, where a word line of one meets a bit line of another, disturb no sum.
    """
    rows, columns = list(_classes(activities, True)), list(_classes(activities, False))
    sums = sorted({each.sum for each in activities if isinstance(each, Read)})
    for signs in product((1, -1), repeat=len(sums)):
        sign = dict(zip(sums, signs, strict=True))
        allowed = {(row, column): _differences(activities, row, column, sign, top, erased) for row in rows for column in columns}
        if all(allowed.values()) and (found := _search(rows, dict.fromkeys(columns, frozenset(range(top + 1))), allowed, top)):
            return found
    return None


def _classes(activities: Sequence[Activity], words: bool) -> Iterator[Line]:
    """Yield the classes of word lines or of bit lines: for each set of activities crossed by some line, all bits that it may carry."""
    ranges = [each.rows if words else each.columns for each in activities]
    starts = {end for lines in ranges for end in (lines.start, lines.stop)}
    for crosses in {frozenset(k for k, lines in enumerate(ranges) if start in lines) for start in starts} | {frozenset[int]()}:
        keys = {k: key for k in crosses if (key := _data(activities[k], words))}
        names = sorted(set(keys.values()))
        for bits in product((False, True), repeat=len(names)):
            value = dict(zip(names, bits, strict=True))
            yield Line(crosses, frozenset(k for k, key in keys.items() if value[key]))


def _data(activity: Activity, words: bool) -> tuple[str, int, int] | None:
    """Return the name of the bit that an activity puts on its word or bit lines, if any; equal names are equal bits."""
    if isinstance(activity, Read):
        return (activity.operand, activity.rows.start, activity.rows.stop) if words else None
    return None if words else (activity.mask, activity.columns.start, activity.columns.stop)


def _differences(activities: Sequence[Activity], row: Line, column: Line, sign: dict[str, int], top: int, erased: bool) -> frozenset[int]:
    """Return the differences that a cell may see, in levels."""
    owners = row.crosses & column.crosses
    if len(owners) > 1:  # a cell serves one activity
        return frozenset()
    found, sum_here = frozenset((-1, 0, 1)), None
    for k in owners:
        owner = activities[k]
        if isinstance(owner, Write):
            found = frozenset((top if owner.bit else -top,)) if k in column.ones else found
        else:
            found, sum_here = frozenset((sign[owner.sum] if k in row.ones else 0,)), owner.sum
    if erased and row.crosses and not owners:
        return found
    for k in column.crosses:
        reader = activities[k]
        if isinstance(reader, Read) and reader.sum != sum_here:
            found &= {0}
    return found


def _search(
    rows: list[Line], open_: dict[Line, frozenset[int]], allowed: dict[tuple[Line, Line], frozenset[int]], top: int
) -> tuple[Found, Found] | None:
    """Return levels for `rows` and for the columns, given the columns' possible levels, or None. Columns are independent of each other."""
    if not rows:
        return {}, {column: min(left) for column, left in open_.items()}
    row, *rest = rows
    for level in range(top + 1):
        left = {column: frozenset(other for other in each if level - other in allowed[row, column]) for column, each in open_.items()}
        if all(left.values()) and (found := _search(rest, left, allowed, top)):
            return {row: level, **found[0]}, found[1]
    return None
