"""The timeline: one inference through the pipeline, and the initiation interval of a stream of inferences.

A stage works through its steps in order. Step j starts when the previous step has left the stage free and its own inputs are ready:

    start_j = max( start_{j−1} + interval,  ready_j ),     ready_j = max over waits of finish(last position needed by step j)

This is a running maximum: start_j = j · interval + max_{i ≤ j} (ready_i − i · interval). It needs no events and no queue.

In a full pipeline, the next inference can start under two conditions. The busiest stage, or the busiest component that the stages of a tile share,
must be done with this inference; and the cells of the operands that the next one writes must be free, read for the last time by this one.

If a network is written to the chips segment by segment, B inferences pass through each segment before the next is written. They take
Σ (load + latency + (B − 1) · interval) over the segments. If one plane of the arrays is written while another computes, segment s is written as
soon as segment s − 2 has left its plane; in a steady stream, B inferences then take Σ max(load of the next, latency + (B − 1) · interval).

Stages that share arrays have slots there (`crossloom.program.floorplan`), and a step begins with one of its stage's slots. Count the times in
g = phase + period · slot: with u slots per step, start_j = u · j + max_{i ≤ j} (⌈ready_i⌉ − u · i). The interval is a multiple of the longest
period, so that the next inference finds the same slots.

Sequential stages (`compile.pipeline: none`) begin when all stages before them are done. The latency is then the sum over the stages, and the next
inference begins when this one is done.

A cache of keys and values in the cells belongs to one sequence, whose next token is known only when this one is done. The interval then equals the
latency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.parts import paced_names, part_seconds
from crossloom.engine.registry import engine_of
from crossloom.machines import ActionKey
from crossloom.network.operators import Store
from crossloom.program.program import Program, streamed_s
from crossloom.program.stage import Slots, Stage

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage of one inference: the start of its first step, the time of its last result, and its busy time in between."""

    name: str
    engine: str
    start_s: float
    finish_s: float
    busy_s: float
    steps: int
    copies: int
    waited_for: str


@dataclass(frozen=True)
class Timeline:
    """The reading of time. `bottleneck` is the stage that sets the interval, `limited_by` its action or another cause.

    `contenders` is the number of stages that use that component, or those arrays, one after the other; the bottleneck uses it longest. `latency_s` is
    the time from the first input to the last result of one inference. It is at least the time for which the inference occupies any component, even if
    the rows end earlier because several of them use the component simultaneously there.
    """

    rows: tuple[StageTime, ...]
    latency_s: float
    interval_s: float
    bottleneck: str
    limited_by: str = ""
    contenders: int = 1

    @property
    def throughput_per_s(self) -> float:
        """Inferences per second once the pipeline is full."""
        return 1 / self.interval_s if self.interval_s > 0 else 0.0

    @cached_property
    def by_name(self) -> dict[str, StageTime]:
        """Rows by stage."""
        return {row.name: row for row in self.rows}


HELD = "the operand held"
"""Value of `limited_by` if an operand stays in its cells until it has been read for the last time."""
SEQUENCE = "the sequence"
"""Value of `limited_by` if an inference needs the result of the one before."""
ALONE = "one layer at a time"
"""Value of `limited_by` if no two layers work simultaneously."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """A lower bound on the initiation interval, with its cause."""

    seconds: float = 0.0
    stage: str = ""
    part: str = ""
    contenders: int = 1


def read_timeline(program: Program) -> Timeline:
    """Return the times of each stage during one inference, and the initiation interval of a stream of inferences."""
    finish: dict[str, Times] = {}
    rows: list[StageTime] = []
    worst = _Limit()
    phases: list[tuple[float, float]] = []
    through, written = [0.0, 0.0], 0.0
    groups = program.segments
    for stages in groups.values():
        load = max((stage.residency.programming_s for stage in stages), default=0.0)
        written = (max(written, through[-2]) if stages[0].residency.double_buffered else through[-1]) + load
        begin = max(through[-1], written)
        found = _rows(stages, program, finish, begin)
        rows += found
        part = _busiest_part(stages, program)
        end = max(*(row.finish_s for row in found), begin + part.seconds)
        limits = (_busiest_stage(stages), part, _longest_held(stages, found, program), _all_in_turn(stages, end - begin))
        limit = max(limits, key=lambda each: each.seconds)
        worst = max(worst, limit, key=lambda each: each.seconds)
        through.append(end)
        parts = max(stage.residency.chunks for stage in stages)
        pauses = sum((stage.residency.chunks - 1) * stage.pause_s for stage in stages)
        computed = end - begin - pauses + (stages[0].residency.inferences_per_load - 1) * limit.seconds
        phases += [(load, computed / parts)] * parts
    if (cache := _cache(program)) is not None and through[-1] >= worst.seconds:
        return Timeline(tuple(rows), through[-1], through[-1], cache, SEQUENCE)
    if len(phases) > 1:
        return Timeline(
            tuple(rows),
            through[-1],
            streamed_s(phases, program.stages[0].residency.double_buffered) / program.stages[0].residency.inferences_per_load,
            worst.stage,
            worst.part,
            worst.contenders,
        )
    return Timeline(tuple(rows), through[-1], _whole_periods(worst.seconds, program), worst.stage, worst.part, worst.contenders)


def _whole_periods(seconds: float, program: Program) -> float:
    """Return the shortest interval of at least `seconds` after which every stage finds its slots again."""
    longest = max((stage.slots.between_s for stage in program.stages if stage.slots is not None), default=0.0)
    return ceil(seconds / longest - 1e-6) * longest if longest else seconds


def _cache(program: Program) -> str | None:
    """Return the stage whose cells keep what earlier inferences wrote, or None. With one, an inference needs the result of the one before."""
    kept = (
        stage.name for stage in program.stages if 0 < stage.residency.writes_per_inference * stage.residency.buffers < 1 and _stores(stage, program)
    )
    return next(kept, None)


def _stores(stage: Stage, program: Program) -> bool:
    """Return whether a stage writes an operand into cells that other stages read."""
    return isinstance(program.graph.node(stage.nodes[0]).op, Store)


def _rows(stages: list[Stage], program: Program, finish: dict[str, Times], begin: float) -> list[StageTime]:
    """Return the rows of a segment's stages. A sequential stage begins when all before it are done, and waits for the last of them."""
    found: list[StageTime] = []
    for stage in stages:
        if not stage.sequential:
            found.append(_row(stage, program, finish, begin))
            continue
        last = max(found, key=lambda row: row.finish_s, default=None)
        row = _row(stage, program, finish, last.finish_s if last else begin)
        found.append(replace(row, waited_for=last.name) if last else row)
    return found


def _row(stage: Stage, program: Program, finish: dict[str, Times], begin: float) -> StageTime:
    """Return a stage's row, and record the finish time of each of its steps in `finish`."""
    steps = np.arange(stage.steps, dtype=np.int64)
    part, place = np.divmod(steps, stage.steps // stage.residency.chunks)
    ready, slowest = _ready(stage, place, finish, program)
    ready = np.full(len(steps), begin) if ready is None else np.maximum(ready, begin)
    if stage.slots is not None:
        starts = _in_slots(steps, ready, stage.slots, ceil(stage.interval_s / stage.slots.between_s - 1e-6))
    else:
        starts = steps.astype(np.float64) * stage.interval_s + part * stage.pause_s
        starts = starts + np.maximum.accumulate(ready - starts)
    finish[stage.name] = starts + stage.latency_s
    return StageTime(stage.name, stage.engine, float(starts[0]), float(finish[stage.name][-1]), stage.busy_s, stage.steps, stage.copies, slowest)


def _in_slots(steps: NDArray[np.int64], ready: Times, slots: Slots, per_step: int) -> Times:
    """Return the start times of steps that wait for a slot of their stage; inputs count as ready within a millionth of a slot."""
    first = slots.phase * slots.length_s
    own = np.ceil(np.maximum(ready - first, 0.0) / slots.between_s - 1e-6).astype(np.int64)
    start: Times = first + slots.between_s * (steps * per_step + np.maximum.accumulate(own - steps * per_step)).astype(np.float64)
    return start


def _ready(stage: Stage, steps: NDArray[np.int64], finish: dict[str, Times], program: Program) -> tuple[Times | None, str]:
    """Return the time at which the inputs of each step are ready, and the source that the last step waits for longest."""
    last_position = np.minimum((steps + 1) * stage.copies, stage.positions) - 1
    ready: Times | None = None
    slowest, worst = "", -1.0
    for wait in stage.dependencies:
        source = program.by_name[wait.stage]
        in_last_part = (source.residency.chunks - 1) * (source.steps // source.residency.chunks)
        needed = in_last_part + wait.rule.last(last_position, source.positions) // source.copies
        times = finish[wait.stage][needed]
        if times[-1] > worst:
            slowest, worst = wait.stage, float(times[-1])
        ready = times if ready is None else np.maximum(ready, times)
    return ready, slowest


def _busiest_stage(stages: list[Stage]) -> _Limit:
    """Return the limit of the stage whose arrays one inference occupies longest; stages that share arrays fill their copies together."""
    members: dict[str, list[Stage]] = {}
    for stage in stages:
        members.setdefault(stage.holder, []).append(stage)
    busy = {holder: _occupied(group) for holder, group in members.items()}
    holder = max(busy, key=lambda each: busy[each])
    longest = max(members[holder], key=lambda each: each.busy_s)
    return _Limit(busy[holder], longest.name, longest.limited_by, len(members[holder]))


def _all_in_turn(stages: list[Stage], seconds: float) -> _Limit:
    """Return the limit of a segment whose stages work one at a time: their total time, named after the longest stage. Otherwise it is empty."""
    if not any(stage.sequential for stage in stages):
        return _Limit()
    return _Limit(seconds, max(stages, key=lambda stage: stage.busy_s).name, ALONE, len(stages))


def _longest_held(stages: list[Stage], rows: list[StageTime], program: Program) -> _Limit:
    """Return the limit of the operand that stays in its cells longest, from first write to last read: the next inference's operand must wait."""
    by_name = {row.name: row for row in rows}
    worst = _Limit()
    for stage in stages:
        if stage.residency.writes_per_inference * stage.residency.buffers == 1 and not stage.shares and _stores(stage, program):
            readers = [by_name[other.name].finish_s for other in stages if other.shares == stage.name]
            held = max(readers, default=0.0) - by_name[stage.name].start_s
            worst = max(worst, _Limit(held / stage.residency.buffers, stage.name, HELD), key=lambda each: each.seconds)
    return worst


def _occupied(group: list[Stage]) -> float:
    """Return the time for which one inference occupies arrays. Stages with equal interval and copies fill the copies together; inferences alternate
    between sets of cells.
    """
    positions: dict[tuple[float, int], int] = {}
    for stage in group:
        pace = stage.interval_s, stage.copies
        positions[pace] = positions.get(pace, 0) + stage.positions * stage.residency.chunks
    return sum(-(-count // copies) * interval for (interval, copies), count in positions.items()) / max(stage.residency.buffers for stage in group)


def _busiest_part(stages: list[Stage], program: Program) -> _Limit:
    """Return the limit of the component of a tile, or of the chips, that the stages occupy longest, named after the stage that occupies it most."""
    tiles = 1 + max(stage.tiles[0] + len(stage.in_tiles) for stage in stages)
    busy: dict[str, Times] = {}
    contenders: dict[str, NDArray[np.int64]] = {}
    most: dict[str, tuple[float, str, str]] = {}
    for stage in stages:
        engine = engine_of(stage, program)
        paced = paced_names(engine.paced_parts, engine.machine) if stage.arrays else frozenset[str]()
        whole = part_seconds(stage, program, paced)
        for role in dict.fromkeys(ActionKey.of(name).part for name in whole):
            where, shares = _there(stage, program.machine.part(role).in_tile)
            own = {name: seconds for name, seconds in whole.items() if ActionKey.of(name).part == role}
            busy.setdefault(role, np.zeros(tiles))[where] += sum(own.values()) * shares
            contenders.setdefault(role, np.zeros(tiles, np.int64))[where] += any(own.values())
            most[role] = max(most.get(role, (0.0, "", "")), *((seconds, stage.name, name) for name, seconds in own.items()))
    role = max(busy, key=lambda each: busy[each].max(), default="")
    if not role:
        return _Limit()
    place = int(busy[role].argmax())
    return _Limit(float(busy[role][place]), *most[role][1:], int(contenders[role][place]))


def _there(stage: Stage, in_tiles: bool) -> tuple[slice, Times]:
    """Return the tiles in which a stage occupies a component, and its time in each relative to the longest; one entry for a chip-wide component."""
    if not in_tiles:
        return slice(0, 1), np.ones(1)
    shares = np.asarray(stage.in_tiles)
    return slice(stage.tiles[0], stage.tiles[0] + len(shares)), shares / shares.max()
