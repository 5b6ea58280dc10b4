"""The sections of the report on arrays that several stages share: what lies where, when it is at work, and one array closely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossloom.program.floorplan import FloorPlan
from crossloom.report.figures.floorplan import letters
from crossloom.report.numbers.activity import activity, slots_of
from crossloom.report.numbers.breakdown import layer_name, share
from crossloom.report.numbers.floorplan import Look, fullest, looks, role_name, slot_words, totals
from crossloom.report.numbers.headline import percent, plural
from crossloom.report.page.model import Cell, Column, Section, Table, cells, counted, numbers, percentage, quantity, text
from crossloom.report.page.picture import picture_of
from crossloom.units import show

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.program.program import Program

NAMED = 4
"""Stages that a line of a table names."""


def floor_sections(result: Result) -> tuple[Section, ...]:
    """Return the sections on shared arrays; none where each array is one stage's."""
    floor = result.program.floor
    return () if floor is None else (_plan(result, floor), _time(result), _array(result, floor))


def _plan(result: Result, floor: FloorPlan) -> Section:
    """Return which blocks lie where."""
    found = looks(floor)
    blocks = sum(layout.count * len(layout.blocks) for layout in floor.layouts)
    most = max(len(layout.blocks) for layout in floor.layouts)
    alone = sum(layout.count for layout in floor.layouts if len(layout.blocks) == 1)
    sentences = (
        f"{plural(blocks, 'block')} of cells lie in {plural(floor.arrays, 'array')}, up to {most} in one; {plural(alone, 'array')} hold only one block.",
        "Blocks of one array that share a word line or a bit line are at work in different slots; others may work at once, "
        "as the cells in which their lines cross are erased.",
    )
    caption = (
        "A look stands for all arrays whose blocks have the same roles, sizes and places. A pale block has cells that hold nothing. "
        "Rest on a block to read whose it is and when it has its slot."
    )
    picture = picture_of(result, "floor", "Floor plan: how the arrays look, with their blocks to scale", caption)
    return Section("floor", "Floor plan", sentences, picture, (_totals(floor), _looks(found, result.program, floor)))


def _totals(floor: FloorPlan) -> Table:
    """Return what the cells of all arrays do."""
    whole, found = floor.arrays * floor.rows * floor.columns, totals(floor)
    rows = [cells((role_name(t.role), counted(t.blocks), counted(t.cells), percentage(share(t.cells, whole)))) for t in found]
    erased = sum(t.enclosed - t.cells for t in found)
    outside = whole - sum(t.enclosed for t in found)
    for name, count in (("erased, inside blocks", erased), ("outside of blocks", outside)):
        rows.append(cells((name, Cell("–", 0.0), counted(count), percentage(share(count, whole)))))
    columns = (*text("what cells do"), *numbers("blocks", "cells", "share"))
    total = cells((f"all of {plural(floor.arrays, 'array')}", counted(sum(t.blocks for t in found)), counted(whole), percentage(1.0)))
    return Table("floor-table", "Cells of the arrays in use", columns, tuple(rows), total)


def _looks(found: tuple[Look, ...], program: Program, floor: FloorPlan) -> Table:
    """Return how arrays look, in words."""
    each = floor.rows * floor.columns
    rows = tuple(
        cells((_few([layer_name(program, stage) for stage in look.stages]), counted(look.arrays), percentage(look.cells / each), _described(look)))
        for look in found
    )
    columns = (*text("layers"), *numbers("arrays", "cells used"), Column("blocks: rows × columns, from row and column", wide=True))
    return Table("looks-table", "How the arrays look", columns, rows)


def _described(look: Look) -> str:
    alike = (place[0] for place in look.places)
    return "; ".join(f"{role_name(laid.block.role)} {laid.block.rows} × {laid.block.columns} from {laid.row}, {laid.column}" for laid in alike)


def _time(result: Result) -> Section:
    """Return when blocks are at work, and what the shares of use mean."""
    use = result.utilization
    sentences = (
        f"Spatial utilization, {percent(use['spatial'])}: cells that hold something over all cells of the arrays in use.",
        f"Temporal utilization, {percent(use['temporal'])}: the mean share of the time at full rate for which these cells are at work.",
        f"Their product, {percent(use['spatial'] * use['temporal'])}, is cells at work per cycle over all cells of the arrays in use, "
        "which by one reading is what the paper of HURRY calls temporal utilization.",
    )
    caption = (
        "The stronger the colour, the larger the share of the time at work; slots of others count as idle. "
        "The work of a layer is taken as even from its first step to its last. In a full pipeline inferences lie over each other."
    )
    rows = tuple(
        cells(
            (
                layer_name(result.program, each.stage),
                role_name(each.role),
                counted(round(each.cells)),
                slot_words(each.slots),
                *(quantity(value, "s") for value in (each.start_s, each.end_s, each.active_s)),
                percentage(each.share),
            )
        )
        for each in activity(result)
    )
    times = numbers("first slot", "last slot", "at work", "of this span")
    columns = (*text("layer", "role"), *numbers("cells"), *text("slots"), *times)
    table = Table("activity-table", "Blocks of each layer at work", columns, rows)
    return Section(
        "activity", "The plan over time", sentences, picture_of(result, "activity", "Cells at work during one inference", caption), (table,)
    )


def _array(result: Result, floor: FloorPlan) -> Section:
    """Return the array with the most different blocks, and its slots."""
    program, slots = result.program, slots_of(result.program)
    layout = fullest(floor, slots)
    named = list(zip(letters(), layout.blocks, strict=False))
    rows = tuple(
        cells(
            (
                f"{letter}  {layer_name(program, laid.stage)}",
                role_name(laid.block.role),
                Cell(f"{laid.row}–{laid.row + laid.block.rows - 1}", laid.row),
                Cell(f"{laid.column}–{laid.column + laid.block.columns - 1}", laid.column),
                counted(laid.block.cells),
                slot_words(slots[laid.stage]),
                _few([other for other, block in named if block is not laid and laid.crosses(block)]) or "–",
            )
        )
        for letter, laid in named
    )
    columns = (*text("block", "role"), *numbers("rows", "columns", "cells"), *text("slots", "shares a line with"))
    length = show(max(own.length_s for own in slots.values()), "s")
    sentences = (
        "Of all arrays this one has the most different blocks" + (f"; {layout.count - 1:,} more are like it." if layout.count > 1 else "."),
        f"A slot takes {length}. Blocks that share no line may be at work together; of those that do, each has slots of its own.",
    )
    caption = "What lies where, and in which slots a block is at work while its layer has something to do."
    picture = picture_of(result, "array", "One array with its blocks, and the slots of each", caption)
    return Section("array", "One array and its slots", sentences, picture, (Table("array-table", "Blocks of this array", columns, rows),))


def _few(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
