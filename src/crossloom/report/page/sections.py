"""Sections of the report, one function each: the numbers of a result that are shown, and their wording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from crossloom.machines import ActionKey
from crossloom.report.numbers import bottleneck
from crossloom.report.numbers.breakdown import component_rows, layer_name, mark_rows, share, source_rows, used_parts
from crossloom.report.numbers.headline import lifetime, percent, plural, rate
from crossloom.report.page.floorplan import floor_sections
from crossloom.report.page.model import Cell, Column, Section, Table, cells, counted, if_any, numbers, percentage, quantity, text
from crossloom.report.page.picture import picture_of
from crossloom.report.page.references import reference_lines
from crossloom.units import show

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.machines import Part

EXTENSION = "not in the paper; used by this program"
MARKS = {
    "published": "printed in the source",
    "derived": "computed from printed numbers",
    "assumed": "our choice; the source gives the reason",
    "calibrated": "fitted to reproduce a published result",
}


def sections(result: Result) -> tuple[Section, ...]:
    """Return all sections in page order."""
    return (
        energy(result),
        area(result),
        latency(result),
        gantt(result),
        utilization(result),
        *floor_sections(result),
        *wear(result),
        layers(result),
        *placements(result),
        plan(result),
        actions(result),
        machine(result),
        sources(result),
        settings(result),
    )


def energy(result: Result) -> Section:
    """Return the section on energy by component."""
    rows = [row for row in component_rows(result) if row.dynamic_j or row.static_j]
    static = sum(result.ledger.static_j.values())
    sentences = [f"One inference takes {show(result.energy, 'J')}."]
    if rows:
        sentences.append(f"The largest share, {percent(rows[0].energy_share)}, goes to {rows[0].name}.")
    if static:
        sentences.append(f"Static energy, drawn whether or not a component is active, is {percent(share(static, result.energy))} of the total.")
    table = Table(
        "energy-table",
        "Energy of one inference by component",
        (*text("component"), *numbers("dynamic", "static", "share")),
        tuple(cells((row.name, if_any(row.dynamic_j, "J"), if_any(row.static_j, "J"), percentage(row.energy_share))) for row in rows),
        cells(("total", quantity(result.energy - static, "J"), quantity(static, "J"), percentage(1.0 if result.energy else 0.0))),
    )
    caption = "Above, the whole inference; below, the dynamic energy of each layer. Hover over a bar to read its value."
    return Section(
        "energy", "Energy", tuple(sentences), picture_of(result, "energy", "Energy by component, in total and by layer", caption), (table,)
    )


def area(result: Result) -> Section:
    """Return the section on area by component."""
    rows = sorted(component_rows(result), key=lambda row: -row.area_mm2)
    chips = max(1, result.program.chips)
    sentences = [f"{plural(chips, 'chip')} of {show(result.area / chips, 'mm²')}" + (f", {show(result.area, 'mm²')} overall." if chips > 1 else ".")]
    table = Table(
        "area-table",
        "Area of all chips by component",
        (*text("component"), *numbers("area", "share")),
        tuple(cells((row.name, quantity(row.area_mm2, "mm²"), percentage(row.area_share))) for row in rows),
        cells(("total", quantity(result.area, "mm²"), percentage(1.0 if result.area else 0.0))),
    )
    return Section(
        "area",
        "Area",
        tuple(sentences),
        picture_of(result, "area", "Area of one chip by component", "Each component has the same colour as in the energy picture."),
        (table,),
    )


def latency(result: Result) -> Section:
    """Return the section on the time of each layer, and the layer that it waits on."""
    sentences = (f"One inference takes {show(result.latency, 's')} from its input to its last output.", *bottleneck.sentences(result))
    rows = tuple(
        cells(
            (
                row["name"],
                layer_name(result.program, row["waits_for"]) if row["waits_for"] else "the input",
                *(quantity(row[key], "s") for key in ("start_s", "finish_s", "latency_s", "busy_s")),
                quantity(_waited(row["latency_s"], row["busy_s"]), "s"),
                stage.limited_by,
            )
        )
        for row, stage in zip(result.layers, result.program.stages, strict=True)
    )
    times = numbers("start", "end", "span", "busy", "idle")
    columns = (*text("layer", "waits on"), *times, *text("limited by"))
    table = Table("waits-table", "Dependencies between layers", columns, rows)
    caption = "A bar that is mostly light waits on other layers, or on its own last output."
    return Section(
        "latency",
        "Latency and dependencies",
        sentences,
        picture_of(result, "latency", "Time of each layer: span and busy time", caption),
        (table,),
    )


def _waited(span_s: float, busy_s: float) -> float:
    """Return the idle part of a span; a rounding residue counts as zero."""
    return span_s - busy_s if span_s > busy_s * (1 + 1e-9) else 0.0


def gantt(result: Result) -> Section:
    """Return the section with one inference as a Gantt chart."""
    caption = "Time runs to the right, layers run downwards. Bars that overlap in time work on the same inference in parallel."
    return Section("gantt", "One inference through the pipeline", (), picture_of(result, "gantt", "Gantt chart of one inference", caption))


def utilization(result: Result) -> Section:
    """Return the section on the utilization of the arrays."""
    use = result.utilization
    held = sum(1 for stage in result.program.stages if stage.arrays)
    if not held:
        return Section("utilization", "Utilization", ("No layer uses arrays.",))
    sentences = (
        f"{_contents(result)} fill {percent(use['spatial'])} of the cells in the arrays in use.",
        f"At full rate these arrays are busy {percent(use['temporal'])} of the time.",
    )
    caption = "The dashed lines are the averages over all arrays in use."
    return Section("utilization", "Utilization", sentences, picture_of(result, "utilization", "Arrays of each layer, and their utilization", caption))


def _contents(result: Result) -> str:
    """Return what the arrays hold."""
    if any(stage.residency.time_shared for stage in result.program.stages):
        return "Inputs and sums"
    return "Weights" if result.program.floor is None else "Weights and functions"


def wear(result: Result) -> tuple[Section, ...]:
    """Return the section on writes per inference, their energy and the cell lifetime; nothing if weights stay in place."""
    if not result.ledger.wear or not result.rate:
        return ()
    rows, total = [], 0.0
    for each in result.ledger.wear:
        entries = [entry for entry in result.ledger.entries if entry.stage in each.stages and f"{entry.component}.{entry.action}" == each.action]
        count, energy_j = sum(entry.count for entry in entries), sum(entry.energy_j for entry in entries)
        others = len(each.stages) - 1
        name = layer_name(result.program, each.stage) + (f" and {plural(others, 'other')}, time-shared" if others else "")
        years = each.years(result.rate)
        writes = Cell(f"{each.per_inference:.3g}", each.per_inference)
        rows.append(cells((name, each.action, counted(count), quantity(energy_j, "J"), writes, Cell(lifetime(years), years))))
        total += energy_j
    writers, worn = sum(len(each.stages) for each in result.ledger.wear), result.ledger.wear[0].endurance
    sentences = (
        f"{plural(writers, 'layer')} write{'s' * (writers == 1)} cells in every inference: {show(total, 'J')}, {percent(share(total, result.energy))} of its energy.",
        f"Write endurance is {worn.value:,.10g} cycles ({worn.mark}: {worn.source}). Lifetimes are for {rate(result.rate)}.",
    )
    columns = (*text("layer", "action"), *numbers("count", "energy", "writes per cell", "lifetime"))
    return (Section("wear", "Writes and endurance", sentences, None, (Table("wear-table", "Writes of one inference", columns, tuple(rows)),)),)


def layers(result: Result) -> Section:
    """Return the section with all figures of every layer."""
    interval_s, total = result.timeline.interval_s, result.energy
    columns = (
        *text("layer"),
        *numbers("#"),
        *text("operators", "engine"),
        *numbers("energy", "share", "span", "busy", "positions", "copies", "arrays", "cells", "time"),
    )
    rows = tuple(
        cells(
            (
                row["name"],
                counted(place),
                row["op"],
                row["engine"],
                quantity(row["energy_j"], "J"),
                percentage(share(row["energy_j"], total)),
                quantity(row["latency_s"], "s"),
                quantity(row["busy_s"], "s"),
                *(counted(row[key]) for key in ("positions", "copies", "arrays")),
                percentage(row["utilization"]) if row["arrays"] else Cell("–", -1.0),
                percentage(share(row["busy_s"], interval_s)),
            )
        )
        for place, row in enumerate(result.layers, 1)
    )
    sentences = (
        f"{plural(len(rows), 'layer')}, in execution order. Click a column head to sort by it.",
        "Span is the time from the first start to the last output. Cells and time are the utilization of the arrays, and of the time at full rate.",
    )
    return Section("layers", "Layers", sentences, tables=(Table("layers-table", "Cost of every layer", columns, rows),))


def placements(result: Result) -> tuple[Section, ...]:
    """Return the section on the placement of layers in arrays, with one table for each engine that reports it."""
    tables = []
    for engine in dict.fromkeys(row["engine"] for row in result.placements):
        found = [row for row in result.placements if row["engine"] == engine]
        names = [name for name in found[0] if name not in ("layer", "engine")]
        columns = (*text("layer"), *numbers(*(name.replace("_", " ") for name in names)))
        rows = tuple(cells((row["layer"], *(counted(row[name]) for name in names))) for row in found)
        tables.append(Table(f"{engine}-table", f"Layers in the arrays of the {engine} engine", columns, rows))
    return (Section("placements", "Placement of layers", (), tables=tuple(tables)),) if tables else ()


def plan(result: Result) -> Section:
    """Return the section on how the values of each layer with weights are computed."""
    columns = (*text("layer", "engine", "plan"), Column("why", wide=True))
    rows = tuple(cells((row["layer"], row["engine"], row["plan"], row["why"])) for row in result.plans)
    sentences = ("Where several methods give the same numbers, the cheapest is used. The table gives the method, and why it is exact.",)
    return Section(
        "plan", "How the values are computed", sentences, tables=(Table("plan-table", "Method for each layer with weights", columns, rows),)
    )


def actions(result: Result) -> Section:
    """Return the section with the count of each action in one inference, and its unit energy."""
    columns = (*text("action"), *numbers("count", "unit energy", "energy", "share"), *text("mark"), Column("source of the unit energy", wide=True))
    rows = []
    for name, count in sorted(result.ledger.actions.items()):
        component, action = ActionKey.of(name)
        price = result.program.machine.part(component).actions[action].energy_j
        whole = count * price.value
        rows.append(
            cells(
                (
                    name,
                    counted(count),
                    quantity(price.value, "J"),
                    quantity(whole, "J"),
                    percentage(share(whole, result.energy)),
                    Cell("", None, (price.mark,)),
                    price.source,
                )
            )
        )
    rows.sort(key=lambda row: -float(row[3].order or 0.0))
    table = Table("actions-table", "Actions of one inference", columns, tuple(rows))
    return Section("actions", "Actions", tuple(_checked(result)), tables=(table,))


def _checked(result: Result) -> Iterable[str]:
    yield "Dynamic energy is the sum of counts times unit energies."
    if result.counts is not None and {name: count for name, count in result.counts.items() if count} == {
        n: c for n, c in result.ledger.actions.items() if c
    }:
        yield "Computing the values gave the same counts."
    elif result.counts is not None:
        yield "Computing the values gave different counts; this is an internal error of Crossloom, please report it."


def machine(result: Result) -> Section:
    """Return the section with the parts of the machine, their counts and figures."""
    chip = result.program.machine
    columns = (
        *text("unit", "component"),
        *numbers("per chip", "area", "power"),
        *text("mark"),
        Column("description", wide=True),
        Column("source", wide=True),
    )
    parts = used_parts(result)
    rows = tuple(_part_row(part) for part in parts)
    total = cells(
        (
            "total",
            "",
            "",
            quantity(sum(part.total * part.area_mm2.value for part in parts), "mm²"),
            quantity(sum(part.total * part.power_w.value for part in parts), "W"),
            "",
            "",
            "",
        )
    )
    sentences = [f"{chip.title or chip.name}. Area and power are for one chip with all parts active."]
    if chip.costs_only:
        sentences.append("This machine is a cost-only description.")
    tables = [Table("machine-table", "Parts of one chip", columns, rows, total)]
    chosen = [(f"{section}.{key}", value) for section, values in (*chip.engines.items(), ("compile", chip.compile)) for key, value in values.items()]
    if chosen:
        tables.append(
            Table(
                "choices-table",
                "Engine and compiler settings",
                text("setting", "value"),
                tuple(cells((name, _setting(value))) for name, value in chosen),
            )
        )
    return Section("machine", "Machine", tuple(sentences), tables=tuple(tables))


def _part_row(part: Part) -> tuple[Cell, ...]:
    area_mm2, power_w = part.area_mm2, part.power_w
    same = area_mm2.source == power_w.source
    source = area_mm2.source if same else f"area: {area_mm2.source}; power: {power_w.source}"
    return cells(
        (
            part.unit,
            Cell(part.name, badge=EXTENSION if part.extension else ""),
            Cell(f"{part.total:,.10g}", part.total),
            quantity(part.total * area_mm2.value, "mm²"),
            quantity(part.total * power_w.value, "W"),
            Cell("", None, tuple(dict.fromkeys((area_mm2.mark, power_w.mark)))),
            part.about,
            source,
        )
    )


def sources(result: Result) -> Section:
    """Return the section on the sources of this result's numbers."""
    rows = source_rows(result)
    marks = [row for row in mark_rows(result) if row.numbers]
    total = sum(row.numbers for row in marks)
    of_marks = Table(
        "marks-table",
        "Provenance of the totals",
        (*text("mark", "meaning"), *numbers("numbers", "share of energy", "share of area")),
        tuple(
            cells((Cell("", None, (row.mark,)), MARKS[row.mark], counted(row.numbers), percentage(row.energy_share), percentage(row.area_share)))
            for row in marks
        ),
    )
    of_sources = Table(
        "sources-table",
        "Sources",
        (*text("mark"), Column("source", wide=True), *numbers("numbers"), Column("fields", wide=True)),
        tuple(cells((Cell("", None, (row.mark,)), row.source, counted(len(row.fields)), _few(row.fields))) for row in rows),
    )
    sentences = (
        f"{plural(total, 'number')} from {plural(len(rows), 'source')} determine the costs; those that were assumed or calibrated come first.",
    )
    return Section("sources", "Source of each number", sentences, tables=(of_marks, of_sources), items=tuple(reference_lines(result.program.machine)))


def settings(result: Result) -> Section:
    """Return the section with the user's changes, the seed and the versions."""
    overrides = result.program.machine.overrides
    tables = []
    if overrides:
        rows = tuple(cells((name, _setting(value))) for name, value in overrides)
        tables.append(Table("overrides-table", "Fields set by the user", text("field", "value"), rows))
    made = [("seed", str(result.seed)), *sorted((name, str(value)) for name, value in result.versions.items())]
    tables.append(Table("versions-table", "Seed and versions", text("item", "value"), tuple(cells(row) for row in made)))
    sentence = "The machine is as described in its file; the user set no field." if not overrides else "The user changed the machine."
    return Section("settings", "Run settings", (sentence,), tables=tuple(tables))


def _few(fields: tuple[str, ...], shown: int = 4) -> str:
    return ", ".join(fields[:shown]) + (f" and {len(fields) - shown} more" if len(fields) > shown else "")


def _setting(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
