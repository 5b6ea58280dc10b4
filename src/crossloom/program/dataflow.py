"""Dataflow: the order in which a tensor's elements are produced, and the resulting dependencies of each node.

Each dimension of a tensor is labelled: the batch (`n`), a position (`p`: pixels, tokens, in the order of the tensor), or a channel
(`c`: all available simultaneously). A convolution needs a window of positions, a linear layer the same position, and a softmax over
positions all of them. If labels cannot be followed through a reshape, a node waits for everything, which is always safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

from crossloom.network.graph import Graph, Node
from crossloom.network.operators import (
    AdaptiveAvgPool,
    AvgPool,
    Concat,
    Conv,
    Gather,
    GroupNorm,
    Interleave,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool,
    Pad,
    ProductAdd,
    Reduce,
    Reshape,
    RmsNorm,
    Slice,
    Softmax,
    Transpose,
)
from crossloom.network.types import Batch, TensorType, resolve
from crossloom.program.dependencies import All, Interleaved, Rule, SamePosition, Window

_LARGE = 10007
"""A prime batch size, to recognise the batch when dimensions are merged and split."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A tensor's labels, one for each dimension, and its shape for one sample."""

    labels: str
    shape: tuple[int, ...]

    @property
    def positions(self) -> int:
        """Number of positions of one sample."""
        return prod(size for label, size in zip(self.labels, self.shape, strict=True) if label == "p")

    @property
    def space(self) -> tuple[int, ...]:
        """Sizes of the position dimensions."""
        return tuple(size for label, size in zip(self.labels, self.shape, strict=True) if label == "p")


Sources = Sequence[Flow | None]
"""The flow of each input; None for constants."""
Followed = tuple[str, list[Rule]]
"""The labels of a result, and the rule for each input."""
Follow = Callable[[Node, Sources, Graph], Followed | None]
_RULES: dict[tuple[type, ...], Follow] = {}


def dataflow(graph: Graph) -> tuple[dict[str, Flow], dict[str, tuple[Rule | None, ...]]]:
    """Return the flow of every tensor and, for each node, the rule for each of its inputs (None for constants)."""
    known = {name: Flow(_input_labels(type), type.sizes()) for name, type in graph.inputs}
    rules: dict[str, tuple[Rule | None, ...]] = {}
    for node in graph.nodes:
        sources = [known.get(name) for name in node.inputs]
        labels, waits = _follow(node, sources, graph)
        known[node.name] = Flow(labels, node.type.sizes())
        rules[node.name] = tuple(None if source is None else rule for source, rule in zip(sources, waits, strict=True))
    return known, rules


def position_axes(graph: Graph) -> dict[str, frozenset[int]]:
    """Return, for every tensor, the dimensions whose indices are produced one after the other."""
    return {name: frozenset(i for i, label in enumerate(stream.labels) if label == "p") for name, stream in dataflow(graph)[0].items()}


def _input_labels(type: TensorType) -> str:
    """Return the labels of an input: images arrive pixel by pixel, tokens and feature vectors one after the other."""
    dims = len(type.shape)
    if type.dtype != "f32":
        return "n" + "p" * (dims - 1)
    return "ncppp"[:dims] if dims != 3 else "npc"


def _follow(node: Node, sources: Sources, graph: Graph) -> Followed:
    """Return a node's labels and its rule for each input."""
    if all(source is None for source in sources):
        return "c" * len(node.type.shape), [All() for _ in sources]
    for kinds, rule in _RULES.items():
        if isinstance(node.op, kinds) and (found := rule(node, sources, graph)) is not None:
            return found
    return _alike(node, sources, len(node.type.shape))


def _rule(*kinds: type) -> Callable[[Follow], Follow]:
    """Register a function as the rule of some operators. The function returns None where it does not apply."""

    def add(rule: Follow) -> Follow:
        _RULES[kinds] = rule
        return rule

    return add


def _first(sources: Sources) -> Flow:
    return next(source for source in sources if source is not None)


@_rule(ProductAdd)
def _product_add(node: Node, sources: Sources, graph: Graph) -> Followed:
    assert isinstance(node.op, ProductAdd)
    labels, rules = _follow(replace(node, op=node.op.product), sources[:3], graph)
    added = sources[3]
    return labels, [*rules, SamePosition() if added is not None and added.labels == labels else All(), All()]


@_rule(Conv, MaxPool, AvgPool)
def _windowed(node: Node, sources: Sources, graph: Graph) -> Followed:
    assert isinstance(node.op, Conv | MaxPool | AvgPool)
    first, labels = _first(sources), "nc" + "p" * (len(node.type.shape) - 2)
    rules: list[Rule] = [All() for _ in sources]
    if first.labels == labels:
        rules[0] = _window(node.op, node, first, graph)
    return labels, rules


@_rule(Interleave)
def _interleaved(node: Node, sources: Sources, graph: Graph) -> Followed | None:
    assert isinstance(node.op, Interleave)
    first = _first(sources)
    return (first.labels, [Interleaved(node.op.times, node.op.size)]) if first.labels == "nc" + "p" * (len(node.type.shape) - 2) else None


@_rule(Linear, MatMul)
def _product(node: Node, sources: Sources, graph: Graph) -> Followed:
    left, right = sources[:2]
    dims = len(node.type.shape)
    rules: list[Rule] = [All() for _ in sources]
    if right is not None and left is not None and right.positions == left.positions > 1 and _causal(node, graph):
        rules[1] = SamePosition()
    if left is None:
        return "n" + "p" * (dims - 2) + "c" if dims > 1 else "c", rules
    whole = len(left.labels) == dims
    if left.labels[-1] == "c" and whole:
        rules[0] = SamePosition()
    return left.labels[:-1] + "c" if whole else "n" + "c" * (dims - 1), rules


@_rule(Transpose)
def _transposed(node: Node, sources: Sources, graph: Graph) -> Followed:
    assert isinstance(node.op, Transpose)
    first, order = _first(sources), node.op.order
    moved = [i for i in order if first.labels[i] == "p"]
    return "".join(first.labels[i] for i in order), [SamePosition() if moved == sorted(moved) else All()]


@_rule(Reshape)
def _reshaped(node: Node, sources: Sources, graph: Graph) -> Followed:
    assert isinstance(node.op, Reshape)
    labels, streamed = _regroup(_first(sources).labels, graph.types[node.inputs[0]].shape, node.op.shape)
    return labels, [SamePosition() if streamed else All()]


@_rule(Reduce)
def _reduced(node: Node, sources: Sources, graph: Graph) -> Followed:
    assert isinstance(node.op, Reduce)
    first, axes = _first(sources), node.op.axes
    labels = "".join(("c" if node.op.keep else "") if i in axes else label for i, label in enumerate(first.labels))
    return labels, [All() if any(first.labels[i] == "p" for i in axes) else SamePosition()]


@_rule(Gather)
def _gathered(node: Node, sources: Sources, graph: Graph) -> Followed | None:
    table, indices = sources
    if table is not None or indices is None:
        return None
    return indices.labels + "c" * (len(node.type.shape) - len(indices.labels)), [All(), SamePosition()]


@_rule(Pad)
def _padded(node: Node, sources: Sources, graph: Graph) -> Followed | None:
    assert isinstance(node.op, Pad)
    first, padding = _first(sources), node.op.padding
    if first.labels != "ncpp" or any(padding[:2]):
        return None
    return first.labels, [Window(first.space, node.type.sizes()[2:], (1, 1), (1, 1), padding[2:4], (1, 1))]


def _alike(node: Node, sources: Sources, dims: int) -> Followed:
    """Return labels and rules of nodes that keep the shape of their widest input, unless they mix positions."""
    widest = max((s for s in sources if s is not None), key=lambda s: (len(s.labels), s.positions))
    labels = widest.labels if len(widest.labels) == dims else "n" + "c" * (dims - 1) if dims else ""
    mixes = _mixes_positions(node, widest) or len(widest.labels) != dims
    return labels, [
        SamePosition() if s is not None and not mixes and s.labels[-len(labels) :] == labels[-len(s.labels) :] else All() for s in sources
    ]


def _mixes_positions(node: Node, stream: Flow) -> bool:
    op, label = node.op, stream.labels
    if isinstance(op, Softmax):
        return label[op.axis] == "p"
    if isinstance(op, Concat | Slice):
        return label[op.axis] == "p"
    if isinstance(op, LayerNorm | RmsNorm):
        return "p" in label[len(label) - op.dims :]
    if isinstance(op, Gather):
        return label[op.axis % len(label)] == "p"
    same_size = prod(node.type.sizes()) == prod(stream.shape)
    return isinstance(op, GroupNorm | AdaptiveAvgPool) or not same_size


def _causal(node: Node, graph: Graph) -> bool:
    """Return whether a product is part of attention with a causal mask, so that a position needs no later position of the right operand."""
    after = _through(node, lambda found: [reader for reader in graph.users[found.name] if reader.inputs[0] == found.name])
    before = _through(node, lambda found: [graph.by_name[found.inputs[0]]] if found.inputs[0] in graph.by_name else [])
    for found in (after, before):
        mask = graph.constants.get(found.inputs[1]) if found is not None and len(found.inputs) > 1 else None
        if mask is not None and mask.dim() >= 2 and mask.shape[-1] == mask.shape[-2] and not bool(mask.triu(1).any()):
            return True
    return False


def _through(node: Node, following: Callable[[Node], list[Node]]) -> Node | None:
    """Return the softmax reached from a node through a chain of single neighbours without products, or None."""
    found = following(node)
    while len(found) == 1 and not isinstance(found[0].op, Linear | MatMul | Conv | ProductAdd):
        if isinstance(found[0].op, Softmax):
            return found[0]
        found = following(found[0])
    return None


def _window(op: Conv | MaxPool | AvgPool, node: Node, source: Flow, graph: Graph) -> Rule:
    kernel = (
        op.kernel
        if isinstance(op, MaxPool | AvgPool)
        else tuple(int(k) for k in graph.constants[node.inputs[1]].shape[2:])
        if node.inputs[1] in graph.constants
        else None
    )
    if kernel is None:
        return All()
    dilation = (1,) * len(kernel) if isinstance(op, AvgPool) else op.dilation
    return Window(source.space, node.type.sizes()[2:], tuple(kernel), op.stride, op.padding[: len(kernel)], dilation)


def _regroup(labels: str, before: Sequence[int | Batch], after: Sequence[int | Batch]) -> tuple[str, bool]:
    """Return the labels after a reshape, and whether positions still arrive in order, one after the other."""
    old, new = resolve(before, _LARGE), resolve(after, _LARGE)
    out: list[str] = []
    streamed = True
    i = j = 0
    while j < len(new):
        left, right, start, first = 1, 1, i, j
        while (left != right or left == 1) and (i < len(old) or j < len(new)):
            if left <= right and i < len(old):
                left, i = left * old[i], i + 1
            elif j < len(new):
                right, j = right * new[j], j + 1
            else:
                i += 1
        merged = {labels[k] for k in range(start, i) if old[k] != 1}
        if {"p", "c"} <= merged:
            streamed = False
        label = "c" if "c" in merged else "p" if "p" in merged else "n" if "n" in merged else "c"
        for k in range(first, j):
            is_batch = isinstance(after[k], Batch) and "n" in merged
            out.append("n" if is_batch and label != "c" and new[k] == _LARGE else label if new[k] != 1 else "c")
    return "".join(out), streamed
