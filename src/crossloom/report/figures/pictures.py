"""Pictures of a result as matplotlib figures, for the report, a notebook or a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossloom.errors import InputError
from crossloom.report.figures.activity import activity_figure
from crossloom.report.figures.floorplan import array_figure, floor_figure
from crossloom.report.figures.rows import Rows, bar, measure, stack
from crossloom.report.figures.sheet import Sheet, legend_height, styled
from crossloom.report.names import shorten
from crossloom.report.numbers.breakdown import bottleneck, dynamic_energy, largest, layer_energy, share
from crossloom.report.numbers.headline import percent, plural
from crossloom.report.palette import HIGHLIGHT, HIGHLIGHT_LIGHT, MUTED, OTHER, PLAIN, PLAIN_LIGHT, SERIES, STATIC, colours
from crossloom.units import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crossloom.job.result import Result
    from crossloom.program.floorplan import FloorPlan

TOP = 0.4
"""Top of the content below the title (inches)."""
BOTTOM = 0.3
VALUES = 0.78
"""Width of the values at the ends of bars (inches)."""
SHARES = 1.35
"""Width of values with their share (inches)."""
TIMES = {"busy, steps end to end": PLAIN, "span: first start to last output": PLAIN_LIGHT, "bottleneck": HIGHLIGHT}


@dataclass(frozen=True)
class Pictures:
    """Pictures of one result; each method returns a new matplotlib figure.

    `width` is in inches: 9.5 for a page, 3.5 for a column of a paper, where labels are shorter and legends take more lines.
    """

    result: Result
    width: float = 9.5

    def energy(self) -> Figure:
        """Return the energy of one inference by component: dynamic and static totals, and dynamic energy by layer."""
        with styled():
            return _energy(self.result, self.width)

    def area(self) -> Figure:
        """Return the area of one chip by component, largest first."""
        with styled():
            return _area(self.result, self.width)

    def latency(self) -> Figure:
        """Return the span of each layer, from its first start to its last output, and its busy time."""
        with styled():
            return _latency(self.result, self.width)

    def gantt(self) -> Figure:
        """Return a Gantt chart of one inference, with the bottleneck highlighted."""
        with styled():
            return _gantt(self.result, self.width)

    def utilization(self) -> Figure:
        """Return the number of arrays, the share of occupied cells and the share of busy time, for each layer with arrays."""
        with styled():
            return _utilization(self.result, self.width)

    def floor(self) -> Figure:
        """Return the layouts of shared arrays, with their blocks to scale. Raises InputError if each array belongs to one stage."""
        floor = self._floor()
        with styled():
            return floor_figure(self.result.program, floor, self.width)

    def activity(self) -> Figure:
        """Return the share of active cells of shared arrays during one inference, overall and by stage. Raises InputError."""
        self._floor()
        with styled():
            return activity_figure(self.result, self.width)

    def array(self) -> Figure:
        """Return the shared array with the most distinct blocks, and the slots of each block. Raises InputError."""
        floor = self._floor()
        with styled():
            return array_figure(self.result.program, floor, self.width)

    def _floor(self) -> FloorPlan:
        if self.result.program.floor is None:
            machine = self.result.program.machine.name
            raise InputError(f"on {machine} each array belongs to one layer; a floor plan needs a machine with compile.arrays: shared, such as hurry")
        return self.result.program.floor


def _energy(result: Result, width: float) -> Figure:
    layers, series = layer_energy(result), _series(result)
    rows = Rows(list(layers), [sum(row.values()) for row in layers.values()], width)
    tint = dict(zip(series, colours(series).values(), strict=True))
    top = TOP + legend_height(tint, width) + 0.1
    sheet = Sheet.of(width, top + 1.2 + rows.height + BOTTOM, f"Energy of one inference: {show(result.energy, 'J')}")
    sheet.legend(TOP - 0.08, tint)
    _energy_totals(sheet, top, rows.margin, result, _by_series(dynamic_energy(result), series), tint)
    sheet.text(0.02, top + 0.85, "Dynamic energy by layer", fontweight="bold")
    axes = sheet.axes(rows.margin, top + 1.15, width - rows.margin - VALUES, rows.height)
    for row, (layer, energies) in enumerate(layers.items()):
        stack(axes, row, layer, _by_series(energies, series), tint, unit="J", thickness=rows.thickness)
    measure(axes, max(rows.weights, default=0.0), "J", 6 if width > 6 else 3)
    rows.values(axes, rows.weights, [show(energy, "J", 3) for energy in rows.weights])
    rows.label(axes)
    return sheet.figure


def _series(result: Result) -> dict[str, tuple[str, ...]]:
    """Return the coloured series and the components of each: the largest ones, and the rest combined."""
    energies = dynamic_energy(result)
    kept = {name: (name,) for name in largest(energies, len(SERIES)) if name in energies}
    rest = tuple(name for name in energies if name not in kept)
    return kept | ({f"{len(rest)} others": rest} if rest else {})


def _by_series(energies: Mapping[str, float], series: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    return {name: sum(energies.get(part, 0.0) for part in parts) for name, parts in series.items()}


def _energy_totals(sheet: Sheet, top: float, margin: float, result: Result, work: Mapping[str, float], tint: Mapping[str, str]) -> None:
    """Draw two bars on one scale: dynamic and static energy."""
    static = largest({name: energy for name, energy in result.ledger.static_j.items() if energy}, 3)
    sums = [sum(work.values()), sum(static.values())]
    axes = sheet.axes(margin, top, sheet.width - margin - SHARES, 0.44)
    stack(axes, 0, "dynamic", work, tint, unit="J")
    stack(axes, 1, "static", static, dict.fromkeys(static, STATIC), unit="J")
    measure(axes, max(sums), "J", 4)
    axes.set_xticks([])
    ends = Rows(("dynamic", "static"), sums, sheet.width)
    ends.label(axes)
    ends.values(axes, sums, [f"{show(energy, 'J')} ({percent(share(energy, result.energy))})" for energy in sums])
    if static:
        names = ", ".join(f"{name} {show(energy, 'J')}" for name, energy in static.items())
        letters = int((sheet.width - margin) / 0.068)
        sheet.text(margin, top + 0.5, shorten(f"static: {names}", letters), fontsize=7.5, color=MUTED)


def _area(result: Result, width: float) -> Figure:
    chips = max(1, result.program.chips)
    areas = largest({name: area / chips for name, area in result.ledger.area_mm2.items()}, 12)
    total = result.area / chips
    tint = colours(_series(result))
    rows = Rows(list(areas), list(areas.values()), width)
    sheet = Sheet.of(width, TOP + rows.height + BOTTOM, f"Area of one chip: {show(total, 'mm²')}")
    axes = sheet.axes(rows.margin, TOP, width - rows.margin - SHARES, rows.height)
    for row, (name, area) in enumerate(areas.items()):
        bar(axes, row, 0.0, area, thickness=rows.thickness, colour=tint.get(name, OTHER), tooltip=f"{name}: {show(area, 'mm²')}")
    measure(axes, max(areas.values(), default=0.0), "mm²", 6 if width > 6 else 2)
    rows.values(axes, rows.weights, [f"{show(area, 'mm²', 3)} ({percent(share(area, total))})" for area in areas.values()])
    rows.label(axes)
    return sheet.figure


def _latency(result: Result, width: float) -> Figure:
    layers = result.layers.rows
    rows = Rows([row["name"] for row in layers], [row["latency_s"] for row in layers], width, bottleneck(result))
    top = TOP + legend_height(TIMES, width) + 0.1
    sheet = Sheet.of(width, top + rows.height + BOTTOM, "Time of each layer in one inference")
    sheet.legend(TOP - 0.08, TIMES)
    axes = sheet.axes(rows.margin, top, width - rows.margin - VALUES, rows.height)
    for row, layer in enumerate(layers):
        _span(axes, row, layer, 0.0, rows)
    measure(axes, max(rows.weights, default=0.0), "s", 6 if width > 6 else 3)
    rows.values(axes, [max(layer["latency_s"], layer["busy_s"]) for layer in layers], [show(layer["latency_s"], "s", 3) for layer in layers])
    rows.label(axes)
    return sheet.figure


def _gantt(result: Result, width: float) -> Figure:
    layers = result.layers.rows
    rows = Rows([row["name"] for row in layers], [row["latency_s"] for row in layers], width, bottleneck(result))
    top = TOP + legend_height(TIMES, width) + 0.1
    title = f"One inference: {show(result.latency, 's')}" + (f"; at full rate one every {show(result.timeline.interval_s, 's')}" if width > 6 else "")
    sheet = Sheet.of(width, top + rows.height + BOTTOM, title)
    sheet.legend(TOP - 0.08, TIMES)
    axes = sheet.axes(rows.margin, top, width - rows.margin - 0.3, rows.height)
    for row, layer in enumerate(layers):
        _span(axes, row, layer, layer["start_s"], rows)
    measure(axes, result.latency, "s", 8 if width > 6 else 4)
    rows.label(axes)
    return sheet.figure


def _span(axes: Axes, row: int, layer: Mapping[str, object], start_s: float, rows: Rows) -> None:
    """Draw the whole span of a layer in a light colour, and its busy time over it."""
    pace = layer["name"] == rows.first
    whole, busy = float(str(layer["latency_s"])), float(str(layer["busy_s"]))
    text = f"{layer['name']}: {show(whole, 's')} from first start to last output, {show(busy, 's')} busy"
    bar(axes, row, start_s, whole, thickness=rows.thickness, colour=HIGHLIGHT_LIGHT if pace else PLAIN_LIGHT, tooltip=text)
    bar(axes, row, start_s, busy, thickness=rows.thickness, colour=HIGHLIGHT if pace else PLAIN, tooltip=text)


def _utilization(result: Result, width: float) -> Figure:
    pairs = [(row, stage) for row, stage in zip(result.layers, result.program.stages, strict=True) if row["arrays"]]
    held, stages = [row for row, _ in pairs], [stage for _, stage in pairs]
    rows = Rows([row["name"] for row in held], [row["arrays"] for row in held], width)
    use, interval_s = result.utilization, result.timeline.interval_s
    wide = width > 6
    columns = {
        "arrays": ([float(row["arrays"]) for row in held], None, f"{result.program.arrays:,} in total"),
        "cells in use" if wide else "cells": ([row["utilization"] for row in held], use["spatial"], f"{percent(use['spatial'])} overall"),
        "busy time" if wide else "time": (
            [share(stage.busy_s / (stage.slots.period if stage.slots else 1), interval_s) for stage in stages],
            use["temporal"],
            f"{percent(use['temporal'])} overall",
        ),
    }
    top = TOP + 0.42
    sheet = Sheet.of(width, top + rows.height + BOTTOM, f"How {plural(len(held), 'layer')} with weights use{'s' * (len(held) == 1)} arrays")
    room = (width - rows.margin) / len(columns)
    for place, (name, (values, overall, about)) in enumerate(columns.items()):
        left = rows.margin + place * room
        sheet.text(left, TOP - 0.02, name, fontweight="bold")
        sheet.text(left, TOP + 0.16, about, fontsize=7.5, color=MUTED)
        axes = sheet.axes(left, top, room - (0.6 if wide else 0.45), rows.height)
        _column(axes, rows, values, overall, name)
        if place:
            rows.place(axes)
            axes.yaxis.set_visible(False)
        else:
            rows.label(axes)
    return sheet.figure


def _share(value: float) -> str:
    """Return a share without decimals, but never zero for a non-zero share."""
    return f"{value:.0%}" if value == 0 or value >= 0.005 else percent(value)


def _column(axes: Axes, rows: Rows, values: list[float], overall: float | None, name: str) -> None:
    """Draw one bar for each row: a count, or a share from 0 to 100 %, with a line at the overall value."""
    texts = [f"{value:,.0f}" if overall is None else _share(value) for value in values]
    for row, value in enumerate(values):
        bar(
            axes,
            row,
            0.0,
            value,
            thickness=rows.thickness,
            colour=OTHER if overall is None else PLAIN,
            tooltip=f"{rows.names[row]}: {texts[row]} ({name})",
        )
    if overall is None:
        measure(axes, max(values, default=0.0), "", 2)
    else:
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%" if rows.width > 6 else "", "100%"])
        axes.axvline(overall, color=HIGHLIGHT, linewidth=1, linestyle=(0, (4, 2)))
    rows.values(axes, values, texts)
