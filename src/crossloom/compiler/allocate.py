"""Allocation of tiles to stages, and the hops of their results."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from crossloom.compiler.base import arrays_per_chip, arrays_per_tile
from crossloom.network.operators import Interleave
from crossloom.program.program import Program
from crossloom.program.stage import Stage


@dataclass(frozen=True, slots=True)
class _Where:
    """Tiles of a stage, in the form of its own fields."""

    tiles: tuple[int, int]
    tile_offset: int = 0
    arrays_per_tile: float = 0.0


@dataclass(frozen=True, slots=True)
class Allocate:
    """Assign tiles to stages: arrays are numbered consecutively, and a digital stage works in the tiles of the stage that it reads from.

    A network that does not fill the chips is placed in one of two ways. `pack` fills tile after tile, for short distances. `spread` uses as
    few arrays of each tile as possible, so that fewer arrays share a tile's resources.
    """

    spread: bool = True

    def __call__(self, program: Program) -> Program:
        used: dict[tuple[int, str], int] = {}
        where: dict[str, _Where] = {}
        stages = []
        in_each = {
            (segment, view.array_type): self._in_each_tile(
                [stage for stage in members if stage.array_type == view.array_type], program, view.array_type
            )
            for segment, members in program.segments.items()
            for view in program.machine.views
        }
        for stage in program.stages:
            if stage.own_arrays:
                of = stage.residency.segment, stage.array_type
                start, each = used.get(of, 0), in_each[of]
                first, last = (int(array // each) for array in (start, start + stage.arrays - 1))
                used[of] = start + stage.arrays
                where[stage.name] = _Where((first, last - first + 1), int(start - first * each), each)
        for stage in program.stages:
            if stage.shares:
                where[stage.name] = where[stage.shares]
            elif not stage.arrays:
                where[stage.name] = _Where(next((where[wait.stage].tiles for wait in stage.dependencies if wait.stage in where), (0, 1)))
            place = where[stage.name]
            mapping = replace(stage.mapping, tiles=place.tiles, tile_offset=place.tile_offset, arrays_per_tile=place.arrays_per_tile)
            stages.append(replace(stage, mapping=mapping))
        return replace(program, stages=tuple(with_hops(stages, program)))

    def _in_each_tile(self, stages: list[Stage], program: Program, array_type: str) -> float:
        """Return the number of arrays (of one array type) used in each tile."""
        there = arrays_per_tile(program, array_type)
        if not self.spread:
            return there
        tiles = max(1.0, arrays_per_chip(program, array_type) * program.chips / there)
        return min(there, max(1, math.ceil(sum(stage.own_arrays for stage in stages) / tiles)))


def with_hops(stages: list[Stage], program: Program) -> list[Stage]:
    """Return the stages with their hops: the routers between the middle tiles of a stage and its farthest reader.

    The routers form a square mesh with four tiles per router. Results that are only interleaved go directly to the readers of the interleaved tensor.
    """
    readers: dict[str, list[Stage]] = {}
    for stage in reversed(stages):
        moved = isinstance(program.graph.node(stage.name).op, Interleave)
        for wait in stage.dependencies:
            readers.setdefault(wait.stage, []).extend(readers.get(stage.name, []) if moved else [stage])
    tiles = program.machine.tiles
    side = max(1, math.ceil(math.sqrt(tiles / 4)))

    def router(stage: Stage) -> tuple[int, int]:
        middle = (stage.tiles[0] + stage.tiles[1] // 2) % max(1, int(tiles))
        return divmod(middle // 4, side)

    def hops(stage: Stage) -> int:
        here = router(stage)
        return 1 + max((abs(here[0] - there[0]) + abs(here[1] - there[1]) for there in map(router, readers.get(stage.name, []))), default=0)

    return [replace(stage, mapping=replace(stage.mapping, hops=hops(stage))) for stage in stages]
