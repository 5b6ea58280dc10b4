"""Adaptation of the network to the engines of the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.engine.registry import adapted
from crossloom.program.program import Program


@dataclass(frozen=True, slots=True)
class Adapt:
    """Rewrite the network for each engine of the machine: operands stored, products rewritten, other number formats."""

    def __call__(self, program: Program) -> Program:
        graph, notes = adapted(program.graph, program.machine, program.array_types)
        return replace(program, graph=graph, source_graph=program.graph, notes=(*program.notes, *notes))
