"""The arrays beside each other that have the same rows of a layer, as one matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from crossloom.engine.crossbar.analog.programmed import Matrix, matrices
from crossloom.engine.crossbar.analog.rng import key_of
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.encode import program_tiles


@dataclass(frozen=True, slots=True)
class Strip:
    """One row tile, all its results.

    Attributes:
        rows, columns: of the layer's input vectors and results.
        sums: (rows, K·columns) float64, slice after slice, in units of the partial sum.
        unit: (rows, unit columns) float64 what the unit columns hold; exactly 1 for each row of its matrix where they are digital.
        unit_of: (columns,) which unit column has the inputs of each result.
        weights: (K, columns) with which a partial sum counts; negative where a bit line holds complements.
        of_inputs: (columns,) with which the sum of the inputs counts.
        variance: (rows, K·columns) from read to read, of a digit 1; None if there is none.
        unit_variance: (rows, unit columns), the same for unit columns.
        arrays: (columns,) the number of the array, among the layer's, that has each result.
        seed, first_circuit: which circuits of their pool the arrays have.
    """

    rows: slice
    columns: slice
    sums: Tensor
    unit: Tensor
    unit_of: Tensor
    weights: Tensor
    of_inputs: Tensor
    variance: Tensor | None
    unit_variance: Tensor | None
    arrays: Tensor
    seed: int
    first_circuit: int

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.rows.stop - self.rows.start)

    @property
    def lean(self) -> Strip:
        """The strip without its matrices, for those who have made their own of them: they are the most of what a network holds."""
        return replace(self, sums=self.sums.new_empty(0), variance=None)

    @property
    def counts_inputs(self) -> bool:
        """Whether the sum of the inputs adds anything."""
        return bool((self.of_inputs != 0).any())

    @property
    def effective(self) -> Tensor:
        """The weights (rows, columns) that the strip multiplies whole inputs by, converters left out."""
        data = (self.sums.reshape(len(self.sums), *self.weights.shape) * self.weights).sum(1)
        return data + self.of_inputs * self.unit[:, self.unit_of]


def strips_of(layer: MappedLayer, seed: int) -> Iterator[Strip]:
    """Yield the strips of a layer as its arrays are written; ideal cells need no writing."""
    if layer.xbar.physics.ideal and layer.tiling.packed == 1:
        return _ideal(layer, seed)
    return strips(matrices(layer, seed), layer, seed)


def _ideal(layer: MappedLayer, seed: int) -> Iterator[Strip]:
    """Yield the strips whose cells are what they should be, without going through arrays; matrices that share an array do."""
    slices, tiling, device = layer.slices, layer.tiling, layer.weight.device
    weight = torch.tensor(slices.weights, dtype=torch.float64, device=device)
    highest = torch.tensor([(1 << width) - 1 for width in slices.widths], dtype=torch.float64, device=device)
    number = torch.arange(tiling.columns, device=device) // tiling.weights_per_array
    first, circuit = 0, key_of(seed, "circuits", layer.node.inputs[1]) % (1 << 16)
    for group, matrix in enumerate(layer.matrices()):
        for tile in program_tiles(matrix, slices, layer.xbar):
            flipped = torch.zeros(len(slices), tiling.columns, dtype=torch.bool, device=device) if tile.flipped is None else tile.flipped
            height = tile.rows.stop - tile.rows.start
            yield Strip(
                slice(group * tiling.rows + tile.rows.start, group * tiling.rows + tile.rows.stop),
                slice(group * tiling.columns, (group + 1) * tiling.columns),
                tile.cells.transpose(0, 1).to(torch.float64).flatten(1),
                torch.ones(height, 1, dtype=torch.float64, device=device),
                torch.zeros(tiling.columns, dtype=torch.int64, device=device),
                torch.where(flipped, -1.0, 1.0).mul(weight[:, None]),
                (flipped * (weight * highest)[:, None]).sum(0) - slices.offset,
                None,
                None,
                first + number,
                seed,
                circuit,
            )
            first += tiling.column_tiles


def strips(written: Iterable[Matrix], layer: MappedLayer, seed: int = 0) -> Iterator[Strip]:
    """Yield the strips of a layer's arrays, on the device of its weights. The seed is of the circuits around them."""
    first = 0
    for _, beside in groupby(written, key=lambda m: (m.held.rows.start, m.held.rows.stop)):
        members = list(beside)
        yield _joined(members, layer, first, seed)
        first += len(members)


def _joined(beside: list[Matrix], layer: MappedLayer, first: int, seed: int) -> Strip:
    slices, device = layer.slices, layer.weight.device
    count = len(slices)
    weight = torch.tensor(slices.weights, dtype=torch.float64)
    highest = torch.tensor([(1 << width) - 1 for width in slices.widths], dtype=torch.float64)
    held = [matrix.held for matrix in beside]
    columns = slice(held[0].columns.start, held[-1].columns.stop)
    flipped = torch.zeros(count, columns.stop - columns.start, dtype=torch.bool)
    if held[0].flipped is not None:
        flipped = torch.cat([each.flipped for each in held if each.flipped is not None], 1)
    of_inputs = (flipped * (weight * highest)[:, None]).sum(0) - slices.offset
    unit, unit_of, unit_variance = held[0].inputs_of_members, torch.cat([each.member_of for each in held]), None
    if held[0].units:
        unit = torch.cat([matrix.sums[:, -matrix.held.units :] for matrix in beside], 1)
        unit_of = torch.cat([each.member_of + place * each.units for place, each in enumerate(held)])
        unit_variance = _all([None if m.variance is None else m.variance[:, -m.held.units :] for m in beside])
    variance = _all([None if m.variance is None else _by_slice(m.variance, m, count) for m in beside])
    return Strip(
        held[0].rows,
        columns,
        torch.cat([_by_slice(m.sums, m, count) for m in beside], 2).flatten(1).to(device),
        unit.to(device),
        unit_of.to(device),
        torch.where(flipped, -1.0, 1.0).mul(weight[:, None]).to(device),
        of_inputs.to(device),
        None if variance is None else variance.flatten(1).to(device),
        None if unit_variance is None else unit_variance.to(device),
        torch.tensor([first + place for place, each in enumerate(held) for _ in range(each.columns.start, each.columns.stop)], device=device),
        seed,
        key_of(seed, "circuits", layer.node.inputs[1]) % (1 << 16),
    )


def _by_slice(lines: Tensor, matrix: Matrix, slices: int) -> Tensor:
    """Return the bit lines with data as (rows, K, columns)."""
    columns = matrix.held.columns.stop - matrix.held.columns.start
    return lines[:, : columns * slices].reshape(len(lines), columns, slices).transpose(1, 2)


def _all(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there, -1) if there else None


def effective_weights(found: Iterable[Strip], layer: MappedLayer) -> Tensor:
    """Return the weights (G, R, C) float64 that a layer's arrays multiply whole inputs by, converters left out.

    What packed matrices lend each other (cells at the lowest conductance between them) is left out.
    """
    groups, rows, columns = layer.matrices().shape
    whole = torch.zeros(groups, rows, columns, dtype=torch.float64, device=layer.weight.device)
    for strip in found:
        effective = strip.effective
        for first in range(strip.rows.start, strip.rows.stop, rows if layer.tiling.packed > 1 else strip.rows.stop):
            group, inside = divmod(first, rows)
            part = effective[first - strip.rows.start :][: rows - inside]
            left, right = max(strip.columns.start, group * columns), min(strip.columns.stop, (group + 1) * columns)
            mine = part[:, left - strip.columns.start : right - strip.columns.start]
            whole[group, inside : inside + len(mine), left - group * columns : right - group * columns] = mine
    return whole


def gains(found: Iterable[Strip], layer: MappedLayer) -> Tensor | None:
    """Return the factors on the sums (G·C,) that bring the weights as they are nearest to the weights as they were meant; None without.

    α = Σ w·w' / Σ w'², over a column's rows or over the layer: what a chip measures by driving one row after the other. A gain of drift or
    of wires is undone, a spread is not.
    """
    choice = layer.xbar.physics.compensate
    if choice == "none":
        return None
    effective, meant = effective_weights(found, layer), layer.matrices().to(torch.float64)
    above, below = (effective * meant).sum(1).flatten(), effective.square().sum(1).flatten()
    if choice == "layer":
        above, below = above.sum().expand_as(above), below.sum().expand_as(below)
    return torch.where(below > 0, above / below.clamp(min=1e-300), 1.0)
