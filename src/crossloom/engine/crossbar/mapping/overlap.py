"""Let neighbouring windows of a convolution share an array (overlapped mapping; zhu2018).

p windows side by side along the last axis read K_w + (p − 1)·s columns of the input between them. Rows of the array are that union, and each of
the p results of a channel has a column of its own, in which the kernel lies s places lower than in the one before:

    y[c, i·p + j] = Σ_{k,m} w[c, k, m] · x[k, (i·p + j)·s + m] = Σ_{k,t} w'[c·p + j, k, t] · x[k, i·p·s + t],    w'[c·p + j, k, j·s + m] = w[c, k, m].

That is a convolution again, of p times the channels and p times the stride, and an `Interleave` that lays its results side by side. Integers are the
same, since all that is new are zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.engine.crossbar.mapping.tiling import matrix_shape, overlap_of, tile_matrices
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv, Interleave, Unary
from crossloom.network.quantization import Quantization
from crossloom.network.types import TensorType


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a convolution along its last axis, in points of its own grid: dilation apart.

    Attributes:
        kernel: points of a window.
        shift: points from a window to the next.
        count: windows, one for each result of a row.
    """

    kernel: int
    shift: int
    count: int

    @classmethod
    def of(cls, node: Node, graph: Graph) -> Windows | None:
        """Return the windows of a node, or None if no two of them read the same input."""
        if not isinstance(node.op, Conv) or node.inputs[1] not in graph.constants:
            return None
        kernel, (shift, off) = int(graph.constants[node.inputs[1]].shape[-1]), divmod(node.op.stride[-1], node.op.dilation[-1])
        return None if off or shift >= kernel else cls(kernel, shift, node.type.sizes()[-1])

    def union(self, times: int) -> int:
        """Return the number of points that `times` neighbouring windows read in all."""
        return self.kernel + (times - 1) * self.shift


def with_overlap(graph: Graph, xbar_of: Callable[[Node], Crossbars]) -> tuple[Graph, tuple[str, ...]]:
    """Return the network with overlapped convolutions where the crossbars of a layer ask for it, and notes for the reader.

    What is overlapped already, and layers that share their weights with others, stay as they are.
    """
    changed: dict[str, list[Node]] = {}
    constants: dict[str, Tensor] = {}
    quantization = dict(graph.quantization)
    for node in graph.nodes:
        windows = Windows.of(node, graph)
        if windows is None or node.name not in quantization or overlap_of(node, graph) or len(graph.users[node.inputs[1]]) > 1:
            continue
        times = times_of(node, windows, graph, xbar_of(node))
        if times > 1:
            _overlap(node, windows, times, graph, changed, constants, quantization)
    if not changed:
        return graph, ()
    nodes = [each for node in graph.nodes for each in changed.get(node.name, [node])]
    count = sum(1 for made in changed.values() if isinstance(made[0].op, Conv))
    note = f"{count} convolution{'' if count == 1 else 's'} compute{'s' * (count == 1)} several neighbouring positions in one operation"
    return graph.with_nodes(nodes, constants=constants, quantization=quantization), (note,)


def times_of(node: Node, windows: Windows, graph: Graph, xbar: Crossbars) -> int:
    """Return how many neighbours share an array: what the machine file says, or with `auto` as many as take the fewest arrays for each result."""
    if xbar.overlap == "none":
        return 1
    if xbar.overlap != "auto":
        return min(int(xbar.overlap), windows.count)
    shape, q = matrix_shape(node, graph), graph.quantization[node.inputs[1]]
    return best_times(windows, lambda times: tile_matrices(node.name, overlapped_shape(shape, windows, times), q, xbar).arrays)


def overlapped_shape(shape: tuple[int, int, int], windows: Windows, times: int) -> tuple[int, int, int]:
    """Return (groups, rows, columns) of the matrices of a layer that `times` windows share."""
    groups, rows, columns = shape
    return groups, rows // windows.kernel * windows.union(times), columns * times


def best_times(windows: Windows, arrays: Callable[[int], int]) -> int:
    """Return the p with the fewest arrays for each result of an operation, A(p)·⌈W/p⌉ / W; of equal ones the smallest.

    What a result needs of cells is the same for every p, so that this p wastes the fewest for each.
    """
    return min(range(1, windows.count + 1), key=lambda times: (arrays(times) * -(-windows.count // times), times))


def _overlap(
    conv: Node,
    windows: Windows,
    times: int,
    graph: Graph,
    changed: dict[str, list[Node]],
    constants: dict[str, Tensor],
    quantization: dict[str, Quantization],
) -> None:
    """Note what becomes of a convolution and of the functions that follow it: they work on the results as these lie in the array."""
    assert isinstance(conv.op, Conv)
    chain = _followed(conv, graph)
    weight, *bias = conv.inputs[1:]
    constants[weight] = staggered(graph.constants[weight], windows, times)
    quantization[weight] = _repeated(quantization[weight], times)
    named = [f"{name}.x{times}" for name in bias]
    constants.update((new, graph.constants[old].repeat_interleave(times)) for new, old in zip(named, bias, strict=True))
    source = conv.inputs[0]
    for node in chain:
        name, last = f"{node.name}.x{times}", node is chain[-1]
        op = _wider(conv, windows, times, graph) if node is conv else node.op
        inputs = (source, weight, *named) if node is conv else (source,)
        made = [Node(name, op, inputs, _apart(node.type, times), node.origin)]
        quantization[name] = _repeated(quantization[node.name], times)
        if last:
            made.append(Node(node.name, Interleave(times, windows.count), (name,), node.type, node.origin))
        changed[node.name] = made
        source = name


def _followed(conv: Node, graph: Graph) -> list[Node]:
    """Return a convolution and the chain of element-wise functions that are the only readers of its result."""
    chain = [conv]
    while len(users := graph.users[chain[-1].name]) == 1 and chain[-1].name not in graph.outputs:
        if not isinstance(users[0].op, Unary) or users[0].name not in graph.quantization:
            break
        chain.append(users[0])
    return chain


def _wider(conv: Node, windows: Windows, times: int, graph: Graph) -> Conv:
    """Return the convolution whose kernel covers `times` windows; what its last window reads beyond the edge is padding."""
    op = conv.op
    assert isinstance(op, Conv)
    stride, dilation, width = op.stride[-1], op.dilation[-1], graph.types[conv.inputs[0]].sizes()[-1]
    before = op.padding[len(op.stride) - 1]
    reach = ((-(-windows.count // times) * times - 1) * windows.shift + windows.kernel - 1) * dilation + 1
    after = max(0, reach - width - before)
    return replace(op, stride=(*op.stride[:-1], stride * times), padding=(*op.padding[:-1], after))


def _apart(type: TensorType, times: int) -> TensorType:
    """Return the type of a result before it is interleaved."""
    batch, channels, *space = type.shape
    assert isinstance(channels, int) and isinstance(space[-1], int)
    return TensorType(type.dtype, (batch, channels * times, *space[:-1], -(-space[-1] // times)))


def _repeated(q: Quantization, times: int) -> Quantization:
    """Return a quantisation with each channel repeated `times` times."""
    return q if q.axis is None else replace(q, scale=tuple(scale for scale in q.scale for _ in range(times)))


def staggered(weight: Tensor, windows: Windows, times: int) -> Tensor:
    """Return weights (C·times, ..., union): copy j of each channel lies j shifts further, between zeros."""
    channels, *rest, kernel = weight.shape
    wide = weight.new_zeros(channels, times, *rest, windows.union(times))
    for copy in range(times):
        wide[:, copy, ..., copy * windows.shift : copy * windows.shift + kernel] = weight
    return torch.flatten(wide, 0, 1)
