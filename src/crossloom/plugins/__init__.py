"""Plugins: engines, machines, components, cells and networks that other packages provide through entry points.

A package declares them in its `pyproject.toml`:

    [project.entry-points."crossloom.engines"]
    popcount = "our_lab.popcount:POPCOUNT"     # an object with `name` and `on(machine)`
    [project.entry-points."crossloom.machines"]
    our_lab = "our_lab.machines"               # a package: each .yaml file in it is a machine, a references.bib beside them is read
    [project.entry-points."crossloom.components"]
    our_lab = "our_lab.components"             # a package: each .yaml file in it is a component library
    [project.entry-points."crossloom.cells"]
    our_lab = "our_lab.cells"                  # a package: each .yaml file in it is a cell
    [project.entry-points."crossloom.networks"]
    our_net = "our_lab.networks:our_net"       # a function that returns a module and example inputs: zoo:our_net

`docs/own_engine.md` walks through one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from crossloom.errors import InputError

KINDS = ("engines", "machines", "components", "cells", "networks")
"""Kinds of plugin; each has an entry point group `crossloom.KIND`."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point: its kind, its name, its location (`module:attribute`), and the package that declares it, with version."""

    kind: str
    name: str
    where: str
    package: str

    def load(self) -> Any:
        """Return the object or module that the entry point names. Raises InputError if it cannot be imported."""
        try:
            return EntryPoint(self.name, self.where, f"crossloom.{self.kind}").load()
        except Exception as problem:
            raise InputError(
                f"{self.package}: its entry point crossloom.{self.kind}: {self.name} = {self.where} cannot be imported "
                f"({type(problem).__name__}: {problem}); repair the package, or uninstall it"
            ) from problem

    def documents(self, suffix: str = ".yaml") -> Iterator[Path]:
        """Yield the files of the package that the entry point names, in alphabetical order. Raises InputError."""
        module = self.load()
        name = getattr(module, "__name__", "")
        if not hasattr(module, "__path__"):
            raise InputError(
                f"{self.package}: its entry point crossloom.{self.kind}: {self.name} = {self.where} must name a package with {suffix} files"
            )
        yield from sorted((Path(str(path)) for path in files(name).iterdir() if path.name.endswith(suffix)), key=lambda path: path.name)


@cache
def plugins(kind: str) -> dict[str, Plugin]:
    """Return the plugins of a kind by name. Raises InputError for a name that two packages declare."""
    found: dict[str, Plugin] = {}
    for point in sorted(entry_points(group=f"crossloom.{kind}"), key=lambda each: each.name):
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown package"
        if point.name in found:
            raise InputError(f"{found[point.name].package} and {package} both declare {point.name} under crossloom.{kind}; uninstall one")
        found[point.name] = Plugin(kind, point.name, point.value, package)
    return found
