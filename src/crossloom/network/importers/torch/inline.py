"""Inlining of graphs that `torch.export` wraps: regions under `autocast` or another gradient mode become plain nodes again."""

from __future__ import annotations

import operator
from typing import Any

from torch import fx

_WRAPPERS = {"wrap_with_autocast", "wrap_with_set_grad_enabled"}


def inlined(module: fx.GraphModule) -> fx.Graph:
    """Return the module's graph with the graphs that it wraps inlined; the graph itself if it wraps none.

    Neither mode matters here: nothing is differentiated, and half precision is computed in float32.
    """
    if not any(_wraps(node) for node in module.graph.nodes):
        return module.graph
    graph = fx.Graph()
    graph.output(_copy(graph, module, {}))
    return graph


def _wraps(node: fx.Node) -> bool:
    return node.op == "call_function" and str(getattr(node.target, "__name__", "")) in _WRAPPERS


def _copy(graph: fx.Graph, module: fx.GraphModule, values: dict[fx.Node, Any]) -> Any:
    """Copy the nodes of a module into the graph and return the value of its output node. `values` holds the nodes copied so far."""
    for node in module.graph.nodes:
        if node in values:
            continue
        if node.op == "output":
            return fx.map_arg(node.args[0], values.__getitem__)
        if _wraps(node):
            place = next(i for i, a in enumerate(node.args) if isinstance(a, fx.Node) and a.op == "get_attr")
            inner = getattr(module, str(node.args[place].target))
            entries = [n for n in inner.graph.nodes if n.op == "placeholder"]
            given = [values[a] if isinstance(a, fx.Node) else a for a in node.args[place + 1 :]]
            values[node] = _copy(graph, inner, dict(zip(entries, given, strict=True)))
        elif node.target is operator.getitem and isinstance(values[node.args[0]], tuple | list):
            values[node] = values[node.args[0]][node.args[1]]
        elif node.op != "get_attr" or not any(_wraps(user) for user in node.users):
            values[node] = graph.node_copy(node, values.__getitem__)
    raise AssertionError("a graph without an output node")
