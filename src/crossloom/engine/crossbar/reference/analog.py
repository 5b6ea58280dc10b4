"""What a layer of real cells and wires computes, plain and slow: one circuit solved for each array, input vector and digit.

This is the definition that `analog/layer.py` is held against. Fluctuation from read to read is left out; it is compared in distribution.
"""

from __future__ import annotations

from math import floor

import torch
from torch import Tensor

from crossloom.circuit import Stack, solve
from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.analog.conversion import TIE
from crossloom.engine.crossbar.analog.programmed import Array, levels_s, written
from crossloom.engine.crossbar.dataflow import Line
from crossloom.engine.crossbar.layer import MappedLayer


def analog_reference(layer: MappedLayer, x: Tensor, seed: int, residual: Tensor | None = None) -> Tensor:
    """Return Σ (x − zero) · w + bias as the arrays give it."""
    vectors = layer.vectors(x.to(torch.int64), residual)
    flat = vectors.reshape(len(vectors), -1)
    sums = torch.zeros(len(flat), layer.tiling.groups * layer.tiling.columns, dtype=torch.float64)
    for array in written(layer, seed):
        for n, vector in enumerate(flat):
            sums[n, array.held.columns] += results(array, vector[array.held.rows], layer)
    return layer.result(x, sums.reshape(len(flat), layer.tiling.groups, layer.tiling.columns))


def results(array: Array, vector: Tensor, layer: MappedLayer) -> Tensor:
    """Return what one array adds to its results (columns,) for one vector of inputs (rows,)."""
    return converted(array, [_partial_sums(array, digit, layer) for digit in layer.digits(vector)], vector, layer)


def converted(array: Array, partial: list[list[float]], vector: Tensor, layer: MappedLayer) -> Tensor:
    """Return an array's results for the partial sums of each digit and bit line."""
    held, slices, found = array.held, layer.slices, []
    converters = layer.converters if layer.xbar.range != "ideal" else (None,) * len(layer.lines)
    for n in range(held.columns.stop - held.columns.start):
        sums = [[each[n * len(slices) + k] for k in range(len(slices))] for each in partial]
        total = 0.0
        for line, converter in zip(layer.lines, converters, strict=True):
            code = _code(sum(factor * sums[b][k] for b, k, factor in line.terms), converter)
            total += line.weight * _mirrored(code, line, array, n, partial, vector, layer)
        for b, digit_weight in enumerate(layer.digits.weights):
            total -= digit_weight * slices.offset * _inputs(array, n, partial[b], vector, b, layer)
        found.append(total)
    return torch.tensor(found, dtype=torch.float64)


def _partial_sums(array: Array, digit: Tensor, layer: MappedLayer) -> list[float]:
    """Return the current of each bit line in units, less what the lowest conductance gives."""
    low, step = levels_s(layer.xbar.physics, layer.xbar.cell_bits)
    volts = torch.zeros(len(array.order), dtype=torch.float64)
    for line, row in enumerate(array.order.tolist()):
        volts[line] = float(digit[row]) if row < len(digit) else 0.0
    layers = layer.xbar.layers
    stack = Stack(array.conductance_s.reshape(layers, -1, array.conductance_s.shape[1]), layer.xbar.physics.wires)
    current = solve(stack, volts.reshape(layers, -1), 1e-14).output_a[0]
    return [(float(each) - low * float(digit.sum())) / step for each in current]


def _code(value: float, converter: Converter | None) -> float:
    if converter is None:
        return value
    step, (lowest, highest) = 1 << converter.shift, converter.codes
    return step * min(max(floor(value / step + 0.5 + TIE), lowest), highest)


def _inputs(array: Array, n: int, partial: list[float], vector: Tensor, b: int, layer: MappedLayer) -> float:
    """Return the sum of one digit of the inputs as the unit column of a result gives it, or exactly if there is none."""
    held = array.held
    member = int(held.member_of[n])
    if not held.units:
        height = len(vector) // held.members
        return float(layer.digits(vector)[b][member * height : (member + 1) * height].sum())
    measured = partial[len(partial) - held.units + member]
    return measured if layer.xbar.range == "ideal" else floor(measured + 0.5 + TIE)


def _mirrored(code: float, line: Line, array: Array, n: int, partial: list[list[float]], vector: Tensor, layer: MappedLayer) -> float:
    """Return the sum that a code stands for: itself, or what is missing from the largest if the column holds complements."""
    b, k, _ = line.terms[0]
    if array.held.flipped is None or not bool(array.held.flipped[k, n]):
        return code
    highest: int = (1 << layer.slices.widths[k]) - 1
    return highest * _inputs(array, n, partial[b], vector, b, layer) - code
