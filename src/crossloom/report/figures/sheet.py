"""Matplotlib figure in the project's style, measured in inches from its top left corner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossloom.errors import InputError
from crossloom.report.names import shorten
from crossloom.report.palette import FAINT, INK, MUTED, SURFACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "crossloom",
}
CHARACTER = 0.071
"""Generous width of a text character (inches)."""
LINE = 0.2
"""Height of a legend line (inches)."""


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style, regardless of the user's settings. Raises InputError if matplotlib is missing."""
    try:
        from matplotlib import style
    except ImportError as problem:
        raise InputError("pictures need the package matplotlib: pip install 'crossloom[report]'") from problem
    with style.context(["default", STYLE]):
        yield


@dataclass(frozen=True)
class Sheet:
    """Figure and its size in inches."""

    figure: Figure
    width: float
    height: float

    @classmethod
    def of(cls, width: float, height: float, title: str) -> Sheet:
        """Return an empty sheet with a title."""
        from matplotlib.figure import Figure

        sheet = cls(Figure(figsize=(width, height), facecolor=SURFACE), width, height)
        sheet.text(0.02, 0.05, title, fontsize=10, fontweight="bold")
        return sheet

    def text(self, left: float, top: float, text: str, **look: Any) -> None:
        """Write text with its upper left corner at the given point."""
        self.figure.text(left / self.width, 1 - top / self.height, text, **{"va": "top", **look})

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes without a frame, with faint vertical lines."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_frame_on(False)
        axes.tick_params(left=False, bottom=False, labelsize=8)
        axes.grid(axis="x", clip_on=False)
        return axes

    def legend(self, top: float, entries: Mapping[str, str]) -> None:
        """Write a legend with a coloured square before each name, on as many lines as needed."""
        from matplotlib.patches import Rectangle

        for name, (line, left) in flow(entries, self.width).items():
            y = self.height - top - line * LINE - 0.12
            square = Rectangle((left, y), 0.11, 0.11, color=entries[name], lw=0, transform=self.figure.dpi_scale_trans)
            self.figure.add_artist(square)
            self.text(left + 0.17, self.height - y - 0.055, shorten(name, 40), va="center", fontsize=8)


def flow(names: Mapping[str, str], width: float) -> dict[str, tuple[int, float]]:
    """Return the line and the left edge (inches) of each entry of a legend."""
    places: dict[str, tuple[int, float]] = {}
    line, left = 0, 0.02
    for name in names:
        wide = 0.17 + min(len(name), 40) * CHARACTER + 0.16
        if left > 0.1 and left + wide > width:
            line, left = line + 1, 0.02
        places[name] = (line, left)
        left += wide
    return places


def legend_height(names: Mapping[str, str], width: float) -> float:
    """Return the height of a legend (inches)."""
    return LINE * (1 + max((line for line, _ in flow(names, width).values()), default=-1))
