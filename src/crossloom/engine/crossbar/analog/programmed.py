"""Arrays as they are once written: conductances, and the matrices that they multiply by.

A level ℓ of w-bit cells is the conductance low + ℓ·Δ, Δ = (high − low)/(2^w − 1); a digit d of v bits is the voltage V·d/(2^v − 1).
With I the current of a bit line and u = Δ·V/(2^v − 1) the current of one unit of the partial sum,

    I/u − (low/Δ)·Σ_i d_i  =  Σ_i (T_ij/Δ − low/Δ)·d_i,

T the conductance from word line i to bit line j: the cell itself on ideal wires, the transfer matrix of the whole array on real ones. What
the lowest conductance gives is taken off exactly. So an array multiplies digits by a fixed matrix, which is ℓ if nothing is wrong.

A read's fluctuation σ of a cell scales like the cell's own current, by T_ij/g_ij. That leaves out how the other inputs pull at the cell's
voltage: second order in what wires lose. A cell with a curved law counts with its chord, I(V)/V; on real wires a little less than V is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.device.cell import Written
from crossloom.engine.crossbar.analog.rng import key_of
from crossloom.engine.crossbar.analog.solved import SOLVED
from crossloom.engine.crossbar.cell_settings import Physics
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.arrays import Held, arrays

AT_ONCE = 1 << 20
"""Cells written and solved together, some megabytes for each of their properties."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array as written.

    Attributes:
        held: what was to be written.
        order: which of its rows each word line has; word lines beyond the matrix may come in anywhere when rows are exchanged.
        conductance_s: (word lines, bit lines) of the cells, for the read voltage.
        sigma_s: their fluctuation from one read to the next; None if they have none.
    """

    held: Held
    order: Tensor
    conductance_s: Tensor
    sigma_s: Tensor | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """What an array multiplies digits by, in units of the partial sum, rows in the order of the inputs.

    Attributes:
        held: what was to be written.
        sums: (rows, bit lines) float64; the unit columns are the last.
        variance: of each product of a digit 1, from read to read; None if there is none.
    """

    held: Held
    sums: Tensor
    variance: Tensor | None


def levels_s(physics: Physics, bits: int) -> tuple[float, float]:
    """Return the conductance of level 0 and the step Δ (S) from one level to the next."""
    low, high = physics.levels_s
    return low, (high - low) / ((1 << bits) - 1)


def written(layer: MappedLayer, seed: int) -> Iterator[Array]:
    """Yield the arrays of a layer. What chance decides belongs to the seed, the weights' name and the place among the arrays."""
    physics, xbar = layer.xbar.physics, layer.xbar
    low, step = levels_s(physics, xbar.cell_bits)
    again = (layer.writing,) if layer.writing else ()
    for place, held in enumerate(arrays(layer.matrices(), layer.slices, xbar, layer.tiling)):
        generator = torch.Generator().manual_seed(key_of(seed, "cells", layer.node.inputs[1], place, *again))
        cells = physics.cell.write(low + step * held.levels.to(torch.float64), generator)
        order = torch.arange(held.levels.shape[0])
        if physics.remap == "rows" and bool(cells.stuck.any()):
            order = least_harm(held, cells.stuck, layer)
            cells = replace(cells, target_s=cells.target_s[order])
        yield Array(held, order, *_as_read(cells, physics))


def _as_read(cells: Written, physics: Physics) -> tuple[Tensor, Tensor | None]:
    """Return the conductances that a read sees, and their fluctuation."""
    conductance = cells.conductance_s(physics.age_s)
    sigma = cells.reading_sigma_s(physics.age_s) if "reading" in physics.effects else None
    if not physics.cell.iv.ohmic:
        conductance = physics.cell.iv.current_a(conductance, torch.tensor(physics.read_v, dtype=torch.float64)) / physics.read_v
    return conductance, sigma


def least_harm(held: Held, stuck: Tensor, layer: MappedLayer) -> Tensor:
    """Return which row each word line gets, so that Σ (weight of the bit line · wrong levels)² is least, faults being known.

    An assignment problem: the harm of row a on word line b is Σ_j β_j²·(ℓ_aj − s_bj)² over the stuck cells of b.
    """
    from scipy.optimize import linear_sum_assignment

    highest = (1 << layer.xbar.cell_bits) - 1
    factor = torch.zeros(held.levels.shape[1], dtype=torch.float64)
    slices = torch.tensor(layer.slices.weights, dtype=torch.float64).square()
    columns = held.columns.stop - held.columns.start
    factor[: columns * len(slices)] = slices.repeat(columns)
    if held.units:
        factor[-held.units :] = float(layer.slices.offset) ** 2
    level = held.levels.to(torch.float64)
    high, low = ((stuck == state).to(torch.float64) * factor for state in (1, -1))
    harm = (highest - level).square() @ high.T + level.square() @ low.T
    harm[held.rows.stop - held.rows.start :] = 0.0  # rows that nothing drives tolerate any line
    rows, lines = linear_sum_assignment(harm.numpy())
    order = torch.empty(len(rows), dtype=torch.int64)
    order[torch.as_tensor(lines)] = torch.as_tensor(rows)
    return order


def matrices(layer: MappedLayer, seed: int) -> Iterator[Matrix]:
    """Yield what each array of a layer multiplies by."""
    for group in _groups(written(layer, seed), max(1, AT_ONCE // (layer.xbar.rows * layer.xbar.columns))):
        yield from _solved(group, layer)


def _solved(group: list[Array], layer: MappedLayer) -> list[Matrix]:
    physics = layer.xbar.physics
    cells = [array.conductance_s for array in group]
    currents = SOLVED(cells, physics.wires, layer.xbar.layers) if "wires" in physics.effects else cells
    return [_in_units(array, current, layer) for array, current in zip(group, currents, strict=True)]


def _in_units(array: Array, current: Tensor, layer: MappedLayer) -> Matrix:
    """Return an array's matrix for the current (A per V) from each word line to each bit line."""
    low, step = levels_s(layer.xbar.physics, layer.xbar.cell_bits)
    driven = array.held.rows.stop - array.held.rows.start
    line = torch.argsort(array.order)[:driven]
    variance = None
    if array.sigma_s is not None:
        cell = array.conductance_s
        passed = torch.where(cell > 0, current / cell.clamp(min=1e-30), 1.0)
        variance = (array.sigma_s * passed / step)[line].square()
    return Matrix(array.held, (current[line] - low) / step, variance)


def _groups(items: Iterable[Array], size: int) -> Iterator[list[Array]]:
    group: list[Array] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
