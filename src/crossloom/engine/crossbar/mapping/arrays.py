"""What each array of a layer holds: levels in word lines and bit lines, and where they come from.

An array has its matrix in the upper left corner, the slices of a weight in adjacent bit lines; matrices that are packed lie on a diagonal.
Unit columns (level 1 wherever a row is driven) are the last bit lines. Everything else is at level 0, and belongs to the circuit all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.mapping.encode import Programmed, Slices, program_tiles
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.crossbar.settings import Crossbars


@dataclass(frozen=True, slots=True)
class Held:
    """One array.

    Attributes:
        rows: the layer's input elements on its word lines, from the first.
        columns: the layer's results in its bit lines; slice k of the n-th is bit line n·K + k.
        levels: (word lines, bit lines) int64, what is programmed.
        flipped: (K, columns) bool, which bit lines hold complements; None without flip encoding.
        members: number of the layer's matrices in it, each with as many of the rows.
        member_of: (columns,) which of them each result belongs to.
        units: number of unit columns, one for each matrix or none; they are the last bit lines.
    """

    rows: slice
    columns: slice
    levels: Tensor
    flipped: Tensor | None
    members: int
    member_of: Tensor
    units: int

    @property
    def inputs_of_members(self) -> Tensor:
        """Ones (rows, members) where a row belongs to a matrix: the sums of their inputs, where no unit column measures them."""
        height = (self.rows.stop - self.rows.start) // self.members
        return torch.eye(self.members, dtype=torch.float64).repeat_interleave(height, 0)


def arrays(weights: Tensor, slices: Slices, xbar: Crossbars, tiling: Tiling) -> Iterator[Held]:
    """Yield the arrays of a layer's weights (G, R, C), int64: matrix after matrix, row tile after row tile, column tile after column tile."""
    if tiling.packed > 1:
        for first in range(0, tiling.groups, tiling.packed):
            yield _packed(weights[first : first + tiling.packed], first, slices, xbar, tiling)
        return
    for group in range(tiling.groups):
        for tile in program_tiles(weights[group], slices, xbar):
            for start in range(0, tiling.columns, tiling.weights_per_array):
                yield _cut(tile, group, start, xbar, tiling)


def _empty(xbar: Crossbars, tiling: Tiling) -> Tensor:
    return torch.zeros(xbar.rows, xbar.columns + tiling.unit, dtype=torch.int64)


def _cut(tile: Programmed, group: int, start: int, xbar: Crossbars, tiling: Tiling) -> Held:
    """Return the array of one row tile that begins with result `start` of its matrix."""
    cells = tile.cells[:, :, start : start + tiling.weights_per_array].cpu()
    levels = _empty(xbar, tiling)
    driven, columns = cells.shape[1:]
    levels[:driven, : columns * cells.shape[0]] = cells.permute(1, 2, 0).reshape(driven, -1)
    if tiling.unit:
        levels[:driven, -1] = 1
    flipped = None if tile.flipped is None else tile.flipped[:, start : start + tiling.weights_per_array].cpu()
    above, left = group * tiling.rows, group * tiling.columns
    return Held(
        slice(above + tile.rows.start, above + tile.rows.stop),
        slice(left + start, left + start + columns),
        levels,
        flipped,
        1,
        torch.zeros(columns, dtype=torch.int64),
        tiling.unit,
    )


def _packed(weights: Tensor, first: int, slices: Slices, xbar: Crossbars, tiling: Tiling) -> Held:
    """Return the array of several small matrices, on a diagonal."""
    levels = _empty(xbar, tiling)
    count, rows, columns = weights.shape
    flips = []
    for place in range(count):
        (tile,) = program_tiles(weights[place], slices, xbar)
        above, left = place * rows, place * columns * len(slices)
        levels[above : above + rows, left : left + columns * len(slices)] = tile.cells.permute(1, 2, 0).reshape(rows, -1).cpu()
        if tiling.unit:
            levels[above : above + rows, place - count] = 1
        flips.append(tile.flipped)
    return Held(
        slice(first * rows, (first + count) * rows),
        slice(first * columns, (first + count) * columns),
        levels,
        None if flips[0] is None else torch.cat([each for each in flips if each is not None], 1).cpu(),
        count,
        torch.arange(count).repeat_interleave(columns),
        count if tiling.unit else 0,
    )
