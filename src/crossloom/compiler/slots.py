"""Reassignment of unused time slots: a stage gets more of them if no other stage uses its lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

from crossloom.program.floorplan import ArrayLayout, FloorPlan, LaidBlock
from crossloom.program.stage import Slots

MOST_BLOCKS = 64
"""Largest number of blocks in an array for which pairwise crossings are checked; in fuller arrays no two stages share a slot."""


def with_more_slots(floor: FloorPlan, slots: Mapping[str, Slots]) -> dict[str, Slots]:
    """Return the slots of each stage, with its period halved as long as stages that exclude each other never have the same slot.

    A packing gives a stage no more slots than a full pipeline needs. If no other stage uses its lines, more slots make a single
    inference faster. The longest periods are halved first.
    """
    apart: dict[str, set[str]] = {}
    for layout in floor.layouts:
        for first, second in _apart(layout):
            apart.setdefault(first, set()).add(second)
            apart.setdefault(second, set()).add(first)
    found = dict(slots)
    for stage in sorted(found, key=lambda name: -found[name].period):
        while found[stage].period > 1:
            period = found[stage].period // 2
            more = replace(found[stage], period=period, phase=found[stage].phase % period)
            if any(more.meet(found[other]) for other in apart.get(stage, ())):
                break
            found[stage] = more
    return found


def _apart(layout: ArrayLayout) -> Iterator[tuple[str, str]]:
    """Yield the pairs of stages that exclude each other: their blocks share a line, are both written, or cross where a third block lies."""
    crowded = len(layout.blocks) > MOST_BLOCKS
    for first, second in combinations(layout.blocks, 2):
        if first.stage != second.stage and (
            crowded or first.crosses(second) or (first.block.writes and second.block.writes) or _third(first, second, layout)
        ):
            yield first.stage, second.stage


def _third(first: LaidBlock, second: LaidBlock, layout: ArrayLayout) -> bool:
    """Return whether another block lies where word lines of one cross bit lines of the other."""
    return any(
        other is not first and other is not second and any(_meets(other, a, b) for a, b in ((first, second), (second, first)))
        for other in layout.blocks
    )


def _meets(block: LaidBlock, rows: LaidBlock, columns: LaidBlock) -> bool:
    """Return whether a block has cells on word lines of one block and bit lines of another."""
    down = block.row < rows.row + rows.block.rows and rows.row < block.row + block.block.rows
    across = block.column < columns.column + columns.block.columns and columns.column < block.column + block.block.columns
    return down and across
