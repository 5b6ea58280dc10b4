"""Granularity of streaming in attention: row by row, in blocks of rows, or by whole operands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.network.operators import MatMul, Softmax
from crossloom.program.dependencies import All, Chunks, SamePosition
from crossloom.program.program import Program
from crossloom.program.stage import Dependency, Stage

OPERAND = 0
"""Value of `rows` that stands for all rows of an operand."""


@dataclass(frozen=True, slots=True)
class Granularity:
    """Make the stages of attention pass on `rows` rows at a time; 0 for the whole operand (song2017), 1 for single rows (zhai2023).

    Data that streams row by row between products of two activations and softmax is held back until its block is complete. Dependencies on a
    whole operand (keys before the first scores) stay as they are.
    """

    rows: int = 1

    def __call__(self, program: Program) -> Program:
        if self.rows == 1:
            return program
        inside = {stage.name for stage in program.stages if _attends(stage, program)}
        rule = Chunks(self.rows) if self.rows else All()

        def held_back(stage: Stage, wait: Dependency) -> Dependency:
            streams = isinstance(wait.rule, SamePosition) and (stage.name in inside or wait.stage in inside)
            return replace(wait, rule=rule) if streams else wait

        stages = (replace(stage, dependencies=tuple(held_back(stage, wait) for wait in stage.dependencies)) for stage in program.stages)
        return replace(program, stages=tuple(stages))


def _attends(stage: Stage, program: Program) -> bool:
    return any(isinstance(program.graph.node(name).op, MatMul | Softmax) for name in stage.nodes)
