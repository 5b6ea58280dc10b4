"""Floor plan of shared arrays: copies of each stage, its time slots, and the locations of its blocks.

For one inference, a stage needs D = ⌈positions / (positions per step · copies)⌉ · slots per step. To finish within T slots, it needs

    copies = ⌈steps of one copy / ⌊T / slots per step⌋⌉,        period = the largest power of two with D · period ≤ T,

A stage with much work thus has many copies and every slot; one with little work has a single copy and leaves most slots to the stages that share
its lines. The search is for the smallest T whose blocks can be packed into the available arrays. It starts at the smallest T for which there are
enough cells and goes upwards. Finally, stages get slots that no other stage can use (`slots`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crossloom.compiler.allocate import with_hops
from crossloom.compiler.base import arrays_per_chip, arrays_per_tile
from crossloom.compiler.packing import BUDGET, BlockKind, Owner, Packing, pack
from crossloom.compiler.slots import with_more_slots
from crossloom.engine.registry import engine_of
from crossloom.errors import CapacityError, MachineError
from crossloom.program.floorplan import ArrayLayout, CellBlock, FloorPlan, LaidBlock
from crossloom.program.program import Program
from crossloom.program.stage import Slots, Stage

LONGEST = 64
"""Longest period, in slots. Longer periods hardly let more blocks share a line, and they lengthen the latency."""
SHARE = 16
"""A period is at most 1/SHARE of an inference's slots. These are a multiple of the longest period, and the bound keeps the rounding loss small."""
FINER = 1.03
"""Ratio between successive numbers of slots that are tried."""
QUICKLY = 2_000
"""Budget of a packing that only checks whether a number of slots is feasible."""


def longest(slots: int) -> int:
    """Return the longest period for an inference of `slots` slots."""
    return min(LONGEST, 1 << max(0, (slots // SHARE).bit_length() - 1))


def whole(slots: int) -> int:
    """Return `slots` rounded up to a multiple of its longest period."""
    return -(-slots // longest(slots)) * longest(slots)


@dataclass(frozen=True, slots=True)
class Need:
    """The demand of one inference on a stage's blocks, summed over the stages that share them.

    Attributes:
        blocks: the blocks of one copy.
        steps: steps per inference with a single copy, of all stages that share the blocks.
        per_step: slots per step.
        most: the largest useful number of copies.
    """

    blocks: tuple[CellBlock, ...]
    steps: int
    per_step: int
    most: int

    def copies(self, slots: int) -> int:
        """Return the number of copies needed to finish in `slots` slots, up to the largest useful number."""
        return min(self.most, -(-self.steps // max(1, slots // self.per_step)))

    def period(self, slots: int) -> int:
        """Return the longest period with which the stage still finishes in `slots` slots."""
        work = -(-self.steps // self.copies(slots)) * self.per_step
        return min(longest(slots), 1 << max(1, slots // work).bit_length() - 1)

    def cells(self, slots: int) -> int:
        """Return the number of cells of all copies."""
        return self.copies(slots) * sum(block.count * block.rows * block.columns for block in self.blocks)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Blocks packed into arrays, and the number of slots in which they complete an inference."""

    slots: int
    packing: Packing


@dataclass(frozen=True, slots=True)
class LayOut:
    """Lay the blocks of all stages out in shared arrays.

    With `replicate`, stages get copies until the arrays of the chips are used up; otherwise each has one. Raises CapacityError for a network that
    does not fit on exactly `exactly` chips or, without `exactly`, on `most`.
    """

    replicate: bool = True
    spread: bool = True
    exactly: int = 0
    most: int = 1 << 16

    def __call__(self, program: Program) -> Program:
        slot_s = _slot_s(program)
        needs = _needs(program, slot_s)
        if not self.replicate:
            needs = {name: replace(need, most=1) for name, need in needs.items()}
        if not needs:
            return program
        side = program.machine.part("array")
        size = side.whole("rows"), side.whole("columns")
        slowest = whole(max(need.steps * need.per_step for need in needs.values()))
        tight = _Plan(slowest, _packed(needs, program, slowest, size))
        least = tight
        if tight.packing.arrays > arrays_per_chip(program) * (self.exactly or 1):
            least = _Plan(slowest * LONGEST, _packed(needs, program, slowest * LONGEST, size))
        chips = self._chips(least.packing.arrays, program)
        found = _fastest(needs, program, arrays_per_chip(program) * chips, least, slowest)
        need, have = least.packing.arrays, arrays_per_chip(program)
        notes = (f"the blocks of one copy of each layer take {need} arrays, and a chip has {have}: {chips} chips are used",) if need > have else ()
        program = replace(program, chips=chips, notes=(*program.notes, *notes))
        floor = _floor(found.packing, needs, program)
        slots = {name: Slots(need.period(found.slots), found.packing.phases[name], slot_s, need.per_step) for name, need in needs.items()}
        slots = with_more_slots(floor, slots)
        stages = _forwarding([_timed(stage, needs, found, slots) for stage in program.stages], program)
        return replace(program, floor=floor, stages=tuple(with_hops(_in_tiles(stages, floor, program, self.spread), program)))

    def _chips(self, need: int, program: Program) -> int:
        have = arrays_per_chip(program)
        if have < 1:
            raise MachineError(f"machine {program.machine.name} has no arrays; give its units a count of at least 1")
        chips, allowed = self.exactly or -(-need // have), self.exactly or self.most
        if need > allowed * have:
            remedy = f"set compile.chips={-(-need // have)} and compile.overflow=chips, or use fewer bits per weight"
            raise CapacityError("arrays", need, have * allowed, remedy)
        return chips


def _slot_s(program: Program) -> float:
    """Return the length of a slot (s): the longest that divides every product's interval, or one cycle if there are no products.

    Between cycles, all state is in cells, latches and registers, so a step may span several slots.
    """
    if program.machine.cycle_s is None:
        raise MachineError(f"machine {program.machine.name}: stages that share arrays need slots of whole cycles; set cycle")
    cycle_s = program.machine.cycle_s.value
    products = [s for s in program.stages if s.arrays and not any(block.writes for block in _blocks(s, program))]
    cycles = [round(engine_of(s, program).timing(s, program.graph).interval_s / cycle_s) for s in products]
    return cycle_s * max(1, math.gcd(*cycles))


def _blocks(stage: Stage, program: Program) -> tuple[CellBlock, ...]:
    """Return the blocks of cells that one copy of a stage takes: whole arrays if its placement defines no smaller blocks."""
    array = program.machine.part("array")
    rows, columns = array.whole("rows"), array.whole("columns")
    return stage.placement.blocks or (CellBlock(rows, columns, stage.arrays, rows * columns),)


def _needs(program: Program, slot_s: float) -> dict[str, Need]:
    """Return the demand on the blocks of each holder."""
    found: dict[str, Need] = {}
    for stage in program.stages:
        if not stage.arrays:
            continue
        per_step = max(1, math.ceil(engine_of(stage, program).timing(stage, program.graph).interval_s / slot_s - 1e-6))
        steps = -(-stage.positions // stage.placement.positions_per_step)
        if (before := found.get(stage.holder)) is not None:
            found[stage.holder] = replace(before, steps=before.steps + steps, per_step=max(per_step, before.per_step))
        else:
            found[stage.name] = Need(_blocks(stage, program), steps, per_step, steps)
    return found


def _packed(needs: Mapping[str, Need], program: Program, slots: int, size: tuple[int, int], budget: int = BUDGET) -> Packing:
    """Return a packing of the blocks of all copies; blocks that are written should lie near the blocks that feed them."""
    kinds = [
        BlockKind(
            owner=name,
            rows=block.rows,
            columns=block.columns,
            count=block.count * need.copies(slots),
            period=need.period(slots),
            writes=block.writes,
        )
        for name, need in needs.items()
        for block in need.blocks
    ]
    near: dict[Owner, Owner] = {}
    for name, need in needs.items():
        fed = next((program.by_name[wait.stage].holder for wait in program.by_name[name].dependencies), "")
        if any(block.writes for block in need.blocks) and fed in needs:
            near[name] = fed
    return pack(kinds, *size, near, budget)


def _fastest(needs: Mapping[str, Need], program: Program, budget: int, least: _Plan, slowest: int) -> _Plan:
    """Return the plan with the fewest slots that takes at most `budget` arrays; `least` is a fallback that fits."""
    size = least.packing.rows, least.packing.columns
    low, high = 1, slowest
    while low < high:
        slots = (low + high) // 2
        enough = sum(need.cells(slots) for need in needs.values()) <= budget * size[0] * size[1]
        low, high = (low, slots) if enough else (slots + 1, high)
    slots = whole(low)
    while slots < slowest:
        if _packed(needs, program, slots, size, QUICKLY).arrays <= budget and (packing := _packed(needs, program, slots, size)).arrays <= budget:
            return _Plan(slots, packing)
        slots = whole(max(slots + 1, int(slots * FINER)))
    while slots < least.slots:
        if (packing := _packed(needs, program, slots, size)).arrays <= budget:
            return _Plan(slots, packing)
        slots *= 2
    return least


def _floor(packing: Packing, needs: Mapping[str, Need], program: Program) -> FloorPlan:
    """Return the packing as a floor plan, with arrays in the order of the first stage that has a block in them."""
    order = {stage.name: place for place, stage in enumerate(program.stages)}
    blocks = [replace(block, count=1) for need in needs.values() for block in need.blocks]
    owners = [name for name, need in needs.items() for _ in need.blocks]
    layouts = [
        ArrayLayout(pattern.times, tuple(LaidBlock(owners[each.kind], each.row, each.column, blocks[each.kind]) for each in pattern.blocks))
        for pattern in packing.patterns
    ]
    layouts.sort(key=lambda layout: min(order[laid.stage] for laid in layout.blocks))
    return FloorPlan(packing.rows, packing.columns, tuple(layouts))


def _timed(stage: Stage, needs: Mapping[str, Need], plan: _Plan, slots: Mapping[str, Slots]) -> Stage:
    """Return a stage with its copies and its time slots."""
    if not stage.arrays:
        return stage
    need = needs[stage.holder]
    copies = min(stage.positions, stage.placement.positions_per_step * need.copies(plan.slots))
    return replace(stage, mapping=replace(stage.mapping, copies=copies), slots=slots[stage.holder])


def _forwarding(stages: Sequence[Stage], program: Program) -> list[Stage]:
    """Return the stages with forwarding: a result goes directly from arrays to arrays if all its readers load each value once, as it arrives."""
    readers: dict[str, list[Stage]] = {}
    for stage in stages:
        for wait in stage.dependencies:
            readers.setdefault(wait.stage, []).append(stage)
    direct = {
        stage.name
        for stage in stages
        if stage.arrays
        and stage.name in readers
        and stage.name not in program.graph.outputs
        and all(each.placement.streams_input for each in readers[stage.name])
    }

    def forwarding(stage: Stage) -> Stage:
        if stage.slots is None:
            return stage
        fed = bool(stage.dependencies) and all(wait.stage in direct for wait in stage.dependencies)
        return replace(stage, slots=replace(stage.slots, forwards_output=stage.name in direct, forwarded_input=fed))

    return [forwarding(stage) for stage in stages]


def _in_tiles(stages: Sequence[Stage], floor: FloorPlan, program: Program, spread: bool) -> list[Stage]:
    """Assign tiles: arrays are numbered consecutively, and a digital stage works in the tiles of the stage that it reads from."""
    there = arrays_per_tile(program)
    tiles = max(1.0, arrays_per_chip(program) * program.chips / there)
    each = min(there, max(1, math.ceil(floor.arrays / tiles))) if spread else there
    placed: dict[str, Stage] = {}
    for stage in stages:
        if stage.arrays:
            placed[stage.name] = _across(stage, floor, each)
        else:
            near = next((placed[wait.stage] for wait in stage.dependencies if wait.stage in placed), None)
            mapping = stage.mapping if near is None else replace(stage.mapping, tiles=near.tiles, tile_shares=near.mapping.tile_shares)
            placed[stage.name] = replace(stage, mapping=mapping)
    return list(placed.values())


def _across(stage: Stage, floor: FloorPlan, each: float) -> Stage:
    """Return a stage with the tiles in which its blocks lie, and the share of its cells in each."""
    share: dict[int, int] = {}
    arrays: set[int] = set()
    for numbers, laid in floor.of(stage.holder):
        for number in numbers:
            tile = int(number // each)
            share[tile] = share.get(tile, 0) + laid.block.cells
        arrays.update(numbers)
    first, last, cells = min(share), max(share), sum(share.values())
    shares = tuple(share.get(tile, 0) / cells for tile in range(first, last + 1))
    tiles = first, last - first + 1
    return replace(stage, mapping=replace(stage.mapping, arrays=len(arrays), tiles=tiles, arrays_per_tile=each, tile_shares=shares))
