"""Bar charts, one row per layer or component, legible with 5 rows or 300."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossloom.report.figures.sheet import CHARACTER
from crossloom.report.names import printable, shorten
from crossloom.report.palette import MUTED
from crossloom.units import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.2
"""Height of a row if there is room (inches)."""
APART = 0.155
"""Minimum distance between two labels (inches)."""
TALLEST = 8.5
"""Total height beyond which rows get thinner (inches)."""
TOOLTIP = "tooltip:"
"""Prefix of the id of a bar; the rest of the id is its tooltip."""


@dataclass(frozen=True)
class Rows:
    """Named rows on a sheet of a given width.

    If there are many, the rows get thin and only some are labelled: first the row named `first`, then those with the largest
    weights, as far as there is room.
    """

    names: Sequence[str]
    weights: Sequence[float]
    width: float
    first: str = ""

    @property
    def pitch(self) -> float:
        """Height of one row (inches)."""
        return min(ROW, max(0.032, TALLEST / max(1, len(self.names))))

    @property
    def height(self) -> float:
        """Height of all rows (inches)."""
        return max(ROW, self.pitch * len(self.names))

    @property
    def thickness(self) -> float:
        """Thickness of a bar, as a share of its row."""
        return 0.72 if self.pitch >= APART else 0.92

    @property
    def letters(self) -> int:
        """Length of the longest label, limited by the width (characters)."""
        return min(max((len(name) for name in self.names), default=0), 30 if self.width > 6 else 17)

    @property
    def margin(self) -> float:
        """Width of the labels (inches)."""
        return self.letters * CHARACTER + 0.12

    @property
    def labelled(self) -> list[int]:
        """The rows with a label, none too close to another."""
        order = sorted(range(len(self.names)), key=lambda row: (self.names[row] != self.first, -self.weights[row], row))
        chosen: list[int] = []
        for row in order:
            if all(abs(row - other) * self.pitch >= APART for other in chosen):
                chosen.append(row)
        return sorted(chosen)

    def label(self, axes: Axes) -> None:
        """Place the rows and write their names beside the axes."""
        self.place(axes)
        axes.set_yticks(self.labelled, [shorten(self.names[row], self.letters) for row in self.labelled], fontsize=8)

    def place(self, axes: Axes) -> None:
        """Put the first row at the top and the last at the bottom."""
        axes.set_ylim(max(1, len(self.names)) - 0.5, -0.5)

    def values(self, axes: Axes, ends: Sequence[float], texts: Sequence[str]) -> None:
        """Write a text after the end of each labelled row."""
        for row in self.labelled:
            axes.annotate(
                texts[row], (ends[row], row), (4, 0), textcoords="offset points", va="center", fontsize=7.5, color=MUTED, annotation_clip=False
            )


def bar(axes: Axes, row: int, start: float, length: float, *, thickness: float, colour: str, tooltip: str = "") -> None:
    """Draw one bar."""
    from matplotlib.patches import Rectangle

    drawn = Rectangle((start, row - thickness / 2), length, thickness, color=colour, linewidth=0, clip_on=False)
    axes.add_patch(drawn)
    if tooltip:
        drawn.set_gid(TOOLTIP + printable(tooltip))


def stack(axes: Axes, row: int, name: str, values: Mapping[str, float], tint: Mapping[str, str], *, unit: str, thickness: float = 0.72) -> None:
    """Draw one row of stacked bars."""
    left = 0.0
    for part, value in values.items():
        if value > 0:
            bar(axes, row, left, value, thickness=thickness, colour=tint[part], tooltip=f"{name}: {part} {show(value, unit)}")
            left += value


def measure(axes: Axes, largest: float, unit: str, ticks: int) -> None:
    """Scale the axis from zero to the largest value, with ticks in the unit, or as counts if there is no unit."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, largest or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value, unit, 3) if unit else f"{value:,.0f}"))
