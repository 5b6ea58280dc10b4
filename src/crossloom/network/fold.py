"""Graph simplification that preserves results: batch-norm folding, constant folding, removal of unused nodes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from crossloom.network.graph import Graph, Node, bound
from crossloom.network.operators import Add, BatchNorm, Conv, ConvTranspose, FakeQuantize, Linear, Mul


def fold_batch_norm(graph: Graph) -> Graph:
    """Return the graph with each batch norm folded into the preceding convolution or linear layer if it is the layer's only reader.

    weight' = weight · γ/√(var + ε), bias' = (bias − mean) · γ/√(var + ε) + β, in float64 and rounded once. Any other batch
    norm becomes a multiplication and an addition.
    """
    nodes: dict[str, Node] = {}
    constants = dict(graph.constants)
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        if not isinstance(node.op, BatchNorm) or any(name not in constants for name in node.inputs[1:]):
            nodes[node.name] = node
            continue
        scale, shift = _affine(node.op, [constants[name] for name in node.inputs[1:]])
        source = nodes.get(node.inputs[0])
        if source is not None and _absorbs(graph, source, constants):
            nodes[source.name] = _absorbed(source, scale, shift, constants)
            renamed[node.name] = source.name
        else:
            nodes |= _as_arithmetic(node, scale, shift, constants)
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return replace(graph, outputs=outputs, constants=constants).with_nodes(list(nodes.values()))


def fold_constants(graph: Graph) -> Graph:
    """Return the graph with constants in place of nodes that read only constants and do not depend on the batch size."""
    constants = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        settled = bool(node.inputs) and all(name in constants for name in node.inputs) and not isinstance(node.op, FakeQuantize)
        if settled and not node.type.batched and node.name not in graph.outputs:
            constants[node.name] = bound(node.op, 1)(*(constants[name] for name in node.inputs))
        else:
            nodes.append(node)
    return replace(graph, constants=constants).with_nodes(nodes)


def drop_unused(graph: Graph) -> Graph:
    """Return the graph without the nodes that no output depends on."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return graph.with_nodes(kept[::-1])


def _affine(op: BatchNorm, parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
    weight, bias, mean, var = (p.to(torch.float64) for p in parameters)
    scale = weight / torch.sqrt(var + op.eps)
    return scale, bias - mean * scale


def _absorbs(graph: Graph, source: Node, constants: dict[str, Tensor]) -> bool:
    if not isinstance(source.op, Conv | ConvTranspose) and not (isinstance(source.op, Linear) and len(source.type.shape) == 2):
        return False
    one_reader = len(graph.users[source.name]) == 1 and source.name not in graph.outputs
    own_weights = all(name in constants for name in source.inputs[1:])
    return one_reader and own_weights


def _absorbed(source: Node, scale: Tensor, shift: Tensor, constants: dict[str, Tensor]) -> Node:
    weight = constants[source.inputs[1]].to(torch.float64)
    if isinstance(source.op, ConvTranspose):
        per_group = scale.reshape(source.op.groups, 1, -1).expand(-1, weight.shape[0] // source.op.groups, -1)
        scaled = weight * per_group.reshape(weight.shape[0], -1, *[1] * (weight.dim() - 2))
    else:
        scaled = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    bias = shift + (constants[source.inputs[2]].to(torch.float64) * scale if len(source.inputs) > 2 else 0)
    names = f"{source.name}.weight.folded", f"{source.name}.bias.folded"
    constants[names[0]], constants[names[1]] = scaled.to(torch.float32), bias.to(torch.float32)
    return replace(source, inputs=(source.inputs[0], *names))


def _as_arithmetic(node: Node, scale: Tensor, shift: Tensor, constants: dict[str, Tensor]) -> dict[str, Node]:
    shape = (-1, *[1] * (len(node.type.shape) - 2))
    names = f"{node.name}.scale", f"{node.name}.shift"
    constants[names[0]], constants[names[1]] = (v.to(torch.float32).reshape(shape) for v in (scale, shift))
    scaled = Node(f"{node.name}.scaled", Mul(), (node.inputs[0], names[0]), node.type, node.origin)
    return {scaled.name: scaled, node.name: Node(node.name, Add(), (scaled.name, names[1]), node.type, node.origin)}
