"""The crossbar's arithmetic, plain and slow: every digit, every slice, every row tile, every line, in 64-bit integers.

This is the definition of what the crossbar computes, and of what it does to compute it: actions are counted where they
happen. The faster paths must give the same integers and the same counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.crossbar.dataflow import Line
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.encode import Programmed, Slices, program_tiles


def reference_sums(vectors: Tensor, weights: Tensor, layer: MappedLayer, counts: Counts) -> Tensor:
    """Return the sums (M, G, C) of int64 vectors (M, G, R) and weights (G, R, C) as a layer's crossbars compute them."""
    groups = [_group(vectors[:, g], weights[g], layer, counts) for g in range(weights.shape[0])]
    _count_arrays(vectors.shape[0], layer, counts)
    return torch.stack(groups, 1)


def _group(vectors: Tensor, weights: Tensor, layer: MappedLayer, counts: Counts) -> Tensor:
    digits, slices = layer.digits, layer.slices
    total = torch.zeros(vectors.shape[0], weights.shape[1], dtype=torch.int64)
    for tile in program_tiles(weights, slices, layer.xbar):
        driven = digits(vectors[:, tile.rows])
        if layer.xbar.by_cell:
            counts["array.read_cell"] += len(digits) * vectors.shape[0] * tile.cells.numel()
        partial = [[digit @ cells for cells in tile.cells] for digit in driven]
        for line, converter in zip(layer.lines, layer.converters, strict=True):
            codes = _mirrored(converter(_analog(partial, line, layer, counts)), line, driven, tile, slices)
            counts["adc.convert"] += codes.numel()
            counts["shift_add.add"] += codes.numel()
            counts["output_register.access"] += codes.numel()
            total += line.weight * codes
        for digit_weight, digit in zip(digits.weights, driven, strict=True):
            total -= slices.offset * digit_weight * digit.sum(1, keepdim=True)
            if layer.xbar.accumulate == "analog":
                counts["accumulator.accumulate"] += layer.accumulations * total.numel()
    return total


def _analog(partial: list[list[Tensor]], line: Line, layer: MappedLayer, counts: Counts) -> Tensor:
    """Return the sum of the partial sums (M, C) that meet in a line."""
    total = torch.zeros_like(partial[0][0])
    for b, k, factor in line.terms:
        sums = partial[b][k]
        counts[_sensed(layer)] += sums.numel()
        if layer.xbar.accumulate == "buffered":
            counts["buffer_array.write"] += sums.numel()
        total += factor * sums
    if layer.xbar.accumulate == "buffered":
        counts["buffer_array.read"] += line.columns * total.numel()
        counts["summing_amplifier.sum"] += (line.columns if line.columns > 1 else 0) * total.numel()
    return total


def _mirrored(codes: Tensor, line: Line, driven: Tensor, tile: Programmed, slices: Slices) -> Tensor:
    """Return what the codes stand for where columns hold complements; such columns are converted one by one."""
    if tile.flipped is None:
        return codes
    ((b, k, _),) = line.terms
    return torch.where(tile.flipped[k], ((1 << slices.widths[k]) - 1) * driven[b].sum(1, keepdim=True) - codes, codes)


def _sensed(layer: MappedLayer) -> str:
    """Return what takes the current of a bit line: an amplifier that writes a buffer, or a sample-and-hold."""
    return "tia.sense" if layer.xbar.accumulate == "buffered" else "sample_hold.sample"


def _count_arrays(vectors: int, layer: MappedLayer, counts: Counts) -> None:
    """Count what happens in whole arrays: rows driven, arrays read, unit columns converted."""
    tiling = layer.tiling
    for _ in range(len(layer.digits)):
        counts["dac.drive"] += vectors * tiling.driven_rows
        counts["input_register.read"] += vectors * tiling.driven_rows
        if layer.xbar.shared:
            counts["array.read_row"] += vectors * tiling.driven_rows
        else:
            counts["array.read"] += vectors * tiling.arrays * layer.xbar.layers
        if layer.xbar.by_cell:
            counts["array.read_cell"] += vectors * tiling.driven_rows * tiling.unit
        counts["adc.convert"] += vectors * tiling.unit_columns
        counts[_sensed(layer)] += vectors * tiling.unit_columns
