"""Invariants of a program, checked between passes."""

from __future__ import annotations

from crossloom.errors import CrossloomError
from crossloom.program.program import Program


class BrokenProgram(CrossloomError):
    """A pass returned an inconsistent program: an internal error of the pass, not of the input."""


def verify(program: Program) -> None:
    """Raise BrokenProgram unless each node runs once, in order, and stages depend only on earlier stages. A program without stages passes."""
    done: set[str] = set()
    stages: set[str] = set()
    for stage in program.stages:
        for name in stage.nodes:
            if name in done:
                raise BrokenProgram(f"node {name} runs twice")
            done.add(name)
        if stage.name != stage.nodes[-1]:
            raise BrokenProgram(f"stage {stage.name} does not have the name of its last node {stage.nodes[-1]}")
        for wait in stage.dependencies:
            if wait.stage not in stages:
                raise BrokenProgram(f"stage {stage.name} waits for {wait.stage}, which comes later or not at all")
        if stage.copies < 1 or stage.positions < 1 or stage.interval_s < 0 or stage.latency_s < 0:
            raise BrokenProgram(
                f"stage {stage.name} has impossible numbers: {stage.copies} copies, {stage.positions} positions, "
                f"interval {stage.interval_s:g} s, latency {stage.latency_s:g} s"
            )
        if any(count < 0 for count in stage.actions.values()):
            raise BrokenProgram(f"stage {stage.name} performs an action a negative number of times")
        stages.add(stage.name)
    if program.stages and (missing := [node.name for node in program.graph.nodes if node.name not in done]):
        raise BrokenProgram(f"node {missing[0]} runs in no stage")
