"""When everything happens: one inference through the pipeline, and the rate at which inferences follow each other.

A stage works through its steps in order. Step j starts when the step before it has left the stage free, and when what it needs
is there:

    start_j = max( start_{j−1} + interval,  ready_j ),     ready_j = max over waits of finish(last position needed by step j)

which is a running maximum: start_j = j · interval + max_{i ≤ j} (ready_i − i · interval). No events, no queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossloom.program import Program, Stage

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One stage of one inference: when its first step starts, when its last result is there, how long it works in between."""

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
    """The reading of time."""

    rows: tuple[Row, ...]
    interval_s: float
    bottleneck: str

    @property
    def latency_s(self) -> float:
        """Time from the first input to the last result of one inference."""
        return max((row.finish_s for row in self.rows), default=0.0)

    @property
    def throughput_per_s(self) -> float:
        """Inferences per second once the pipeline is full."""
        return 1 / self.interval_s if self.interval_s > 0 else 0.0

    @cached_property
    def by_name(self) -> dict[str, Row]:
        """Rows by stage."""
        return {row.name: row for row in self.rows}


def read_timeline(program: Program) -> Timeline:
    """Return when each stage works during one inference, and the initiation interval of a stream of inferences."""
    finish: dict[str, Times] = {}
    stages: dict[str, Stage] = {}
    rows = []
    for stage in program.stages:
        steps = np.arange(stage.steps, dtype=np.int64)
        ready, slowest = _ready(stage, steps, finish, stages)
        starts: Times = steps.astype(np.float64) * stage.interval_s
        if ready is not None:
            starts = starts + np.maximum.accumulate(ready - starts)
        finish[stage.name] = starts + stage.latency_s
        stages[stage.name] = stage
        row = Row(stage.name, stage.engine, float(starts[0]), float(finish[stage.name][-1]), stage.busy_s, stage.steps, stage.copies, slowest)
        rows.append(row)
    slowest_stage = max(program.stages, key=lambda s: s.busy_s, default=None)
    return Timeline(tuple(rows), slowest_stage.busy_s if slowest_stage else 0.0, slowest_stage.name if slowest_stage else "")


def _ready(stage: Stage, steps: NDArray[np.int64], finish: dict[str, Times], stages: dict[str, Stage]) -> tuple[Times | None, str]:
    """Return when each step has what it needs, and which source the last step waits for longest."""
    last_position = np.minimum((steps + 1) * stage.copies, stage.positions) - 1
    ready: Times | None = None
    slowest, worst = "", -1.0
    for wait in stage.waits:
        source = stages[wait.stage]
        needed = wait.rule.last(last_position, source.positions) // source.copies
        times = finish[wait.stage][needed]
        if times[-1] > worst:
            slowest, worst = wait.stage, float(times[-1])
        ready = times if ready is None else np.maximum(ready, times)
    return ready, slowest
