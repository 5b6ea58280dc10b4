"""Time multiplexing of a network larger than the chips: its segments of layers, and when their cells are written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.compiler.base import arrays_per_chip, writes
from crossloom.compiler.replicate import demands_of, fewest_steps
from crossloom.engine.registry import engine_of
from crossloom.errors import CapacityError
from crossloom.program.program import Program, streamed_s
from crossloom.program.stage import Stage

FINER = 4
"""Segment sizes tried per halving of the array budget."""


@dataclass(frozen=True, slots=True)
class TimeMultiplex:
    """Run a network that is larger than the chips segment by segment, writing the cells in between.

    Layers are taken in order until the arrays of a segment are used up. A segment may be faster with fewer arrays than the budget, because
    copies fill the rest. Several sizes are therefore tried; the one with the shortest estimated time is taken and, among equals, the one with the
    fewest segments. Within a unit, arrays are written row by row; units are written in parallel. If arrays hold several sets of weights
    (`banks`), the next segment is written while the current one is computed. If there are no more segments than banks, all are written once and
    stay. A layer larger than the chips is cut into chunks of its results. Raises CapacityError for a layer whose single result does not fit.

    Attributes:
        chips: number of chips on the board.
        inferences_per_load: inferences per writing of the cells.
        banks: sets of weights that an array holds.
        balanced: copies fill the arrays (`ReplicateBalanced` follows).
    """

    chips: int
    inferences_per_load: int
    banks: int = 1
    balanced: bool = True

    def __call__(self, program: Program) -> Program:
        budget = arrays_per_chip(program) * self.chips
        need = sum(stage.own_arrays for stage in program.stages)
        if need <= budget:
            return replace(program, chips=self.chips)
        if any(writes(stage, program) for stage in program.stages):
            raise CapacityError(
                "arrays",
                need,
                budget,
                "stored operands must stay in their arrays and cannot be reloaded; set compile.overflow=chips or dynamic.products=digital",
            )
        sizes = [budget] if not self.balanced else [int(budget * 2 ** (-step / FINER)) for step in range(4 * FINER + 1)]
        stages = min((self._cut(program, size, budget) for size in sizes), key=lambda cut: self._seconds(cut, program, budget))
        note = f"one copy of each layer takes {need} arrays, and there are {budget}: the network "
        if not any(stage.placement.written_rows for stage in stages if stage.arrays):
            note += f"runs in {_phases(stages)} segments, one after the other; nothing is written in between"
        elif not stages[0].residency.double_buffered and not any(stage.residency.programming_s for stage in stages):
            note += f"lies in {_phases(stages)} planes of the arrays, read one after the other"
        else:
            shared = f", for {self.inferences_per_load} inferences each" + (", each while the previous one is computed" if self.banks > 1 else "")
            note += f"is written in {_phases(stages)} segments{shared}"
        return replace(program, stages=tuple(stages), chips=self.chips, notes=(*program.notes, note))

    def _cut(self, program: Program, size: int, budget: int) -> list[Stage]:
        """Return the stages in segments of at most `size` arrays; a layer larger than that has a segment of its own."""
        stages: list[Stage] = []
        segment, used = 0, 0
        holders: dict[tuple[int, str], str] = {}
        for stage in program.stages:
            if stage.arrays > budget:
                stage = _in_chunks(stage, budget)
            more = 0 if stage.residency.chunks == 1 and (segment, stage.holder) in holders else stage.arrays
            if used and used + more > size:
                segment, used, more = segment + 1, 0, stage.arrays
            used += more
            shares = holders.setdefault((segment, stage.holder), stage.name) if stage.arrays and stage.residency.chunks == 1 else stage.name
            shares = "" if shares == stage.name else shares
            residency = replace(stage.residency, segment=segment, inferences_per_load=self.inferences_per_load)
            stages.append(replace(stage, residency=residency, mapping=replace(stage.mapping, shares=shares)))
        if _phases(stages) <= self.banks:
            return stages
        return [self._loaded(stage, program) for stage in stages]

    def _loaded(self, stage: Stage, program: Program) -> Stage:
        """Return a stage with the time needed to write its cells."""
        array = program.machine.part("array")
        programming_s = 0.0
        if stage.own_arrays and not writes(stage, program) and "write_row" in array.actions:
            programming_s = stage.placement.written_rows * max(1.0, array.count) * array.actions["write_row"].latency_s.value
        return replace(stage, residency=replace(stage.residency, programming_s=programming_s, double_buffered=self.banks > 1))

    def _seconds(self, stages: list[Stage], program: Program, budget: int) -> tuple[float, int]:
        """Return an estimate of the interval between batches of inferences (s), and the number of segments, chunks included."""
        segments: dict[int, list[Stage]] = {}
        for stage in stages:
            segments.setdefault(stage.residency.segment, []).append(stage)
        times = []
        for members in segments.values():
            steps = fewest_steps(members, demands_of(members, program), {"": budget}) if self.balanced else max(stage.positions for stage in members)
            paces = {stage.name: engine_of(stage, program).timing(stage, program.graph) for stage in members}
            busy = max(paces[s.name].interval_s * s.residency.chunks * (min(steps, s.positions) if s.arrays else s.positions) for s in members)
            compute = self.inferences_per_load * busy + sum(pace.latency_s for pace in paces.values())
            parts = max(stage.residency.chunks for stage in members)
            times += [(max(stage.residency.programming_s for stage in members), compute / parts)] * parts
        return streamed_s(times, stages[0].residency.double_buffered), len(times)


def _phases(stages: list[Stage]) -> int:
    """Return the number of segments, with each chunk of a layer counted as one."""
    return 1 + stages[-1].residency.segment + sum(stage.residency.chunks - 1 for stage in stages)


def _in_chunks(stage: Stage, budget: int) -> Stage:
    """Return a stage cut into as few chunks as will fit. Raises CapacityError if the arrays of a single result do not fit.

    With shared weights, each step needs all chunks of the step before, so nothing is left in the arrays to share.
    """
    whole = stage.placement.smallest_chunk
    if whole > budget:
        raise CapacityError(
            "arrays",
            whole,
            budget,
            f"a single result of layer {stage.nodes[0]} is larger than the board; raise compile.chips or set compile.overflow=chips",
        )
    arrays = budget // whole * whole
    chunks = -(-stage.arrays // arrays)
    mapping = replace(stage.mapping, arrays=-(-stage.arrays // (chunks * whole)) * whole, shares="")
    return replace(stage, mapping=mapping, residency=replace(stage.residency, chunks=chunks))
