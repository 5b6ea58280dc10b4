"""Graph representation of a network after import: typed nodes in topological order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.operators import Expand, Operator, Reshape
from crossloom.network.quantization import Quantization
from crossloom.network.types import TensorType


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. Its result is the tensor of the same name; `origin` is its place in the source model."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    type: TensorType
    origin: str = ""


@dataclass(frozen=True)
class Graph:
    """A network: inputs, nodes in topological order, names of outputs, constants as tensors.

    `batch` is None if the graph runs at any batch size. Otherwise it is the only batch size the graph supports, and `fixed` gives the reason.
    `quantization` holds the quantisation of each integer tensor; it is empty for a network in floating point. `samples` holds a few of the
    inputs used for calibration, one tensor per input. Machines that set their converter ranges from a layer's results use them.
    """

    name: str
    inputs: tuple[tuple[str, TensorType], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    quantization: Mapping[str, Quantization] = field(default_factory=dict)
    batch: int | None = None
    fixed: str = ""
    samples: tuple[Tensor, ...] = ()

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """Type of every tensor by name."""
        types = dict(self.inputs)
        types |= {name: TensorType.of(tensor) for name, tensor in self.constants.items()}
        types |= {node.name: node.type for node in self.nodes}
        return types

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def users(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each tensor, by name of the tensor."""
        users: dict[str, list[Node]] = {name: [] for name in self.types}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users[name].append(node)
        return {name: tuple(nodes) for name, nodes in users.items()}

    @property
    def parameters(self) -> int:
        """Number of elements in all constants of floating-point or quantised type."""
        return sum(t.numel() for t in self.constants.values() if t.dim() and (t.is_floating_point() or self.quantization))

    @property
    def quantized(self) -> bool:
        """Whether tensors are held in integers."""
        return bool(self.quantization)

    def node(self, name: str) -> Node:
        """Return a node by name. Raises KeyError."""
        return self.by_name[name]

    def with_nodes(self, nodes: Sequence[Node], **changes: object) -> Graph:
        """Return a copy of the graph with these nodes, without constants and quantisations that are no longer used."""
        used = {name for node in nodes for name in node.inputs} | set(self.outputs)
        constants = {name: t for name, t in {**self.constants, **changes.pop("constants", {})}.items() if name in used}  # type: ignore[dict-item]
        graph = replace(self, nodes=tuple(nodes), constants=constants, **changes)  # type: ignore[arg-type]
        kept = graph.types
        return replace(graph, quantization={name: q for name, q in graph.quantization.items() if name in kept})

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the outputs in floating point, or in integers when the graph is quantised (see `network/replay.py`)."""
        if self.quantized:
            from crossloom.network.integer import integer_replay

            outputs = integer_replay(self, inputs)
        else:
            from crossloom.network.replay import replay

            outputs = replay(self, inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __str__(self) -> str:
        from crossloom.network.text import print_graph

        return print_graph(self)


def bound(op: Operator, batch: int) -> Operator:
    """Return the operator with dimensions that depend on the batch size filled in."""
    return op.at(batch) if isinstance(op, Reshape | Expand) else op


def infer(op: Operator, types: Sequence[TensorType], batch: int) -> TensorType:
    """Return the type of the operator's result, found by running it on tensors without storage."""
    from crossloom.network.types import DTYPES

    operands = [torch.empty(t.sizes(batch), dtype=DTYPES[t.dtype], device="meta") for t in types]
    return TensorType.of(bound(op, batch)(*operands))


def verify(graph: Graph) -> None:
    """Check that names are unique, inputs are defined before use, and every output is computed.

    Raises ModelError naming the node. In a quantised graph, types are those of the real values.
    """
    known: dict[str, TensorType] = dict(graph.inputs)
    known |= {name: TensorType.of(tensor) for name, tensor in graph.constants.items()}
    for node in graph.nodes:
        if node.name in known:
            raise ModelError(f"graph {graph.name}: the name {node.name} is used twice; give each node its own")
        if missing := [name for name in node.inputs if name not in known]:
            raise ModelError(f"graph {graph.name}: node {node.name} reads {missing[0]} before it is computed; reorder the nodes")
        known[node.name] = node.type
    if missing := [name for name in graph.outputs if name not in known]:
        raise ModelError(f"graph {graph.name}: no node computes output {missing[0]}")


def digest(tensor: Tensor) -> str:
    """Return a hash of a tensor's content, as eight hexadecimal digits."""
    data = tensor.detach().cpu().contiguous()
    raw = data.view(torch.uint8).numpy().tobytes() if data.dim() else data.reshape(1).view(torch.uint8).numpy().tobytes()
    return hashlib.blake2b(raw, digest_size=4).hexdigest()
