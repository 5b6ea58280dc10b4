"""Replication of layers, so that all take about the same time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crossloom.compiler.base import arrays_per_chip, writes
from crossloom.engine.registry import engine_of
from crossloom.program.program import Program
from crossloom.program.stage import Stage


@dataclass(frozen=True, slots=True)
class ReplicateBalanced:
    """Give early layers more copies until the arrays of the chips are used up, so that all stages take about the same number of steps.

    Shafiee et al. 2016, Section V: a layer that feeds one with stride s needs s² times its copies. Here each layer has ⌈reads / T⌉ copies, up to
    the largest useful number (`Demand`), and T is the smallest number of steps for which Σ arrays · copies fits, for each array type.
    Stages that release their arrays to others already use all of them.
    """

    def __call__(self, program: Program) -> Program:
        budgets = {view.array_type: arrays_per_chip(program, view.array_type) * program.chips for view in program.machine.views}
        staying = {stage.name for stage in program.stages if stage.arrays and not stage.placement.releases_arrays}
        demands = demands_of([stage for stage in program.stages if stage.name in staying], program)
        steps = {
            segment: fewest_steps([stage for stage in stages if stage.name in staying], demands, budgets)
            for segment, stages in program.segments.items()
        }
        stages = []
        for stage in program.stages:
            if stage.name not in staying:
                stages.append(stage)
                continue
            copies = demands[stage.holder].copies(steps[stage.residency.segment])
            mapping = replace(stage.mapping, copies=1 if writes(stage, program) else copies, arrays=stage.arrays * copies)
            stages.append(replace(stage, mapping=mapping))
        return replace(program, stages=tuple(stages))


@dataclass(frozen=True, slots=True)
class Demand:
    """The demand of one inference on the arrays of a stage.

    Attributes:
        reads: positions, or more if one takes longer than in the fastest layer: heads that share a stored operand read it one after the other.
        most: the largest useful number of copies, one per position. For an operand that every inference writes, no more than make its reading
            as short as its writing, because each copy is written too.
        each: steps per read, which copies cannot share.
    """

    reads: int
    most: int
    each: float = 1.0

    def copies(self, steps: int) -> int:
        """Return the number of copies needed to finish in `steps` steps, up to the largest useful number."""
        whole = int(steps / self.each + 1e-9)
        return min(-(-self.reads // whole), self.most) if whole else self.most

    @property
    def steps(self) -> int:
        """Number of steps with a single copy."""
        return math.ceil(self.reads * self.each - 1e-9)


def demands_of(stages: Sequence[Stage], program: Program) -> dict[str, Demand]:
    """Return the demand on each holder of arrays, summed over the stages that share them."""
    members: dict[str, list[Stage]] = {}
    for stage in stages:
        if stage.arrays:
            members.setdefault(stage.holder, []).append(stage)
    pace = {s.name: engine_of(s, program).timing(s, program.graph).interval_s for group in members.values() for s in group}
    fastest = min((pace[s.name] for group in members.values() for s in group if pace[s.name] > 0 and not writes(s, program)), default=1.0)
    found = {}
    for holder, group in members.items():
        readers = [stage for stage in group if not writes(stage, program)]
        each = max((pace[s.name] / fastest for s in readers), default=1.0) if program.array_types else 1.0
        reads = sum(max(1, math.ceil(round(s.positions * pace[s.name] / fastest / each, 6))) for s in readers)
        most = max(1, sum(s.positions for s in readers))
        written = sum(s.positions * pace[s.name] for s in group if writes(s, program))
        if written:
            most = min(most, math.ceil(sum(s.positions * pace[s.name] for s in readers) / written))
        found[holder] = Demand(reads, max(1, most), each)
    return found


def fewest_steps(stages: Sequence[Stage], demands: Mapping[str, Demand], budgets: Mapping[str, int]) -> int:
    """Return the smallest number of steps for which all stages together fit into the available arrays of each array type."""
    need: dict[str, list[tuple[int, Demand]]] = {}
    for stage in stages:
        if stage.own_arrays:
            need.setdefault(stage.array_type, []).append((stage.arrays, demands[stage.name]))
    low, high = 1, max((demand.steps for each in need.values() for _, demand in each), default=1)
    while low < high:
        steps = (low + high) // 2
        fits = all(sum(arrays * demand.copies(steps) for arrays, demand in each) <= budgets[array_type] for array_type, each in need.items())
        low, high = (low, steps) if fits else (steps + 1, high)
    return max(1, low)
