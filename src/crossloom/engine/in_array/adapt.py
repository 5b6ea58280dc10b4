"""What functions in arrays ask of a quantised network: a sign before a ReLU, and formats of a softmax."""

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
"""Of an activation."""


def signed_before_relu(graph: Graph, chosen: Functions) -> Graph:
    """Return the network in which what a ReLU reads has a sign.

    Where a ReLU alone reads a result, quantisation gives that its unsigned integers, and saturation would be the ReLU. With one bit more, the
    sign, the same scale tells the same integers apart, and the ReLU has something to do.
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
