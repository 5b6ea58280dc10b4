"""The sections of the report, one function each: which numbers of a result are shown, and in which words."""

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
    "derived": "computed from what is printed there",
    "assumed": "chosen by us; the source says why",
    "calibrated": "fitted so that a published result comes out",
}


def sections(result: Result) -> tuple[Section, ...]:
    """Return all sections in the order of the page."""
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
    """Return where the energy goes."""
    rows = [row for row in component_rows(result) if row.dynamic_j or row.static_j]
    static = sum(result.ledger.static_j.values())
    sentences = [f"One inference takes {show(result.energy, 'J')}."]
    if rows:
        sentences.append(f"The largest share, {percent(rows[0].energy_share)}, goes to {rows[0].name}.")
    if static:
        sentences.append(f"Static energy, drawn whether there is work or not, is {percent(share(static, result.energy))} of all.")
    table = Table(
        "energy-table",
        "Energy of one inference by component",
        (*text("component"), *numbers("at work", "static", "share")),
        tuple(cells((row.name, if_any(row.dynamic_j, "J"), if_any(row.static_j, "J"), percentage(row.energy_share))) for row in rows),
        cells(("total", quantity(result.energy - static, "J"), quantity(static, "J"), percentage(1.0 if result.energy else 0.0))),
    )
    caption = "Above, the whole inference; below, the actions of each layer. Rest on a bar to read its value."
    return Section(
        "energy", "Energy", tuple(sentences), picture_of(result, "energy", "Energy by component, in total and by layer", caption), (table,)
    )


def area(result: Result) -> Section:
    """Return where the area goes."""
    rows = sorted(component_rows(result), key=lambda row: -row.area_mm2)
    chips = max(1, result.program.chips)
    sentences = [f"{plural(chips, 'chip')} of {show(result.area / chips, 'mm²')}" + (f", {show(result.area, 'mm²')} in all." if chips > 1 else ".")]
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
        picture_of(result, "area", "Area of one chip by component", "A component has the same colour as in the picture of energy."),
        (table,),
    )


def latency(result: Result) -> Section:
    """Return how long each layer takes, and which other one it waits for."""
    sentences = (f"One inference takes {show(result.latency, 's')} from its input to its last result.", *bottleneck.sentences(result))
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
    times = numbers("first start", "last result", "span", "at work", "not at work")
    columns = (*text("layer", "waits on"), *times, *text("pace set by"))
    table = Table("waits-table", "Who waits for whom", columns, rows)
    caption = "A layer that is light for most of its time waits for others, or for its own last result."
    return Section(
        "latency",
        "Latency and who waits for whom",
        sentences,
        picture_of(result, "latency", "Time of each layer, in all and at work", caption),
        (table,),
    )


def _waited(span_s: float, busy_s: float) -> float:
    """Return the part of a span without work; what is left by rounding is nothing."""
    return span_s - busy_s if span_s > busy_s * (1 + 1e-9) else 0.0


def gantt(result: Result) -> Section:
    """Return one inference as a chart."""
    caption = "Time runs to the right, the network down. Bars that lie above each other work on the same inference at once."
    return Section("gantt", "One inference through the pipeline", (), picture_of(result, "gantt", "Gantt chart of one inference", caption))


def utilization(result: Result) -> Section:
    """Return how well the arrays are used."""
    use = result.utilization
    held = sum(1 for stage in result.program.stages if stage.arrays)
    if not held:
        return Section("utilization", "Utilization", ("No layer holds arrays.",))
    sentences = (
        f"{_contents(result)} fill {percent(use['spatial'])} of the cells of the arrays that are used.",
        f"These arrays work {percent(use['temporal'])} of the time at full rate.",
    )
    caption = "The dashed lines are the averages over all arrays in use."
    return Section(
        "utilization", "Utilization", sentences, picture_of(result, "utilization", "Arrays of each layer, and how far they are used", caption)
    )


def _contents(result: Result) -> str:
    """Return what lies in arrays."""
    if any(stage.residency.time_shared for stage in result.program.stages):
        return "Inputs and sums"
    return "Weights" if result.program.floor is None else "Weights and functions"


def wear(result: Result) -> tuple[Section, ...]:
    """Return what inferences write, its energy, and the lifetime of the cells; nothing if weights stay."""
    if not result.ledger.wear or not result.rate:
        return ()
    rows, total = [], 0.0
    for each in result.ledger.wear:
        entries = [entry for entry in result.ledger.entries if entry.stage in each.stages and f"{entry.component}.{entry.action}" == each.action]
        count, energy_j = sum(entry.count for entry in entries), sum(entry.energy_j for entry in entries)
        others = len(each.stages) - 1
        name = layer_name(result.program, each.stage) + (f" and {plural(others, 'other')}, by turns" if others else "")
        years = each.years(result.rate)
        writes = Cell(f"{each.per_inference:.3g}", each.per_inference)
        rows.append(cells((name, each.action, counted(count), quantity(energy_j, "J"), writes, Cell(lifetime(years), years))))
        total += energy_j
    writers, worn = sum(len(each.stages) for each in result.ledger.wear), result.ledger.wear[0].endurance
    sentences = (
        f"{plural(writers, 'layer')} write{'s' * (writers == 1)} cells for every inference: {show(total, 'J')}, {percent(share(total, result.energy))} of its energy.",
        f"Cells endure {worn.value:,.10g} writes ({worn.mark}: {worn.source}). The times hold for {rate(result.rate)}.",
    )
    columns = (*text("layer", "action"), *numbers("count", "energy", "writes of a cell", "cells last"))
    return (Section("wear", "Writing and wear", sentences, None, (Table("wear-table", "What one inference writes", columns, tuple(rows)),)),)


def layers(result: Result) -> Section:
    """Return everything about every layer."""
    interval_s, total = result.timeline.interval_s, result.energy
    columns = (
        *text("layer"),
        *numbers("#"),
        *text("operators", "engine"),
        *numbers("energy", "share", "span", "at work", "positions", "copies", "arrays", "cells", "time"),
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
        f"{plural(len(rows), 'layer')}, in the order in which they run. Press the head of a column to sort by it.",
        "Span is the time from the first start to the last result; cells and time say how much of the arrays, and of the time at full rate, is used.",
    )
    return Section("layers", "Layers", sentences, tables=(Table("layers-table", "Every layer with its costs", columns, rows),))


def placements(result: Result) -> tuple[Section, ...]:
    """Return how each layer lies in arrays, a table for each engine that says so."""
    tables = []
    for engine in dict.fromkeys(row["engine"] for row in result.placements):
        found = [row for row in result.placements if row["engine"] == engine]
        names = [name for name in found[0] if name not in ("layer", "engine")]
        columns = (*text("layer"), *numbers(*(name.replace("_", " ") for name in names)))
        rows = tuple(cells((row["layer"], *(counted(row[name]) for name in names))) for row in found)
        tables.append(Table(f"{engine}-table", f"Layers in the arrays of the {engine} engine", columns, rows))
    return (Section("placements", "Where layers lie", (), tables=tuple(tables)),) if tables else ()


def plan(result: Result) -> Section:
    """Return how the values of each layer with weights are computed."""
    columns = (*text("layer", "engine", "plan"), Column("why", wide=True))
    rows = tuple(cells((row["layer"], row["engine"], row["plan"], row["why"])) for row in result.plans)
    sentences = ("Of several ways to compute the same numbers the cheapest is taken. This is which one, and why it is exact.",)
    return Section("plan", "How the values are computed", sentences, tables=(Table("plan-table", "Plan of each layer with weights", columns, rows),))


def actions(result: Result) -> Section:
    """Return how often each action is done for one inference, and its price."""
    columns = (*text("action"), *numbers("count", "energy each", "energy", "share"), *text("mark"), Column("source of the price", wide=True))
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
    yield "Energy at work is counts times prices."
    if result.counts is not None and {name: count for name, count in result.counts.items() if count} == {
        n: c for n, c in result.ledger.actions.items() if c
    }:
        yield "The same counts came out when the values were computed."
    elif result.counts is not None:
        yield "Other counts came out when the values were computed; this is a fault of Crossloom, please report it."


def machine(result: Result) -> Section:
    """Return the parts of the machine with their counts and figures."""
    chip = result.program.machine
    columns = (
        *text("unit", "component"),
        *numbers("per chip", "area", "power"),
        *text("mark"),
        Column("what it is", wide=True),
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
    sentences = [f"{chip.title or chip.name}. Area and power of one chip, with everything at work."]
    if chip.costs_only:
        sentences.append("This machine is a cost-only description.")
    tables = [Table("machine-table", "Parts of one chip", columns, rows, total)]
    chosen = [(f"{section}.{key}", value) for section, values in (*chip.engines.items(), ("compile", chip.compile)) for key, value in values.items()]
    if chosen:
        tables.append(
            Table(
                "choices-table",
                "Settings of engines and compiler",
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
    """Return what every number of this result rests on."""
    rows = source_rows(result)
    marks = [row for row in mark_rows(result) if row.numbers]
    total = sum(row.numbers for row in marks)
    of_marks = Table(
        "marks-table",
        "What the totals rest on",
        (*text("mark", "meaning"), *numbers("numbers", "share of energy", "share of area")),
        tuple(
            cells((Cell("", None, (row.mark,)), MARKS[row.mark], counted(row.numbers), percentage(row.energy_share), percentage(row.area_share)))
            for row in marks
        ),
    )
    of_sources = Table(
        "sources-table",
        "Sources",
        (*text("mark"), Column("source", wide=True), *numbers("numbers"), Column("what", wide=True)),
        tuple(cells((Cell("", None, (row.mark,)), row.source, counted(len(row.fields)), _few(row.fields))) for row in rows),
    )
    sentences = (f"{plural(total, 'number')} from {plural(len(rows), 'source')} price this result; those that were chosen or fitted come first.",)
    return Section(
        "sources", "Where each number comes from", sentences, tables=(of_marks, of_sources), items=tuple(reference_lines(result.program.machine))
    )


def settings(result: Result) -> Section:
    """Return what the user changed, and with what the result was made."""
    overrides = result.program.machine.overrides
    tables = []
    if overrides:
        rows = tuple(cells((name, _setting(value))) for name, value in overrides)
        tables.append(Table("overrides-table", "Fields that the user set", text("field", "value"), rows))
    made = [("seed", str(result.seed)), *sorted((name, str(value)) for name, value in result.versions.items())]
    tables.append(Table("versions-table", "Seed and versions", text("what", "value"), tuple(cells(row) for row in made)))
    sentence = "The machine is as its file describes it; the user set no field." if not overrides else "The user changed the machine."
    return Section("settings", "What was run", (sentence,), tables=tuple(tables))


def _few(fields: tuple[str, ...], shown: int = 4) -> str:
    return ", ".join(fields[:shown]) + (f" and {len(fields) - shown} more" if len(fields) > shown else "")


def _setting(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
