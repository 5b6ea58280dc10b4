"""A diagnosis as terminal tables and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from crossloom.report.figures.sheet import styled
from crossloom.report.names import plain, shorten
from crossloom.report.palette import HIGHLIGHT, MUTED, PLAIN, PLAIN_LIGHT
from crossloom.report.terminal.tables import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crossloom.study.diagnose import Diagnosis, Rung

LAYERS = 6
"""Number of layers printed in a terminal, weakest first."""
BEST_DB = 40.0
"""Upper end of the colour scale; beyond it, errors do not show in the result."""


def print_diagnosis(found: Diagnosis, console: Console) -> None:
    """Print the ladder, the weakest layers with all effects enabled, and the verdict."""
    console.print(plain(f"{found.network} on {found.machine}, {found.samples} samples", "bold"))
    ladder = table_of("Accuracy, effects added one by one", ("effect",), ("accuracy", "95 % CI of mean", "change", "weakest layer (own)"))
    for rung in found.rungs:
        loss = found.losses.get(rung.name)
        look = "bold red" if found.worst is rung else ""
        change = "" if loss is None or abs(loss) < 5e-4 else f"{-100 * loss:+.1f}"
        ladder.add_row(plain(rung.name, look), f"{rung.accuracy.mean:.2%}", _interval(rung), plain(change, look), plain(_weakest(rung)))
    console.print(ladder)
    last = found.rungs[-1]
    weakest = sorted((layer for layer in last.own_db if last.own_db[layer] is not None), key=lambda layer: last.own_db[layer] or 0.0)
    if weakest:
        layers = table_of("Signal over error with all effects", ("layer",), ("own", "incoming"))
        for layer in weakest[:LAYERS]:
            layers.add_row(plain(shorten(layer, 40)), _db(last.own_db[layer]), _db(last.arrived_db[layer]))
        console.print(layers)
    console.print(plain(found.verdict))
    for warning in found.warnings:
        console.print(plain(f"! {warning}", "yellow"))


def _interval(rung: Rung) -> str:
    interval = rung.accuracy.interval
    return "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"


def _weakest(rung: Rung) -> str:
    layer = rung.weakest
    return "" if layer is None else f"{shorten(layer, 20)} {_db(rung.own_db[layer])}"


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"


def draw_diagnosis(found: Diagnosis) -> Figure:
    """Return the ladder of accuracies, and below each rung the ratio of signal to own error for every layer.

    Raises InputError if matplotlib is missing.
    """
    with styled():
        from matplotlib.figure import Figure

        layers = list(found.rungs[-1].own_db)
        width = max(6.0, 1.15 * len(found.rungs) + 2.2)
        heights = (3.0, max(0.8, 0.2 * len(layers)))
        figure = Figure(figsize=(width, sum(heights) + 1.6), layout="constrained")
        figure.suptitle(f"{found.network} on {found.machine}: {found.verdict}", x=0.01, ha="left", fontsize=9, wrap=True)
        above, below = figure.subplots(2, 1, height_ratios=heights, sharex=True)
        _ladder(above, found)
        _layers(figure, below, found, layers)
    return figure


def _ladder(axes: Any, found: Diagnosis) -> None:
    means = [100 * rung.accuracy.mean for rung in found.rungs]
    places = range(len(means))
    tint = [HIGHLIGHT if rung is found.worst else PLAIN for rung in found.rungs]
    axes.bar(places, means, width=0.62, color=tint)
    for place, rung in enumerate(found.rungs):
        axes.plot([place] * len(rung.accuracy.each), [100 * value for value in rung.accuracy.each], ".", color=PLAIN_LIGHT, markersize=4)
        if (interval := rung.accuracy.interval) is not None:
            axes.plot([place, place], [100 * interval[0], 100 * interval[1]], color=MUTED, linewidth=1.5)
        loss = found.losses.get(rung.name, 0.0)
        text = f"{means[place]:.1f} %" + (f"\n−{100 * loss:.1f}" if loss > 5e-4 else "")
        top = 100 * max(rung.accuracy.mean, *rung.accuracy.each, *(interval or ()))
        axes.annotate(text, (place, top), (0, 4), textcoords="offset points", ha="center", fontsize=8, color=tint[place])
    axes.set_ylim(0, 119)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("accuracy (%)")
    axes.grid(axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelbottom=False)


def _layers(figure: Any, axes: Any, found: Diagnosis, layers: list[str]) -> None:
    """Draw a square for each layer and rung: dark red where errors are as large as the signal, white where there is no error."""
    grid = np.full((max(1, len(layers)), len(found.rungs)), np.nan)
    for column, rung in enumerate(found.rungs):
        for row, layer in enumerate(layers):
            value = rung.own_db.get(layer)
            grid[row, column] = np.nan if value is None else value
    image = axes.imshow(np.ma.masked_invalid(grid), aspect="auto", cmap="RdYlBu", vmin=0, vmax=BEST_DB, interpolation="nearest")
    if len(layers) <= 24:
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                strong = value < 8 or value > BEST_DB - 6
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color="white" if strong else "black")
    axes.set_yticks(range(len(layers)), [shorten(layer, 24) for layer in layers], fontsize=7)
    axes.set_xticks(range(len(found.rungs)), [rung.name for rung in found.rungs], fontsize=8)
    axes.set_title("signal over own error of each layer (dB); blank: exact", loc="left", fontsize=8.5)
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
