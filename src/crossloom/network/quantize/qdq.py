"""Networks that come in as quantised: pairs of quantise and dequantise become the quantisations of tensors.

An importer leaves a `FakeQuantize` node for each pair. `absorb` takes these nodes out and says which integers each tensor holds.
Where a tensor is read both through a pair and directly, the direct readers get the integers too, as hardware would have it.
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
    """Return the graph without quantise-dequantise pairs, constants still real, and the quantisation that each tensor was given.

    A second, different pair on the same tensor stays as a node: it is a function of one element like any other.
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
    """Return a quantisation around zero that holds the same values; a zero point costs a bit."""
    return q if q.zero == 0 else replace(q, zero=0, bits=q.bits + 1, signed=True)


def integers_of(value: Tensor, q: Quantization) -> Tensor:
    """Return the integers of a constant that was dequantised with `q`: no rounding is left to do but that of float32."""
    return torch.clamp(torch.round(value.to(torch.float64) / q.scale_of(value.dim()).to(torch.float64)) + q.zero, q.low, q.high)
