"""Adaptation of a quantised network to in-array functions: signed inputs of a ReLU, and formats of a softmax."""

from __future__ import annotations

from dataclasses import replace

from crossloom.engine.in_array.settings import Functions
from crossloom.engine.in_array.unfit import unfit
from crossloom.engine.softmax.formats import Fixed
from crossloom.engine.softmax.formatted import in_formats
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.network.graph import Graph
from crossloom.network.operators import Clip, Relu, Softmax
from crossloom.network.quantize.post_training import hands_on

MOST_BITS = 16
"""Largest width of an activation."""


def signed_before_relu(graph: Graph, chosen: Functions) -> Graph:
    """Return the network with signed inputs to each ReLU.

    If a result is read only by a ReLU, quantisation gives it the ReLU's unsigned format, so saturation would already perform the ReLU. With an
    additional sign bit, the same scale resolves the same integers, and the ReLU is computed explicitly.
    """
    quantization = dict(graph.quantization)
    for node in graph.nodes:
        if not isinstance(node.op, Relu | Clip) or unfit(node, graph, chosen) is not None:
            continue
        source = node.inputs[0]
        before, after = graph.quantization[source], graph.quantization[node.name]
        made = graph.by_name.get(source)
        alone = made is not None and len(graph.users[source]) == 1 and source not in graph.outputs and not hands_on(made)
        if alone and before == after and not before.signed and before.bits < MOST_BITS:
            quantization[source] = replace(before, signed=True, bits=before.bits + 1)
    return replace(graph, quantization=quantization)


def with_softmax_formats(graph: Graph, chosen: Functions) -> Graph:
    """Return the network with scores and weights of softmax in the formats of the blocks that compute it, where nothing else reads them."""
    taken = [node for node in graph.nodes if isinstance(node.op, Softmax) and unfit(node, graph, chosen) is None]
    arithmetic = LogSumExp(Fixed.of(chosen.format), exp_bits=chosen.exp_bits, quotient_bits=chosen.quotient_bits)
    return in_formats(graph, taken, arithmetic) if taken else graph
