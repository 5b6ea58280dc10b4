"""The table of rules, and what a rule works with.

A rule is a function whose positional parameters are the inputs of an ONNX operator and whose keyword parameters are
its attributes with the standard's defaults, so a signature reads like the operator's definition. A tensor is a name
in the graph that is being built. A rule raises NotImplementedError with the reason where it cannot express the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from crossloom.network.builder import GraphBuilder
from crossloom.network.operators import FakeQuantize, Move, Operator, Reshape, Slice
from crossloom.network.quantization import Quantization
from crossloom.network.types import TensorType

Rule = Callable[..., Any]
_R = TypeVar("_R", bound=Rule)
RULES: dict[str, Rule] = {}
TAKE_INTEGERS: set[str] = set()


@dataclass(frozen=True, slots=True)
class Integers:
    """What QuantizeLinear made of the tensor `real`, before anyone says whether it is read as integers or scaled back."""

    real: str
    quantization: Quantization


def rule(*names: str, take_integers: bool = False) -> Callable[[_R], _R]:
    """Register a rule for ONNX operators by name. A rule that does not `take_integers` gets them as a plain tensor."""

    def register(function: _R) -> _R:
        RULES.update(dict.fromkeys(names, function))
        if take_integers:
            TAKE_INTEGERS.update(names)
        return function

    return register


@dataclass
class Lowering:
    """What a rule may use: add nodes, ask for shapes and values, and know where in the source model it is.

    `kinds` holds ONNX element types of tensors whose narrow type matters later (int8, uint4, ...); the graph itself
    knows only f32, i64 and bool. `original` is the graph at the fixed batch size when it is lowered for another one.
    """

    builder: GraphBuilder
    opset: int
    original: GraphBuilder | None = None
    kinds: dict[str, int] = field(default_factory=dict)
    quantized: dict[Integers, str] = field(default_factory=dict)
    node: str = ""
    origin: str = ""
    outputs: int = 1

    def add(self, op: Operator, *inputs: str) -> str:
        """Add a node and return its name; it folds if all inputs are known."""
        name = self.builder.add(op, *inputs, name=f"{self.node}.{type(op).__name__.lower()}", origin=self.origin)
        if isinstance(op, Move) and inputs[0] in self.kinds:
            self.kinds[name] = self.kinds[inputs[0]]
        return name

    def constant(self, value: Tensor, name: str = "", kind: int | None = None) -> str:
        """Store a known tensor and return its name; `kind` is its ONNX element type where that is narrower."""
        name = self.builder.constant(value, name or f"{self.node}.const")
        if kind is not None:
            self.kinds[name] = kind
        return name

    def scalar(self, value: float, like: str) -> str:
        """Store a number with the element type of another tensor and return its name."""
        return self.constant(torch.tensor(float(value) if self.floating(like) else int(value)))

    def value(self, name: str) -> Tensor | None:
        """Return a tensor's value if it is known."""
        return self.builder.value(name)

    def known(self, name: str, what: str) -> Tensor:
        """Return a tensor's value. Raises NotImplementedError if it depends on the network's input."""
        value = self.builder.value(name)
        if value is None:
            raise NotImplementedError(f"its {what} depends on the data; make it a constant")
        return value

    def numbers(self, name: str, what: str) -> list[int]:
        """Return the integers in a tensor. Raises NotImplementedError if they depend on the network's input."""
        return [int(v) for v in self.known(name, what).reshape(-1).tolist()]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.builder.shape(name)

    def dims(self, name: str) -> int:
        """Return a tensor's number of dimensions."""
        return len(self.builder.types[name].shape)

    def floating(self, name: str) -> bool:
        """Whether a tensor holds real numbers."""
        return self.builder.types[name].dtype == "f32"

    def axis(self, axis: int, dims: int) -> int:
        """Return an axis counted from the front. Raises IndexError if there is none."""
        if not -dims <= axis < max(dims, 1):
            raise IndexError(f"axis {axis} of a tensor of {dims} dimensions")
        return axis % dims if dims else 0

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Return `x` under another shape; one entry may be -1."""
        sizes = list(shape)
        if -1 in sizes:
            sizes[sizes.index(-1)] = prod(self.shape(x)) // max(1, prod(size for size in sizes if size != -1))
        return self.add(Reshape(tuple(sizes)), x)

    def cut(self, x: str, axis: int, start: int, stop: int) -> str:
        """Return the elements from `start` to before `stop` along an axis."""
        return self.add(Slice(axis, start, None if stop >= self.shape(x)[axis] else stop), x)

    def growth(self, x: str) -> tuple[int, int] | None:
        """Return how long the first dimension of `x` is now and was at the fixed batch size, or None if it is the same."""
        then = self.original.types.get(x) if self.original else None
        if then is None or not then.shape or len(then.shape) != self.dims(x):
            return None
        now, before = self.shape(x)[0], int(then.shape[0])  # type: ignore[arg-type]
        return None if now == before else (now, before)

    def weight(self, x: str) -> tuple[Tensor, Quantization | None] | None:
        """Return the value and grid of a constant, or None if `x` depends on the network's input."""
        value = self.builder.value(x)
        if value is not None:
            return value, None
        node = next((n for n in reversed(self.builder.nodes) if n.name == x), None)
        if node is not None and isinstance(node.op, FakeQuantize) and node.inputs[0] in self.builder.constants:
            return self.builder.constants[node.inputs[0]], node.op.quantization
        return None

    def store(self, value: Tensor, grid: Quantization | None, name: str) -> str:
        """Store a weight, followed by the grid that it lies on if it has one."""
        stored = self.constant(value, name)
        return stored if grid is None else self.add(FakeQuantize(grid), stored)

    def transposed(self, x: str, order: Sequence[int]) -> str | None:
        """Return a weight with its dimensions in another order, grid included, or None if `x` is no weight."""
        found = self.weight(x)
        if found is None:
            return None
        value, grid = found
        if grid is not None and grid.axis is not None:
            grid = replace(grid, axis=list(order).index(grid.axis % value.dim()))
        return self.store(value.permute(*order), grid, f"{x}.t")

    def finish(self, name: str, wanted: str) -> str:
        """Give the node that was added last the name of the source model's tensor, and return it."""
        builder = self.builder
        fresh = builder.nodes and builder.nodes[-1].name == name and name.startswith(f"{self.node}.")
        if not fresh or wanted in builder.types:
            return name
        builder.nodes[-1] = replace(builder.nodes[-1], name=wanted)
        builder.types[wanted] = builder.types.pop(name)
        for table in (self.kinds,):
            if name in table:
                table[wanted] = table.pop(name)
        return wanted


def type_of(value: Tensor) -> TensorType:
    """Return the type that a graph gives to a tensor."""
    dtype = "f32" if value.is_floating_point() else "bool" if value.dtype == torch.bool else "i64"
    return TensorType(dtype, tuple(value.shape))
