"""Scores and weights held in the formats of what computes a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crossloom.engine.softmax.unit import Unit
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import MatMul
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.post_training import hands_on


def in_formats(graph: Graph, taken: Sequence[Node], unit: Unit) -> Graph:
    """Return the network with scores and weights of some softmaxes in the formats of a unit, where nothing else reads them."""
    quantization = dict(graph.quantization)
    for node in taken:
        scores = node.inputs[0]
        if scores in graph.by_name and len(graph.users[scores]) == 1 and scores not in graph.outputs:
            quantization[scores] = unit.input
        _hand_on(node, unit.output, graph, quantization)
    return replace(graph, quantization=quantization)


def _hand_on(node: Node, q: Quantization, graph: Graph, quantization: dict[str, Quantization]) -> None:
    """Hold a result, and what only moves it, in a quantisation; not where the network's outputs or other operators depend on the one it had."""
    readers = graph.users[node.name]
    if node.name in graph.outputs or not all(isinstance(reader.op, MatMul) or hands_on(reader) for reader in readers):
        return
    quantization[node.name] = q
    for reader in readers:
        if hands_on(reader):
            _hand_on(reader, q, graph, quantization)
