"""The bottleneck of the pipeline, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossloom.read.timeline import ALONE, HELD, SEQUENCE
from crossloom.report.numbers.breakdown import bottleneck
from crossloom.units import show

if TYPE_CHECKING:
    from crossloom.job.result import Result


def in_short(result: Result) -> str:
    """Return the short text beside the throughput."""
    time, name = result.timeline, bottleneck(result)
    seconds = show(time.interval_s, "s")
    if time.limited_by == SEQUENCE:
        return "each inference needs the result of the previous one"
    if time.limited_by == HELD:
        return f"{name} occupies its cells for {seconds}"
    if time.contenders > 1:
        return f"{_in_turn(result)}, {name} for the longest"
    return f"slowest: {name}, {seconds}" if name else "nothing to do"


def sentences(result: Result) -> tuple[str, ...]:
    """Return the interval to the next inference and its cause, and whether layers wait in a way that their rows do not show."""
    last_s = max((row["finish_s"] for row in result.layers), default=0.0)
    waiting = (
        f"Layers wait for {result.timeline.limited_by.partition('.')[0]} where several need it in parallel; single layers' times do not show this."
    )
    return (_interval(result), *((waiting,) if result.latency > last_s * (1 + 1e-9) else ()))


def _interval(result: Result) -> str:
    """Return the interval to the next inference, and its cause; an empty string if there is nothing to do."""
    time, name = result.timeline, bottleneck(result)
    follows = f"At full rate, a new inference starts every {show(time.interval_s, 's')}"
    by = result.program.by_name[time.bottleneck].limited_by if name else ""
    limit = f", limited by {by}" if by else ""
    if time.limited_by == SEQUENCE:
        return "The next inference starts when this one is done: it needs the result, because cells hold the sequence so far."
    if time.limited_by == HELD:
        return f"{follows}: {name} occupies its cells from first write to last read."
    if time.contenders > 1:
        return f"{follows}: {_in_turn(result)}, {name} for the longest{limit if time.limited_by == by else ''}."
    return f"{follows}, because {name} is busy for this long on each{limit}." if name else ""


def _in_turn(result: Result) -> str:
    """Return which resource several layers share over time."""
    time = result.timeline
    if time.limited_by == ALONE:
        return f"{time.contenders} layers run one at a time"
    stage = result.program.by_name[time.bottleneck]
    arrays = stage.arrays and time.limited_by == stage.limited_by
    return f"{time.contenders} layers take turns on {'the same arrays' if arrays else time.limited_by.partition('.')[0]}"
