"""When the blocks of arrays that stages share are at work: the share of each of equal bins of time.

A stage's blocks are used from its first step to its last, in slots of its own. How its steps lie in between is not kept, so they are taken as even.
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
    """A stage's blocks in one inference: what they do, how many cells hold something, and for how long of a span they are at work."""

    stage: str
    role: str
    slots: Slots
    cells: float
    start_s: float
    end_s: float
    active_s: float

    @property
    def share(self) -> float:
        """The share of the span for which the blocks are at work."""
        return self.active_s / (self.end_s - self.start_s)

    def seconds(self, edges: Values, late_s: float = 0.0) -> Values:
        """Return for how long of each bin the blocks are at work, for an inference that comes so much later."""
        start, end = self.start_s + late_s, self.end_s + late_s
        inside: Values = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
        return np.maximum(inside, 0.0) * self.share


def slots_of(program: Program) -> dict[str, Slots]:
    """Return the slots of each stage that shares arrays."""
    return {stage.name: stage.slots for stage in program.stages if stage.slots is not None}


def activity(result: Result) -> tuple[Active, ...]:
    """Return each stage that shares arrays, in the order of the program."""
    program = result.program
    roles = _roles(program)
    return tuple(_active(result, stage, stage.slots, roles[stage.holder]) for stage in program.stages if stage.slots is not None and stage.arrays)


def _active(result: Result, stage: Stage, slots: Slots, role: str) -> Active:
    """Return a stage's span: from its first slot to the end of its last, which begins the time of a step's own slots after its last step."""
    row = result.timeline.by_name[stage.name]
    last = row.finish_s - stage.latency_s
    end = last + (slots.per_step - 1) * slots.between_s + slots.length_s
    return Active(stage.name, role, slots, result.program.cells[stage.name], row.start_s, max(end, row.start_s + stage.active_s), stage.active_s)


def _roles(program: Program) -> Mapping[str, str]:
    """Return what most cells of each holder of blocks do."""
    cells: dict[str, dict[str, int]] = {}
    for layout in program.floor.layouts if program.floor else ():
        for laid in layout.blocks:
            own = cells.setdefault(laid.stage, {})
            own[laid.block.role] = own.get(laid.block.role, 0) + layout.count * laid.block.cells
    return {stage: max(own, key=lambda role: own[role]) for stage, own in cells.items()}


@dataclass(frozen=True, slots=True)
class Strip:
    """Bins of one inference: for each stage, and of all cells that hold something, the share at work; the latter in a full pipeline too."""

    stages: tuple[Active, ...]
    edges_s: Values
    shares: Values
    alone: Values
    pipeline: Values


def strip(result: Result, bins: int = BINS) -> Strip:
    """Return the bins of a result whose stages share arrays."""
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
    """Return begin, end and value of each run of bins with the same value to a thousandth; those with nothing are left out."""
    rounded = np.round(values, 3)
    cuts = [0, *(np.flatnonzero(np.diff(rounded)) + 1).tolist(), len(rounded)]
    return [(first, last, float(values[first])) for first, last in pairwise(cuts) if values[first] > 0]
