"""The report: one self-contained HTML file without network access, external fonts or external scripts."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from crossloom.errors import InputError
from crossloom.files import write_whole
from crossloom.report.names import printable
from crossloom.report.numbers.headline import headlines
from crossloom.report.page.model import Page
from crossloom.report.page.sections import sections

if TYPE_CHECKING:
    from jinja2 import Template

    from crossloom.job.result import Result


def write_report(result: Result, path: str | Path) -> Path:
    """Write the report of a result and return its path, replacing an existing file.

    All text in it is escaped. Raises InputError if it cannot be written, or if a required package is missing.
    """
    template = _template()
    return write_whole(path, template.render(page=page_of(result)))


def page_of(result: Result) -> Page:
    """Return the content of the report."""
    machine, version = result.program.machine, result.versions.get("crossloom", "")
    return Page(
        title=f"{result.program.graph.name} on {machine.name}",
        subtitle=machine.title,
        note=machine.note,
        headlines=headlines(result),
        warnings=result.warnings,
        sections=sections(result),
        footer=" ".join(("Made by Crossloom", version if version[:1].isdigit() else "")).strip(),
    )


def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as problem:
        raise InputError("the report needs the package jinja2: pip install 'crossloom[report]'") from problem
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    environment.filters["svg"] = Markup
    environment.filters["breakable"] = lambda name: Markup("<wbr>").join(re.split(r"(?<=[._/])", printable(name)))
    return environment.from_string((files("crossloom.report.page") / "template.html.j2").read_text(encoding="utf-8"))


def _shown(value: object) -> object:
    """Return a value as it may appear in the page: plain text without unprintable characters."""
    return printable(value) if type(value) is str else value
