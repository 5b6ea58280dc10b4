"""One inference as a trace in Chrome's format, for ui.perfetto.dev and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossloom.files import write_whole
from crossloom.report.names import printable
from crossloom.report.numbers.breakdown import layer_name

if TYPE_CHECKING:
    from crossloom.job.result import Result

Event = dict[str, Any]
PROCESS = 1
US = 1e6


def perfetto_trace(result: Result) -> dict[str, Any]:
    """Return the trace: one track per stage, and counters of the stages and arrays under way.

    On its track, a stage waits until its first step can start, and is then under way until its last output. Inside this
    span lies its busy time, with all steps end to end. Times are in microseconds.
    """
    events = [_meta("process_name", 0, name=f"{result.program.graph.name} on {result.program.machine.name}: one inference")]
    for track, stage in enumerate(result.program.stages, 1):
        events += _track(result, stage.name, track)
    events += _counters(result)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {
            "model": printable(result.program.graph.name),
            "machine": printable(result.program.machine.name),
            "latency_s": result.latency,
            "interval_s": result.timeline.interval_s,
            "bottleneck": printable(layer_name(result.program, result.timeline.bottleneck)),
        },
    }


def write_trace(result: Result, path: str | Path) -> Path:
    """Write the trace as JSON and return its path. Raises InputError if it cannot be written."""
    return write_whole(path, json.dumps(perfetto_trace(result), allow_nan=False, separators=(",", ":"), ensure_ascii=False) + "\n")


def _track(result: Result, stage: str, track: int) -> Iterator[Event]:
    """Yield the name and position of a track, then its waiting, under-way and working spans."""
    row, name = result.timeline.by_name[stage], layer_name(result.program, stage)
    source = layer_name(result.program, row.waited_for) if row.waited_for else "the input"
    yield _meta("thread_name", track, name=name)
    yield _meta("thread_sort_index", track, sort_index=track)
    if row.start_s > 0:
        yield _span(f"waiting on {source}", "waiting", track, 0.0, row.start_s)
    span_s = row.finish_s - row.start_s
    about = {
        "engine": row.engine,
        "steps": row.steps,
        "copies": row.copies,
        "busy_us": row.busy_s * US,
        "waits_for": printable(source),
        "sets_the_pace": stage == result.timeline.bottleneck,
        "energy_j": result.ledger.by_stage.get(stage, 0.0),
    }
    yield _span(name, "under way", track, row.start_s, span_s, about)
    if row.busy_s > 0:
        yield _span("busy, steps end to end", "working", track, row.start_s, min(row.busy_s, span_s))


def _counters(result: Result) -> Iterator[Event]:
    """Yield the number of stages under way, and of the arrays that they hold, at each change."""
    changes: dict[float, tuple[int, int]] = {0.0: (0, 0)}
    for stage in result.program.stages:
        row = result.timeline.by_name[stage.name]
        for time_s, sign in ((row.start_s, 1), (row.finish_s, -1)):
            stages, arrays = changes.get(time_s, (0, 0))
            changes[time_s] = (stages + sign, arrays + sign * stage.arrays)
    stages = arrays = 0
    for time_s, (more_stages, more_arrays) in sorted(changes.items()):
        stages, arrays = stages + more_stages, arrays + more_arrays
        for name, value in (("stages under way", stages), ("arrays under way", arrays)):
            yield {"ph": "C", "pid": PROCESS, "tid": 0, "name": name, "ts": time_s * US, "args": {"count": value}}


def _meta(kind: str, track: int, **about: Any) -> Event:
    return {
        "ph": "M",
        "pid": PROCESS,
        "tid": track,
        "name": kind,
        "args": {key: printable(v) if isinstance(v, str) else v for key, v in about.items()},
    }


def _span(name: str, category: str, track: int, start_s: float, span_s: float, about: dict[str, Any] | None = None) -> Event:
    event = {"ph": "X", "pid": PROCESS, "tid": track, "name": printable(name), "cat": category, "ts": start_s * US, "dur": span_s * US}
    return event | ({"args": about} if about else {})
