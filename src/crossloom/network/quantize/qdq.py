"""Import of quantised networks: quantise-dequantise pairs become quantisations of tensors.

An importer leaves a `FakeQuantize` node for each pair. `absorb` removes these nodes and returns each tensor's quantisation.
If a tensor is read both through a pair and directly, the direct readers get the integers too, as in hardware.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from crossloom.network.fold import drop_unused
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import FakeQuantize, Linear, MatMul, Transpose
from crossloom.network.quantization import Quantization


def absorb(graph: Graph) -> tuple[Graph, dict[str, Quantization]]:
    """Return the graph without quantise-dequantise pairs, its constants still real, and the quantisation given for each tensor.

    A second, different pair on the same tensor stays a node and is treated as any other element-wise function.
    """
    given: dict[str, Quantization] = {}
    renamed: dict[str, str] = {}
    constants = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        source = node.inputs[0] if node.inputs else ""
        if isinstance(node.op, FakeQuantize) and given.get(source, node.op.quantization) == node.op.quantization:
            given[source] = _without_zero(node.op.quantization) if source in constants else node.op.quantization
            renamed[node.name] = source
        elif isinstance(node.op, Transpose) and source in given and source in constants:
            constants[node.name] = node.op(constants[source]).contiguous()
            given[node.name] = _transposed(given[source], node.op)
        else:
            nodes.append(_as_linear(node, given, constants))
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return drop_unused(replace(graph, nodes=tuple(nodes), constants=constants, outputs=outputs)), given


def _as_linear(node: Node, given: dict[str, Quantization], constants: dict[str, Tensor]) -> Node:
    """Return a product with a constant matrix as a linear layer."""
    right = node.inputs[-1] if node.inputs else ""
    if not isinstance(node.op, MatMul) or right not in given or right not in constants or constants[right].dim() != 2:
        return node
    name = f"{right}.transposed"
    constants[name] = constants[right].t().contiguous()
    given[name] = _transposed(given[right], Transpose((1, 0)))
    return replace(node, op=Linear(), inputs=(node.inputs[0], name))


def _transposed(q: Quantization, op: Transpose) -> Quantization:
    return q if q.axis is None else replace(q, axis=op.order.index(q.axis % len(op.order)))


def _without_zero(q: Quantization) -> Quantization:
    """Return a quantisation with zero point 0 that covers the same values; removing a zero point takes one more bit."""
    return q if q.zero == 0 else replace(q, zero=0, bits=q.bits + 1, signed=True)


def integers_of(value: Tensor, q: Quantization) -> Tensor:
    """Return the integers of a constant that was dequantised with `q`; rounding only removes float32 error."""
    return torch.clamp(torch.round(value.to(torch.float64) / q.scale_of(value.dim()).to(torch.float64)) + q.zero, q.low, q.high)
