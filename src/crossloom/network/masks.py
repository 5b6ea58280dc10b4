"""Conversion of additive attention masks to Boolean ones, which can be quantised.

Models hide positions by adding −∞ or the smallest float to the scores, which no integer can represent. `find_masks`
gives the softmax a second input instead, which is true for the positions that count.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from crossloom.network.fold import drop_unused
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Add, Compare, Conv, ConvTranspose, Linear, Not, Softmax, Where
from crossloom.network.types import TensorType

HIDDEN = -1e4
"""Largest addend that counts as hiding a position. Scores are much smaller in magnitude."""


def find_masks(graph: Graph) -> Graph:
    """Return the graph with each `softmax(where(m, x, −∞))` and `softmax(x + m)` rewritten as `softmax(x, m)`."""
    native = native_tensors(graph)
    constants = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        source = graph.by_name.get(node.inputs[0]) if isinstance(node.op, Softmax) and len(node.inputs) == 1 else None
        if source is None:
            nodes.append(node)
        elif isinstance(source.op, Where) and _all_hidden(constants, source.inputs[2]):
            nodes.append(replace(node, inputs=(source.inputs[1], source.inputs[0])))
        elif isinstance(source.op, Where) and _all_hidden(constants, source.inputs[1]):
            shown = Node(f"{node.name}.mask", Not(), source.inputs[:1], graph.types[source.inputs[0]])
            nodes += [shown, replace(node, inputs=(source.inputs[2], shown.name))]
        elif isinstance(source.op, Add) and (split := _added_mask(graph, source, native)):
            scores, mask = split
            constants.setdefault("hidden", torch.tensor(HIDDEN))
            counts = Node(f"{node.name}.mask", Compare("gt"), (mask, "hidden"), TensorType("bool", graph.types[mask].shape))
            value = constants.get(mask)
            if value is not None and bool(((value != 0) & (value > HIDDEN)).any()):
                constants[f"{mask}.shown"] = torch.where(value > HIDDEN, value, 0.0)
                nodes.append(replace(source, name=f"{source.name}.shown", inputs=(scores, f"{mask}.shown")))
                scores = f"{source.name}.shown"
            nodes += [counts, replace(node, inputs=(scores, counts.name))]
        else:
            nodes.append(node)
    return drop_unused(replace(graph, nodes=tuple(nodes), constants=constants))


def native_tensors(graph: Graph) -> set[str]:
    """Return the names of tensors that depend only on constants and on integer or Boolean inputs.

    Masks and position indices are of this kind. They keep their own type when the rest of the graph is quantised. The result of
    a table look-up or of a layer with weights counts as data, whatever its inputs depend on.
    """
    native = set(graph.constants) | {name for name, type in graph.inputs if type.dtype != "f32"}
    for node in graph.nodes:
        if (
            all(name in native for name in node.inputs)
            and not _looks_up_weights(graph, node)
            and not isinstance(node.op, Conv | ConvTranspose | Linear)
        ):
            native.add(node.name)
    return native


def _looks_up_weights(graph: Graph, node: Node) -> bool:
    """Whether a node selects rows from a table of real numbers, as an embedding does."""
    table = graph.constants.get(node.inputs[0]) if node.inputs else None
    picks = len(node.inputs) == 2 and node.inputs[1] not in graph.constants
    return table is not None and table.is_floating_point() and table.dim() >= 2 and picks and type(node.op).__name__ == "Gather"


def _all_hidden(constants: dict[str, torch.Tensor], name: str) -> bool:
    value = constants.get(name)
    return value is not None and bool((value <= HIDDEN).all())


def _added_mask(graph: Graph, add: Node, native: set[str]) -> tuple[str, str] | None:
    """Return (scores, mask) if one operand of the addition hides positions and does not depend on data. It may also contain a bias."""
    for scores, mask in (add.inputs, add.inputs[::-1]):
        if mask in native and scores not in native:
            value = graph.constants.get(mask)
            if value is None or bool((value <= HIDDEN).any()):
                return scores, mask
    return None
