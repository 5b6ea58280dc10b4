"""Put stores before the products of two activations."""

from __future__ import annotations

from dataclasses import replace

from crossloom.engine.dynamic.stored import store_of, unfit
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Concat, MatMul, Store, Transpose
from crossloom.program.dataflow import position_axes


def with_stores(graph: Graph, sets: int = 1) -> tuple[Graph, tuple[str, ...]]:
    """Return the network with the right operand of each product of two activations stored, in `sets` sets of cells, and notes on what cannot be stored.

    A cache has one set: it belongs to a sequence.
    """
    left = {node.name: why for node in graph.nodes if isinstance(node.op, MatMul) and (why := unfit(node, graph))}
    nodes: list[Node] = []
    quantization = dict(graph.quantization)
    orders = position_axes(graph)
    for node in graph.nodes:
        if isinstance(node.op, MatMul) and node.name not in left and store_of(node, graph) is None:
            store = _store(node, graph, orders[node.inputs[1]])
            quantization[store.name] = quantization[node.inputs[1]]
            nodes.append(store)
            node = replace(node, inputs=(node.inputs[0], store.name))
        nodes.append(node)
    notes = tuple(f"{name} is computed digitally: {why}" for name, why in left.items())
    caches = [(node, node.op) for node in nodes if isinstance(node.op, Store) and node.op.kept]
    if caches and len(nodes) > len(graph.nodes):
        first, op = caches[0]
        size = first.type.sizes()[op.axis]
        notes += (f"{len(caches)} operands are caches: {op.kept} of {size} tokens of {first.name} stay in the cells, and one sequence has them",)
    nodes = [replace(each, op=replace(each.op, sets=1 if each.op.kept else sets)) if isinstance(each.op, Store) else each for each in nodes]
    return (graph.with_nodes(nodes, quantization=quantization) if nodes != list(graph.nodes) else graph), notes


def _store(node: Node, graph: Graph, positions: frozenset[int]) -> Node:
    """Return the store of a product's right operand: written along the dimension in which it comes into being, or that a cache grows in."""
    name = node.inputs[1]
    type = graph.types[name]
    dims = len(type.shape)
    kept = {axis: _kept(name, graph, axis % dims) for axis in (-1, -2)}
    axis = max(kept, key=lambda each: kept[each]) if any(kept.values()) else -1 if dims - 1 in positions and dims - 2 not in positions else -2
    return Node(f"{node.name}.store", Store(axis, kept[axis]), (name,), type, node.origin)


def _kept(name: str, graph: Graph, axis: int) -> int:
    """Return how many indices of an operand are in the cells from earlier inferences: those of a cache that the network is given.

    A cache is an input of the network to which new keys or values are joined, along the dimension that is written, and what is joined is a result of
    the network again: the next inference's cache.
    """
    given = {name for name, _ in graph.inputs}
    while name in graph.by_name:
        found = graph.node(name)
        if isinstance(found.op, Transpose):
            axis = found.op.order[axis]
        elif isinstance(found.op, Concat) and found.op.axis % len(found.type.shape) == axis and found.name in graph.outputs:
            return max((graph.types[part].sizes()[axis] for part in found.inputs if part in given), default=0)
        else:
            return 0
        name = found.inputs[0]
    return 0
