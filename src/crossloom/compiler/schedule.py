"""Timing and actions of each stage."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from crossloom.engine.base import Counts, Reviews
from crossloom.engine.parts import missing, paced_names, part_named, part_seconds, performed
from crossloom.engine.registry import DIGITAL, engine_of, mapped
from crossloom.program.program import Program
from crossloom.program.stage import Slots, Stage, Timing

TURNS = "its turns"
"""Value of `limited_by` for a stage whose interval is set by its time slots."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Set each stage's timing and its actions per inference, as its engine computes them."""

    def __call__(self, program: Program) -> Program:
        stages = []
        absent: set[str] = set()
        for stage in program.stages:
            engine = engine_of(stage, program)
            timing, cost = engine.timing(stage, program.graph), engine.cost(stage, program.graph)
            timing = replace(timing, limited_by=part_named(timing.limited_by, engine.machine))
            counts: Counts = Counter({part_named(name, engine.machine): count for name, count in cost.actions.items()})
            if stage.engine != DIGITAL and len(stage.nodes) > stage.in_array_nodes:
                functions = replace(stage, nodes=stage.nodes[stage.in_array_nodes :])
                counts.update(mapped(DIGITAL, program.machine).cost(functions, program.graph).actions)
            absent |= missing(program, counts)
            residency = replace(stage.residency, writes_per_inference=cost.writes_per_inference)
            stage = replace(stage, actions=performed(program, counts), residency=residency)
            if stage.slots is not None:
                timing = _in_slots(timing, stage.slots)
            if stage.arrays:
                timing = slowed(timing, stage, program, paced_names(engine.paced_parts, engine.machine))
            stages.append(replace(stage, timing=timing))
        notes = (
            (f"{program.machine.name} has no {', '.join(sorted(absent))}; its actions are modelled as free (zero time and energy)",) if absent else ()
        )
        program = replace(program, stages=tuple(stages), notes=(*program.notes, *notes))
        engines = {id(engine): engine for engine in (engine_of(stage, program) for stage in stages)}
        remarks = (remark for engine in engines.values() if isinstance(engine, Reviews) for remark in engine.review(program))
        return replace(program, notes=tuple(dict.fromkeys((*program.notes, *remarks))))


def _in_slots(timing: Timing, slots: Slots) -> Timing:
    """Return the timing of a stage that shares its arrays: other stages' slots fall between the slots of one step."""
    inside_s = timing.interval_s if timing.in_arrays_s is None else timing.in_arrays_s
    waited = (math.ceil(inside_s / slots.length_s - 1e-6) - 1) * (slots.period - 1) * slots.length_s
    return Timing(slots.per_step * slots.between_s, timing.latency_s + waited, timing.limited_by if slots.period == 1 else TURNS)


def slowed(timing: Timing, stage: Stage, program: Program, paced: frozenset[str]) -> Timing:
    """Return the timing that the components of a stage's tiles allow: buffers, buses, routers, functions.

    Components in `paced` are left out because the engine's own timing accounts for them. The timeline adds up the use of one component by
    several stages of a tile.
    """
    for name, seconds in part_seconds(stage, program, paced).items():
        if seconds / stage.steps > timing.interval_s:
            timing = Timing(seconds / stage.steps, timing.latency_s + seconds / stage.steps - timing.interval_s, name)
    return timing


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """Start each stage only when all stages before it are done, whether it depends on them or not: one layer at a time, without a pipeline."""

    def __call__(self, program: Program) -> Program:
        return replace(program, stages=tuple(replace(stage, sequential=True) for stage in program.stages))
