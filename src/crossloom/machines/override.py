"""Overrides: changing one field of a machine, named by the end of its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossloom.errors import MachineError
from crossloom.machines.machine import Machine


def fields(machine: Machine) -> dict[str, tuple[str, ...]]:
    """Return every field that can be changed, by dotted name, with its location in the document."""
    found: dict[str, tuple[str, ...]] = {}
    for path in machine.units:
        found[f"{path}.count"] = (*_parts_path(path), "count")
        found |= {f"{path}.{name}": (*_parts_path(path), "with", name) for name in machine.shared.get(path, {})}
        if path in machine.assemblies:
            found[f"{path}.use"] = (*_parts_path(path), "use")
    for part in machine.parts.values():
        place = _parts_path(part.path)
        found[f"{part.path}.use"] = (*place, "use")
        found[f"{part.path}.count"] = (*place, "count")
        for parameter in part.parameters:
            found[f"{part.path}.{parameter}"] = (*place, "with", parameter)
        for figure in ("area", "power", "static"):
            found[f"{part.path}.{figure}"] = (*place, figure)
        for action in part.actions:
            for price in ("energy", "latency", "endurance"):
                found[f"{part.path}.{action}.{price}"] = (*place, "actions", action, price)
    for section, settings in machine.engines.items():
        found |= {f"{section}.{key}": ("engines", section, key) for key in settings}
    found |= {f"compile.{key}": ("compile", key) for key in machine.compile}
    if machine.cycle_s is not None:
        found["cycle"] = ("cycle",)
    return found


def apply(document: dict[str, Any], machine: Machine, key: str, value: Any) -> str:
    """Set the field whose path ends with `key` in the document and return its path. Raises MachineError.

    A figure may carry its provenance, as a mapping of value, source and mark; a bare value is recorded as set by the user.
    """
    path = resolve(machine, key)
    place = _settable(machine, path)[path]
    holder: Any = document
    for step in place[:-1]:
        if step not in holder:
            holder[step] = {}
        holder = holder[step]
    cited = place[-1] in ("area", "power", "static", "energy", "latency", "endurance", "cycle")
    bare = cited and not isinstance(value, Mapping)
    holder[place[-1]] = {"value": value, "source": "set by the user", "mark": "assumed"} if bare else value
    if place[-1] == "use":
        holder.pop("parts", None)
    if place[-1] == "count" and "per" in holder:
        holder.pop("per")
    if cited and place[-1] == "energy":
        holder.pop("busy", None)
    return path


def _settable(machine: Machine, key: str) -> dict[str, tuple[str, ...]]:
    """Return the fields, plus `key` if it names an `engine.setting` or `compile.option` missing from the file.

    Whether such a setting exists is checked later, by the engine or the compiler.
    """
    section, _, setting = key.partition(".")
    left_out = setting and "." not in setting and machine.engines
    own: dict[str, tuple[str, ...]] = {}
    if left_out and section in machine.engines:
        own = {key: ("engines", section, setting)}
    elif left_out and section == "compile":
        own = {key: ("compile", setting)}
    return fields(machine) | own


def resolve(machine: Machine, key: str) -> str:
    """Return the only path that ends with `key`, in which dots may be written as underscores. Raises MachineError."""
    names, key = _settable(machine, key.removeprefix("engines.")), key.removeprefix("engines.")
    if key in names:
        return key
    wanted = key.replace(".", "_")
    flat = {path: path.replace(".", "_") for path in names}
    hits = [path for path, name in flat.items() if name == wanted or name.endswith("_" + wanted)]
    exact = [path for path in hits if path.endswith("." + key)]
    hits = exact or hits
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise MachineError(f"machine {machine.name}: {key} is ambiguous: {', '.join(hits[:4])}; give more of the path")
    if section := next((each for each in (*machine.engines, "compile") if key.startswith(f"{each}_")), None):
        return resolve(machine, f"{section}.{key.removeprefix(f'{section}_')}")
    close = [path for path in names if path.rpartition(".")[2] == wanted.rpartition("_")[2]][:4]
    hint = f"did you mean {', '.join(close)}?" if close else "see 'crossloom machine explain'"
    raise MachineError(f"machine {machine.name} has no field {key}; {hint}")


def _parts_path(path: str) -> tuple[str, ...]:
    """Return the location of a unit or part in the document: chip, parts, tile, parts, ima, ..."""
    first, *rest = path.split(".")
    return (first, *(step for name in rest for step in ("parts", name)))
