"""Reuse of arrays by stages that leave no contents in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from crossloom.program.dependencies import All
from crossloom.program.program import Program
from crossloom.program.stage import Dependency


@dataclass(frozen=True, slots=True)
class ReuseArrays:
    """Run the stages that release their arrays in the arrays of the largest of them, each after the one before is done."""

    def __call__(self, program: Program) -> Program:
        passing = [stage for stage in program.stages if stage.arrays and stage.placement.releases_arrays]
        if len(passing) < 2:
            return program
        holder = max(passing, key=lambda stage: stage.arrays).name
        before = {stage.name: earlier.name for earlier, stage in pairwise(passing)}
        names, stages = {stage.name for stage in passing}, []
        for stage in program.stages:
            if (earlier := before.get(stage.name)) is not None:
                others = tuple(wait for wait in stage.dependencies if wait.stage != earlier)
                stage = replace(stage, dependencies=(*others, Dependency(earlier, All())))
            if stage.name in names:
                shares = "" if stage.name == holder else holder
                residency = replace(stage.residency, time_shared=True)
                stage = replace(stage, mapping=replace(stage.mapping, shares=shares), residency=residency)
            stages.append(stage)
        note = f"{len(passing)} layers use the same arrays in sequence"
        return replace(program, stages=tuple(stages), notes=(*program.notes, note))
