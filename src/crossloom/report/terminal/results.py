"""Results and machines as terminal tables, legible at 80 columns and without colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossloom.machines.explain import explain
from crossloom.report.names import plain
from crossloom.report.numbers.breakdown import ComponentRow, component_rows, layer_name, share
from crossloom.report.numbers.headline import headlines, percent, plural, rate
from crossloom.report.terminal.tables import table_of
from crossloom.units import show

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.machines import Machine, Part

LOOKS = {"published": "", "derived": "dim", "assumed": "yellow", "calibrated": "bold red"}
COMPONENTS = 12
LAYERS = 6


def print_result(result: Result, console: Console) -> None:
    """Print the headline numbers, energy and area by component, the costliest layers, and the warnings."""
    console.print(plain(f"{result.program.graph.name} on {result.program.machine.name}", "bold"))
    table = Table.grid(padding=(0, 2))
    for line in headlines(result):
        table.add_row(plain(line.label, "dim"), plain(line.value, "bold"), plain(line.detail, "dim"))
    console.print(table)
    console.print(_breakdown(result))
    console.print(_costliest(result))
    console.print(_slowest(result))
    for warning in result.warnings:
        console.print(plain(f"! {warning}", "yellow"))


def _breakdown(result: Result) -> Table:
    table = table_of("Components", ("component",), ("dynamic", "static", "share", "area", "share"))
    rows = component_rows(result)
    for row in rows[:COMPONENTS]:
        _add_component(table, row.name, [row])
    if len(rows) > COMPONENTS:
        _add_component(table, plural(len(rows) - COMPONENTS, "other"), rows[COMPONENTS:])
    return table


def _add_component(table: Table, name: str, rows: Sequence[ComponentRow]) -> None:
    """Add one row for a component, or for several together."""
    energies = [_some(sum(row.dynamic_j for row in rows), "J"), _some(sum(row.static_j for row in rows), "J")]
    area = _some(sum(row.area_mm2 for row in rows), "mm²")
    _add(table, name, *energies, percent(sum(row.energy_share for row in rows)), area, percent(sum(row.area_share for row in rows)))


def _costliest(result: Result) -> Table:
    table = table_of(
        f"Layers by energy ({min(LAYERS, len(result.layers))} of {len(result.layers):,})", ("layer", "operators"), ("energy", "share", "arrays")
    )
    for row in sorted(result.layers, key=lambda row: -row["energy_j"])[:LAYERS]:
        _add(table, row["name"], row["op"], show(row["energy_j"], "J"), percent(share(row["energy_j"], result.energy)), f"{row['arrays']:,}")
    return table


def _slowest(result: Result) -> Table:
    table = table_of(f"Slowest layers ({min(LAYERS, len(result.layers))} of {len(result.layers):,})", ("layer", "waits on"), ("busy", "span"))
    for row in sorted(result.layers, key=lambda row: -row["busy_s"])[:LAYERS]:
        source = layer_name(result.program, row["waits_for"]) if row["waits_for"] else "the input"
        _add(table, row["name"], source, show(row["busy_s"], "s"), show(row["latency_s"], "s"))
    return table


def print_comparison(results: Sequence[Result], console: Console) -> None:
    """Print results side by side, each with its ratio to the first; as many per table as the width allows."""
    if not results:
        return
    first, *others = results
    together = max(1, (console.width - 14 - 20) // 22)
    console.print(plain(first.program.graph.name, "bold"))
    for start in range(0, max(1, len(others)), together):
        shown = [first, *others[start : start + together]]
        table = table_of("", ("",), tuple(result.program.machine.name for result in shown))
        for name, values in _compared(shown).items():
            _add(table, name, *values)
        console.print(table)
    for warning in dict.fromkeys(warning for result in results for warning in result.warnings):
        concerned = dict.fromkeys(result.program.machine.name for result in results if warning in result.warnings)
        everyone = all(warning in result.warnings for result in results)
        console.print(plain(f"! {warning}" if everyone else f"! {', '.join(concerned)}: {warning}", "yellow"))


def _compared(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the rows of a comparison: each number, followed by its ratio to the first."""
    figures: dict[str, tuple[list[float], Any]] = {
        "latency": ([r.latency for r in results], lambda v: show(v, "s")),
        "throughput": ([r.throughput for r in results], rate),
        "energy": ([r.energy for r in results], lambda v: show(v, "J")),
        "power": ([r.power for r in results], lambda v: show(v, "W")),
        "area": ([r.area for r in results], lambda v: show(v, "mm²")),
        "chips": ([float(r.program.chips) for r in results], lambda v: f"{v:,.0f}"),
    }
    rows = {"accuracy": ["–" if r.accuracy is None else f"{r.accuracy.machine:.2%}" for r in results]}
    if any(r.accuracy and r.accuracy.perplexity for r in results):
        rows["perplexity"] = ["–" if not (r.accuracy and r.accuracy.perplexity) else f"{r.accuracy.perplexity.machine:.4g}" for r in results]
    for name, (values, shown) in figures.items():
        rows[name] = [shown(values[0]), *(f"{shown(value)} {_ratio(value, values[0])}" for value in values[1:])]
    rows["cells used"] = [percent(r.utilization["spatial"]) for r in results]
    rows["time used"] = [percent(r.utilization["temporal"]) for r in results]
    return rows


def _ratio(value: float, first: float) -> str:
    return f"(×{value / first:.3g})" if first else "(–)"


def print_machine(machine: Machine, console: Console) -> None:
    """Print the parts of a machine by unit, with their count, area and power in one chip, and the sources."""
    console.print(plain(f"{machine.name}: {machine.title}" if machine.title else machine.name, "bold"))
    if machine.note:
        console.print(plain(machine.note, "dim"))
    table = table_of("", ("component",), ("count", "area", "power"), ("mark", "source"), whole=True)
    for unit, count in machine.units.items():
        parts = [part for part in machine.built_in() if part.unit == unit]
        if parts:
            table.add_section()
            _add(table, f"{unit} ×{count:,.10g}", look="bold")
            for part in parts:
                _add_part(table, part)
    table.add_section()
    _add(table, "total", "", show(machine.area_mm2, "mm²"), show(machine.power_w, "W"), look="bold")
    console.print(table)
    if extra := [part.path for part in machine.parts.values() if part.extension]:
        console.print(plain(f"not in the paper, counted only if a program uses it: {', '.join(extra)}", "dim"))
    for field, value in machine.overrides:
        console.print(plain(f"set by the user: {field} = {value}", "yellow"))


def _add_part(table: Table, part: Part) -> None:
    area_mm2, power_w = part.area_mm2, part.power_w
    source = area_mm2.source if area_mm2.source == power_w.source else f"area: {area_mm2.source}; power: {power_w.source}"
    marks = Text("\n").join(_mark(mark) for mark in dict.fromkeys((area_mm2.mark, power_w.mark)))
    figures = (_some(part.total * area_mm2.value, "mm²", 3), _some(part.total * power_w.value, "W", 3))
    _add(table, f" {part.name}", f"{part.total:,.10g}", *figures, marks, source)


def print_explain(machine: Machine, field: str | None, console: Console) -> None:
    """Print every number of a machine, or those of one field, with value, mark and source.

    Raises MachineError if there is no such field.
    """
    rows = explain(machine, field)
    changed = {name for name, _ in machine.overrides}
    table = table_of("", ("field",), ("value",), ("mark", "source"), whole=True)
    unit = None
    for row in rows:
        holder, _, name = _split(machine, row["field"])
        if holder != unit:
            unit = holder
            table.add_section()
            _add(table, holder, look="bold")
        source = f"set by the user; {row['source']}" if row["field"] in changed and not row["mark"] else row["source"]
        _add(table, f" {name}", _value(row, name), _mark(row["mark"]), source)
    console.print(table)


def _split(machine: Machine, field: str) -> tuple[str, str, str]:
    """Return the part, unit or section that a field belongs to, the separator, and the field's own name."""
    for path in sorted((*machine.parts, *machine.units, *machine.engines), key=len, reverse=True):
        if field.startswith(f"{path}."):
            return path, ".", field.removeprefix(f"{path}.")
    return field.rpartition(".")


def _value(row: Mapping[str, Any], name: str) -> str:
    value, unit = row["value"], row["unit"]
    if unit:
        return show(value, unit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "rate":
        return show(value, "Hz")
    if name == "capacity":
        return f"{value / 1024:,.10g} KiB" if value >= 1024 else f"{value:,.10g} B"
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


def _add(table: Table, *cells: str | Text, look: str = "") -> None:
    table.add_row(*(cell if isinstance(cell, Text) else plain(cell, look) for cell in cells))


def _mark(mark: str) -> Text:
    return Text(mark, style=LOOKS.get(mark, ""))


def _some(value: float, unit: str, digits: int = 4) -> str:
    return show(value, unit, digits) if value else "–"
