"""How far the sums of a layer reach before they are converted, as samples show it: what a converter's range is set by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crossloom.engine.crossbar.ideal.product import byte_product
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.encode import Programmed, program_tiles

VECTORS = 1 << 14
"""Input vectors looked at, at most: evenly spread over those of the samples."""


def observed_range(layer: MappedLayer, x: Tensor, residual: Tensor | None = None) -> tuple[int, ...]:
    """Return the largest magnitude of each line, over all input vectors of the integers x, row tiles and columns, on ideal cells."""
    vectors = layer.vectors(x, residual)
    vectors = vectors[:: -(-len(vectors) // VECTORS)]
    if layer.xbar.circuits.adder:
        return _of_adder(vectors, layer)
    most = torch.zeros(len(layer.lines), dtype=torch.int64, device=x.device)
    for group, weights in enumerate(layer.matrices()):
        for tile in program_tiles(weights, layer.slices, layer.xbar):
            most = torch.maximum(most, _of_tile(vectors[:, group, tile.rows].to(torch.int32), tile, layer))
    return tuple(most.tolist())


def _of_adder(vectors: Tensor, layer: MappedLayer) -> tuple[int, int]:
    """Return the largest sum, and four standard deviations of what a pair of bit lines gives in its busiest cycle, or the most if that is less."""
    half, cycles = len(layer.slices) // 2, len(layer.digits)
    largest, most, count = 0, 0, 0
    squares = torch.zeros(cycles, half, dtype=torch.float64, device=vectors.device)
    for group, weights in enumerate(layer.matrices()):
        for tile in program_tiles(weights, layer.slices, layer.xbar):
            driven = vectors[:, group, tile.rows].to(torch.int32)
            largest = max(largest, int(_of_tile(driven, tile, layer)))
            flat = layer.digits(driven).to(torch.int8).flatten(0, 1)
            for place, cells in enumerate((tile.cells[:half] - tile.cells[half:]).to(torch.int8)):
                sums = byte_product(flat, cells.contiguous()).to(torch.float64).reshape(cycles, -1)
                most, squares[:, place] = max(most, int(sums.abs().max())), squares[:, place] + sums.square().sum(1)
            count += sums.shape[1]
    return largest, min(most, math.ceil(4 * math.sqrt(float(squares.max()) / max(count, 1))))


def _of_tile(vectors: Tensor, tile: Programmed, layer: MappedLayer) -> Tensor:
    if layer.xbar.accumulate == "analog":
        whole = (tile.cells * torch.tensor(layer.slices.weights, device=vectors.device).reshape(-1, 1, 1)).sum(0)
        return (vectors.to(torch.float64) @ whole.to(torch.float64)).abs().amax((0, 1)).to(torch.int64).reshape(1)
    digits = layer.digits(vectors).to(torch.int8)
    flat, shape = digits.reshape(-1, digits.shape[-1]), (len(digits), len(vectors), -1)
    partial = [byte_product(flat, cells.to(torch.int8)).reshape(shape).to(torch.int64) for cells in tile.cells]
    sums = (torch.stack([factor * partial[k][b] for b, k, factor in line.terms]).sum(0) for line in layer.lines)
    return torch.stack([each.abs().max() for each in sums])
