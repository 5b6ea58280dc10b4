"""Lookup of cells by name."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from crossloom.device.cell import Cell
from crossloom.device.file import read_cell
from crossloom.errors import InputError
from crossloom.plugins import plugins


@cache
def cells() -> dict[str, Cell]:
    """Return the cells of Crossloom and of other packages, by name. Raises InputError for a name already taken."""
    modules = sorted(path.name.removesuffix(".py") for path in files("crossloom.device.published").iterdir() if path.name.endswith(".py"))
    found = [each for name in modules if name != "__init__" for each in import_module(f"crossloom.device.published.{name}").CELLS]
    by_name = {each.name: each for each in sorted(found, key=lambda each: each.name)}
    for plugin in plugins("cells").values():
        for path in plugin.documents():
            each = read_cell(path)
            if each.name in by_name:
                raise InputError(f"{plugin.package}: {path.name}: a cell named {each.name} already exists; rename one")
            by_name[each.name] = each
    return by_name


@lru_cache(maxsize=64)
def _read(path: Path, written: int) -> Cell:
    """Return the cell of a file; `written` is its modification time, so that a changed file is read again."""
    return read_cell(path)


def cell(name: str) -> Cell:
    """Return a cell by name, or the one described by a .yaml file. Raises InputError."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)
    if name not in cells():
        raise InputError(f"no cell named {name}; choose one of {', '.join(cells())}, or give a .yaml file")
    return cells()[name]
