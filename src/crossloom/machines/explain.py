"""The fields of a machine, each with its value, source and mark."""

from __future__ import annotations

from typing import Any

from crossloom.errors import MachineError
from crossloom.machines.machine import Machine, Part
from crossloom.machines.quantity import Quantity

Row = dict[str, Any]


def explain(machine: Machine, field: str | None = None) -> list[Row]:
    """Return rows of field, value, unit, source and mark for every part and setting whose path contains `field`.

    Raises MachineError if no path does.
    """
    rows: list[Row] = []
    if machine.cycle_s is not None:
        rows.append(_row("cycle", machine.cycle_s, "s"))
    for path, count in machine.units.items():
        if path in machine.assemblies:
            rows.append({"field": f"{path}.use", "value": machine.assemblies[path], "unit": "", "source": "the machine's file", "mark": ""})
        rows.append({"field": f"{path}.count", "value": count, "unit": "", "source": "the machine's file", "mark": ""})
        rows += [
            {"field": f"{path}.{name}", "value": value, "unit": "", "source": "the machine's file, for the parts inside", "mark": ""}
            for name, value in machine.shared.get(path, {}).items()
        ]
    for part in machine.parts.values():
        if part.total or part.unit not in machine.assemblies:
            rows += _part_rows(part)
    for section, settings in (*machine.engines.items(), ("compile", machine.compile)):
        rows += [
            {"field": f"{section}.{key}", "value": value, "unit": "", "source": "the machine's file", "mark": ""} for key, value in settings.items()
        ]
    if field is None:
        return rows
    field = field.removeprefix("engines.")
    wanted = field.replace("_", ".") if "." not in field else field
    chosen = [row for row in rows if _matches(row["field"], field) or _matches(row["field"], wanted)]
    if not chosen:
        names = sorted({part.name for part in machine.parts.values()})
        raise MachineError(f"machine {machine.name} has no field {field}; its parts are {', '.join(names)}")
    return chosen


def _matches(path: str, field: str) -> bool:
    return f".{field}." in f".{path}."


def _part_rows(part: Part) -> list[Row]:
    rows: list[Row] = [
        {"field": f"{part.path}.count", "value": part.count, "unit": "", "source": f"the machine's file ({part.total:g} on a chip)", "mark": ""}
    ]
    rows += [
        {"field": f"{part.path}.{name}", "value": value, "unit": "", "source": "the machine's file or the library", "mark": ""}
        for name, value in part.parameters.items()
    ]
    rows += [
        _row(f"{part.path}.area", part.area_mm2, "mm²"),
        _row(f"{part.path}.power", part.power_w, "W"),
        _row(f"{part.path}.static", part.static_w, "W"),
    ]
    for name, action in part.actions.items():
        rows.append(_row(f"{part.path}.{name}.energy", action.energy_j, "J"))
        if action.latency_s.value:
            rows.append(_row(f"{part.path}.{name}.latency", action.latency_s, "s"))
        if action.endurance:
            rows.append(_row(f"{part.path}.{name}.endurance", action.endurance, ""))
    return rows


def _row(field: str, quantity: Quantity, unit: str) -> Row:
    return {"field": field, "value": quantity.value, "unit": unit, "source": quantity.source, "mark": quantity.mark}
