"""Pictures of cell models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossloom.errors import InputError
from crossloom.report.figures.sheet import styled
from crossloom.report.palette import HIGHLIGHT, MUTED, PLAIN, PLAIN_LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crossloom.device import Cell
    from crossloom.device.fit import Measurements, Quality

MOST = 4000
"""Maximum number of points drawn for each time; more would only enlarge the file."""


def draw_fit(measurements: Measurements, cell: Cell, qualities: tuple[Quality, ...]) -> Figure:
    """Return a picture of a fit: for each time the errors with the fitted band, beside a normal quantile-quantile plot.

    Raises InputError if matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise InputError("pictures need the package matplotlib: pip install 'crossloom[report]'") from problem
    with styled():
        figure = Figure(figsize=(9.5, 3.1 * len(qualities)), layout="constrained")
        figure.suptitle(f"{cell.name}: errors of {len(measurements.target_us)} measurements, and the fit", x=0.01, ha="left", fontsize=11)
        grid = figure.subplots(len(qualities), 2, squeeze=False, width_ratios=(2, 1))
        for row, quality in zip(grid, qualities, strict=True):
            there = measurements.at(quality.time_s)
            error = there.measured_us - there.target_us
            _errors(row[0], there, error, cell, quality)
            _quantiles(row[1], there, error, cell, quality)
    return figure


def _errors(axes, there: Measurements, error, cell: Cell, quality: Quality) -> None:  # type: ignore[no-untyped-def]
    step = max(1, len(error) // MOST)
    axes.plot(there.target_us[::step], error[::step], ".", color=PLAIN_LIGHT, markersize=3, label="measured")
    x = np.linspace(0, 1, 200)
    line = np.polynomial.polynomial.polyval(x, quality.bias_us)
    spread = np.maximum(np.polynomial.polynomial.polyval(x, quality.sigma_us), 0)
    high = cell.high_s * 1e6
    inside = x * high >= cell.low_s * 1e6 - 1e-9
    axes.plot(x[inside] * high, line[inside], color=HIGHLIGHT, label="fitted mean")
    for sign in (-1, 1):
        axes.plot(x[inside] * high, (line + sign * spread)[inside], "--", color=HIGHLIGHT, label="± one σ" if sign > 0 else None)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_title("as written" if not quality.time_s else f"{quality.time_s:g} s after writing", loc="left", fontsize=9)
    axes.set_xlabel("target (µS)")
    axes.set_ylabel("error (µS)")
    axes.legend(frameon=False, fontsize=8)


def _quantiles(axes, there: Measurements, error, cell: Cell, quality: Quality) -> None:  # type: ignore[no-untyped-def]
    from scipy import stats

    x = there.target_us / (cell.high_s * 1e6)
    spread = np.maximum(np.polynomial.polynomial.polyval(x, quality.sigma_us), 1e-6)
    standard = np.sort((error - np.polynomial.polynomial.polyval(x, quality.bias_us)) / spread)
    normal = stats.norm.ppf((np.arange(len(standard)) + 0.5) / len(standard))
    step = max(1, len(standard) // MOST)
    axes.plot(normal[::step], standard[::step], ".", color=PLAIN, markersize=3)
    reach = float(max(abs(normal[0]), 3.0))
    axes.plot([-reach, reach], [-reach, reach], color=MUTED, linewidth=0.8)
    axes.set_title(f"quantiles (p = {quality.p_value:.2g})", loc="left", fontsize=9)
    axes.set_xlabel("normal")
    axes.set_ylabel("standardised error")
