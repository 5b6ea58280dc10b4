"""Views of a `Result`: a run folder, a page, pictures, a notebook summary.

Each view is imported on first use: pictures need matplotlib, pages need jinja2, and a summary needs neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.report.figures.pictures import Pictures


def save(result: Result, folder: str | Path) -> Path:
    """Write a run folder and return its path. Raises InputError if it exists."""
    from crossloom.report.folder import save as saved

    return saved(result, folder)


def write_report(result: Result, path: str | Path) -> Path:
    """Write a self-contained HTML page and return its path."""
    from crossloom.report.page.write import write_report as written

    return written(result, path)


def pictures(result: Result) -> Pictures:
    """Return the pictures of a result, each drawn on request."""
    from crossloom.report.figures.pictures import Pictures

    return Pictures(result)


def summary_html(result: Result) -> str:
    """Return a few lines of HTML for a notebook."""
    from crossloom.report.notebook import summary_html as summary

    return summary(result)
