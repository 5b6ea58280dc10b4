"""Cells by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.resources import files

from crossloom.device.cell import Cell
from crossloom.device.file import read_cell
from crossloom.errors import InputError


@cache
def cells() -> dict[str, Cell]:
    """Return the cells that come with Crossloom, by name."""
    modules = sorted(path.name.removesuffix(".py") for path in files("crossloom.device.published").iterdir() if path.name.endswith(".py"))
    found = [each for name in modules if name != "__init__" for each in import_module(f"crossloom.device.published.{name}").CELLS]
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def cell(name: str) -> Cell:
    """Return a cell by name, or the one that a .yaml file describes. Raises InputError."""
    if name.endswith((".yaml", ".yml")):
        return read_cell(name)
    if name not in cells():
        raise InputError(f"no cell named {name}; choose one of {', '.join(cells())}, or give a .yaml file")
    return cells()[name]
