"""The crossbar's arithmetic, plain and slow: every digit, every slice, every row tile, in 64-bit integers.

This is the definition of what the crossbar computes, and of what it does to compute it: actions are counted where they
happen. The faster paths must give the same integers and the same counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.crossbar.encode import Digits, Slices, program_tiles
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.engine.crossbar.tiling import Tiling


def reference_sums(vectors: Tensor, weights: Tensor, digits: Digits, slices: Slices, xbar: Crossbars, tiling: Tiling, counts: Counts) -> Tensor:
    """Return the sums (M, G, C) of int64 vectors (M, G, R) and weights (G, R, C) as the crossbar computes them."""
    groups = [_group(vectors[:, g], weights[g], digits, slices, xbar, counts) for g in range(weights.shape[0])]
    _count_arrays(vectors.shape[0], len(digits), tiling, xbar.layers, counts)
    return torch.stack(groups, 1)


def _group(vectors: Tensor, weights: Tensor, digits: Digits, slices: Slices, xbar: Crossbars, counts: Counts) -> Tensor:
    total = torch.zeros(vectors.shape[0], weights.shape[1], dtype=torch.int64)
    for tile in program_tiles(weights, slices, xbar):
        driven = digits(vectors[:, tile.rows])
        inputs = sum(weight * digit.sum(1) for weight, digit in zip(digits.weights, driven, strict=True))
        if xbar.convert == "tile":
            total += _once(driven, tile.cells, tile.flipped, digits, slices, xbar, counts)
        else:
            total += _each(driven, tile.cells, tile.flipped, digits, slices, xbar, counts)
        assert isinstance(inputs, Tensor)
        total -= slices.offset * inputs[:, None]
    return total


def _each(driven: Tensor, cells: Tensor, flipped: Tensor | None, digits: Digits, slices: Slices, xbar: Crossbars, counts: Counts) -> Tensor:
    """Convert every column in every cycle."""
    converter = xbar.converter()
    total = torch.zeros(driven.shape[1], cells.shape[2], dtype=torch.int64)
    for digit, digit_weight in zip(driven, digits.weights, strict=True):
        for k, slice_weight in enumerate(slices.weights):
            sums = converter(digit @ cells[k])
            counts["adc.convert"] += sums.numel()
            counts["sample_hold.sample"] += sums.numel()
            counts["shift_add.add"] += sums.numel()
            counts["output_register.access"] += sums.numel()
            if flipped is not None:
                mirrored = ((1 << slices.widths[k]) - 1) * digit.sum(1, keepdim=True) - sums
                sums = torch.where(flipped[k], mirrored, sums)
            total += digit_weight * slice_weight * sums
    return total


def _once(driven: Tensor, cells: Tensor, flipped: Tensor | None, digits: Digits, slices: Slices, xbar: Crossbars, counts: Counts) -> Tensor:
    """Accumulate all cycles and slices in analog, convert once; positive and negative parts have a converter's range each."""
    total = torch.zeros(driven.shape[1], cells.shape[2], dtype=torch.int64)
    for sign in (1, -1):
        parts = [
            (abs(dw * sw), digit @ cells[k])
            for digit, dw in zip(driven, digits.weights, strict=True)
            for k, sw in enumerate(slices.weights)
            if (dw * sw > 0) == (sign > 0)
        ]
        if not parts:
            continue
        largest = sum(weight * xbar.rows * ((1 << xbar.input_bits) - 1) * ((1 << xbar.cell_bits) - 1) for weight, _ in parts)
        analog = sum(weight * sums for weight, sums in parts)
        assert isinstance(analog, Tensor)
        converted = xbar.converter(largest)(analog)
        counts["adc.convert"] += converted.numel()
        counts["shift_add.add"] += converted.numel()
        counts["output_register.access"] += converted.numel()
        total += sign * converted
    counts["sample_hold.sample"] += len(digits) * len(slices) * total.numel()
    return total


def _count_arrays(vectors: int, cycles: int, tiling: Tiling, layers: int, counts: Counts) -> None:
    """Count what happens in whole arrays: rows driven, arrays read, unit columns converted."""
    for _ in range(cycles):
        counts["dac.drive"] += vectors * tiling.driven_rows
        counts["input_register.read"] += vectors * tiling.driven_rows
        counts["array.read"] += vectors * tiling.arrays * layers
        counts["adc.convert"] += vectors * tiling.unit_columns
        counts["sample_hold.sample"] += vectors * tiling.unit_columns
