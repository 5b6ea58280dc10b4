"""Which engines there are; a module is imported when its engine is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from crossloom.engine.base import Engine, Kits
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph

BUILT_IN = {
    "crossbar": "crossloom.engine.crossbar.engine:CROSSBAR",
    "dynamic": "crossloom.engine.dynamic.engine:DYNAMIC",
    "blocks": "crossloom.engine.in_array.engine:BLOCKS",
    "associative": "crossloom.engine.associative.engine:ASSOCIATIVE",
    "softmax": "crossloom.engine.softmax.engine:SOFTMAX",
    "digital": "crossloom.engine.digital.engine:DIGITAL",
}


@cache
def engine_named(name: str) -> Engine:
    """Return an engine by name. Raises MachineError if there is none."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found: Engine = getattr(import_module(module), attribute)
        return found
    for point in entry_points(group="crossloom.engines"):
        if point.name == name:
            loaded: Engine = point.load()
            return loaded
    raise MachineError(f"no engine named {name}; there are {', '.join(BUILT_IN)}; name one of them under 'engines'")


def engines_of(machine: Machine) -> list[Engine]:
    """Return a machine's engines in the order in which its file lists them: the first that takes a node gets it. The digital one comes last.

    Raises MachineError if it has none, or names one that does not exist.
    """
    if not machine.engines:
        raise MachineError(f"machine {machine.name} has no engines: it is described by its costs alone; choose another to run a network on")
    return [engine_named(name) for name in sorted(machine.engines, key=lambda name: name == "digital")]


def adapted(graph: Graph, machine: Machine, kits: Kits = MappingProxyType({})) -> tuple[Graph, tuple[str, ...]]:
    """Return a quantised network as a machine's engines would have it, and what a reader should know of that."""
    notes: tuple[str, ...] = ()
    for engine in engines_of(machine):
        graph, more = engine.adapt(graph, machine, kits)
        notes += more
    return graph, notes


def placements() -> dict[str, type]:
    """Return the classes that describe placements, by name, so that a program's text can be read back."""
    from crossloom.engine.associative.placement import InRows
    from crossloom.engine.crossbar.mapping.tiling import Tiling
    from crossloom.engine.in_array.placement import InBlocks

    return {"InBlocks": InBlocks, "InRows": InRows, "Tiling": Tiling}
