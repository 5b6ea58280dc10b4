"""Integer execution of a quantised graph, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from crossloom.network.graph import Graph, Node, bound
from crossloom.network.integer.arithmetic import Operand, exact_sums, multiplier, requantize
from crossloom.network.integer.rules import RULES, on_reals
from crossloom.network.operators import Conv, ConvTranspose, Linear, MatMul, ProductAdd, product_of
from crossloom.network.quantization import carrier
from crossloom.network.replay import batch_of, last_uses

Accumulate = Callable[[Node, Operand, Operand, Tensor | None], Tensor]
"""Function that returns a node's exact sums of products from data, weights (or a second data operand) and integer bias."""


def integer_replay(graph: Graph, inputs: Sequence[Tensor], accumulate: Accumulate | None = None) -> tuple[Tensor, ...]:
    """Return the real outputs of a quantised graph for real (or integer) inputs, computed with the integer semantics."""
    batch = batch_of(graph, inputs)
    tensors = quantized_inputs(graph, inputs)
    device = inputs[0].device
    tensors |= {name: t.to(device) for name, t in graph.constants.items()}
    for node, unused in zip(graph.nodes, last_uses(graph), strict=True):
        tensors[node.name] = evaluate(graph, node, [tensors[name] for name in node.inputs], batch, accumulate)
        for name in unused:
            del tensors[name]
    return real_outputs(graph, tensors)


def quantized_inputs(graph: Graph, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the inputs as the graph's integers."""
    tensors: dict[str, Tensor] = {}
    for (name, _), given in zip(graph.inputs, inputs, strict=True):
        q = graph.quantization.get(name)
        tensors[name] = given if q is None else q.quantize(given).to(carrier(q))
    return tensors


def real_outputs(graph: Graph, tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs as float32 real values."""
    return tuple(graph.quantization[n].dequantize(tensors[n]) if n in graph.quantization else tensors[n] for n in graph.outputs)


def evaluate(graph: Graph, node: Node, tensors: Sequence[Tensor], batch: int, accumulate: Accumulate | None = None) -> Tensor:
    """Return the integers (or native values) of one node. `accumulate` computes the sums of products; they are exact if it is None."""
    q = graph.quantization.get(node.name)
    if q is None:
        native = [graph.quantization[n].dequantize(t) if n in graph.quantization else t for n, t in zip(node.inputs, tensors, strict=True)]
        return bound(node.op, batch)(*native)
    operands = [_operand(graph, name, tensor) for name, tensor in zip(node.inputs, tensors, strict=True)]
    product = product_of(node.op)
    if isinstance(product, Conv | ConvTranspose | Linear | MatMul):
        bias = operands[2].values if len(operands) > 2 else None
        sums = (accumulate or exact_sums)(replace(node, op=product), operands[0], operands[1], bias)
        if isinstance(node.op, ProductAdd):
            sums = node.op.add(sums, operands[3].centred, operands[4].values)
        return requantize(sums, multiplier(operands[0].q, operands[1].q, q, node), q)
    rule = next((rule for kind, rule in RULES if isinstance(node.op, kind)), on_reals)
    return rule(bound(node.op, batch), operands, q)


def _operand(graph: Graph, name: str, tensor: Tensor) -> Operand:
    """Return an operand. Native real values that are combined with data (a mask times data) are quantised."""
    q = graph.quantization.get(name)
    if q is not None and tensor.is_floating_point():
        tensor = q.quantize(tensor).to(carrier(q))
    return Operand(tensor, q)
