"""Check of a network before anything costly: its operators, and the engine of a machine that would run each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

from crossloom.compiler.assign import taker
from crossloom.engine.base import MappedEngine
from crossloom.engine.registry import engines_of
from crossloom.errors import CrossloomError
from crossloom.job.source import Shapes, load
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv, ConvTranspose, Linear, MatMul, Unsupported, product_of
from crossloom.network.quantize.post_training import defects, quantize
from crossloom.network.samples import mixes, mixing_node


def check(model: Any, machine: Machine, *, shapes: Shapes | None = None) -> dict[str, Any]:
    """Return a network's operators, parameters, multiply-accumulates per sample, engine of each node, and unsupported nodes.

    `unsupported` lists nodes that Crossloom has no operator for, and nodes that no engine of the machine supports, with the reason.
    """
    graph = load(model, shapes=shapes, allow_unsupported=True)
    engines, integers = engines_of(machine.views[0]), _in_integers(graph)
    rows, unsupported = [], []
    for node in graph.nodes:
        asked = integers if node.name in integers.by_name else graph
        engine, reason = _taker(asked.node(node.name), asked, engines)
        rows.append({"name": node.name, "op": _kind(node), "origin": node.origin, "engine": engine, "macs": macs(node, graph)})
        if engine is None:
            unsupported.append({"name": node.name, "op": _kind(node), "reason": reason, "origin": node.origin})
    unsupported += _defects(graph)
    return {
        "model": graph.name,
        "machine": machine.name,
        "nodes": len(graph.nodes),
        "supported": not unsupported,
        "unsupported": unsupported,
        "parameters": graph.parameters,
        "macs": sum(row["macs"] for row in rows),
        "batch": graph.batch,
        "fixed": graph.fixed,
        "inputs": [{"name": name, "type": str(type)} for name, type in graph.inputs],
        "operators": dict(Counter(row["op"] for row in rows).most_common()),
        "engines": dict(Counter(str(row["engine"]) for row in rows if row["engine"]).most_common()),
        "layers": rows,
    }


def _in_integers(graph: Graph) -> Graph:
    """Return the network as engines will see it if it can be quantised without samples; otherwise the network unchanged."""
    if graph.quantized or any(isinstance(node.op, Unsupported) for node in graph.nodes):
        return graph
    try:
        return quantize(graph)
    except CrossloomError:
        return graph


def _defects(graph: Graph) -> list[dict[str, str]]:
    """Return the defects that make a network unsupported by any engine: tensors that cannot be quantised, samples that influence each other."""
    kinds = {node.name: (_kind(node), node.origin) for node in graph.nodes}
    found = [(name, reason) for name, reason in defects(graph) if "meta device" not in reason]
    if not found and not any(isinstance(node.op, Unsupported) for node in graph.nodes) and (node := mixing_node(graph)) is not None:
        found = [(node, mixes(node))]
    rows = ((name, reason, *kinds.get(name, ("constant", ""))) for name, reason in found)
    return [{"name": name, "op": kind, "reason": reason, "origin": origin} for name, reason, kind, origin in rows]


def _kind(node: Node) -> str:
    return node.op.kind if isinstance(node.op, Unsupported) else type(node.op).__name__


def _taker(node: Node, graph: Graph, engines: Sequence[MappedEngine]) -> tuple[str | None, str]:
    return (None, node.op.reason) if isinstance(node.op, Unsupported) else taker(node, graph, engines)


def macs(node: Node, graph: Graph) -> int:
    """Return the multiply-accumulate operations of a node per sample; 0 for a node that is not a product."""
    if not isinstance(product_of(node.op), Conv | ConvTranspose | Linear | MatMul):
        return 0
    elements = node.type.count(1)
    shapes = [graph.types[name].sizes() for name in node.inputs]
    if isinstance(node.op, MatMul):
        return elements * shapes[0][-1]
    if isinstance(node.op, ConvTranspose):
        return prod(shapes[0]) * prod(shapes[1][1:])
    return elements * prod(shapes[1][1:])
