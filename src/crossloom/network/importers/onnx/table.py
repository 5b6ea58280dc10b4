"""The table of rules, and the interface that rules work with.

A rule is a function whose positional parameters are the inputs of an ONNX operator. Its keyword parameters are the
attributes with the standard's defaults, so a signature reads like the operator's definition. A tensor is a name in
the graph under construction. A rule raises NotImplementedError with the reason if it cannot express the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from crossloom.network.graph import Node
from crossloom.network.importers.builder import GraphBuilder
from crossloom.network.importers.onnx.rebatch import Growth, Original
from crossloom.network.operators import (
    Add,
    Compare,
    Div,
    FakeQuantize,
    MatMul,
    Maximum,
    Minimum,
    Move,
    Mul,
    Operator,
    Pow,
    Reshape,
    Slice,
    Sub,
    Where,
)
from crossloom.network.quantization import Quantization

_MEETING = Add | Sub | Mul | Div | Pow | Maximum | Minimum | Compare | Where | MatMul

# Maps a weight's address, its shape and an order of dimensions to the weight (kept so that the address stays valid) and its reordered copy.
Reordered = dict[tuple[int, tuple[int, ...], tuple[int, ...]], tuple[Tensor, Tensor]]

_MOST_NUMBERS = 1 << 20
Rule = Callable[..., Any]
_R = TypeVar("_R", bound=Rule)
RULES: dict[str, Rule] = {}
TAKE_INTEGERS: set[str] = set()


@dataclass(frozen=True, slots=True)
class Integers:
    """The output of QuantizeLinear for the tensor `real`, before it is known whether it is read as integers or dequantised."""

    real: str
    quantization: Quantization


def rule(*names: str, take_integers: bool = False) -> Callable[[_R], _R]:
    """Register a rule for ONNX operators by name. A rule without `take_integers` gets `Integers` as a plain tensor."""

    def register(function: _R) -> _R:
        RULES.update(dict.fromkeys(names, function))
        if take_integers:
            TAKE_INTEGERS.update(names)
        return function

    return register


@dataclass
class Lowering:
    """The interface of a rule: it adds nodes, looks up shapes and values, and knows its place in the source model.

    `kinds` holds ONNX element types of tensors whose narrow type matters later (int8, uint4, ...); the graph itself
    has only f32, i64 and bool.
    """

    builder: GraphBuilder
    opset: int
    original: Original | None = None
    kinds: dict[str, int] = field(default_factory=dict)
    quantized: dict[Integers, str] = field(default_factory=dict)
    reordered: Reordered = field(default_factory=dict)
    stored: dict[tuple[str, tuple[int, ...]], str] = field(default_factory=dict)
    node: str = ""
    origin: str = ""
    outputs: int = 1

    def add(self, op: Operator, *inputs: str) -> str:
        """Add a node and return its name; it is folded if all inputs are known."""
        inputs = self._in_step(inputs) if isinstance(op, _MEETING) else inputs
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
            raise NotImplementedError(f"the data determine its {what}; only a constant is supported")
        return value

    def numbers(self, name: str, what: str) -> list[int]:
        """Return the integers in a tensor. Raises NotImplementedError if they depend on the network's input."""
        value = self.known(name, what)
        if value.numel() > _MOST_NUMBERS:
            raise NotImplementedError(f"{value.numel():,} numbers for its {what}")
        return [int(v) for v in value.reshape(-1).tolist()]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.builder.shape(name)

    def dims(self, name: str) -> int:
        """Return a tensor's number of dimensions."""
        return len(self.builder.types[name].shape)

    def floating(self, name: str) -> bool:
        """Return whether a tensor holds real numbers."""
        return self.builder.types[name].dtype == "f32"

    def axis(self, axis: int, dims: int) -> int:
        """Return an axis counted from the front. Raises IndexError if there is none."""
        if not -dims <= axis < max(dims, 1):
            raise IndexError(f"axis {axis} of a tensor of {dims} dimensions")
        return axis % dims if dims else 0

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Return `x` in another shape; one entry may be -1."""
        sizes = list(shape)
        if -1 in sizes:
            sizes[sizes.index(-1)] = prod(self.shape(x)) // max(1, prod(size for size in sizes if size != -1))
        return x if tuple(sizes) == self.shape(x) else self.add(Reshape(tuple(sizes)), x)

    def cut(self, x: str, axis: int, start: int, stop: int) -> str:
        """Return the elements from `start` to before `stop` along an axis."""
        size = self.shape(x)[axis]
        return x if (start, min(stop, size)) == (0, size) else self.add(Slice(axis, start, None if stop >= size else stop), x)

    def growth(self, x: str) -> Growth | None:
        """Return the dimension of `x` whose size differs from its size at the fixed batch size, or None unless exactly one differs."""
        then = self.original.builder.types.get(x) if self.original else None
        if then is None or len(then.shape) != self.dims(x):
            return None
        pairs = enumerate(zip(self.shape(x), then.sizes(), strict=True))
        changed = [Growth(axis, now, int(before)) for axis, (now, before) in pairs if now != before]
        return changed[0] if len(changed) == 1 else None

    def repeated(self, x: str, axis: int, growth: Growth) -> str:
        """Return a per-sample constant with the first sample's part repeated for every sample, and any other tensor unchanged."""
        value, original = self.value(x), self.original
        if value is None or original is None or value.shape[axis] != growth.before or growth.before % original.builder.batch:
            return x
        share = growth.before // original.builder.batch
        times = [growth.now // share if i == axis % value.dim() else 1 for i in range(value.dim())]
        return self.constant(value.narrow(axis, 0, share).repeat(times), x)

    def _in_step(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Repeat constants that are combined, element by element, with a tensor whose grown dimension they share."""
        growth, dims = next(((g, self.dims(x)) for x in inputs if (g := self.growth(x))), (None, 0))
        if growth is None or growth.before == 1:
            return inputs
        behind = dims - growth.axis
        return tuple(x if self.dims(x) < behind else self.repeated(x, self.dims(x) - behind, growth) for x in inputs)

    def written(self, x: str) -> Tensor | None:
        """Return the value that a tensor has at the batch size the file was written for."""
        return self.original.builder.value(x) if self.original else None

    def choice(self, question: object, options: Sequence[int]) -> int:
        """Return one of several options; if it fails, the model is lowered again with the next one."""
        return options[0] if self.original is None or len(options) == 1 else self.original.choices.make(question, options)

    def maker(self, x: str) -> Node | None:
        """Return the node that computes a tensor, or None for inputs and constants."""
        known = x in self.builder.constants
        return None if known else next((node for node in reversed(self.builder.nodes) if node.name == x), None)

    def weight(self, x: str) -> tuple[Tensor, Quantization | None] | None:
        """Return the value and grid of a constant, or None if `x` depends on the network's input."""
        value = self.builder.value(x)
        if value is not None:
            return value, None
        node = self.maker(x)
        if node is not None and isinstance(node.op, FakeQuantize) and node.inputs[0] in self.builder.constants:
            return self.builder.constants[node.inputs[0]], node.op.quantization
        return None

    def store(self, value: Tensor, grid: Quantization | None, name: str) -> str:
        """Store a weight, followed by a FakeQuantize with its grid if it has one."""
        stored = self.constant(value, name)
        return stored if grid is None else self.add(FakeQuantize(grid), stored)

    def transposed(self, x: str, order: Sequence[int]) -> str | None:
        """Return a weight with its dimensions in another order, grid included, or None if `x` is not a weight."""
        found = self.weight(x)
        if found is None or list(order) == sorted(order):
            return None if found is None else x
        key = x, tuple(order)
        if key not in self.stored:
            value, grid = found
            if grid is not None and grid.axis is not None:
                grid = replace(grid, axis=list(order).index(grid.axis % value.dim()))
            place = value.data_ptr(), tuple(value.shape), tuple(order)
            if place not in self.reordered:
                self.reordered[place] = value, value.permute(*order).contiguous()
            self.stored[key] = self.store(self.reordered[place][1], grid, f"{x}.t")
        return self.stored[key]

    def rename(self, old: str, new: str, first: int) -> str:
        """Rename a node, at index `first` or later, after the source model's tensor; return its name afterwards."""
        builder = self.builder
        if new in builder.types or all(node.name != old for node in builder.nodes[first:]):
            return old
        for i, node in enumerate(builder.nodes[first:], first):
            inputs = tuple(new if name == old else name for name in node.inputs)
            builder.nodes[i] = replace(node, name=new if node.name == old else node.name, inputs=inputs)
        builder.types[new] = builder.types.pop(old)
        if old in self.kinds:
            self.kinds[new] = self.kinds.pop(old)
        self.quantized = {key: new if name == old else name for key, name in self.quantized.items()}
        return new
