"""Attention rewritten so that what is written into cells is the layer's input, once, instead of keys and values (yang2020, Section 4.2).

With K = X·W_Kᵀ + 1·b_Kᵀ and V likewise, for each head

    Q·Kᵀ = (Q·W_K)·Xᵀ + (Q·b_K)·1ᵀ,      S·V = (S·X)·W_Vᵀ + (S·1)·b_Vᵀ.

A softmax does not see what is the same for a whole row, so that b_K drops out; its rows sum to one, so that b_V is added as it is. X is there
before any key is, all heads read the same cells, and both products do: S·X drives what Xᵀ senses. The price: dot products as long as the layer
is wide, not as a head is.

In integers, keys and values are no longer rounded, but R = Q·W_K and S·X are. S·X is a mean of rows of X and has its quantisation; the ranges of
R and of the scores are those that the network's samples show, with a margin; without samples R gets the largest that could occur.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from crossloom.engine.dynamic.stored import unfit
from crossloom.network.graph import Graph, Node, bound
from crossloom.network.integer import evaluate, quantized_inputs
from crossloom.network.operators import (
    Add,
    Concat,
    Conv,
    Div,
    Linear,
    MatMul,
    Move,
    Mul,
    Pad,
    ProductAdd,
    Reshape,
    Softmax,
    Store,
    Sub,
    Transpose,
    Where,
)
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.quantize.calibrate import symmetric
from crossloom.network.quantize.post_training import weight_quantization
from crossloom.network.replay import batch_of, last_uses
from crossloom.network.types import Batch, TensorType

MARGIN = 1.25
"""By how much the range of a rewritten product is wider than what the samples show, which are few: a third of a bit."""


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
        softmax = _softmax_after(node, graph) if isinstance(node.op, MatMul) else None
        if softmax is None:
            continue
        attention = softmax if isinstance(softmax, str) else _attention(node, softmax, graph)
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
        return "keys or values are not the plain result of a linear layer (they are rotated, joined to a cache, or normalised)"
    if keys.layer.inputs[0] != values.layer.inputs[0]:
        return "keys and values come from different tensors"
    if any(each.layer.name in graph.outputs or len(graph.users[each.layer.name]) > 1 for each in (keys, values)):
        return "keys or values are read elsewhere too"
    return Attention(scores, keys, summed, values)


def _softmax_after(node: Node, graph: Graph) -> Node | str | None:
    """Return the softmax over the last dimension that reads a product, by way of scaling, additions and masks; why it is none, or None without any."""
    unseen = ""
    while len(readers := graph.users[node.name]) == 1 and not isinstance(readers[0].op, MatMul | Linear | Conv | ProductAdd | Move):
        before, node = node.name, readers[0]
        if isinstance(node.op, Softmax):
            over_rows = node.op.axis == len(node.type.shape) - 1 and not node.op.log
            return (unseen or node) if over_rows else None
        if not _keeps_rows(node, before, graph):
            unseen = f"{node.name} ({type(node.op).__name__}) between scores and softmax is not an addition, a scaling of rows or a mask"
    return None


MASKED = -1e3
"""Real value below which a constant in place of a score hides it: its exponential vanishes against any other score."""


def _keeps_rows(node: Node, scores: str, graph: Graph) -> bool:
    """Whether what is added to a whole row of scores is still added to a whole row afterwards, so that a softmax does not see it.

    So it is if something is added, if scores are scaled by one number for a row, and if some of them are masked; not behind a tanh or a gate.
    """
    others = [name for name in node.inputs if name != scores]
    if isinstance(node.op, Add | Sub):
        return len(others) == 1
    if isinstance(node.op, Mul | Div):
        return len(others) == 1 and node.inputs[0] == scores and (graph.types[others[0]].shape or (1,))[-1] == 1
    if isinstance(node.op, Where):
        hidden = graph.constants.get(others[-1])
        q = graph.quantization.get(others[-1])
        return len(others) == 2 and hidden is not None and float((q.dequantize(hidden) if q else hidden).max()) <= MASKED
    return False


def _projection(name: str, graph: Graph, tokens: int) -> Projection | None:
    """Return the linear layer behind an operand (N, heads, ., .) whose dimension `tokens` counts positions, if only moves lie between."""
    chain: list[Node] = []
    while name in graph.by_name and isinstance(graph.node(name).op, Move):
        if isinstance(graph.node(name).op, Concat | Pad | Store):
            return None
        chain.append(graph.node(name))
        name = chain[-1].inputs[0]
    layer = graph.by_name.get(name)
    if layer is None or not isinstance(layer.op, Linear) or layer.inputs[1] not in graph.constants or not chain or _batch_axis(layer) is None:
        return None
    sizes, axis = layer.type.sizes(SAMPLES), _batch_axis(layer)
    index = torch.arange(prod(sizes)).reshape(SAMPLES, -1, sizes[-1])
    index = index if axis == 0 else index.transpose(0, 1)
    for node in reversed(chain):
        index = bound(node.op, SAMPLES)(index)
    moved = index if tokens == -2 else index.transpose(-1, -2)
    positions, width = prod(sizes) // (SAMPLES * sizes[-1]), sizes[-1]
    if moved.dim() != 4 or moved.shape[0] != SAMPLES or moved.shape[2] != positions:
        return None
    place, feature = moved // width, moved[0] % width
    straight = bool((place == torch.arange(SAMPLES * positions).reshape(SAMPLES, 1, -1, 1)).all()) and bool((feature == feature[:, :1]).all())
    return Projection(layer, feature[:, 0]) if straight else None


SAMPLES = 2
"""Number of samples for which moves of elements are traced: enough to show whether samples are kept apart."""


def _batch_axis(node: Node) -> int | None:
    """Return where the samples of a batch lie in (N, positions, features) or (positions, N, features); None in other shapes."""
    found = [axis for axis, size in enumerate(node.type.shape) if isinstance(size, Batch)]
    return found[0] if len(node.type.shape) == 3 and found in ([0], [1]) and node.type.shape[found[0]] == Batch() else None


def _ranges(graph: Graph, found: list[Attention]) -> dict[str, tuple[Quantization, Quantization]]:
    """Return for each attention, by the name of its scores, the quantisation of R and of the scores."""
    if not graph.samples:
        return {each.scores.name: (_largest(each, graph), graph.quantization[each.scores.name]) for each in found}
    given = graph.samples
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
    source = source if _batch_axis(attention.keys.layer) == 0 else source.transpose(0, 1)
    products = query @ _weights(attention.keys, graph)
    scores = products @ source.transpose(1, 2).unsqueeze(1)
    before = graph.quantization[attention.scores.name]
    bits, most = graph.quantization[attention.scores.inputs[0]].bits, MARGIN * float(products.abs().max())
    reach = max(float(scores.abs().max()), (before.high - before.zero) * before.scale[0], (before.zero - before.low) * before.scale[0])
    return symmetric(-most, most, bits), symmetric(-reach, reach, before.bits)


def _largest(attention: Attention, graph: Graph) -> Quantization:
    q, weights = graph.quantization[attention.scores.inputs[0]], _weights(attention.keys, graph)
    if weights.is_meta:  # only shapes: no values will be asked for
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
        positions = self.positions(each)
        real = _weights(each.keys, self.graph).transpose(1, 2).reshape(heads * inputs, width, 1)
        weight = f"{name}.rewritten.weight"
        q = self.quantization[each.keys.layer.inputs[1]]
        q = replace(q, axis=None, scale=q.scale[:1]) if real.is_meta else weight_quantization(real, q.bits, 0)
        self.constants[weight], self.quantization[weight] = q.quantize(real).to(carrier(q)), q
        made = self._by_head(f"{name}.rewritten", query, (heads, width, rows), (weight,), products)
        stored = self._stored(name, each)
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
        stored = [] if dual_access else self._stored(name, each)
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

    def positions(self, each: Attention) -> int:
        """Return how many positions keys and values have."""
        sizes = self.graph.types[each.source].sizes()
        return sizes[1] if _batch_axis(each.keys.layer) == 0 else sizes[0]

    def _stored(self, name: str, each: Attention) -> list[Node]:
        """Return the nodes that store the layer's input, (N, positions, inputs) or (positions, N, inputs), for all heads."""
        positions, inputs = self.positions(each), self.graph.types[each.source].sizes()[2]
        made = []
        source = each.source
        if _batch_axis(each.keys.layer) == 1:
            made.append(self._node(f"{name}.first", Transpose((1, 0, 2)), (source,), (positions, inputs)))
            source = made[0].name
        made.append(self._node(f"{name}.input", Reshape((Batch(), 1, positions, inputs)), (source,), (1, positions, inputs)))
        return [*made, self._node(f"{name}.store", Store(-2), (made[-1].name,), (1, positions, inputs))]

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
