"""The interface of a pass, and helpers that several passes use."""

from __future__ import annotations

from typing import Protocol

from crossloom.network.operators import Store
from crossloom.program.program import Program
from crossloom.program.stage import Stage


class Pass(Protocol):
    """A function from a program to a new program; its fields are its options."""

    def __call__(self, program: Program) -> Program: ...


def arrays_per_chip(program: Program, array_type: str = "") -> int:
    """Return the number of arrays on a chip (of one array type); 0 for a machine without arrays."""
    part = program.machine.view(array_type).optional("array")
    return int(part.total) if part is not None else 0


def arrays_per_tile(program: Program, array_type: str = "") -> float:
    """Return the number of arrays in a tile (of one array type), or the number of all arrays if there are no tiles."""
    part = program.machine.view(array_type).optional("array")
    if part is None:
        return 1.0
    return max(1.0, part.total / program.machine.tiles)


def writes(stage: Stage, program: Program) -> bool:
    """Return whether a stage writes an operand into its arrays. Each copy is written in full, so copies do not share that work."""
    return isinstance(program.graph.node(stage.nodes[0]).op, Store)
