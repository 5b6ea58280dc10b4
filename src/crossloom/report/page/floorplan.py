"""Report sections on shared arrays: the floor plan, activity over time, and one array in detail."""

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
"""Maximum number of stages named in a table row."""


def floor_sections(result: Result) -> tuple[Section, ...]:
    """Return the sections on shared arrays; none where each array belongs to one stage."""
    floor = result.program.floor
    return () if floor is None else (_plan(result, floor), _time(result), _array(result, floor))


def _plan(result: Result, floor: FloorPlan) -> Section:
    """Return the section on the placement of the blocks."""
    found = looks(floor)
    blocks = sum(layout.count * len(layout.blocks) for layout in floor.layouts)
    most = max(len(layout.blocks) for layout in floor.layouts)
    alone = sum(layout.count for layout in floor.layouts if len(layout.blocks) == 1)
    sentences = (
        f"{plural(floor.arrays, 'array')} hold {plural(blocks, 'block')} of cells, up to {most} per array; {plural(alone, 'array')} hold only one.",
        "Blocks of one array that share a word line or a bit line use different time slots. Others may be active in parallel, "
        "because the cells where their lines cross are erased.",
    )
    caption = (
        "Each layout stands for all arrays whose blocks have the same roles, sizes and positions. A pale block has unused cells. "
        "Hover over a block to read its layer and its time slots."
    )
    picture = picture_of(result, "floor", "Floor plan: the layouts of the arrays, with their blocks to scale", caption)
    return Section("floor", "Floor plan", sentences, picture, (_totals(floor), _looks(found, result.program, floor)))


def _totals(floor: FloorPlan) -> Table:
    """Return the table of cells by use, over all arrays."""
    whole, found = floor.arrays * floor.rows * floor.columns, totals(floor)
    rows = [cells((role_name(t.role), counted(t.blocks), counted(t.cells), percentage(share(t.cells, whole)))) for t in found]
    erased = sum(t.enclosed - t.cells for t in found)
    outside = whole - sum(t.enclosed for t in found)
    for name, count in (("erased, inside blocks", erased), ("outside blocks", outside)):
        rows.append(cells((name, Cell("–", 0.0), counted(count), percentage(share(count, whole)))))
    columns = (*text("use of the cells"), *numbers("blocks", "cells", "share"))
    total = cells((f"all of {plural(floor.arrays, 'array')}", counted(sum(t.blocks for t in found)), counted(whole), percentage(1.0)))
    return Table("floor-table", "Cells of the arrays in use", columns, tuple(rows), total)


def _looks(found: tuple[Look, ...], program: Program, floor: FloorPlan) -> Table:
    """Return the table of array layouts."""
    each = floor.rows * floor.columns
    rows = tuple(
        cells((_few([layer_name(program, stage) for stage in look.stages]), counted(look.arrays), percentage(look.cells / each), _described(look)))
        for look in found
    )
    columns = (*text("layers"), *numbers("arrays", "cells used"), Column("blocks: rows × columns, from row and column", wide=True))
    return Table("looks-table", "Array layouts", columns, rows)


def _described(look: Look) -> str:
    alike = (place[0] for place in look.places)
    return "; ".join(f"{role_name(laid.block.role)} {laid.block.rows} × {laid.block.columns} from {laid.row}, {laid.column}" for laid in alike)


def _time(result: Result) -> Section:
    """Return the section on the activity of the blocks, with the definitions of utilization."""
    use = result.utilization
    sentences = (
        f"Spatial utilization, {percent(use['spatial'])}: occupied cells over all cells of the arrays in use.",
        f"Temporal utilization, {percent(use['temporal'])}: the mean share of the time at full rate for which these cells are active.",
        f"Their product, {percent(use['spatial'] * use['temporal'])}, is active cells per cycle over all cells of the arrays in use. "
        "On one reading, this is what the HURRY paper calls temporal utilization.",
    )
    caption = (
        "The stronger the colour, the larger the share of active time; time slots of other layers count as idle. "
        "The work of a layer is assumed to be spread evenly from its first step to its last. In a full pipeline, inferences overlap."
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
    times = numbers("first slot", "last slot", "active", "share of span")
    columns = (*text("layer", "role"), *numbers("cells"), *text("slots"), *times)
    table = Table("activity-table", "Activity of each layer's blocks", columns, rows)
    return Section(
        "activity", "Activity over time", sentences, picture_of(result, "activity", "Active cells during one inference", caption), (table,)
    )


def _array(result: Result, floor: FloorPlan) -> Section:
    """Return the section on the array with the most distinct blocks, and its time slots."""
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
        "Of all arrays, this one has the most distinct blocks" + (f"; {layout.count - 1:,} more are identical." if layout.count > 1 else "."),
        f"A slot takes {length}. Blocks that share no line may be active in parallel; blocks that share one have separate slots.",
    )
    caption = "The placement of the blocks, and the slots in which a block is active while its layer has work."
    picture = picture_of(result, "array", "One array with its blocks, and the time slots of each", caption)
    return Section("array", "One array and its time slots", sentences, picture, (Table("array-table", "Blocks of this array", columns, rows),))


def _few(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
