"""How much digital work an operator is: a kind, and a number of elementary operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from crossloom.network.graph import Node
from crossloom.network.operators import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    Add,
    AvgPool,
    Conv,
    ConvTranspose,
    Gather,
    GatherElements,
    GroupNorm,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MatMul,
    Maximum,
    MaxPool,
    Minimum,
    Move,
    ProductAdd,
    Reduce,
    Resize,
    RmsNorm,
    Softmax,
    Sub,
    Unary,
)

Kind = Literal["move", "function", "add", "compare", "operate", "multiply_add"]

SOFTMAX = 4
"""Operations for each element of a softmax: compare with the largest, exponential, add to the sum, divide."""
NORM = 5
"""Operations for each element of a normalisation: sum, sum of squares, subtract, scale, shift."""


@dataclass(frozen=True, slots=True)
class Work:
    """`count` operations of one kind."""

    kind: Kind
    count: int


def work_of(node: Node, inputs: Sequence[tuple[int, ...]], result: tuple[int, ...]) -> Work:
    """Return the work of a node for inputs and a result of these shapes."""
    op, elements = node.op, prod(result)
    if isinstance(op, Move | Gather | GatherElements) or (isinstance(op, Resize) and op.mode == "nearest"):
        return Work("move", 0)
    if isinstance(op, MatMul):
        return Work("multiply_add", elements * inputs[0][-1])
    if isinstance(op, Conv | ConvTranspose | Linear):
        return Work("multiply_add", elements * prod(inputs[1][1:]))
    if isinstance(op, ProductAdd):
        return Work("multiply_add", elements * (prod(inputs[1][1:]) + 1))
    if isinstance(op, Unary):
        return Work("function", elements)
    if isinstance(op, Add | Sub):
        return Work("add", elements)
    if isinstance(op, Maximum | Minimum):
        return Work("compare", elements)
    if isinstance(op, MaxPool):
        return Work("compare", elements * (prod(op.kernel) - 1))
    if isinstance(op, AvgPool):
        return Work("add", elements * prod(op.kernel))
    if isinstance(op, AdaptiveAvgPool):
        return Work("add", prod(inputs[0]))
    if isinstance(op, AdaptiveMaxPool):
        return Work("compare", prod(inputs[0]))
    if isinstance(op, Reduce):
        return Work("compare" if op.kind in ("max", "min") else "add", prod(inputs[0]))
    if isinstance(op, Softmax):
        return Work("operate", SOFTMAX * elements)
    if isinstance(op, LayerNorm | GroupNorm | RmsNorm | LocalResponseNorm):
        return Work("operate", NORM * elements)
    return Work("operate", elements)
