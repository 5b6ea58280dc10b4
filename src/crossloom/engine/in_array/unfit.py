"""Selection of the nodes that arrays compute, with the reasons why others are excluded."""

from __future__ import annotations

from collections import Counter

from crossloom.engine.in_array.settings import Functions
from crossloom.engine.in_array.windows import candidates
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Clip, MaxPool, Reduce, Relu, Softmax
from crossloom.network.types import Batch

LARGEST = (MaxPool, AdaptiveMaxPool)
"""Pooling operators that choose the largest value."""


def unfit(node: Node, graph: Graph, chosen: Functions) -> str | None:
    """Return why arrays cannot compute a node, or None if they can."""
    op, x, y = node.op, graph.quantization.get(node.inputs[0]) if node.inputs else None, graph.quantization.get(node.name)
    if not isinstance(op, Relu | Clip | MaxPool | AvgPool | AdaptiveMaxPool | AdaptiveAvgPool | Reduce | Softmax):
        return "it is not a function that arrays compute"
    sizes = (*node.type.shape[:1], *graph.types[node.inputs[0]].shape[:1]) if node.inputs else ()
    if x is None or y is None or graph.batch is not None or set(sizes) != {Batch()}:
        return "its values are not integers with a leading batch axis of any size"
    if isinstance(op, Relu | Clip):
        if not chosen.relu:
            return "ReLU is set to digital units"
        return _unfit_relu(op, graph, node)
    if isinstance(op, Softmax):
        return None if chosen.softmax and not op.log and len(node.inputs) == 1 else "arrays do not compute this softmax"
    return _unfit_pool(node, graph) if chosen.pooling else "pooling is set to digital units"


def _unfit_relu(op: Relu | Clip, graph: Graph, node: Node) -> str | None:
    x, y = graph.quantization[node.inputs[0]], graph.quantization[node.name]
    if x.scale != y.scale or x.zero or y.zero:
        return "its result has another scale or zero point than its input"
    if isinstance(op, Clip) and (op.low != 0 or op.high < y.high * y.scale[0]):
        return "it clips more than a ReLU does"
    return None


def _unfit_pool(node: Node, graph: Graph) -> str | None:
    op, shape = node.op, graph.types[node.inputs[0]].sizes()
    if isinstance(op, Reduce):
        space = tuple(range(2, len(shape)))
        if op.kind not in ("max", "mean", "sum") or len(shape) < 3 or tuple(sorted(axis % len(shape) for axis in op.axes)) != space:
            return "it does not reduce all spatial axes"
    if isinstance(op, MaxPool | AdaptiveMaxPool | Reduce) and is_largest(op) and graph.quantization[node.inputs[0]] != graph.quantization[node.name]:
        return "its result has another scale than its input"
    try:
        candidates(op, shape)
    except ValueError as problem:
        return str(problem)
    return None


def is_largest(op: object) -> bool:
    """Return whether an operator chooses the largest of its values."""
    return isinstance(op, LARGEST) or (isinstance(op, Reduce) and op.kind == "max")


def left_over(graph: Graph, chosen: Functions) -> tuple[str, ...]:
    """Return notes on functions that are set to arrays but cannot be computed there."""
    pools = (MaxPool, AvgPool, AdaptiveMaxPool, AdaptiveAvgPool)
    wanted = {Relu: chosen.relu, Softmax: chosen.softmax, **dict.fromkeys(pools, chosen.pooling)}
    found = Counter(
        (type(node.op).__name__, why) for node in graph.nodes if wanted.get(type(node.op)) and (why := unfit(node, graph, chosen)) is not None
    )
    return tuple(f"{count} {name} left to digital units: {why}" for (name, why), count in found.items())
