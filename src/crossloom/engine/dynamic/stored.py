"""Which operands are stored, and where a product finds its own."""

from __future__ import annotations

from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Concat, MatMul, Move, Pad, Store
from crossloom.network.types import Batch


def unfit(node: Node, graph: Graph) -> str | None:
    """Return why neither operand of a product can be written into cells, or None if the right one can."""
    if not isinstance(node.op, MatMul):
        return "no product of two activations"
    left, right = (graph.types[name] for name in node.inputs)
    if any(name in graph.constants for name in node.inputs):
        return "one operand is constant"
    if any(name not in graph.quantization for name in (*node.inputs, node.name)):
        return "its operands are not integers"
    if not all(type.shape and type.shape[0] == Batch() for type in (left, right)):
        return "its operands differ in where the samples of a batch lie"
    if len(left.shape) != len(right.shape) or len(left.shape) < 3:
        return "its operands differ in their dimensions"
    if any(isinstance(size, Batch) for type in (left, right) for size in type.shape[1:]):
        return "samples of a batch are mixed"
    return None


def store_of(node: Node, graph: Graph) -> Node | None:
    """Return the store that the right operand of a product comes from, through moves only; None if there is none."""
    name = node.inputs[1]
    while name in graph.by_name:
        found = graph.node(name)
        if isinstance(found.op, Store):
            return found
        if not isinstance(found.op, Move) or isinstance(found.op, Concat | Pad):
            return None
        name = found.inputs[0]
    return None


def readers_of(store: Node, graph: Graph) -> list[Node]:
    """Return the products that read a store, in order."""
    return [node for node in graph.nodes if isinstance(node.op, MatMul) and store_of(node, graph) is store]
