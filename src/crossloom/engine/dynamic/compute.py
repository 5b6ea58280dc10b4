"""What a product of two activations computes, and what it does while computing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.base import Counts, Inferences
from crossloom.engine.crossbar.actions import array_actions
from crossloom.engine.crossbar.analog.layer import Deferred
from crossloom.engine.crossbar.ideal.product import EXACT_FLOAT32
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.crossbar.plan import exact_whatever_is_held, plan
from crossloom.engine.crossbar.reference.ideal import reference_sums
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.engine.dynamic.geometry import Geometry
from crossloom.engine.dynamic.operand import layer_of, of_one_inference, product_traffic, stored_as
from crossloom.engine.dynamic.writing import Writing
from crossloom.network.graph import Node
from crossloom.network.integer import Operand, exact_sums, multiplier, plain_arithmetic, requantize
from crossloom.network.quantization import Quantization
from crossloom.program.program import Program
from crossloom.program.stage import Stage


@dataclass(frozen=True, slots=True)
class StoreExecutor:
    """Writes an operand: the integers stay what they are, products find out what the cells make of them."""

    writing: Writing
    copies: int
    plan: str = "written"
    why: str = "cells take the integers; errors show in the products that read them"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the operand."""
        counts.update(self.writing.actions(self.copies, inferences.count))
        return tensors[0]


@dataclass(frozen=True, slots=True)
class ProductExecutor:
    """Computes one product: all inferences in one exact matrix product where converters change nothing, else one after the other."""

    node: Node
    shape: Geometry
    layer: MappedLayer
    held: Quantization
    stage: Stage
    program: Program
    seed: int
    exact: str

    @classmethod
    def of(cls, node: Node, program: Program, xbar: Crossbars, seed: int) -> ProductExecutor:
        """Return what computes a node of a program on crossbars."""
        stage = program.stage_of[node.name]
        assert isinstance(stage.placement, Tiling)
        layer = layer_of(node, program.graph, xbar, stage.placement)
        held = program.graph.quantization[node.inputs[1]]
        return cls(node, Geometry.of(node, program.graph), layer, held, stage, program, seed, exact_whatever_is_held(layer))

    @property
    def plan(self) -> str:
        """Name of the plan."""
        return "integer product" if self.exact else "written by inference"

    @property
    def why(self) -> str:
        """Why that is allowed, or needed."""
        return self.exact or "what the converters and cells make of the sums depends on what each inference writes"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the product's integers."""
        graph = self.program.graph
        vectors = inferences.count * self.shape.per_group
        counts.update(array_actions(vectors, self.layer))
        counts.update(product_traffic(vectors, self.stage, self.layer, graph))
        sums = self._exactly(tensors) if self.exact else self._one_by_one(tensors, inferences)
        q = graph.quantization[self.node.name]
        return requantize(sums, multiplier(self.layer.x, self.held, q, self.node), q)

    def _exactly(self, tensors: Sequence[Tensor]) -> Tensor:
        left, right = Operand(tensors[0], self.layer.x), Operand(tensors[1], self.held)
        if self.shape.rows * _reach(self.layer.x) * _reach(self.held) >= EXACT_FLOAT32:
            return exact_sums(self.node, left, right, None)
        with plain_arithmetic(tensors[0]):
            return torch.matmul(*(x.values.to(torch.float32) - (x.q.zero if x.q else 0) for x in (left, right)))

    def _one_by_one(self, tensors: Sequence[Tensor], inferences: Inferences) -> Tensor:
        _, shift = stored_as(self.held)
        left, right = self.shape.left(tensors[0]), self.shape.right(tensors[1]).to(torch.int32) + shift
        sums = torch.stack([self._written(left[i], right[i], inferences.first + i) for i in range(len(left))])
        if zero := self.held.zero + shift:
            sums = sums - zero * (left.to(sums.dtype) - self.layer.x.zero).sum(-1, keepdim=True)
        return self.shape.result(sums)

    def _written(self, left: Tensor, right: Tensor, number: int) -> Tensor:
        """Return the sums (G, V, P) of one inference as its arrays give them."""
        layer, x = of_one_inference(self.layer, self.shape, left, right, number + 1)
        chosen = plan(layer, self.seed).sums
        sums = chosen(x, Inferences(1, number)) if isinstance(chosen, Deferred) else chosen(x)
        return sums.to(torch.float64).reshape(self.shape.groups, self.shape.columns, -1).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class ReferenceProduct:
    """Computes one product digit by digit and slice by slice, one inference after the other: what the plans are tested against."""

    of: ProductExecutor
    plan: str = "reference"
    why: str = "asked for"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the product's integers on ideal cells, counting every action where it happens."""
        this = self.of
        _, shift = stored_as(this.held)
        left, right = this.shape.left(tensors[0]).to(torch.int64), this.shape.right(tensors[1]).to(torch.int64) + shift
        found = []
        for each in range(len(left)):
            layer, x = of_one_inference(this.layer, this.shape, left[each], right[each], 0)
            sums = layer.result(x, reference_sums(layer.vectors(x), layer.matrices(), layer, counts))
            found.append(sums.reshape(this.shape.groups, this.shape.columns, -1).transpose(1, 2))
        sums = torch.stack(found)
        sums = sums - (this.held.zero + shift) * (left - this.layer.x.zero).sum(-1, keepdim=True)
        counts.update(product_traffic(inferences.count * this.shape.per_group, this.stage, this.layer, this.program.graph))
        q = this.program.graph.quantization[this.node.name]
        return requantize(this.shape.result(sums), multiplier(this.layer.x, this.held, q, this.node), q)


def _reach(q: Quantization) -> int:
    return max(q.high - q.zero, q.zero - q.low)
