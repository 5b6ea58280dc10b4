"""Conversion of physical quantities between text and SI floats.

The code holds every quantity as an SI float, except area, which is in mm². Text is parsed here, at the boundary.
"""

from __future__ import annotations

import math
import re
from typing import Literal

Dimension = Literal["power", "energy", "time", "rate", "area", "capacity", "voltage", "conductance", "resistance", "length", "number"]

_PREFIXES = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BASES: dict[str, Dimension] = {
    "W": "power",
    "J": "energy",
    "s": "time",
    "Hz": "rate",
    "V": "voltage",
    "S": "conductance",
    "Ohm": "resistance",
    "Ω": "resistance",
    "m": "length",
}
_AREAS = {"um^2": 1e-6, "µm²": 1e-6, "um2": 1e-6, "mm^2": 1.0, "mm²": 1.0, "mm2": 1.0, "nm^2": 1e-12}
_TIMES = {"min": 60.0, "h": 3600.0, "d": 86400.0}
_CAPACITIES = {"b": 1 / 8, "B": 1.0, "KiB": 1024.0, "KB": 1024.0, "MiB": 1024.0**2, "MB": 1024.0**2, "GiB": 1024.0**3}
_NAMES = {
    "power": "W, such as '2 mW'",
    "energy": "J, such as '1.6 pJ'",
    "time": "s, min, h or d, such as '100 ns' or '1 h'",
    "rate": "Hz, such as '1.2 GHz'",
    "area": "an area, such as '1200 um^2' or '0.37 mm^2'",
    "capacity": "bytes, such as '64 KiB'",
    "voltage": "V, such as '0.3 V'",
    "conductance": "S, such as '10 uS'",
    "resistance": "Ohm, such as '2.5 Ohm'",
    "length": "m, such as '22 nm' or '5 mm'",
    "number": "a plain number",
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s]\S*)?\s*")


def parse(text: str | float | int, dimension: Dimension) -> float:
    """Return a quantity in SI units (area in mm², capacity in bytes).

    A number without a unit is accepted only if it is zero or if the dimension is a plain number. Raises ValueError with what was
    expected.
    """
    match = _QUANTITY.fullmatch(str(text))
    if not match:
        raise ValueError(f"{text!r} is not a quantity; expected {_NAMES[dimension]}")
    number, unit = float(match[1]), match[2] or ""
    factor = 1.0 if not unit and (dimension == "number" or number == 0) else _factor(unit, dimension)
    if factor is None:
        raise ValueError(f"{text!r} has {'the unit ' + repr(unit) if unit else 'no unit'}; expected {_NAMES[dimension]}")
    return number * factor


def _factor(unit: str, dimension: Dimension) -> float | None:
    if dimension == "area":
        return _AREAS.get(unit)
    if dimension == "capacity":
        return _CAPACITIES.get(unit)
    if dimension == "time" and unit in _TIMES:
        return _TIMES[unit]
    for base, measures in _BASES.items():
        if unit.endswith(base) and measures == dimension and unit[: -len(base)] in _PREFIXES:
            return _PREFIXES[unit[: -len(base)]]
    return None


_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


def show(value: float, unit: str, digits: int = 4) -> str:
    """Return a quantity as text with a suitable SI prefix: `show(3.2e-6, "J")` is "3.2 µJ". Areas below 0.01 mm² are shown in µm²."""
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    if unit == "mm²" and 0 < abs(value) < 1e-2:
        return f"{_plain(value * 1e6, digits)} µm²"
    if unit in ("mm²", "") or value == 0:
        return f"{_plain(value, digits)} {unit}".strip()
    rounded = float(f"{value:.{digits}g}")
    factor, prefix = next(((f, p) for f, p in _STEPS if abs(rounded) >= f * (1 - 1e-9)), _STEPS[-1])
    return f"{_plain(value / factor, digits)} {prefix}{unit}"


def _plain(value: float, digits: int) -> str:
    """Return a number with `digits` significant digits; a large number with all its digits, in groups of three."""
    short = f"{value:.{digits}g}"
    return short if abs(float(short)) < 10.0**digits else f"{value:,.0f}"
