"""Notebook summary of a result: a few lines of self-contained HTML in the notebook's own text colours."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from crossloom.report.names import printable
from crossloom.report.numbers.breakdown import component_rows, largest
from crossloom.report.numbers.headline import headlines, percent
from crossloom.report.palette import OTHER, SERIES

if TYPE_CHECKING:
    from crossloom.job.result import Result

_CELL = "text-align:left;padding:.15em 1em .15em 0;border:0;background:none"


def summary_html(result: Result) -> str:
    """Return the headline numbers as a table, and the energy by component as a bar."""
    title = _safe(f"{result.program.graph.name} on {result.program.machine.name}")
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{_safe(line.label)}</th>'
        f'<td style="{_CELL};font-weight:600;white-space:nowrap">{_safe(line.value)}</td>'
        f'<td style="{_CELL};opacity:.75">{_safe(line.detail)}</td></tr>'
        for line in headlines(result)
    )
    table = f'<table style="border-collapse:collapse;margin:.3em 0;font-size:inherit"><tbody>{rows}</tbody></table>'
    warnings = "".join(f'<div style="opacity:.85">⚠ {_safe(warning)}</div>' for warning in result.warnings)
    return f'<div style="max-width:46em"><div style="font-weight:600">{title}</div>{table}{_bar(result)}{warnings}</div>'


def _bar(result: Result) -> str:
    """Return a bar of the energy shares by component, with a legend."""
    shares = largest({row.name: row.energy_share for row in component_rows(result) if row.energy_share > 0}, len(SERIES) - 1)
    if not shares:
        return ""
    tints = dict(zip(shares, (*SERIES[: len(shares) - 1], OTHER), strict=False))
    parts = "".join(f'<span style="flex:{part:.5f} 0 0;background:{tints[name]}"></span>' for name, part in shares.items())
    square = "display:inline-block;width:.7em;height:.7em;background:"
    legend = "".join(
        f'<span style="white-space:nowrap;margin-right:1em"><span style="{square}{tints[name]}"></span> {_safe(name)} {percent(part)}</span> '
        for name, part in shares.items()
    )
    label = _safe("Energy by component: " + ", ".join(f"{name} {percent(part)}" for name, part in shares.items()))
    return (
        f'<div role="img" aria-label="{label}" style="display:flex;height:.9em;border-radius:.2em;overflow:hidden;margin:.3em 0">{parts}</div>'
        f'<div style="font-size:.9em;line-height:1.6">{legend}</div>'
    )


def _safe(text: str) -> str:
    return escape(printable(text))
