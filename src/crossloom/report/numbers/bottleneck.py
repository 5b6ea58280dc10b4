"""Why inferences follow each other as fast as they do, and no faster, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossloom.read.timeline import ALONE, HELD, SEQUENCE
from crossloom.report.numbers.breakdown import bottleneck
from crossloom.units import show

if TYPE_CHECKING:
    from crossloom.job.result import Result


def in_short(result: Result) -> str:
    """Return the few words that stand beside the throughput."""
    time, name = result.timeline, bottleneck(result)
    seconds = show(time.interval_s, "s")
    if time.limited_by == SEQUENCE:
        return "each needs the result of the one before"
    if time.limited_by == HELD:
        return f"{name} stays in its cells for {seconds}"
    if time.contenders > 1:
        return f"{_in_turn(result)}, {name} longest"
    return f"slowest: {name}, {seconds}" if name else "nothing to do"


def sentences(result: Result) -> tuple[str, ...]:
    """Return when the next inference follows, what it waits for, and whether layers wait in a way that their rows do not show."""
    last_s = max((row["finish_s"] for row in result.layers), default=0.0)
    waiting = (
        f"Layers wait for {result.timeline.limited_by.partition('.')[0]} where several want it at once, which the times of single layers do not show."
    )
    return (_interval(result), *((waiting,) if result.latency > last_s * (1 + 1e-9) else ()))


def _interval(result: Result) -> str:
    """Return when the next inference follows, and what it waits for; nothing where there is nothing to do."""
    time, name = result.timeline, bottleneck(result)
    follows = f"At full rate the next one follows after {show(time.interval_s, 's')}"
    by = result.program.by_name[time.bottleneck].limited_by if name else ""
    limit = f", at the pace of {by}" if by else ""
    if time.limited_by == SEQUENCE:
        return "The next one follows when it is done: it needs the result, as cells keep what the sequence has so far."
    if time.limited_by == HELD:
        return f"{follows}: so long does {name} stay in its cells, from its first write to the last read."
    if time.contenders > 1:
        return f"{follows}: {_in_turn(result)}, {name} for longest{limit if time.limited_by == by else ''}."
    return f"{follows}, because {name} works that long on each{limit}." if name else ""


def _in_turn(result: Result) -> str:
    """Return who takes what by turns."""
    time = result.timeline
    if time.limited_by == ALONE:
        return f"{time.contenders} layers work one at a time"
    stage = result.program.by_name[time.bottleneck]
    arrays = stage.arrays and time.limited_by == stage.limited_by
    return f"{time.contenders} layers take turns on {'the same arrays' if arrays else time.limited_by.partition('.')[0]}"
