"""Builder of imported graphs: it adds nodes in order, folds constants and infers types."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.graph import Graph, Node, infer
from crossloom.network.importers.limits import MOST_NODES, check_size
from crossloom.network.operators import Expand, FakeQuantize, Operator, Reshape, Slice, Transpose, Unsupported
from crossloom.network.types import TensorType, resolve


@dataclass
class GraphBuilder:
    """A graph under construction at one batch size. Tensors are identified by name; `constants` holds the values of constants."""

    name: str
    batch: int
    inputs: list[tuple[str, TensorType]] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    types: dict[str, TensorType] = field(default_factory=dict)
    _stored: dict[Any, tuple[str, Tensor]] = field(default_factory=dict)

    def input(self, name: str, type: TensorType) -> str:
        """Declare an input of the network and return its name."""
        name = self._fresh(name)
        check_size(type.sizes(self.batch), f"{self.name}: the input {name}")
        self.inputs.append((name, type))
        self.types[name] = type
        return name

    def constant(self, value: Tensor, name: str = "const") -> str:
        """Store a constant and return its name. The same memory is stored only once, so that tied weights stay tied.

        Half and double precision become float32; narrow integers become int64.

        Raises ModelError for complex numbers, and for a small tensor expanded beyond the size limit.
        """
        given = value = value.detach()
        key = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride()) if value.layout is torch.strided and value.dim() > 1 else None
        if key is not None and key[0] and key in self._stored:
            return self._stored[key][0]
        name = self._fresh(name)
        if not value.is_contiguous():
            check_size(value.shape, f"{self.name}: {name}")
        if value.is_complex():
            raise ModelError(f"{self.name}: {name} holds complex numbers, which no engine supports; split them into two real tensors")
        if value.is_floating_point():
            value = value.to(torch.float32)
        elif value.dtype != torch.bool:
            value = value.to(torch.int64)
        self.constants[name] = (value.to_dense() if value.layout is not torch.strided else value).contiguous()
        self.types[name] = TensorType.of(value)
        if key is not None:
            self._stored[key] = name, given
        return name

    def add(self, op: Operator, *inputs: str, name: str = "", origin: str = "") -> str:
        """Add a node and return the name of its result.

        The result is a constant if all inputs are constants, and the input itself if the operator changes nothing.
        FakeQuantize of a constant stays a node, because it carries the grid of the weights.
        """
        if all(i in self.constants for i in inputs) and not isinstance(op, FakeQuantize):
            return self.constant(op(*(self.constants[i] for i in inputs)), name or type(op).__name__.lower())
        if self._is_identity(op, inputs):
            return inputs[0]
        result = infer(op, [self.types[i] for i in inputs], self.batch)
        check_size(result.sizes(self.batch), f"{self.name}: the result of {name or type(op).__name__.lower()}")
        if len(self.nodes) >= MOST_NODES:
            raise ModelError(f"{self.name}: it has more than {MOST_NODES:,} operations once its loops are unrolled; split it")
        name = self._fresh(name or type(op).__name__.lower())
        self.nodes.append(Node(name, op, inputs, result, origin))
        self.types[name] = result
        return name

    def add_unsupported(self, kind: str, reason: str, inputs: tuple[str, ...], type: TensorType, name: str, *, origin: str = "") -> str:
        """Add a placeholder node for an operator without a counterpart; its type comes from the source model."""
        name = self._fresh(name)
        self.nodes.append(Node(name, Unsupported(kind, reason), inputs, type, origin))
        self.types[name] = type
        return name

    def value(self, name: str) -> Tensor | None:
        """Return the value of a constant, or None for a tensor that depends on the input."""
        return self.constants.get(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor at this builder's batch size."""
        return resolve(self.types[name].shape, self.batch)

    def build(self, outputs: list[str]) -> Graph:
        """Return the graph, without nodes and constants that its outputs don't need."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if node.name in needed:
                kept.append(node)
                needed.update(node.inputs)
        constants = {name: value for name, value in self.constants.items() if name in needed}
        return Graph(self.name, tuple(self.inputs), tuple(reversed(kept)), tuple(outputs), constants, batch=self.batch)

    def _is_identity(self, op: Operator, inputs: tuple[str, ...]) -> bool:
        shape = self.shape(inputs[0])
        if isinstance(op, Reshape | Expand):
            return tuple(op.shape) == shape
        if isinstance(op, Transpose):
            return op.order == tuple(range(len(shape)))
        return isinstance(op, Slice) and op.step == 1 and op.start == 0 and op.stop in (None, shape[op.axis])

    def _fresh(self, name: str) -> str:
        base = re.sub(r"[^\w.]+", "_", name).strip("_") or "t"
        name, count = base, 1
        while name in self.types:
            name, count = f"{base}_{count}", count + 1
        return name
