"""Ternary-weight layer as seen by the associative engine: channels with a few inputs each, and sums over them.

A convolution is a loop nest: for each output position, output, channel and tap of the kernel, acc[output] += w · x. The weights are constants, so
each product is an addition, a subtraction or nothing. Channels become the outer loop: for one channel (or a few, a *scope*) all outputs are small
sums of the same inputs, which have common subexpressions. Positions are rows, all computed in parallel.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossloom.engine.vectors import input_vectors, output_of, weight_matrices
from crossloom.network.graph import Graph, Node, digest
from crossloom.network.operators import Conv, ConvTranspose, Linear, Operator
from crossloom.network.quantize.ternary import output_axis, ternary_quantization

Matrix = NDArray[np.int8]
OTHER_WEIGHTS = "its weights are not -1, 0 and 1"


@dataclass(frozen=True, slots=True)
class TernaryLayer:
    """A product with weights -1, 0 and 1. Two layers are equal if their weights, geometry and input integer formats are the same.

    Attributes:
        kind: the operator, and a digest of the weights.
        bits, signed: format of a stored input. It includes the zero point, which is subtracted at the end.
        groups, channels, taps, outputs: number of groups; input channels per group, inputs per channel, and outputs per group.
        matrices: weights (G, channels · taps, outputs).
    """

    kind: tuple[Operator, str]
    bits: int
    signed: bool
    groups: int
    channels: int
    taps: int
    outputs: int
    matrices: Matrix = field(compare=False, repr=False)

    @classmethod
    def of(cls, node: Node, graph: Graph) -> TernaryLayer:
        """Return the layer of a node with ternary weights in a quantised graph."""
        weight, x = graph.constants[node.inputs[1]], graph.quantization[node.inputs[0]]
        matrices = weight_matrices(node.op, weight).to(torch.int8).contiguous().numpy()
        groups, rows, outputs = matrices.shape
        taps = 1 if isinstance(node.op, Linear) else prod(weight.shape[2:])
        return cls((node.op, digest(weight)), x.bits, x.signed, groups, rows // taps, taps, outputs, matrices)

    @property
    def all_channels(self) -> int:
        """Number of input channels of all groups."""
        return self.groups * self.channels

    @property
    def all_outputs(self) -> int:
        """Number of outputs of all groups."""
        return self.groups * self.outputs

    def in_columns(self, columns: int) -> TernaryLayer:
        """Return the same product with at most `columns` taps per channel. A channel with more taps is split into several with equally many taps."""
        if self.taps <= columns:
            return self
        taps = max(each for each in range(1, columns + 1) if self.taps % each == 0)
        return replace(self, channels=self.channels * self.taps // taps, taps=taps)

    @property
    def nonzeros(self) -> int:
        """Number of non-zero weights, which is the number of additions and subtractions without sharing."""
        return int(np.count_nonzero(self.matrices))

    @property
    def low_high(self) -> tuple[int, int]:
        """Lowest and highest input."""
        return (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if self.signed else (0, (1 << self.bits) - 1)

    def reach(self, channels: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the lowest and highest sum of each output (all_outputs) over some channels, numbered across all groups."""
        low, high = np.zeros(self.all_outputs, np.int64), np.zeros(self.all_outputs, np.int64)
        least, most = self.low_high
        for group in range(channels.start // self.channels, (channels.stop - 1) // self.channels + 1):
            first, last = (min(max(edge - group * self.channels, 0), self.channels) for edge in (channels.start, channels.stop))
            weights = self.matrices[group, first * self.taps : last * self.taps]
            plus, minus = (weights > 0).sum(0, dtype=np.int64), (weights < 0).sum(0, dtype=np.int64)
            outputs = slice(group * self.outputs, (group + 1) * self.outputs)
            low[outputs], high[outputs] = plus * least - minus * most, plus * most - minus * least
        return low, high

    def matrix(self, channels: range, outputs: range) -> Matrix:
        """Return the weights (outputs, channels · taps) of some channels and outputs, numbered across all groups."""
        if self.groups == 1:
            part = self.matrices[0, channels.start * self.taps : channels.stop * self.taps, outputs.start : outputs.stop]
            return np.ascontiguousarray(part.T)
        found = np.zeros((len(outputs), len(channels) * self.taps), np.int8)
        for place, number in enumerate(channels):
            group, channel = divmod(number, self.channels)
            first = max(outputs.start, group * self.outputs)
            last = min(outputs.stop, (group + 1) * self.outputs)
            if first < last:
                rows = slice(channel * self.taps, (channel + 1) * self.taps)
                block = self.matrices[group, rows, first - group * self.outputs : last - group * self.outputs]
                found[first - outputs.start : last - outputs.start, place * self.taps : (place + 1) * self.taps] = block.T
        return found


def unfit(node: Node, graph: Graph) -> str | None:
    """Return why a node is not a layer with ternary weights, or None if it is one, or would be one after quantisation."""
    if not isinstance(node.op, Conv | ConvTranspose | Linear):
        return "it is not a product with constant weights"
    if node.inputs[1] not in graph.constants:
        return "its weights depend on the input"
    if not graph.quantized:
        weight = graph.constants[node.inputs[1]]
        return None if not weight.is_meta and ternary_quantization(weight, output_axis(node.op)) else OTHER_WEIGHTS
    q, x = graph.quantization.get(node.inputs[1]), graph.quantization.get(node.inputs[0])
    if q is None or x is None or node.name not in graph.quantization:
        return "it is not quantised to integers"
    low, high = graph.constants[node.inputs[1]].aminmax()
    if q.zero or not -1 <= int(low) <= int(high) <= 1:
        return OTHER_WEIGHTS
    return None


def vectors(node: Node, graph: Graph, x: Tensor) -> Tensor:
    """Return the inputs (M, G, channels · taps) of a layer at each output position, for integers x; padding is the integer that represents zero."""
    kernel = tuple(int(k) for k in graph.constants[node.inputs[1]].shape[2:])
    return input_vectors(node.op, x, kernel, graph.quantization[node.inputs[0]].zero)


def settled(node: Node, graph: Graph, x: Tensor, sums: Tensor) -> Tensor:
    """Return Σ (x − zero) · w + bias in the layout of the layer's result, for sums (M, G·C) of x · w. Zero point and bias are applied at readout."""
    weight, q = graph.constants[node.inputs[1]], graph.quantization[node.inputs[0]]
    if q.zero:
        sums = sums - q.zero * weight_matrices(node.op, weight.to(torch.int64)).sum(1).flatten()
    if len(node.inputs) > 2:
        sums = sums + graph.constants[node.inputs[2]]
    shape = node.op(torch.empty(x.shape, device="meta"), torch.empty(weight.shape, device="meta")).shape
    return output_of(node.op, sums, tuple(shape))


def distinct_inputs(node: Node, graph: Graph, rows: int) -> list[int]:
    """Return the number of distinct elements, over all channels, that each group of `rows` rows reads; padding does not count.

    Neighbouring windows overlap, so an element is sent once over the links and is written to several rows and columns.
    """
    shape = graph.types[node.inputs[0]].sizes(1)
    if isinstance(node.op, Linear):
        positions = prod(shape[:-1])
        return [min(rows, positions - first) * shape[-1] for first in range(0, positions, rows)]
    assert isinstance(node.op, Conv | ConvTranspose)
    kernel = tuple(int(k) for k in graph.constants[node.inputs[1]].shape[2:])
    places = torch.arange(1, 1 + prod(shape[2:]), dtype=torch.int64).reshape(1, 1, *shape[2:])
    read = input_vectors(replace(node.op, groups=1), places, kernel, 0)[:, 0]
    return [len(np.setdiff1d(read[first : first + rows].numpy(), [0])) * shape[1] for first in range(0, len(read), rows)]
