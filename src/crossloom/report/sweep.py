"""A sweep as a terminal table and as a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from crossloom.report.figures.sheet import styled
from crossloom.report.names import plain
from crossloom.report.numbers.headline import rate
from crossloom.report.palette import HIGHLIGHT, MUTED
from crossloom.report.terminal.tables import table_of
from crossloom.units import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crossloom.study.sweep import Point, Score, Sweep

MARKERS = "osD^v<>ph*"


def print_sweep(found: Sweep, console: Console) -> None:
    """Print a line for each version, the reason for each that cannot run, and the accuracy of the network without the machine."""
    samples = f", {found.samples:,} samples" if found.samples else ""
    console.print(plain(f"{found.network} on {found.machine}{samples}", "bold"))
    judged = _judged(found)
    table = table_of("", tuple(field.rpartition(".")[2] for field in found.fields), (*judged, "latency", "throughput", "energy", "area"))
    for point in found.points:
        if point.fails:
            continue
        costs = (show(point.latency_s, "s"), rate(point.throughput_per_s), show(point.energy_j, "J"), show(point.area_mm2, "mm²"))
        table.add_row(*(plain(cell) for cell in (*map(str, point.values.values()), *_scores(point.score, judged), *costs)))
    table.add_section()
    for name, score in (("quantised", found.quantized_score), ("float", found.float_score)):
        if score is not None:
            table.add_row(*(plain(cell, "dim") for cell in (name, *[""] * (len(found.fields) - 1), *_scores(score, judged), "", "", "", "")))
    console.print(table)
    for point in found.points:
        if point.fails:
            console.print(plain(f"! {', '.join(f'{name}={value}' for name, value in point.values.items())}: {point.fails}", "yellow"))
    for warning in found.warnings:
        console.print(plain(f"! {warning}", "yellow"))


def _judged(found: Sweep) -> tuple[str, ...]:
    if found.quantized_score is None:
        return ()
    return ("accuracy",) if found.quantized_score.perplexity is None else ("accuracy", "perplexity")


def _scores(score: Score | None, judged: tuple[str, ...]) -> list[str]:
    shown = {} if score is None else {"accuracy": f"{score.accuracy:.2%}", "perplexity": f"{score.perplexity or 0:.4g}"}
    return [shown.get(name, "–") for name in judged]


def draw_sweep(found: Sweep) -> Figure:
    """Return a picture: the first field along the x-axis, one line for each combination of the others.

    The y-axis is accuracy, or perplexity for per-token outputs, or energy if there are no samples. Straight lines mark the network without the
    machine. A softmax format is two numbers: fraction bits along the x-axis, one line for each number of integer bits. Raises InputError if
    matplotlib is missing.
    """
    title, value = _measure(found)
    with styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        axes.set_title(f"{found.network} on {found.machine}", loc="left", fontsize=9)
        lines, along, name = _lines(found)
        labels = list(dict.fromkeys(place for line in lines.values() for place in line))
        labels = sorted(labels) if all(isinstance(label, int | float) for label in labels) else labels
        shades = [0.25 + 0.6 * i / max(1, len(lines) - 1) for i in range(len(lines))]
        for (series, line), marker, shade in zip(lines.items(), MARKERS * len(lines), shades, strict=False):
            places = [labels.index(place) for place in line]
            axes.plot(places, [value(point) for point in line.values()], marker=marker, markersize=4, color=_blue(shade), label=series)
        for label, score, look in (("float", found.float_score, "-"), ("quantised", found.quantized_score, "--")):
            if score is not None:
                axes.axhline(_of_score(score), color=HIGHLIGHT if look == "-" else MUTED, linestyle=look, linewidth=1, label=label)
        axes.set_xticks(range(len(labels)), [str(label) for label in labels])
        axes.set_xlabel(along)
        axes.set_ylabel(title)
        axes.grid(axis="y")
        axes.spines[["top", "right"]].set_visible(False)
        if title == "perplexity" and found.quantized_score is not None:
            axes.set_ylim(top=min(axes.get_ylim()[1], 3 * (found.quantized_score.perplexity or 1)))
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside right upper", title=name, fontsize=8, title_fontsize=8, frameon=False)
    return figure


def _blue(shade: float) -> Any:
    from matplotlib import colormaps

    return colormaps["Blues"](shade + 0.1)


def _of_score(score: Score) -> float:
    return 100 * score.accuracy if score.perplexity is None else score.perplexity


def _measure(found: Sweep) -> tuple[str, Any]:
    """Return the label of the y-axis, and a function from a point to its value."""
    if found.quantized_score is None:
        return "energy per inference (J)", lambda point: point.energy_j
    title = "accuracy (%)" if found.quantized_score.perplexity is None else "perplexity"
    return title, lambda point: _of_score(point.score)


_FORMAT = re.compile(r"(\d+)\.(\d+)")


def _lines(found: Sweep) -> tuple[dict[str, Mapping[Any, Point]], str, str]:
    """Return points by line and position, the label of the x-axis, and the title of the legend."""
    points = [point for point in found.points if not point.fails]
    lines: dict[str, dict[Any, Point]] = {}
    first, *others = found.fields
    if not others and first.endswith("format") and all(_FORMAT.fullmatch(str(p.values[first])) for p in points):
        for point in points:
            whole, _, fraction = str(point.values[first]).partition(".")
            lines.setdefault(whole, {})[int(fraction)] = point
        return {key: dict(sorted(lines[key].items())) for key in lines}, "fraction bits of the softmax format", "integer bits"
    for point in points:
        lines.setdefault(", ".join(str(point.values[name]) for name in others), {})[point.values[first]] = point
    return dict(lines), first, ", ".join(others)
