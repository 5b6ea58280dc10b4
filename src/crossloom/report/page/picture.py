"""A picture of a result as a page has it: drawn once for wide places and once for narrow ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossloom.report.figures.pictures import Pictures
from crossloom.report.figures.svg import inline_svg
from crossloom.report.page.model import Picture

if TYPE_CHECKING:
    from crossloom.job.result import Result

NARROW = 3.7
"""Width of the pictures that a phone shows (inches)."""


def picture_of(result: Result, name: str, label: str, caption: str) -> Picture:
    """Return the picture that the method `name` of `Pictures` draws; `label` is for those who cannot see it."""
    wide, narrow = Pictures(result), Pictures(result, NARROW)
    label = f"{label}. The same numbers are in the tables."
    return Picture(name, inline_svg(getattr(wide, name)(), label), inline_svg(getattr(narrow, name)(), label, tooltips=False), caption)
