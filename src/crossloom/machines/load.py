"""Loading of machines: YAML files, inheritance, overrides and the library."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from crossloom.errors import MachineError
from crossloom.files import line_of, read_yaml
from crossloom.machines.build import build
from crossloom.machines.machine import Machine
from crossloom.machines.override import apply
from crossloom.machines.schema import AssemblyEntry, ComponentEntry, MachineEntry
from crossloom.plugins import plugins

_HERE = files("crossloom.machines")
_SECTIONS = ("engines", "compile", "components")
_DEEPEST = 16
"""Longest chain of files that extend one another."""


@cache
def published() -> dict[str, str]:
    """Return the machines that ship with Crossloom, name to title, in alphabetical order."""
    documents = [read_yaml(Path(str(path))) for path in (_HERE / "published").iterdir() if path.name.endswith(".yaml")]
    return {doc["machine"]: str(doc["title"]) for doc in sorted(documents, key=lambda d: str(d["machine"]))}


@cache
def foreign() -> dict[str, Path]:
    """Return the machine files of other packages, by the machine's name. Raises MachineError for a name already taken."""
    found: dict[str, Path] = {}
    for plugin in plugins("machines").values():
        for path in plugin.documents():
            name = str(read_yaml(path).get("machine", path.stem))
            if name in found or name in published():
                raise MachineError(f"{plugin.package}: {path.name}: a machine named {name} already exists; rename one")
            found[name] = path
    return found


@cache
def library() -> dict[str, ComponentEntry]:
    """Return the components of Crossloom and of other packages, by name."""
    entries: dict[str, ComponentEntry] = {}
    for name, document in _library_files().items():
        entries |= _components({key: entry for key, entry in document.items() if "parts" not in entry}, name)
    return entries


@cache
def assemblies() -> dict[str, dict[str, Any]]:
    """Return the library assemblies (units of several components), by name, as written in their files."""
    found: dict[str, dict[str, Any]] = {}
    for name, document in _library_files().items():
        for key, entry in document.items():
            if "parts" in entry:
                _assembly(entry, f"{name}: {key}")
                found[key] = entry
    return found


@cache
def _library_files() -> dict[str, Any]:
    paths = sorted((_HERE / "library").iterdir(), key=lambda p: p.name)
    found = {path.name: read_yaml(Path(str(path))) for path in paths if path.name.endswith(".yaml")}
    names = {name for document in found.values() for name in document}
    for plugin in plugins("components").values():
        for path in plugin.documents():
            document = read_yaml(path)
            if wrong := next((name for name, entry in document.items() if not isinstance(entry, Mapping)), None):
                raise MachineError(f"{plugin.package}: {path.name}: {wrong}: must map names to values; describe a component, or remove it")
            if taken := sorted(names & set(document)):
                raise MachineError(f"{plugin.package}: {path.name}: a component named {taken[0]} already exists; rename one")
            names |= set(document)
            found[f"{plugin.name}/{path.name}"] = document
    return found


def _assembly(entry: Any, origin: str) -> None:
    try:
        AssemblyEntry.model_validate(entry)
    except ValidationError as problem:
        raise MachineError(_first(problem, entry, origin)) from problem


def available() -> dict[str, str]:
    """Return all machines that can be given by name, name to title; those of Crossloom come first."""
    return published() | {name: str(read_yaml(path).get("title", "")) for name, path in foreign().items()}


def load_machine(name: str | Path) -> Machine:
    """Return a published machine by name, or the machine described by a YAML file.

    Raises MachineError naming the file, the field and the remedy.
    """
    document, origin, own = _document(str(name), ())
    return machine_of(document, origin, lines=own)


def machine_of(document: Mapping[str, Any], origin: str, overrides: tuple[tuple[str, Any], ...] = (), lines: Any = None) -> Machine:
    """Return the machine described by a document; `origin` names it in errors, `lines` is the document as read, for line numbers."""
    document = dict(document)
    own = _components(document.pop("components", {}), origin)
    try:
        entry = MachineEntry.model_validate({**document, "chip": _assembled(document.get("chip"))})
    except ValidationError as problem:
        raise MachineError(_first(problem, lines, origin)) from problem
    return build(entry, {**library(), **own}, document | {"components": {}}, overrides, origin)


def _assembled(entry: Any) -> Any:
    """Return a unit with its library assemblies expanded; the file's entries for their parts take precedence."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("parts", {}), Mapping):
        return entry
    filled = dict(entry)
    if str(entry.get("use")) in assemblies():
        filled["of"] = filled.pop("use")
        filled["parts"] = _merged(assemblies()[filled["of"]]["parts"], entry.get("parts", {}))
    if "parts" in filled:
        filled["parts"] = {name: _assembled(part) for name, part in filled["parts"].items()}
    return filled


def variant(machine: Machine, changes: Mapping[str, Any]) -> Machine:
    """Return the machine with fields changed; see `Machine.with_`."""
    document = copy.deepcopy(dict(machine.document))
    overrides = list(machine.overrides)
    for key, value in changes.items():
        path = apply(document, machine, key, value)
        overrides.append((path, value))
    return machine_of(document, f"machine {machine.name}", tuple(overrides))


def _document(name: str, seen: tuple[str, ...]) -> tuple[dict[str, Any], str, Any]:
    """Return the content of a machine file with everything it inherits, its file name, and the content before inheritance."""
    if name in seen:
        raise MachineError(f"{name}: it extends itself ({' > '.join(seen)}); break the cycle")
    if len(seen) > _DEEPEST:
        raise MachineError(f"{name}: more than {_DEEPEST} files extend one another; merge some of them")
    path = _file(name)
    document = read_yaml(path)
    if "machine" not in document:
        raise MachineError(f"{path.name}: it lacks the field 'machine' (a name); see docs/machines.md for the format")
    for section in (*_SECTIONS, "set"):
        _check_mapping(document, section, path.name)
    if "extends" not in document:
        return document, path.name, document
    own = copy.deepcopy(document)
    if not isinstance(own["extends"], str):
        raise MachineError(f"{path.name}: extends: must be one machine, such as isaac-ce, or one .yaml file, got {own['extends']!r}")
    base, _, _ = _document(str(document.pop("extends")), (*seen, name))
    changes = document.pop("set", {})
    merged = {**base, **{key: value for key, value in document.items() if key not in _SECTIONS}}
    for section in _SECTIONS:
        merged[section] = _merged(base.get(section, {}), document.get(section, {}))
    plain = machine_of(merged, path.name, lines=own)
    for key, value in changes.items():
        apply(merged, plain, str(key), value)
        plain = machine_of(merged, path.name, lines=own)
    return merged, path.name, own


def _file(name: str) -> Path:
    """Return the file of a machine given by name or path. Raises MachineError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
            raise MachineError(f"{name}: no such machine file; see 'crossloom machine list' for the machines that ship with Crossloom")
        return path
    if name in published():
        return Path(str(_HERE / "published" / f"{name}.yaml"))
    if name in foreign():
        return foreign()[name]
    raise MachineError(f"no machine named {name}; choose one of {', '.join((*published(), *foreign()))}, or give a .yaml file")


def _check_mapping(document: Mapping[str, Any], section: str, origin: str) -> None:
    """Raise MachineError if a section is present but is not a mapping, for instance left empty."""
    if section in document and not isinstance(document[section], Mapping):
        line = line_of(document, (section,))
        where = f", line {line}" if line else ""
        raise MachineError(f"{origin}{where}: {section}: must map names to values, got {document[section]!r}; fill it in or leave it out")


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _components(document: Mapping[str, Any], origin: str) -> dict[str, ComponentEntry]:
    entries: dict[str, ComponentEntry] = {}
    for name, entry in document.items():
        if isinstance(entry, BaseModel):
            entries[name] = entry  # type: ignore[assignment]
            continue
        try:
            entries[name] = ComponentEntry.model_validate(entry)
        except ValidationError as problem:
            raise MachineError(_first(problem, entry, f"{origin}: component {name}")) from problem
    return entries


_GRAMMAR = {"parts", "unit", "part", "assembly", "with"}
"""Steps of pydantic's error location that are omitted from the field's name."""


def _first(problem: ValidationError, document: Any, origin: str) -> str:
    """Return one line for the first of pydantic's errors, with the line number in the file if known."""
    error = problem.errors()[0]
    place = ".".join(str(step) for step in error["loc"] if step not in _GRAMMAR) or "document"
    line = line_of(document, error["loc"])
    where = f", line {line}" if line else ""
    got = f", got {error['input']!r}" if isinstance(error["input"], str | int | float) and "got" not in error["msg"] else ""
    more = f" ({len(problem.errors()) - 1} more)" if len(problem.errors()) > 1 else ""
    return f"{origin}{where}: {place}: {error['msg'].removeprefix('Value error, ')}{got}{more}".replace("\n", " ")
