"""Activity of shared arrays over one inference: the share of active cells, overall and for each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossloom.report.figures.rows import TOOLTIP, Rows, measure
from crossloom.report.figures.sheet import Sheet, legend_height
from crossloom.report.names import printable
from crossloom.report.numbers.activity import Strip, runs, strip
from crossloom.report.numbers.breakdown import layer_name
from crossloom.report.numbers.floorplan import role_colour, role_name, slot_words
from crossloom.report.numbers.headline import percent
from crossloom.report.palette import HIGHLIGHT, PLAIN_LIGHT, STATIC
from crossloom.units import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crossloom.job.result import Result

CURVE = 1.1
"""Height of the curve (inches)."""
SCALE = 0.5
"""Width of the scale beside the curve (inches)."""
CURVES = {"this inference": STATIC, "a full pipeline": PLAIN_LIGHT, "mean of a full pipeline": HIGHLIGHT}
FAINTEST = 0.15
"""Opacity of the least active bin."""


def activity_figure(result: Result, width: float) -> Figure:
    """Return the share of active cells over one inference, and below it a strip for each stage."""
    found = strip(result)
    names = [layer_name(result.program, each.stage) for each in found.stages]
    rows = Rows(names, [each.cells for each in found.stages], width)
    roles = {role_name(role): role_colour(role) for role in dict.fromkeys(each.role for each in found.stages)}
    curve = 0.32 + legend_height(CURVES, width) + 0.12
    second = curve + CURVE + 0.22
    top = second + legend_height(roles, width) + 0.3
    sheet = Sheet.of(width, top + rows.height + 0.3, "Active cells" + (", as a share of occupied cells" if width > 6 else ""))
    sheet.legend(0.32, CURVES)
    margin = max(rows.margin, SCALE)
    room = width - margin - 0.3
    _curve(sheet.axes(margin, curve, room, CURVE), found, result.utilization["temporal"])
    sheet.text(0.02, second - 0.04, "Active blocks by layer", fontweight="bold")
    sheet.legend(second + 0.16, roles)
    axes = sheet.axes(margin, top + 0.06, room, rows.height)
    for row in range(len(names)):
        _strip(axes, row, rows, found)
    measure(axes, result.latency, "s", 8 if width > 6 else 4)
    rows.label(axes)
    return sheet.figure


def _curve(axes: Axes, found: Strip, mean: float) -> None:
    """Draw the share of active cells: in a full pipeline, and due to this inference."""
    axes.stairs(found.pipeline, found.edges_s, fill=True, color=PLAIN_LIGHT, linewidth=0)
    axes.stairs(found.alone, found.edges_s, fill=True, color=STATIC, linewidth=0)
    axes.axhline(mean, color=HIGHLIGHT, linewidth=1, linestyle=(0, (4, 2)))
    axes.set_xlim(found.edges_s[0], found.edges_s[-1])
    axes.set_xticks([])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])


def _strip(axes: Axes, row: int, rows: Rows, found: Strip) -> None:
    """Draw one stage's bins; the larger the share of active time, the stronger the colour."""
    from matplotlib.patches import Rectangle

    stage = found.stages[row]
    for first, last, value in runs(found.shares[row]):
        begin, end = float(found.edges_s[first]), float(found.edges_s[last])
        strength = FAINTEST + (1 - FAINTEST) * min(1.0, value)
        drawn = Rectangle((begin, row - rows.thickness / 2), end - begin, rows.thickness, alpha=strength, linewidth=0, clip_on=False)
        drawn.set_facecolor(role_colour(stage.role))
        text = (
            f"{rows.names[row]}: active {percent(min(1.0, value))} of the time from {show(begin, 's')} to {show(end, 's')}, {slot_words(stage.slots)}"
        )
        drawn.set_gid(TOOLTIP + printable(text))
        axes.add_patch(drawn)
