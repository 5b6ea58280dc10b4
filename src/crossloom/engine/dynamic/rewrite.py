"""Attention rewritten so that what is written into cells is the layer's input, once, instead of keys and values (yang2020, Section 4.2).

With K = X·W_Kᵀ + 1·b_Kᵀ and V likewise, for each head

    Q·Kᵀ = (Q·W_K)·Xᵀ + (Q·b_K)·1ᵀ,      S·V = (S·X)·W_Vᵀ + (S·1)·b_Vᵀ.

A softmax does not see what is the same for a whole row, so that b_K drops out; its rows sum to one, so that b_V is added as it is. X is there
before any key is, all heads read the same cells, and both products do: S·X drives what Xᵀ senses. The price: dot products as long as the layer
is wide, not as a head is.

In integers, keys and values are no longer rounded, but R = Q·W_K and S·X are. S·X is a mean of rows of X and has its quantisation; the ranges of
R and of the scores are those that the network's samples show; without samples R gets the largest that could occur.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.engine.dynamic.stored import unfit
from crossloom.network.calibrate import symmetric
from crossloom.network.graph import Graph, Node, bound
from crossloom.network.integer import evaluate, quantized_inputs
from crossloom.network.operators import Concat, Conv, Linear, MatMul, Move, Pad, Reshape, Softmax, Store, Transpose
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.quantize import weight_quantization
from crossloom.network.replay import batch_of, last_uses
from crossloom.network.types import Batch, TensorType

FEW = 4
"""Samples looked at for the range of a rewritten product."""


@dataclass(frozen=True, slots=True)
class Projection:
    """An operand that is a linear layer's result, moved: which of the layer's features each head has.

    Attributes:
        layer: the linear layer.
        features: (heads, width) its outputs.
    """

    layer: Node
    features: Tensor


@dataclass(frozen=True, slots=True)
class Attention:
    """Two products with a softmax between: scores from keys, a weighted sum of values, both projected from one tensor."""

    scores: Node
    keys: Projection
    summed: Node
    values: Projection

    @property
    def source(self) -> str:
        """The tensor that keys and values are projected from."""
        return self.keys.layer.inputs[0]


def rewritten(graph: Graph, dual_access: bool = True) -> tuple[Graph, tuple[str, ...]]:
    """Return the network with each attention rewritten that can be, and notes on the others.

    With `dual_access` both products read one store of the input, else each has its own.
    """
    found, notes = _attentions(graph)
    if not found:
        return graph, notes
    ranges = _ranges(graph, found)
    if not graph.samples:
        notes = (*notes, "rewritten attention: no samples show the range of Q·W_K, which is taken from the largest that could occur")
    nodes: list[Node] = []
    constants, quantization = dict(graph.constants), dict(graph.quantization)
    by_scores = {each.scores.name: each for each in found}
    by_summed = {each.summed.name: each for each in found}
    for node in graph.nodes:
        if node.name in by_scores:
            nodes += _Made(graph, constants, quantization, node.origin).scores(by_scores[node.name], *ranges[node.name])
        elif node.name in by_summed:
            nodes += _Made(graph, constants, quantization, node.origin).summed(by_summed[node.name], dual_access)
        else:
            nodes.append(node)
    return _used(graph.with_nodes(nodes, constants=constants, quantization=quantization)), notes


def _used(graph: Graph) -> Graph:
    """Return the graph without nodes that nothing reads any more: keys and values."""
    wanted, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return graph.with_nodes(kept[::-1])


def _attentions(graph: Graph) -> tuple[list[Attention], tuple[str, ...]]:
    found, notes = [], []
    for node in graph.nodes:
        if not isinstance(node.op, MatMul) or (softmax := _softmax_after(node, graph)) is None:
            continue
        attention = _attention(node, softmax, graph)
        if isinstance(attention, str):
            notes.append(f"{node.name} is not rewritten: {attention}")
        else:
            found.append(attention)
    return found, tuple(notes)


def _attention(scores: Node, softmax: Node, graph: Graph) -> Attention | str:
    """Return the attention that a product begins, or why it is none that can be rewritten."""
    readers = [reader for reader in graph.users[softmax.name] if isinstance(reader.op, MatMul) and reader.inputs[0] == softmax.name]
    if len(readers) != 1 or len(graph.users[softmax.name]) != 1:
        return "its softmax is read by something else than one product"
    summed = readers[0]
    if why := unfit(scores, graph) or unfit(summed, graph):
        return why
    if len(scores.type.shape) != 4:
        return "scores have no dimension of heads"
    keys, values = _projection(scores.inputs[1], graph, -1), _projection(summed.inputs[1], graph, -2)
    if keys is None or values is None:
        return "keys or values are no moved result of a linear layer (rotated, joined to a cache, or normalised)"
    if keys.layer.inputs[0] != values.layer.inputs[0]:
        return "keys and values come from different tensors"
    if any(each.layer.name in graph.outputs or len(graph.users[each.layer.name]) > 1 for each in (keys, values)):
        return "keys or values are read elsewhere too"
    return Attention(scores, keys, summed, values)


def _softmax_after(node: Node, graph: Graph) -> Node | None:
    """Return the softmax over the last dimension that reads a product, by way of scaling and masks, or None."""
    while len(readers := graph.users[node.name]) == 1:
        node = readers[0]
        if isinstance(node.op, Softmax):
            last = len(node.type.shape) - 1
            return node if node.op.axis == last and not node.op.log else None
        if isinstance(node.op, MatMul | Linear | Conv | Move):
            return None
    return None


def _projection(name: str, graph: Graph, tokens: int) -> Projection | None:
    """Return the linear layer behind an operand (N, heads, ., .) whose dimension `tokens` counts positions, if only moves lie between."""
    chain: list[Node] = []
    while name in graph.by_name and isinstance(graph.node(name).op, Move):
        if isinstance(graph.node(name).op, Concat | Pad | Store):
            return None
        chain.append(graph.node(name))
        name = chain[-1].inputs[0]
    layer = graph.by_name.get(name)
    if layer is None or not isinstance(layer.op, Linear) or layer.inputs[1] not in graph.constants or len(layer.type.shape) != 3 or not chain:
        return None
    _, positions, width = layer.type.sizes()
    index = torch.arange(positions * width).reshape(1, positions, width)
    for node in reversed(chain):
        index = bound(node.op, 1)(index)
    moved = index[0] if tokens == -2 else index[0].transpose(1, 2)
    if moved.dim() != 3 or moved.shape[1] != positions:
        return None
    token, feature = moved // width, moved % width
    straight = bool((token == torch.arange(positions).reshape(1, -1, 1)).all()) and bool((feature == feature[:, :1]).all())
    return Projection(layer, feature[:, 0]) if straight else None


def _ranges(graph: Graph, found: list[Attention]) -> dict[str, tuple[Quantization, Quantization]]:
    """Return for each attention, by the name of its scores, the quantisation of R and of the scores."""
    if not graph.samples:
        return {each.scores.name: (_largest(each, graph), graph.quantization[each.scores.name]) for each in found}
    given = graph.samples if graph.batch is not None else tuple(tensor[:FEW] for tensor in graph.samples)
    by_scores = {each.scores.name: each for each in found}
    wanted = {name for each in found for name in (each.scores.inputs[0], each.source)}
    kept: dict[str, Tensor] = {}
    tensors = quantized_inputs(graph, given) | dict(graph.constants)
    batch, ranges = batch_of(graph, given), {}
    with torch.no_grad():
        for node, unused in zip(graph.nodes, last_uses(graph), strict=True):
            kept |= {name: graph.quantization[name].dequantize(tensors[name]) for name in node.inputs if name in wanted and name not in kept}
            tensors[node.name] = evaluate(graph, node, [tensors[name] for name in node.inputs], batch)
            if node.name in by_scores:
                ranges[node.name] = _seen(by_scores[node.name], kept, graph)
            for name in unused:
                del tensors[name]
    return ranges


def _seen(attention: Attention, kept: dict[str, Tensor], graph: Graph) -> tuple[Quantization, Quantization]:
    query, source = kept[attention.scores.inputs[0]], kept[attention.source]
    products = query @ _weights(attention.keys, graph)
    scores = products @ source.transpose(1, 2).unsqueeze(1)
    bits = graph.quantization[attention.scores.inputs[0]].bits, graph.quantization[attention.scores.name].bits
    first, second = (symmetric(min(float(x.min()), -1e-9), float(x.max()), b) for x, b in zip((products, scores), bits, strict=True))
    return first, second


def _largest(attention: Attention, graph: Graph) -> Quantization:
    q, weights = graph.quantization[attention.scores.inputs[0]], _weights(attention.keys, graph)
    if weights.is_meta:  # shapes alone: no values will be asked for
        return q
    most = max(q.high - q.zero, q.zero - q.low) * q.scale[0] * float(weights.abs().sum(1).max())
    return symmetric(-most, most, q.bits)


def _weights(projection: Projection, graph: Graph) -> Tensor:
    """Return the real weights (heads, width, inputs) of a projection."""
    name = projection.layer.inputs[1]
    return graph.quantization[name].dequantize(graph.constants[name])[projection.features]


@dataclass(frozen=True, slots=True)
class _Made:
    """Makes the nodes of a rewritten attention; adds to constants and quantisations."""

    graph: Graph
    constants: dict[str, Tensor]
    quantization: dict[str, Quantization]
    origin: str

    def scores(self, each: Attention, products: Quantization, scores: Quantization) -> list[Node]:
        """Return the nodes from Q to the scores: R = Q·W_K, X stored, R·Xᵀ."""
        node, name = each.scores, each.scores.name
        query = node.inputs[0]
        heads, width, inputs = _weights(each.keys, self.graph).shape
        rows = self.graph.types[query].sizes()[2]
        positions = self.graph.types[each.source].sizes()[1]
        real = _weights(each.keys, self.graph).transpose(1, 2).reshape(heads * inputs, width, 1)
        weight = f"{name}.rewritten.weight"
        q = self.quantization[each.keys.layer.inputs[1]]
        q = replace(q, axis=None, scale=q.scale[:1]) if real.is_meta else weight_quantization(real, q.bits, 0)
        self.constants[weight], self.quantization[weight] = q.quantize(real).to(carrier(q)), q
        made = self._by_head(f"{name}.rewritten", query, (heads, width, rows), (weight,), products)
        stored = self._stored(name, each.source)
        turned = self._node(f"{name}.turned", Transpose((0, 1, 3, 2)), (stored[-1].name,), (1, inputs, positions))
        self.quantization[name] = scores
        return [*made, *stored, turned, replace(node, inputs=(made[-1].name, turned.name))]

    def summed(self, each: Attention, dual_access: bool) -> list[Node]:
        """Return the nodes from the softmax to the weighted sum: S·X, and W_V for each head."""
        node, name = each.summed, each.summed.name
        heads, width = each.values.features.shape
        rows = node.type.sizes()[2]
        inputs = self.graph.types[each.source].sizes()[2]
        result = self.quantization[name]
        stored = [] if dual_access else self._stored(name, each.source)
        operands = node.inputs[0], stored[-1].name if stored else f"{each.scores.name}.store"
        mean = self._node(f"{name}.mean", MatMul(), operands, (heads, rows, inputs), self.quantization[each.source])
        old, *bias = each.values.layer.inputs[1:]
        chosen, q = each.values.features.flatten(), self.quantization[old]
        weight = f"{name}.rewritten.weight"
        scales = tuple(q.scale[int(i)] for i in chosen) if q.axis is not None else q.scale
        self.constants[weight] = self.constants[old][chosen].reshape(heads * width, inputs, 1)
        self.quantization[weight] = replace(q, scale=scales)
        names = [weight]
        if bias:  # in steps of the accumulator, which are what they were: S·X has the quantisation of X
            self.constants[f"{weight}.bias"] = self.constants[bias[0]][chosen]
            names.append(f"{weight}.bias")
        made = self._by_head(f"{name}.rewritten", mean.name, (heads, inputs, rows), tuple(names), result)
        return [*stored, mean, *made[:-1], replace(made[-1], name=name)]

    def _stored(self, name: str, source: str) -> list[Node]:
        """Return the nodes that store the layer's input (N, positions, inputs) for all heads."""
        _, positions, inputs = self.graph.types[source].sizes()
        x = self._node(f"{name}.input", Reshape((Batch(), 1, positions, inputs)), (source,), (1, positions, inputs))
        return [x, self._node(f"{name}.store", Store(-2), (x.name,), (1, positions, inputs))]

    def _by_head(self, name: str, x: str, shape: tuple[int, int, int], operands: tuple[str, ...], result: Quantization) -> list[Node]:
        """Return the nodes that multiply x (N, heads, inputs' rows, inputs) with a matrix for each head: a grouped convolution along the rows.

        `shape` is (heads, inputs, rows); `operands` are the weights (heads · outputs, inputs, 1) and the bias, if there is one.
        """
        heads, inputs, rows = shape
        outputs = self.constants[operands[0]].shape[0] // heads
        turned = self._node(f"{name}.turned", Transpose((0, 1, 3, 2)), (x,), (heads, inputs, rows))
        flat = self._node(f"{name}.flat", Reshape((Batch(), heads * inputs, rows)), (turned.name,), (heads * inputs, rows))
        convolution = Conv((1,), (0, 0), (1,), heads)
        product = self._node(f"{name}.product", convolution, (flat.name, *operands), (heads * outputs, rows), result)
        apart = self._node(f"{name}.apart", Reshape((Batch(), heads, outputs, rows)), (product.name,), (heads, outputs, rows))
        back = self._node(f"{name}.back", Transpose((0, 1, 3, 2)), (apart.name,), (heads, rows, outputs))
        return [turned, flat, product, apart, back]

    def _node(self, name: str, op: MatMul | Conv | Move, inputs: tuple[str, ...], shape: tuple[int, ...], q: Quantization | None = None) -> Node:
        """Return a node; its integers are those of its first input if it has no quantisation of its own."""
        self.quantization[name] = q or self.quantization[inputs[0]]
        return Node(name, op, inputs, TensorType("f32", (Batch(), *shape)), self.origin)
