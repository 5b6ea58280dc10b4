"""Sharing of arrays by stages with identical weights."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from crossloom.compiler.base import writes
from crossloom.network.operators import MatMul, Store
from crossloom.program.dependencies import All
from crossloom.program.program import Program
from crossloom.program.stage import Dependency


@dataclass(frozen=True, slots=True)
class ShareWeights:
    """Run stages with identical contents, such as the steps of a recurrent layer, in the same arrays, one after the other.

    Products that read a stored operand already depend on the store; readers also wait for each other. Without `tied`, layers with
    identical weights nevertheless have arrays of their own.
    """

    tied: bool = True

    def __call__(self, program: Program) -> Program:
        holders: dict[tuple[str, Hashable], str] = {}
        last: dict[str, str] = {}
        stages, sharing = [], 0
        for stage in program.stages:
            contents = stage.placement.contents
            if contents is not None and stage.arrays and (self.tied or isinstance(program.graph.node(stage.nodes[0]).op, Store | MatMul)):
                holder = holders.setdefault((stage.engine, contents), stage.name)
                if holder != stage.name:
                    stage = replace(stage, mapping=replace(stage.mapping, shares=holder))
                    if before := last.get(holder):
                        others = (wait for wait in stage.dependencies if wait.stage != before)
                        stage = replace(stage, dependencies=(*others, Dependency(before, All())))
                        sharing += 1
                if not writes(stage, program):
                    last[holder] = stage.name
            stages.append(stage)
        notes = (f"{sharing} layers share arrays with a layer of identical weights and run in sequence",) if sharing else ()
        return replace(program, stages=tuple(stages), notes=(*program.notes, *notes))
