"""Stages that leave nothing in their arrays use the same ones, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from crossloom.engine.registry import engine_named
from crossloom.program.dependencies import Everything
from crossloom.program.program import Program, Stage, Wait


@dataclass(frozen=True, slots=True)
class ReuseArrays:
    """Let stages whose engine leaves its arrays when it is through work in those of the largest of them, each when the one before is done."""

    def __call__(self, program: Program) -> Program:
        passing = [stage for stage in program.stages if leaves(stage, program)]
        if len(passing) < 2:
            return program
        holder = max(passing, key=lambda stage: stage.arrays).name
        before = {stage.name: earlier.name for earlier, stage in pairwise(passing)}
        names, stages = {stage.name for stage in passing}, []
        for stage in program.stages:
            if (earlier := before.get(stage.name)) is not None:
                others = tuple(wait for wait in stage.waits if wait.stage != earlier)
                stage = replace(stage, waits=(*others, Wait(earlier, Everything())))
            if stage.name in names:
                stage = replace(stage, shares="" if stage.name == holder else holder, passed_on=True)
            stages.append(stage)
        note = f"{len(passing)} layers use the same arrays, one after the other"
        return replace(program, stages=tuple(stages), notes=(*program.notes, note))


def leaves(stage: Stage, program: Program) -> bool:
    """Return whether a stage leaves its arrays to others when it is through."""
    return bool(stage.arrays) and engine_named(stage.engine).leaves(program.machine_of(stage))
