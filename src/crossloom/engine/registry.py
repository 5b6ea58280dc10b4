"""The engines there are, and those of a machine. A module is imported when its engine is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

from crossloom.engine.base import Adapts, Engine, Holder, MappedEngine
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.plugins import plugins
from crossloom.program.program import Program
from crossloom.program.stage import Stage

DIGITAL = "digital"
"""The engine that every machine has: functions of results, computed as these come."""
BUILT_IN = {
    "crossbar": "crossloom.engine.crossbar.engine:CROSSBAR",
    "dynamic": "crossloom.engine.dynamic.engine:DYNAMIC",
    "blocks": "crossloom.engine.in_array.engine:BLOCKS",
    "associative": "crossloom.engine.associative.engine:ASSOCIATIVE",
    "softmax": "crossloom.engine.softmax.engine:SOFTMAX",
    DIGITAL: "crossloom.engine.digital.engine:DIGITAL",
}


@cache
def engine_named(name: str) -> Engine:
    """Return an engine by name. Raises MachineError if there is none."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found: Engine = getattr(import_module(module), attribute)
        return found
    others = plugins("engines")
    if name not in others:
        raise MachineError(f"no engine named {name}; there are {', '.join((*BUILT_IN, *others))}; name one of them under 'engines'")
    loaded: Engine = others[name].load()
    if not hasattr(loaded, "on"):
        raise MachineError(f"{others[name].package}: {others[name].where} is not an engine; name an object with name and on(machine)")
    return loaded


def mapped(name: str, machine: Machine) -> MappedEngine:
    """Return an engine bound to a machine. It is bound once for each machine object. Raises MachineError for settings that are wrong."""
    if name not in machine.bound:
        machine.bound[name] = engine_named(name).on(machine)
    found: MappedEngine = machine.bound[name]
    return found


def engine_of(stage: Stage, program: Program) -> MappedEngine:
    """Return the engine that computes a stage, on the array type in which the stage lies."""
    return mapped(stage.engine, program.machine_of(stage))


def engines_of(machine: Machine) -> tuple[MappedEngine, ...]:
    """Return a machine's engines in the order in which its file lists them: the first that takes a node gets it. The digital one comes last.

    Raises MachineError if it has none, names one that does not exist, or has settings that are wrong.
    """
    if not machine.engines:
        raise MachineError(f"machine {machine.name} is a cost-only description and cannot run networks; choose another machine")
    return tuple(mapped(name, machine) for name in sorted(machine.engines, key=lambda name: name == DIGITAL))


def all_engines(machine: Machine) -> tuple[MappedEngine, ...]:
    """Return a machine's engines on each of its array types. Raises MachineError as `engines_of`."""
    return tuple(engine for view in machine.views for engine in engines_of(view))


def adapted(graph: Graph, machine: Machine, array_types: Mapping[str, str] = MappingProxyType({})) -> tuple[Graph, tuple[str, ...]]:
    """Return a quantised network in the form that a machine's engines need, and notes for a reader.

    `array_types` says which array type holds which weights, by their names; the first one holds those that it leaves out.
    """
    notes: tuple[str, ...] = ()
    for engine in engines_of(machine.views[0]):
        if isinstance(engine, Adapts):
            graph, more = engine.adapt(graph, _holder(engine, machine, array_types))
            notes += more
    return graph, notes


def _holder(engine: MappedEngine, machine: Machine, array_types: Mapping[str, str]) -> Holder:
    """Return what finds the engine on the array type that holds a weight."""
    return lambda weight: mapped(engine.name, machine.view(array_types[weight])) if weight in array_types else engine
