"""The compiler's pipeline: passes and their order, as set by a machine's `compile` options."""

from __future__ import annotations

from typing import Any

from crossloom.compiler.adapt import Adapt
from crossloom.compiler.allocate import Allocate
from crossloom.compiler.array_types import ChooseArrayTypes
from crossloom.compiler.assign import Assign
from crossloom.compiler.base import Pass
from crossloom.compiler.buffers import CheckBuffers
from crossloom.compiler.chips import UseChips
from crossloom.compiler.connect import Connect
from crossloom.compiler.floor_plan import LayOut
from crossloom.compiler.granularity import OPERAND, Granularity
from crossloom.compiler.multiplex import TimeMultiplex
from crossloom.compiler.place import Place
from crossloom.compiler.ranges import SetRanges
from crossloom.compiler.replicate import ReplicateBalanced
from crossloom.compiler.reuse import ReuseArrays
from crossloom.compiler.schedule import OneAtATime, Schedule
from crossloom.compiler.share import ShareWeights
from crossloom.engine.base import Stacks
from crossloom.engine.registry import all_engines
from crossloom.errors import MachineError, ModelError
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.program.program import Program
from crossloom.program.verify import verify

_OPTIONS = {
    "replicate": ("balanced", "none"),
    "allocate": ("spread", "pack"),
    "tied": ("shared", "copied"),
    "overflow": ("chips", "reload", "refuse"),
    "arrays": ("whole", "shared"),
    "pipeline": ("layers", "none"),
    "chips": None,
    "inferences_per_load": None,
    "grain": None,
}


def pipeline(machine: Machine) -> tuple[Pass, ...]:
    """Return the passes that a machine's `compile` options select. Raises MachineError for an unknown option or a wrong value."""
    options = dict(machine.compile)
    for name, value in options.items():
        if name not in _OPTIONS:
            raise MachineError(f"machine {machine.name}: compile.{name}: no such option; choose from {', '.join(_OPTIONS)}")
        choices = _OPTIONS[name]
        if choices is not None and value not in choices:
            raise MachineError(f"machine {machine.name}: compile.{name} must be one of {', '.join(choices)}, got {value!r}")
    chips, inferences = (_whole(machine, name, options.get(name, least), least) for name, least in (("chips", 0), ("inferences_per_load", 1)))
    overflow = options.get("overflow", "chips")
    banks = max((engine.array_banks for engine in all_engines(machine) if isinstance(engine, Stacks)), default=1)
    replicate, spread = options.get("replicate", "balanced") == "balanced", options.get("allocate", "spread") == "spread"
    most = 1 if overflow == "refuse" else 1 << 16
    _check_array_types(machine, options)
    fit: tuple[Pass, ...]
    if options.get("arrays", "whole") == "shared":
        if overflow == "reload":
            raise MachineError(
                f"machine {machine.name}: compile.arrays=shared does not support overflow=reload; set compile.overflow=chips or compile.arrays=whole"
            )
        fit = (LayOut(replicate, spread, chips, most),)
    elif overflow == "reload":
        fit = (TimeMultiplex(chips or 1, inferences, banks, replicate), *_copies(replicate), Allocate(spread))
    else:
        fit = (UseChips(chips, most), *_copies(replicate), Allocate(spread))
    return (
        ChooseArrayTypes(replicate, chips, most),
        Adapt(),
        Assign(),
        Place(),
        Connect(),
        Granularity(_grain(machine, options.get("grain", "vector"))),
        ShareWeights(options.get("tied", "shared") == "shared"),
        ReuseArrays(),
        SetRanges(),
        *fit,
        Schedule(),
        *_sequential(options.get("pipeline", "layers")),
        CheckBuffers(),
    )


def _copies(replicate: bool) -> tuple[Pass, ...]:
    return (ReplicateBalanced(),) if replicate else ()


def _sequential(option: str) -> tuple[Pass, ...]:
    return (OneAtATime(),) if option == "none" else ()


def _check_array_types(machine: Machine, options: dict[str, Any]) -> None:
    """Raise MachineError for an option that arrays of several sizes do not support."""
    for name, value, instead in (("arrays", "shared", "whole"), ("overflow", "reload", "chips")):
        if machine.array_types and options.get(name) == value:
            raise MachineError(
                f"machine {machine.name}: compile.{name}={value} needs arrays of one size, and there are array types "
                f"{', '.join(machine.array_types)}; set it to {instead}"
            )


def _grain(machine: Machine, value: Any) -> int:
    """Return the number of rows that stages of attention pass on at a time. Raises MachineError."""
    if value in ("vector", "operand"):
        return 1 if value == "vector" else OPERAND
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 31:
        raise MachineError(f"machine {machine.name}: compile.grain must be vector, operand, or a number of rows, got {value!r}")
    return int(value)


def _whole(machine: Machine, name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise MachineError(f"machine {machine.name}: compile.{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def check_machine(machine: Machine) -> Machine:
    """Return the machine if its compile settings are valid; a cost-only machine has none. Raises MachineError for a wrong setting."""
    if machine.engines:
        pipeline(machine)
    return machine


def compile_network(graph: Graph, machine: Machine) -> Program:
    """Return the program of a quantised network on a machine.

    Raises ModelError for a network in floating point or with nodes that no engine supports, MachineError for a machine that
    cannot run networks, and CapacityError for a network that does not fit.
    """
    if not graph.quantized:
        raise ModelError(f"{graph.name} is in floating point; quantise it first (crossloom.quantize)")
    program = Program(graph, machine, ())
    for step in pipeline(machine):
        program = step(program)
        verify(program)
    return program
