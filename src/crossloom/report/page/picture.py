"""A picture of a result for a page, drawn once for wide screens and once for narrow ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossloom.report.figures.pictures import Pictures
from crossloom.report.figures.svg import inline_svg
from crossloom.report.page.model import Picture

if TYPE_CHECKING:
    from crossloom.job.result import Result

NARROW = 3.7
"""Width of the pictures for phones (inches)."""


def picture_of(result: Result, name: str, label: str, caption: str) -> Picture:
    """Return the picture drawn by the method `name` of `Pictures`; `label` is its text for screen readers."""
    wide, narrow = Pictures(result), Pictures(result, NARROW)
    label = f"{label}. The same numbers are in the tables."
    return Picture(name, inline_svg(getattr(wide, name)(), label), inline_svg(getattr(narrow, name)(), label, tooltips=False), caption)
