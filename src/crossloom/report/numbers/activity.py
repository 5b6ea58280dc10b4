"""Activity of the blocks of shared arrays over time: the active share of each of several equal time bins.

A stage's blocks are used from its first step to its last, in the time slots of the stage. The times of its steps in between are not kept, so they
are assumed to be evenly spaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossloom.program.stage import Slots

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.program.program import Program
from crossloom.program.stage import Stage

BINS = 120
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Active:
    """A stage's blocks in one inference: their role, the number of occupied cells, their span and their active time."""

    stage: str
    role: str
    slots: Slots
    cells: float
    start_s: float
    end_s: float
    active_s: float

    @property
    def share(self) -> float:
        """Share of the span for which the blocks are active."""
        return self.active_s / (self.end_s - self.start_s)

    def seconds(self, edges: Values, late_s: float = 0.0) -> Values:
        """Return the active time of the blocks in each bin, for an inference that starts `late_s` later."""
        start, end = self.start_s + late_s, self.end_s + late_s
        inside: Values = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
        return np.maximum(inside, 0.0) * self.share


def slots_of(program: Program) -> dict[str, Slots]:
    """Return the time slots of each stage that shares arrays."""
    return {stage.name: stage.slots for stage in program.stages if stage.slots is not None}


def activity(result: Result) -> tuple[Active, ...]:
    """Return the activity of each stage that shares arrays, in program order."""
    program = result.program
    roles = _roles(program)
    return tuple(_active(result, stage, stage.slots, roles[stage.holder]) for stage in program.stages if stage.slots is not None and stage.arrays)


def _active(result: Result, stage: Stage, slots: Slots, role: str) -> Active:
    """Return a stage's activity. Its span ends with its last slot, which starts one step's worth of slots after its last step."""
    row = result.timeline.by_name[stage.name]
    last = row.finish_s - stage.latency_s
    end = last + (slots.per_step - 1) * slots.between_s + slots.length_s
    return Active(stage.name, role, slots, result.program.cells[stage.name], row.start_s, max(end, row.start_s + stage.active_s), stage.active_s)


def _roles(program: Program) -> Mapping[str, str]:
    """Return the role of most cells of each stage that holds blocks."""
    cells: dict[str, dict[str, int]] = {}
    for layout in program.floor.layouts if program.floor else ():
        for laid in layout.blocks:
            own = cells.setdefault(laid.stage, {})
            own[laid.block.role] = own.get(laid.block.role, 0) + layout.count * laid.block.cells
    return {stage: max(own, key=lambda role: own[role]) for stage, own in cells.items()}


@dataclass(frozen=True, slots=True)
class Strip:
    """Time bins of one inference: the active share of each stage and of all occupied cells, for one inference `alone` and for a full `pipeline`."""

    stages: tuple[Active, ...]
    edges_s: Values
    shares: Values
    alone: Values
    pipeline: Values


def strip(result: Result, bins: int = BINS) -> Strip:
    """Return the time bins of a result whose stages share arrays."""
    stages, interval_s = activity(result), result.timeline.interval_s
    edges: Values = np.linspace(0.0, result.latency, bins + 1)
    length_s = result.latency / bins
    shares = np.array([each.seconds(edges) for each in stages]) / length_s
    held = sum(result.program.cells[stage.name] for stage in result.program.stages if stage.arrays and not stage.shares)
    alone = sum((each.cells * each.seconds(edges) for each in stages), np.zeros(bins)) / (held * length_s)
    others = range(-ceil(result.latency / interval_s), ceil(result.latency / interval_s) + 1)
    whole = sum((each.cells * each.seconds(edges, late * interval_s) for each in stages for late in others), np.zeros(bins))
    return Strip(stages, edges, shares, alone, whole / (held * length_s))


def runs(values: Values) -> list[tuple[int, int, float]]:
    """Return start, end and value of each run of bins with the same value to three decimals; runs of zero are left out."""
    rounded = np.round(values, 3)
    cuts = [0, *(np.flatnonzero(np.diff(rounded)) + 1).tolist(), len(rounded)]
    return [(first, last, float(values[first])) for first, last in pairwise(cuts) if values[first] > 0]
