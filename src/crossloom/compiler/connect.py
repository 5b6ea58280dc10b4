"""Dependencies between stages, position by position."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.program.dataflow import dataflow
from crossloom.program.dependencies import All, Rule
from crossloom.program.program import Program
from crossloom.program.stage import Dependency


@dataclass(frozen=True, slots=True)
class Connect:
    """Set the number of positions of each stage, and the dependency of each position on positions of earlier stages."""

    def __call__(self, program: Program) -> Program:
        flows, rules = dataflow(program.graph)
        home = {node: stage.name for stage in program.stages for node in stage.nodes}
        stages = []
        regrouped: set[str] = set()
        for stage in program.stages:
            waits: dict[str, Rule] = {}
            for name in stage.nodes:
                for source, rule in zip(program.graph.node(name).inputs, rules[name], strict=True):
                    if rule is not None and source in home and home[source] != stage.name:
                        waits.setdefault(home[source], All() if home[source] in regrouped else rule)
            positions = max(1, flows[stage.name].positions)
            vectors = stage.placement.input_vectors
            if vectors is not None and vectors != positions:
                positions, waits = vectors, dict.fromkeys(waits, All())
                regrouped.add(stage.name)
            stages.append(replace(stage, positions=positions, dependencies=tuple(Dependency(s, r) for s, r in waits.items())))
        return replace(program, stages=tuple(stages))
