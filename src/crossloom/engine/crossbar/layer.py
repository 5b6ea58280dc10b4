"""A layer as the engine computes it: its operands, how they are cut, and how sums of products become its result."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import cast

import torch
from torch import Tensor

from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.dataflow import Line, lines
from crossloom.engine.crossbar.mapping.encode import Digits, Slices, weight_slices
from crossloom.engine.crossbar.mapping.residual import Added
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.engine.vectors import input_vectors, output_of, rows_of, weight_matrices
from crossloom.network.graph import Node
from crossloom.network.operators import Linear, Operator, product_of
from crossloom.network.quantization import Quantization
from crossloom.network.types import Batch


@dataclass(frozen=True, slots=True)
class MappedLayer:
    """A layer as the planner sees it. Of cells that are written again and again, `writing` is the number of the writing.

    With a residual on its bit lines (`added`) it reads two tensors; its matrices are the product's, cut by results, above the residual's.
    """

    node: Node
    x: Quantization
    weight: Tensor
    weight_q: Quantization
    bias: Tensor | None
    xbar: Crossbars
    tiling: Tiling
    writing: int = 0
    added: Added | None = None

    @property
    def op(self) -> Operator:
        """The product that its arrays compute."""
        return product_of(self.node.op)

    @property
    def bits(self) -> int:
        """Bits of what the word lines are driven with."""
        return self.added.bits if self.added else self.x.bits

    @property
    def largest_input(self) -> int:
        """The largest magnitude that a word line is driven with."""
        if self.added:
            return 1 << (self.bits - self.x.signed)
        return max(abs(self.x.low), self.x.high)

    @property
    def digits(self) -> Digits:
        """How the inputs are cut."""
        if self.x.signed and self.xbar.accumulate == "analog" and self.xbar.encoding == "differential":
            return Digits.polar(self.bits, self.xbar.input_bits)
        return Digits.of(self.bits, self.x.signed, self.xbar.input_bits)

    @property
    def slices(self) -> Slices:
        """How the weights are cut."""
        return weight_slices(self.weight_q, self.xbar)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is converted at once for each of its dot products."""
        return lines(self.xbar.accumulate, self.digits, self.slices, self.xbar.separate_columns)

    @property
    def converters(self) -> tuple[Converter, ...]:
        """The converter of each line; where partial sums are converted one by one, all have the same."""
        xbar, found, reach = self.xbar, self.lines, self.tiling.observed_range
        if xbar.accumulate == "digital":
            return (xbar.converter(reach=max(reach, default=0)),) * len(found)
        spans = [line.span(xbar.rows, self.digits, self.slices) for line in found]
        reaches = [max(1, most) for most in reach[: len(found)]] or [0] * len(found)
        return tuple(xbar.converter(span, line.shift, most) for span, line, most in zip(spans, found, reaches, strict=True))

    @property
    def accumulations(self) -> int:
        """Accumulators that one digit of a dot product takes; without wires of their own they take all bit lines at once."""
        lines = self.xbar.accumulator_lines
        return -(-len(self.slices) // lines) if lines > 1 else 1

    def matrices(self) -> Tensor:
        """The weights (G, R, C) as int64."""
        whole = weight_matrices(self.op, self.weight.to(torch.int64))
        if self.added is None:
            return whole
        groups = self.tiling.groups
        cut = whole[0].reshape(whole.shape[1], groups, -1).transpose(0, 1)
        return torch.cat((cut, self.added.block(groups)), 1)

    def vectors(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return the input vectors (M, G, R) of the layer's integers x, and of its residual's if it has one; padding is what stands for zero."""
        found = input_vectors(self.op, x, tuple(int(k) for k in self.weight.shape[2:]), self.x.zero)
        if self.added is None:
            return found
        assert residual is not None
        driven = self.added.driven(rows_of(self.op, residual), self.tiling.groups)
        return torch.cat((found.expand(-1, self.tiling.groups, -1), driven), 2)

    def places(self, x: Tensor, vectors: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return for some of the input vectors of x to which inference of the batch each belongs, and its position in that inference.

        The batch may stand behind other dimensions, as in [tokens, N, features]. Where it is folded into one with something else, as in
        [5 · N, features], inferences are taken to be the outer of the two: nothing in the type says.
        """
        linear = isinstance(self.op, Linear)
        sizes = tuple(x.shape[:-1]) if linear else (x.shape[0], vectors // x.shape[0])
        batched = [place for place, size in enumerate(self.node.type.shape[: -1 if linear else 1]) if isinstance(size, Batch)]
        if not batched:
            return torch.zeros_like(index), index
        axis = batched[0]
        size, inner = sizes[axis], prod(sizes[axis + 1 :])
        along = index // inner % size
        times = cast(Batch, self.node.type.shape[axis]).times
        return along // times, (index // (inner * size) * times + along % times) * inner + index % inner

    def result(self, x: Tensor, sums: Tensor) -> Tensor:
        """Return Σ (x − zero) · w + bias in the layout of the layer's result, for the sums (M, G, C) of x · w; a residual adds K · (r − zero)."""
        flat = sums.flatten(1)
        if self.x.zero:
            flat = flat - self.x.zero * weight_matrices(self.op, self.weight.to(torch.int64)).sum(1).flatten()
        if self.added:
            flat = flat - self.added.constant
        if self.bias is not None:
            flat = flat + self.bias
        return output_of(self.op, flat, self.shape(x))

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """Return the shape of the result for integers x."""
        return tuple(self.op(torch.empty(x.shape, device="meta"), torch.empty(self.weight.shape, device="meta")).shape)
