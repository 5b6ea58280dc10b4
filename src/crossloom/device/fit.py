"""Fit of a cell model to a user's measurements: programming error, and its change over time.

Let x be the target over the largest target. At each measured time after writing,

    measured = target + bias(x) + σ(x)·z,    z standard normal,

with bias and σ polynomials in x (µS). Their degrees, 0 to 3 each, minimise the Bayesian information criterion under the normal
likelihood, which is maximised over all coefficients jointly. Later times are fitted one by one and interpolated in the logarithm of time;
each cell keeps its z. The measurements are reproduced and nothing is extrapolated.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from crossloom import units
from crossloom.device.cell import Cell
from crossloom.device.programming import Measured
from crossloom.device.time import Remeasured
from crossloom.errors import DataError

Vector = NDArray[np.float64]

FEWEST = 20
"""Minimum number of measurements per time."""
HIGHEST = 3
"""Highest degree of a polynomial."""
FLOOR_US = 1e-6
"""Lower limit of σ in µS; no cell is written more precisely."""


@dataclass(frozen=True)
class Measurements:
    """Targets and measured conductances (µS) with their times (seconds after writing; all 0 if not recorded)."""

    target_us: Vector
    measured_us: Vector
    time_s: Vector

    @property
    def times(self) -> Vector:
        """The distinct measurement times."""
        return np.unique(self.time_s)

    def at(self, time_s: float) -> Measurements:
        """Return the measurements at one time."""
        there = self.time_s == time_s
        return Measurements(self.target_us[there], self.measured_us[there], self.time_s[there])


@dataclass(frozen=True)
class Quality:
    """Goodness of fit at one time.

    Attributes:
        time_s, samples: measurement time and number of measurements.
        bias_us, sigma_us: fitted coefficients.
        spread: standard deviation of the standardised residuals; 1 if σ is right.
        p_value: Kolmogorov-Smirnov test of their normality; below 0.01 they are unlikely to be normal. The test is optimistic because
            the coefficients were fitted to the same measurements.
        rows: mean target, count, mean error, measured and fitted spread (µS) for each of up to ten groups of targets.
    """

    time_s: float
    samples: int
    bias_us: tuple[float, ...]
    sigma_us: tuple[float, ...]
    spread: float
    p_value: float
    rows: tuple[tuple[float, int, float, float, float], ...]


def read_measurements(path: str | Path, unit: str = "uS") -> Measurements:
    """Return the measurements in a CSV file with the columns `target`, `measured` and, optionally, `time` (s).

    `unit` applies to both conductances. Raises DataError naming the line.
    """
    path = Path(path)
    try:
        scale = units.parse(f"1 {unit}", "conductance") * 1e6
    except ValueError as problem:
        raise DataError(f"{unit}: not a unit of conductance; use S, mS, uS or nS") from problem
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a CSV file with the columns target, measured and, optionally, time")
    rows: list[tuple[float, float, float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            if missing := [name for name in ("target", "measured") if name not in names]:
                raise DataError(f"{path}: it has no column {missing[0]}; its first line must name the columns target, measured and, optionally, time")
            for row in reader:
                rows.append(_row(row, names, scale, f"{path}, line {reader.line_num}"))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path}: not a CSV file ({problem}); export it as plain text with commas") from problem
    if not rows:
        raise DataError(f"{path}: no measurements; give at least {FEWEST}")
    return Measurements(*(np.array(column) for column in zip(*rows, strict=True)))


def _row(row: dict[str, str | None], names: dict[str, str], scale: float, where: str) -> tuple[float, float, float]:
    found = []
    for name in ("target", "measured", "time"):
        text = row.get(names[name]) if name in names else "0"
        try:
            value = float(text or "")
        except ValueError as problem:
            raise DataError(f"{where}: {name} is {text!r}, not a number") from problem
        if not math.isfinite(value) or (value < 0 and name != "measured"):
            raise DataError(f"{where}: {name} is {text}; it must be finite and not negative")
        found.append(value)
    return found[0] * scale, found[1] * scale, found[2]


def fit_cell(measurements: Measurements, name: str, source: str) -> tuple[Cell, tuple[Quality, ...]]:
    """Return the cell fitted to the measurements, and the quality of the fit at each time. Raises DataError for too few measurements."""
    high = float(measurements.target_us.max())
    if high <= 0 or float(measurements.target_us.min()) == high:
        raise DataError(f"{name}: all targets are {high:g} µS; measure at several targets")
    qualities = []
    for time in measurements.times:
        there = measurements.at(float(time))
        if len(there.target_us) < FEWEST:
            raise DataError(f"{name}: {len(there.target_us)} measurements at {time:g} s; a fit needs at least {FEWEST}")
        qualities.append(_fitted(there, high, float(time)))
    first, *later = qualities
    return (
        Cell(
            name=name,
            title=f"{name}, fitted to {len(measurements.target_us)} measurements",
            source=source,
            low_s=float(measurements.target_us.min()) * 1e-6,
            high_s=high * 1e-6,
            programming=Measured(first.bias_us, first.sigma_us),
            drift=Remeasured(
                first.bias_us,
                first.sigma_us,
                tuple(q.time_s - first.time_s for q in later),
                tuple(q.bias_us for q in later),
                tuple(q.sigma_us for q in later),
            ),
            longest_s=max((q.time_s - first.time_s for q in later), default=math.inf),
            note=f"times count from {first.time_s:g} s after writing" if first.time_s else "",
        ),
        tuple(qualities),
    )


def _fitted(there: Measurements, high_us: float, time_s: float) -> Quality:
    x, error = there.target_us / high_us, there.measured_us - there.target_us
    levels = len(np.unique(there.target_us))
    found = [
        (_criterion(x, error, bias, sigma), bias, sigma)
        for bias in range(min(HIGHEST, levels - 1) + 1)
        for sigma in range(min(HIGHEST, levels - 1) + 1)
    ]
    (_, coefficients), degree, _ = min(found, key=lambda each: each[0][0])
    bias, sigma = coefficients[: degree + 1], coefficients[degree + 1 :]
    mean, spread = np.polynomial.polynomial.polyval(x, bias), _sigma(x, sigma)
    standard = (error - mean) / spread
    return Quality(
        time_s=time_s,
        samples=len(x),
        bias_us=tuple(float(c) for c in bias),
        sigma_us=tuple(float(c) for c in sigma),
        spread=float(standard.std()),
        p_value=float(stats.kstest(standard, "norm").pvalue),
        rows=_groups(there.target_us, error, spread),
    )


def _sigma(x: Vector, coefficients: Vector) -> Vector:
    spread: Vector = np.maximum(np.polynomial.polynomial.polyval(x, coefficients), FLOOR_US)
    return spread


def _criterion(x: Vector, error: Vector, bias: int, sigma: int) -> tuple[float, Vector]:
    """Return the Bayesian information criterion for polynomials of these degrees, and their coefficients."""
    polynomial = np.polynomial.polynomial
    start_bias = polynomial.polyfit(x, error, bias)
    rest = np.abs(error - polynomial.polyval(x, start_bias)) * math.sqrt(math.pi / 2)
    start = np.concatenate((start_bias, polynomial.polyfit(x, rest, sigma)))
    unit = max(float(np.abs(error).mean()), FLOOR_US)

    def loss(scaled: Vector) -> float:
        found = scaled * unit
        spread = _sigma(x, found[bias + 1 :])
        return float((np.log(spread) + 0.5 * ((error - polynomial.polyval(x, found[: bias + 1])) / spread) ** 2).mean())

    best = optimize.minimize(loss, start / unit, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-7, "fatol": 1e-10})
    return 2 * len(x) * float(best.fun) + len(start) * math.log(len(x)), best.x * unit


def _groups(target: Vector, error: Vector, spread: Vector) -> tuple[tuple[float, int, float, float, float], ...]:
    """Return one row per target, or one per tenth of the measurements if there are more than ten targets."""
    order = np.argsort(target, kind="stable")
    edges = np.unique(target)
    parts = [order[target[order] == edge] for edge in edges] if len(edges) <= 10 else np.array_split(order, 10)
    return tuple(
        (float(target[p].mean()), len(p), float(error[p].mean()), float(error[p].std()), float(np.sqrt((spread[p] ** 2).mean()))) for p in parts
    )
