"""Turns that nobody needs, given to those who can use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from crossloom.program.floorplan import FloorPlan, Laid, Layout, Turns

MOST_BLOCKS = 64
"""Blocks of an array among which it is looked who crosses whom where; in fuller ones all keep apart."""


def with_more_turns(floor: FloorPlan, turns: Mapping[str, Turns]) -> dict[str, Turns]:
    """Return the turns of each stage, with periods halved as long as stages that must keep apart still never have the same turn.

    A packing gives a stage no more turns than it needs for a full pipeline. Where nobody else uses its lines, more of them make a single
    inference faster. The longest periods come first.
    """
    apart: dict[str, set[str]] = {}
    for layout in floor.layouts:
        for first, second in _apart(layout):
            apart.setdefault(first, set()).add(second)
            apart.setdefault(second, set()).add(first)
    found = dict(turns)
    for stage in sorted(found, key=lambda name: -found[name].period):
        while found[stage].period > 1:
            period = found[stage].period // 2
            more = Turns(period, found[stage].phase % period, found[stage].length_s)
            if any(more.meet(found[other]) for other in apart.get(stage, ())):
                break
            found[stage] = more
    return found


def _apart(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield the pairs of stages that must not have the same turn: their blocks share a line, are both written, or cross where a third lies."""
    crowded = len(layout.blocks) > MOST_BLOCKS
    for first, second in combinations(layout.blocks, 2):
        if first.stage != second.stage and (
            crowded or first.crosses(second) or (first.block.writes and second.block.writes) or _third(first, second, layout)
        ):
            yield first.stage, second.stage


def _third(first: Laid, second: Laid, layout: Layout) -> bool:
    """Return whether another block lies where word lines of one cross bit lines of the other."""
    return any(
        other is not first and other is not second and any(_meets(other, a, b) for a, b in ((first, second), (second, first)))
        for other in layout.blocks
    )


def _meets(block: Laid, rows: Laid, columns: Laid) -> bool:
    """Return whether a block has cells on word lines of one block and bit lines of another."""
    down = block.row < rows.row + rows.block.rows and rows.row < block.row + block.block.rows
    across = block.column < columns.column + columns.block.columns and columns.column < block.column + block.block.columns
    return down and across
