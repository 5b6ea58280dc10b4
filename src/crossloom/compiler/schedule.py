"""How fast each stage steps, and what one inference makes it do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from crossloom.engine.base import Pace
from crossloom.engine.parts import missing, paced_names, part_named, part_seconds, performed
from crossloom.engine.registry import engine_named
from crossloom.program.floorplan import Turns
from crossloom.program.program import Program, Stage

TURNS = "its turns"
"""What sets the interval of a stage that leaves turns to others."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ask each stage's engine how fast it steps, and what one inference makes it do."""

    def __call__(self, program: Program) -> Program:
        stages = []
        absent: set[str] = set()
        for stage in program.stages:
            engine, view = engine_named(stage.engine), program.machine_of(stage)
            pace = engine.pace(stage, program.graph, view)
            pace = replace(pace, limited_by=part_named(pace.limited_by, view))
            counts = {part_named(name, view): count for name, count in engine.price(stage, program.graph, view).items()}
            if stage.engine != "digital":
                for name in stage.nodes[stage.own :]:
                    for action, count in engine_named("digital").price(replace(stage, nodes=(name,)), program.graph, program.machine).items():
                        counts[action] = counts.get(action, 0) + count
            absent |= missing(program, counts)
            stage = replace(stage, actions=performed(program, counts), rewrites=engine.rewrites(stage, program.graph, view))
            if stage.turns is not None:
                pace = _in_turns(pace, stage, stage.turns)
            if stage.arrays:
                pace = slowed(pace, stage, program, paced_names(engine.paced_parts(view), view))
            stage = replace(stage, interval_s=pace.interval_s, latency_s=pace.latency_s, limited_by=pace.limited_by)
            stages.append(stage)
        notes = (f"{program.machine.name} has no {', '.join(sorted(absent))}: what it would do takes no time and costs nothing",) if absent else ()
        program = replace(program, stages=tuple(stages), notes=(*program.notes, *notes))
        remarks = (remark for name in dict.fromkeys(stage.engine for stage in stages) for remark in engine_named(name).remarks(program))
        return replace(program, notes=tuple(dict.fromkeys((*program.notes, *remarks))))


def _in_turns(pace: Pace, stage: Stage, turns: Turns) -> Pace:
    """Return the pace of a stage that shares its arrays: between two turns that a step takes, others have theirs."""
    inside_s = pace.interval_s if pace.inside_s is None else pace.inside_s
    waited = (math.ceil(inside_s / turns.length_s - 1e-6) - 1) * (turns.period - 1) * turns.length_s
    return Pace(stage.per_step * turns.between_s, pace.latency_s + waited, pace.limited_by if turns.period == 1 else TURNS)


def slowed(pace: Pace, stage: Stage, program: Program, paced: frozenset[str]) -> Pace:
    """Return the pace that the parts of a stage's tiles allow: buffers, buses, routers, functions.

    Parts in `paced` are left out: the engine's own pace accounts for them. What several stages of a tile do with the same part is
    added up by the timeline.
    """
    for name, seconds in part_seconds(stage, program, paced).items():
        if seconds / stage.steps > pace.interval_s:
            pace = Pace(seconds / stage.steps, pace.latency_s + seconds / stage.steps - pace.interval_s, name)
    return pace


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """Let each stage begin when all before it are through, those that it needs nothing of among them: one layer at a time, and no pipeline."""

    def __call__(self, program: Program) -> Program:
        return replace(program, stages=tuple(replace(stage, alone=True) for stage in program.stages))
