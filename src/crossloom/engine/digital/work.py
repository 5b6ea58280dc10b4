"""How much digital work an operator is: a kind, and a number of elementary operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

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


Shapes = Sequence[tuple[int, ...]]
Count = Callable[[Any, Shapes, int], int]
"""Number of operations of an operator, from the shapes of its inputs and the elements of its result."""

_RULES: tuple[tuple[tuple[type, ...], Kind, Count], ...] = (
    ((Move, Gather, GatherElements), "move", lambda op, inputs, elements: 0),
    ((MatMul,), "multiply_add", lambda op, inputs, elements: elements * inputs[0][-1]),
    ((Conv, ConvTranspose, Linear), "multiply_add", lambda op, inputs, elements: elements * prod(inputs[1][1:])),
    ((ProductAdd,), "multiply_add", lambda op, inputs, elements: elements * (prod(inputs[1][1:]) + 1)),
    ((Unary,), "function", lambda op, inputs, elements: elements),
    ((Add, Sub), "add", lambda op, inputs, elements: elements),
    ((Maximum, Minimum), "compare", lambda op, inputs, elements: elements),
    ((MaxPool,), "compare", lambda op, inputs, elements: elements * (prod(op.kernel) - 1)),
    ((AvgPool,), "add", lambda op, inputs, elements: elements * prod(op.kernel)),
    ((AdaptiveAvgPool,), "add", lambda op, inputs, elements: prod(inputs[0])),
    ((AdaptiveMaxPool,), "compare", lambda op, inputs, elements: prod(inputs[0])),
    ((Softmax,), "operate", lambda op, inputs, elements: SOFTMAX * elements),
    ((LayerNorm, GroupNorm, RmsNorm, LocalResponseNorm), "operate", lambda op, inputs, elements: NORM * elements),
)
"""Operators, the kind of their work, and how much of it; the first that fits counts."""


def work_of(node: Node, inputs: Shapes, result: tuple[int, ...]) -> Work:
    """Return the work of a node for inputs and a result of these shapes."""
    op, elements = node.op, prod(result)
    if isinstance(op, Resize) and op.mode == "nearest":
        return Work("move", 0)
    if isinstance(op, Reduce):
        return Work("compare" if op.kind in ("max", "min") else "add", prod(inputs[0]))
    for kinds, kind, count in _RULES:
        if isinstance(op, kinds):
            return Work(kind, count(op, inputs, elements))
    return Work("operate", elements)
