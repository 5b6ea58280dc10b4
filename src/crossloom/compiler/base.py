"""What a pass is, and what several passes ask of a program."""

from __future__ import annotations

from typing import Protocol

from crossloom.network.operators import Store
from crossloom.program.program import Program
from crossloom.program.stage import Stage


class Pass(Protocol):
    """Returns a new program; its fields are its options."""

    def __call__(self, program: Program) -> Program: ...


def arrays_per_chip(program: Program, array_type: str = "") -> int:
    """Return the number of arrays of a chip, or of those of one array type; 0 for a machine without."""
    part = program.machine.view(array_type).optional("array")
    return int(part.total) if part is not None else 0


def arrays_per_tile(program: Program, array_type: str = "") -> float:
    """Return the number of arrays of a tile (of one array type), or all if there are no tiles."""
    part = program.machine.view(array_type).optional("array")
    if part is None:
        return 1.0
    return max(1.0, part.total / program.machine.tiles)


def writes(stage: Stage, program: Program) -> bool:
    """Return whether a stage writes an operand into its arrays: into each copy all of it, so that copies don't share the work."""
    return isinstance(program.graph.node(stage.nodes[0]).op, Store)
