"""Merging of two graphs at fixed batch sizes into one that runs at any batch size.

An importer lowers the same model at batch sizes 2 and 3. Whatever is the same in both does not depend on the batch;
a dimension of 2k in one and 3k in the other is k per sample. This needs no symbolic arithmetic, and serves every
source format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from crossloom.network.graph import Graph, Node
from crossloom.network.operators import (
    Add,
    Compare,
    Div,
    Expand,
    MatMul,
    Maximum,
    Minimum,
    Mul,
    Operator,
    Pow,
    Reshape,
    Sub,
    Where,
)
from crossloom.network.types import Batch, Dim, TensorType

SIZES = (2, 3)
_BROADCASTS = Add | Sub | Mul | Div | Pow | Maximum | Minimum | Compare | Where


class Irregular(Exception):
    """A difference between the two graphs that the batch size does not explain."""


def unify(small: Graph, large: Graph) -> Graph:
    """Return the graph that equals `small` at batch size 2 and `large` at batch size 3. Raises Irregular if there is none."""
    if len(small.nodes) != len(large.nodes) or small.outputs != large.outputs:
        raise Irregular("the two exports have different nodes")
    inputs = tuple((name, _type(a, b)) for (name, a), (_, b) in zip(small.inputs, large.inputs, strict=True))
    nodes = []
    for a, b in zip(small.nodes, large.nodes, strict=True):
        if a.inputs != b.inputs or type(a.op) is not type(b.op):
            raise Irregular(f"node {a.name} differs between batch sizes")
        type_ = _type(a.type, b.type)
        if sum(isinstance(dim, Batch) for dim in type_.shape) > 1:
            raise Irregular(f"{a.name} is {type_}: it mixes samples, so the first dimension is not a batch")
        nodes.append(replace(a, op=_operator(a.op, b.op, a.name), type=type_))
    constants, spread = _constants(small, large)
    types = dict(inputs) | {node.name: node.type for node in nodes}
    nodes = [replace(node, inputs=_narrowed(node, spread, types)) for node in nodes]
    used = {name for node in nodes for name in node.inputs} | set(small.outputs)
    repeats = [node for name, repeat in spread.items() if name in used for node in repeat]
    return Graph(small.name, inputs, (*repeats, *nodes), small.outputs, constants, batch=None)


def _dim(a: int, b: int) -> Dim:
    if a == b:
        return a
    if a * SIZES[1] == b * SIZES[0] and a % SIZES[0] == 0:
        return Batch(a // SIZES[0])
    raise Irregular(f"a dimension is {a} at batch {SIZES[0]} and {b} at batch {SIZES[1]}, which is not proportional to the batch")


def _dims(a: Sequence[Any], b: Sequence[Any]) -> tuple[Dim, ...]:
    if len(a) != len(b):
        raise Irregular(f"shapes {a} and {b} have different lengths")
    return tuple(_dim(x, y) for x, y in zip(a, b, strict=True))


def _type(a: TensorType, b: TensorType) -> TensorType:
    if a.dtype != b.dtype:
        raise Irregular(f"element types {a.dtype} and {b.dtype} differ")
    return TensorType(a.dtype, _dims(a.shape, b.shape))


def _operator(a: Operator, b: Operator, name: str) -> Operator:
    if isinstance(a, Reshape | Expand) and isinstance(b, Reshape | Expand):
        return replace(a, shape=_dims(a.shape, b.shape))
    if a != b:
        raise Irregular(f"node {name} is {a} at batch {SIZES[0]} and {b} at batch {SIZES[1]}")
    return a


def _constants(small: Graph, large: Graph) -> tuple[dict[str, Tensor], dict[str, list[Node]]]:
    """Return the constants for one sample, and the nodes that repeat them for each sample where they have a batch dimension."""
    constants: dict[str, Tensor] = {}
    spread: dict[str, list[Node]] = {}
    if small.constants.keys() != large.constants.keys():
        raise Irregular("the two exports have different constants")
    for name, a in small.constants.items():
        b = large.constants[name]
        if a.shape == b.shape:
            if a.data_ptr() != b.data_ptr() and not torch.equal(a.nan_to_num(), b.nan_to_num()):
                raise Irregular(f"constant {name} depends on the batch size")
            constants[name] = a
        else:
            constants[f"{name}.one"], spread[name] = _repeated(name, a, b)
    return constants, spread


def _repeated(name: str, a: Tensor, b: Tensor) -> tuple[Tensor, list[Node]]:
    """Split a constant with a batch dimension into one sample's part and the nodes that repeat it."""
    type = _type(TensorType.of(a), TensorType.of(b))
    axes = [i for i, dim in enumerate(type.shape) if isinstance(dim, Batch)]
    axis, batch = axes[0], type.shape[axes[0]]
    assert isinstance(batch, Batch)
    if len(axes) > 1:
        raise Irregular(f"constant {name} has two dimensions that grow with the batch")
    base = a.narrow(axis, 0, batch.times).contiguous()
    repeats = [SIZES[1] if i == axis else 1 for i in range(a.dim())]
    if not base.is_meta and not torch.equal(base.repeat(repeats), b):
        raise Irregular(f"constant {name} is not the same for each sample")
    if batch.times == 1:
        return base, [Node(name, Expand(type.shape), (f"{name}.one",), type)]
    apart: tuple[Dim, ...] = (*type.shape[:axis], Batch(), batch.times, *type.shape[axis + 1 :])
    base = base.reshape([1 if isinstance(dim, Batch) else dim for dim in apart])
    expanded = Node(f"{name}.each", Expand(apart), (f"{name}.one",), TensorType(type.dtype, apart))
    return base, [expanded, Node(name, Reshape(type.shape), (expanded.name,), type)]


def _narrowed(node: Node, spread: Mapping[str, list[Node]], types: Mapping[str, TensorType]) -> tuple[str, ...]:
    """Return the node's inputs, with one sample's part in place of a repeated constant where broadcasting repeats it anyway."""
    if not isinstance(node.op, _BROADCASTS | MatMul):
        return node.inputs
    others = [types[name].shape for name in node.inputs if name in types]
    return tuple(f"{name}.one" if name in spread and _meets(node, spread[name], others) else name for name in node.inputs)


def _meets(node: Node, repeat: list[Node], others: Sequence[tuple[Dim, ...]]) -> bool:
    """Return whether another operand has its batch dimension where a constant is repeated."""
    shape = repeat[0].type.shape
    place = shape.index(Batch()) - len(shape)
    plain = len(repeat) == 1 and (place < -2 or not isinstance(node.op, MatMul))
    return plain and any(len(other) >= -place and other[place] == Batch() for other in others)
