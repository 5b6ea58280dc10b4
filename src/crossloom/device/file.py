"""Cell files, as written by `crossloom device fit` or by hand.

cell: our-hfo2
title: HfO2, test chip 3
source: measured in our laboratory
low: 2 uS
high: 60 uS
bias_us: [0.1, -0.4]          # in µS, polynomials in the target over the highest conductance, constant first
sigma_us: [0.8, 1.2]
later:                        # optional: repeated measurements, seconds after the first
  - {after: 3600 s, bias_us: [-0.2, -0.9], sigma_us: [1.1, 1.9]}
stuck_high: 0.01              # optional: fractions of stuck cells
stuck_low: 0.02
"""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from crossloom import units
from crossloom.device.cell import Cell
from crossloom.device.faults import Faults
from crossloom.device.programming import Measured, polynomial
from crossloom.device.time import Remeasured, Steady
from crossloom.errors import InputError
from crossloom.files import line_of, read_yaml

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Coefficients = Annotated[tuple[Annotated[float, Field(strict=True, ge=-1e9, le=1e9)], ...], Field(min_length=1, max_length=8)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Later(_Strict):
    after: str
    bias_us: Coefficients
    sigma_us: Coefficients


class _File(_Strict):
    cell: str = Field(min_length=1)
    title: str = ""
    source: str = Field(min_length=1)
    low: str | Number
    high: str
    bias_us: Coefficients = (0.0,)
    sigma_us: Coefficients
    later: tuple[_Later, ...] = ()
    stuck_high: Number = 0.0
    stuck_low: Number = 0.0
    note: str = ""


def read_cell(path: str | Path) -> Cell:
    """Return the cell described by a YAML file. Raises InputError naming the file, the field and the remedy."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such cell file; see 'crossloom device list' for the cells that ship with Crossloom")
    document = read_yaml(path, InputError)
    try:
        given = _File.model_validate(_plain(document))
    except ValidationError as problem:
        error = problem.errors()[0]
        line = line_of(document, error["loc"])
        place = ".".join(str(step) for step in error["loc"])
        raise InputError(f"{path.name}{f', line {line}' if line else ''}: {place}: {error['msg']}; see 'crossloom device fit'") from problem
    return _cell(given, path.name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _cell(given: _File, origin: str) -> Cell:
    try:
        low, high = units.parse(given.low, "conductance"), units.parse(given.high, "conductance")
        times = tuple(units.parse(each.after, "time") for each in given.later)
    except ValueError as problem:
        raise InputError(f"{origin}: {problem}") from problem
    if any(b <= a for a, b in pairwise((0.0, *times))):
        raise InputError(f"{origin}: later.after: times must be positive and increasing, got {', '.join(f'{t:g} s' for t in times)}")
    for name, sigma in (("sigma_us", given.sigma_us), *(("later.sigma_us", each.sigma_us) for each in given.later)):
        if float(polynomial(sigma, torch.linspace(0, 1, 101)).max()) < 0:
            raise InputError(
                f"{origin}: {name}: a standard deviation must not be negative, got {list(sigma)}; 0 means that cells are written exactly"
            )
    later = Remeasured(given.bias_us, given.sigma_us, times, tuple(e.bias_us for e in given.later), tuple(e.sigma_us for e in given.later))
    return Cell(
        name=given.cell,
        title=given.title or given.cell,
        source=given.source,
        low_s=low,
        high_s=high,
        programming=Measured(given.bias_us, given.sigma_us),
        drift=later if times else Steady(),
        faults=Faults(given.stuck_high, given.stuck_low),
        longest_s=times[-1] if times else math.inf,
        note=given.note,
    )


def cell_text(cell: Cell) -> str:
    """Return the file text of a fitted cell. Raises InputError for other models: a published cell is used by its name."""
    if not isinstance(cell.programming, Measured) or not isinstance(cell.drift, Remeasured | Steady):
        raise InputError(f"cell {cell.name} has a model that cell files cannot hold; use it by its name")
    document: dict[str, Any] = {
        "cell": cell.name,
        "title": cell.title,
        "source": cell.source,
        "low": f"{cell.low_s * 1e6:.9g} uS",
        "high": f"{cell.high_s * 1e6:.9g} uS",
        "bias_us": list(cell.programming.bias_us),
        "sigma_us": list(cell.programming.sigma_us),
    }
    if isinstance(cell.drift, Remeasured) and cell.drift.times_s:
        drift = cell.drift
        document["later"] = [
            {"after": f"{time:.9g} s", "bias_us": list(bias), "sigma_us": list(sigma)}
            for time, bias, sigma in zip(drift.times_s, drift.later_bias_us, drift.later_sigma_us, strict=True)
        ]
    if cell.faults != Faults():
        document |= {"stuck_high": cell.faults.stuck_high, "stuck_low": cell.faults.stuck_low}
    if cell.note:
        document["note"] = cell.note
    stream = io.StringIO()
    yaml = YAML(pure=True)
    yaml.default_flow_style = None
    yaml.width = 140
    yaml.dump(document, stream)
    return stream.getvalue()
