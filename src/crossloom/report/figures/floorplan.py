"""Pictures of a floor plan: every array layout with its blocks to scale, and one array with the time slots of its blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crossloom.program.floorplan import ArrayLayout, FloorPlan, LaidBlock
from crossloom.program.stage import Slots
from crossloom.report.figures.rows import TOOLTIP, Rows, bar, measure
from crossloom.report.figures.sheet import CHARACTER, Sheet, legend_height
from crossloom.report.names import printable, shorten
from crossloom.report.numbers.activity import slots_of
from crossloom.report.numbers.breakdown import layer_name
from crossloom.report.numbers.floorplan import Look, frame, fullest, looks, most_used, role_colour, role_name, slot_words, totals
from crossloom.report.numbers.headline import percent, plural
from crossloom.report.palette import FAINT, INK, MUTED, SURFACE
from crossloom.units import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crossloom.program.program import Program

SHOWN = 40
"""Maximum number of layouts drawn; those with the fewest arrays are only counted."""
SIDE = 1.0
"""Side of a small array (inches)."""
APART = 0.17
"""Space between two small arrays (inches)."""
BELOW = 0.58
"""Height of the text below a small array (inches)."""
LARGE = 3.1
"""Side of the large array (inches)."""
SLOTS = 16
"""Minimum number of slots drawn."""
LETTER = 0.17
"""Side of the field with a block's letter (inches)."""
FREE = "free or erased cells"
EDGE, THIN = 0.5, 0.04
"""Edge thickness of a block (points), and the side (inches) below which a block has no edge."""
NAMED = 6
"""Maximum number of stages named in a tooltip."""


def floor_figure(program: Program, floor: FloorPlan, width: float) -> Figure:
    """Return the arrays of a floor plan, with each layout drawn once."""
    every = looks(floor)
    shown = most_used(every, SHOWN)
    entries = {role_name(total.role): role_colour(total.role) for total in totals(floor)} | {FREE: FAINT}
    across = max(1, int((width + APART) / (SIDE + APART)))
    top = 0.32 + legend_height(entries, width) + 0.12
    down = -(-len(shown) // across)
    left_out = sum(look.arrays for look in every) - sum(look.arrays for look in shown)
    height = top + down * (SIDE + BELOW) + (0.2 if left_out else 0.0)
    sheet = Sheet.of(width, height, f"{plural(floor.arrays, 'array')} of {floor.rows} × {floor.columns} cells")
    sheet.legend(0.32, entries)
    axes = _canvas(sheet)
    for place, look in enumerate(shown):
        left, line = (place % across) * (SIDE + APART), place // across
        _look(sheet, axes, (left, top + line * (SIDE + BELOW)), look, program, floor)
    if left_out:
        sheet.text(0.02, height - 0.2, f"and {plural(len(every) - len(shown), 'other layout')}, {plural(left_out, 'array')}", fontsize=8, color=MUTED)
    return sheet.figure


def _canvas(sheet: Sheet) -> Axes:
    """Return axes over the whole sheet, in inches from its upper left corner."""
    axes = sheet.axes(0, 0, sheet.width, sheet.height)
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    axes.axis("off")
    return axes


def _look(sheet: Sheet, axes: Axes, corner: tuple[float, float], look: Look, program: Program, floor: FloorPlan) -> None:
    """Draw one array layout and the text below it."""
    used = f"{percent(look.cells / (floor.rows * floor.columns))} used"
    _rectangle(axes, (*corner, SIDE, SIDE), FAINT, 1.0, f"{plural(look.arrays, 'array')}, {used}")
    for alike in look.places:
        _block(axes, corner, SIDE, alike, program, floor)
    left, below = corner[0], corner[1] + SIDE
    names = [layer_name(program, stage) for stage in look.stages]
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    sheet.text(left, below + 0.04, plural(look.arrays, "array"), fontsize=8)
    sheet.text(left, below + 0.18, used, fontsize=7.5, color=MUTED)
    sheet.text(left, below + 0.32, shorten(names[0], int((SIDE + APART) / CHARACTER) - 1 - len(more)) + more, fontsize=7.5, color=MUTED)


def _block(axes: Axes, corner: tuple[float, float], side: float, alike: tuple[LaidBlock, ...], program: Program, floor: FloorPlan) -> None:
    """Draw a block to scale in an array with a given upper left corner; the fewer of its cells are occupied, the paler it is."""
    laid, block = alike[0], alike[0].block
    left, top = corner[0] + side * laid.column / floor.columns, corner[1] + side * laid.row / floor.rows
    box = left, top, side * block.columns / floor.columns, side * block.rows / floor.rows
    tooltip = "; ".join((_whose(alike, program), _size(laid)))
    _rectangle(axes, box, SURFACE, 1.0)
    _rectangle(axes, box, role_colour(block.role), _strength(laid), tooltip, edge=EDGE if min(box[2:]) > THIN else 0.0)


def _strength(laid: LaidBlock) -> float:
    return 0.4 + 0.6 * laid.block.cells / (laid.block.rows * laid.block.columns)


def _whose(alike: tuple[LaidBlock, ...], program: Program) -> str:
    """Return the stages of identical blocks, with their slots."""
    slots = slots_of(program)
    stages = list(dict.fromkeys(laid.stage for laid in alike))
    named = ", ".join(f"{layer_name(program, stage)} ({slot_words(slots[stage])})" for stage in stages[:NAMED])
    return named + (f" and {len(stages) - NAMED} more" if len(stages) > NAMED else "")


def _size(laid: LaidBlock) -> str:
    block = laid.block
    held = block.cells / (block.rows * block.columns)
    return f"{role_name(block.role)}, {block.rows} rows × {block.columns} columns, {percent(held)} of the cells occupied"


def _rectangle(axes: Axes, box: tuple[float, float, float, float], colour: str, strength: float, tooltip: str = "", edge: float = 0.0) -> None:
    """Draw a rectangle (left, top, width, height) with an edge (points) that separates it from its neighbour."""
    from matplotlib.patches import Rectangle

    left, top, width, height = box
    drawn = Rectangle((left, top), width, height, facecolor=colour, edgecolor=SURFACE, linewidth=edge, clip_on=False)
    drawn.set_alpha(strength if strength < 1 else None)
    axes.add_patch(drawn)
    if tooltip:
        drawn.set_gid(TOOLTIP + printable(tooltip))


def array_figure(program: Program, floor: FloorPlan, width: float) -> Figure:
    """Return the array with the most distinct blocks, and the slots in which each of them is active."""
    slots = slots_of(program)
    layout = fullest(floor, slots)
    names = [f"{letter}  {layer_name(program, laid.stage)}" for letter, laid in zip(letters(), layout.blocks, strict=False)]
    rows = Rows(names, [1.0] * len(names), width if width < 6 else width - LARGE - 0.6)
    beside = width > 6
    strip_left = LARGE + 0.5 if beside else 0.0
    strip_top = 0.75 if beside else LARGE + 1.25
    sheet = Sheet.of(width, max(LARGE + 0.75, strip_top + rows.height + 0.35), _title(layout, beside))
    axes = _canvas(sheet)
    _large(sheet, axes, (0.02, 0.42), layout, program, floor)
    length = show(max(own.length_s for own in slots.values()), "s")
    sheet.text(strip_left, strip_top - 0.32, f"Slots of {length}" + ("; filled if the block is active" if beside else ""), fontweight="bold")
    strip = sheet.axes(strip_left + rows.margin, strip_top, width - strip_left - rows.margin - 0.1, rows.height)
    _slots(strip, rows, layout, slots)
    return sheet.figure


def _title(layout: ArrayLayout, wide: bool) -> str:
    many = f", as in {layout.count - 1:,} more" if layout.count > 1 else ""
    return f"One array with {plural(len(layout.blocks), 'block')}" + (many if wide else "")


def letters() -> Iterator[str]:
    """Yield A to Z, then A2 to Z2 and so on."""
    slot = 1
    while True:
        yield from (chr(ord("A") + place) + (str(slot) if slot > 1 else "") for place in range(26))
        slot += 1


def _large(sheet: Sheet, axes: Axes, corner: tuple[float, float], layout: ArrayLayout, program: Program, floor: FloorPlan) -> None:
    """Draw an array, with a letter on each block that has room for one."""
    left, top = corner
    _rectangle(axes, (left, top, LARGE, LARGE), FAINT, 1.0, "free cells")
    for letter, laid in zip(letters(), layout.blocks, strict=False):
        _block(axes, corner, LARGE, (laid,), program, floor)
        _letter(sheet, axes, corner, letter, laid, floor)
    sheet.text(left, top + LARGE + 0.05, f"{floor.rows} word lines run from left to right, {floor.columns} bit lines down", fontsize=7.5, color=MUTED)


def _letter(sheet: Sheet, axes: Axes, corner: tuple[float, float], letter: str, laid: LaidBlock, floor: FloorPlan) -> None:
    """Write a block's letter at its centre, on a background field."""
    block, side = laid.block, LETTER * (1 + 0.4 * (len(letter) - 1))
    width, height = LARGE * block.columns / floor.columns, LARGE * block.rows / floor.rows
    if width < side + 0.02 or height < LETTER + 0.02:
        return
    x = corner[0] + LARGE * laid.column / floor.columns + width / 2
    y = corner[1] + LARGE * laid.row / floor.rows + height / 2
    _rectangle(axes, (x - side / 2, y - LETTER / 2, side, LETTER), SURFACE, 1.0)
    sheet.text(x, y, letter, ha="center", va="center", fontsize=8, fontweight="bold", color=INK)


def _slots(axes: Axes, rows: Rows, layout: ArrayLayout, slots: dict[str, Slots]) -> None:
    """Draw a row for each block, filled in its active slots."""
    count = max(SLOTS, frame(layout, slots))
    for row, laid in enumerate(layout.blocks):
        own = slots[laid.stage]
        bar(axes, row, 0, count, thickness=rows.thickness, colour=FAINT)
        for slot in range(own.phase, count, own.period):
            bar(
                axes,
                row,
                slot + 0.06,
                0.88,
                thickness=rows.thickness,
                colour=role_colour(laid.block.role),
                tooltip=f"{rows.names[row]}: {slot_words(own)}",
            )
    measure(axes, count, "", 8)
    rows.label(axes)
