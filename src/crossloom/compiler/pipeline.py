"""A machine's recipe: which passes, in which order."""

from __future__ import annotations

from crossloom.compiler.passes import Allocate, Assign, CheckBuffers, Connect, Pass, Place, ReplicateBalanced, Schedule, UseChips
from crossloom.compiler.verify import verify
from crossloom.errors import MachineError, ModelError
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.program import Program

_OPTIONS = {"replicate": ("balanced", "none"), "overflow": ("chips", "refuse"), "chips": None}


def recipe(machine: Machine) -> tuple[Pass, ...]:
    """Return the passes that a machine file asks for under `compile`. Raises MachineError for an option that does not exist."""
    options = dict(machine.compile)
    for name, value in options.items():
        if name not in _OPTIONS:
            raise MachineError(f"machine {machine.name}: compile.{name}: no such option; there are {', '.join(_OPTIONS)}")
        choices = _OPTIONS[name]
        if choices is not None and value not in choices:
            raise MachineError(f"machine {machine.name}: compile.{name} must be one of {', '.join(choices)}, got {value!r}")
    chips = options.get("chips", 0)
    if not isinstance(chips, int) or isinstance(chips, bool) or chips < 0:
        raise MachineError(f"machine {machine.name}: compile.chips must be a whole number (0: as many as needed), got {chips!r}")
    most = 1 if options.get("overflow") == "refuse" else 1 << 16
    replicate: tuple[Pass, ...] = (ReplicateBalanced(),) if options.get("replicate", "balanced") == "balanced" else ()
    return (Assign(), Place(), Connect(), UseChips(chips, most), *replicate, Allocate(), Schedule(), CheckBuffers())


def compile_network(graph: Graph, machine: Machine) -> Program:
    """Return the program of a quantised network on a machine.

    Raises ModelError for a network in floating point or with nodes that no engine takes, MachineError for a machine that
    cannot run networks, CapacityError for a network that does not fit.
    """
    if not graph.quantized:
        raise ModelError(f"{graph.name} is in floating point; quantise it first (crossloom.quantize)")
    program = Program(graph, machine, ())
    for step in recipe(machine):
        program = step(program)
        verify(program)
    return program
