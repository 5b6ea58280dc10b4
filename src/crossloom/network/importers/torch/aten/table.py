"""The table of rules, and the interface that rules work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from crossloom.network.importers.builder import GraphBuilder
from crossloom.network.operators import Operator, Reshape

Rule = Callable[..., Any]
_R = TypeVar("_R", bound=Rule)
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[_R], _R]:
    """Register a rule for ATen operators by name, without overload and without the underscore of in-place forms."""

    def register(function: _R) -> _R:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


@dataclass(slots=True, eq=False)
class Ref:
    """A tensor during lowering: one in the graph by name, one with a known value, or both.

    A `learned` value comes from parameters; it is a weight even if it happens to be all zeros or ones.
    """

    name: str | None = None
    value: Tensor | None = None
    hint: str = "const"
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """A result of an operator that its rule doesn't compute, such as the indices of a max pool."""

    what: str


@dataclass
class Lowering:
    """The interface of a rule: it adds nodes, and looks up shapes and known values."""

    builder: GraphBuilder
    _module: str = ""
    _origin: str = ""
    _node: str = ""
    _scalars: dict[str, Ref] = field(default_factory=dict)

    def place(self, module: str, origin: str, node: str) -> None:
        """Set the place in the source model that the next nodes come from."""
        self._module, self._origin, self._node = module, origin, node

    def known(self, value: Tensor, hint: str = "const") -> Ref:
        """Return a reference to a tensor whose value is known; it becomes a constant of the graph when used."""
        return Ref(None, value, hint)

    def add(self, op: Operator, *inputs: Ref) -> Ref:
        """Add a node; known inputs give a known result."""
        if all(ref.value is not None for ref in inputs):
            value = op(*(ref.value for ref in inputs if ref.value is not None))
            return Ref(None, value, learned=any(ref.learned for ref in inputs))
        name = self._module or self._node
        return Ref(self.builder.add(op, *(self.name(ref) for ref in inputs), name=name, origin=self._origin))

    def name(self, ref: Ref) -> str:
        """Return the name of a tensor in the graph; a known value becomes a constant."""
        if ref.name is None:
            assert ref.value is not None
            ref.name = self.builder.constant(ref.value, ref.hint)
        return ref.name

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(ref.value.shape) if ref.value is not None else self.builder.shape(self.name(ref))

    def dims(self, ref: Ref) -> int:
        """Return a tensor's number of dimensions."""
        return len(self.shape(ref))

    def dtype(self, ref: Ref) -> str:
        """Return a tensor's element type: "f32", "i64" or "bool"."""
        if ref.value is not None:
            return "f32" if ref.value.is_floating_point() else "bool" if ref.value.dtype == torch.bool else "i64"
        return self.builder.types[self.name(ref)].dtype

    def scalar(self, value: float | int | bool, like: Ref | None = None) -> Ref:
        """Return a known scalar. It takes the element type of `like` unless a fraction would be lost."""
        if like is not None and self.dtype(like) == "f32":
            value = float(value)
        return self._scalars.setdefault(repr(value), self.known(torch.tensor(value)))

    def operand(self, value: Any, like: Ref | None = None) -> Ref:
        """Return a tensor operand: a reference unchanged, a number as a known scalar."""
        return value if isinstance(value, Ref) else self.scalar(value, like)

    def reshape(self, x: Ref, shape: tuple[int, ...] | list[int]) -> Ref:
        """Return `x` in another shape; one entry may be -1."""
        sizes = list(shape)
        if -1 in sizes:
            rest = 1
            for size in sizes:
                rest *= size if size != -1 else 1
            total = 1
            for size in self.shape(x):
                total *= size
            sizes[sizes.index(-1)] = total // max(rest, 1)
        return self.add(Reshape(tuple(int(size) for size in sizes)), x)


def axis_of(axis: int, dims: int) -> int:
    """Return a non-negative axis."""
    return axis % dims if dims else 0


def many(value: Any, count: int) -> tuple[int, ...]:
    """Return `count` numbers from one number or a list of one or `count`."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return tuple(int(v) for v in (values * count if len(values) == 1 else values))


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that tensors of these shapes broadcast to."""
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def with_batch(low: Lowering, x: Ref, space: int, compute: Callable[[Ref], Ref]) -> Ref:
    """Apply a rule for (N, C, *space) tensors to one that may lack its batch dimension."""
    shape = low.shape(x)
    if len(shape) == space + 2:
        return compute(x)
    y = compute(low.reshape(x, (1, *shape)))
    return low.reshape(y, low.shape(y)[1:])
