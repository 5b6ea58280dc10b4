"""Placement of one copy of each stage."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.engine.registry import engine_of
from crossloom.network.operators import Store
from crossloom.program.dataflow import dataflow
from crossloom.program.program import Program
from crossloom.program.stage import ArrayMapping, Residency


@dataclass(frozen=True, slots=True)
class Place:
    """Have each stage's engine place one copy."""

    def __call__(self, program: Program) -> Program:
        placed = []
        flows, _ = dataflow(program.graph)
        for stage in program.stages:
            node, stage = program.graph.node(stage.nodes[0]), replace(stage, positions=max(1, flows[stage.name].positions))
            layout = engine_of(stage, program).place(stage, program.graph)
            sets = node.op.sets if isinstance(node.op, Store) else 1
            mapping, residency = ArrayMapping(arrays=layout.arrays * sets), Residency(buffers=sets)
            placed.append(replace(stage, placement=layout, mapping=mapping, residency=residency))
        return replace(program, stages=tuple(placed))
