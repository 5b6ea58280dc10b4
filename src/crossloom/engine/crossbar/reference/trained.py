"""What trained circuits compute, plain and slow: every sample of every dot product through the networks of its own circuit, cycle by cycle.

This is the definition that `analog/trained.py` is held against, in distribution. Cells and wires are ideal here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossloom.engine.crossbar.analog.rng import key_of
from crossloom.engine.crossbar.analog.trained import ADDERS, CONVERTERS, circuits_of, front_end, pool
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.encode import Programmed, program_tiles
from crossloom.periphery.adder import SLICES
from crossloom.periphery.converter import BITS


def circuits_reference(layer: MappedLayer, x: Tensor, seed: int, noise: torch.Generator | None, residual: Tensor | None = None) -> Tensor:
    """Return Σ (x − zero) · w + bias as a layer's adders and converters give it; without a generator no sample has noise."""
    vectors = layer.vectors(x.to(torch.int64), residual)
    first = key_of(seed, "circuits", layer.node.inputs[1]) % (1 << 16)
    sums = torch.zeros(len(vectors), layer.tiling.groups, layer.tiling.columns, dtype=torch.float64)
    array = 0
    for group, weights in enumerate(layer.matrices()):
        for tile in program_tiles(weights, layer.slices, layer.xbar):
            digits = layer.digits(vectors[:, group, tile.rows]).to(torch.float64)
            for start in range(0, layer.tiling.columns, layer.tiling.weights_per_array):
                columns = slice(start, start + layer.tiling.weights_per_array)
                found = _array(digits, tile, columns, (first + array) % ADDERS, layer, seed, noise)
                sums[:, group, columns] += found
                array += 1
    return layer.result(x, sums)


def _array(digits: Tensor, tile: Programmed, columns: slice, circuit: int, layer: MappedLayer, seed: int, noise: torch.Generator | None) -> Tensor:
    """Return the sums (M, columns) of one array by its adder and converter."""
    circuits, half, cycles = layer.xbar.circuits, len(layer.slices) // 2, len(digits)
    adder, adders, converters = circuits_of(circuits, seed)
    front = front_end(adder, layer.xbar.rows, cycles, half, layer.tiling.observed_range)
    cells = (tile.cells[:half, :, columns] - tile.cells[half:, :, columns]).to(torch.float64)
    partial = torch.einsum("cmr,krn->ckmn", digits, cells)
    volts = torch.zeros(cycles, SLICES, partial.shape[2] * partial.shape[3], dtype=torch.float64)
    volts[:, SLICES - half :] = front.slice_v * partial.flatten(2)
    held = adder.accumulate(adders[circuit : circuit + 1], volts, noise)
    place = circuit * CONVERTERS // ADDERS
    codes = converters[front.range_v][place : place + 1](held, noise) - (1 << (BITS - 1))
    known = pool(circuits, cycles, front.range_v, seed)
    steps = codes[0] + 0.5 - float(known.offset_v[circuit]) / known.lsb_v
    return front.per_step * steps.reshape(partial.shape[2:])
