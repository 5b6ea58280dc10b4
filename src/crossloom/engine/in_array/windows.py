"""Input windows of in-array functions: the values from which each result is computed."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.graph import Graph, Node
from crossloom.network.operators import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Clip, MaxPool, Operator, Reduce, Relu, Softmax

Pool = MaxPool | AvgPool
Adaptive = AdaptiveMaxPool | AdaptiveAvgPool


def candidates(op: Operator, shape: tuple[int, ...]) -> int:
    """Return the number of values per result, for an input of this shape for one sample.

    Raises ValueError if the number differs between results.
    """
    if isinstance(op, Relu | Clip):
        return 1
    if isinstance(op, MaxPool | AvgPool):
        return prod(op.kernel)
    if isinstance(op, AdaptiveMaxPool | AdaptiveAvgPool):
        return prod(kernel_of(op, shape))
    if isinstance(op, Reduce):
        return prod(shape[axis] for axis in op.axes)
    assert isinstance(op, Softmax)
    return shape[op.axis]


def kernel_of(op: Adaptive, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the window of an adaptive pooling. Raises ValueError if windows differ in size."""
    space = shape[len(shape) - len(op.size) :]
    if any(size % parts for size, parts in zip(space, op.size, strict=True)):
        raise ValueError(f"its windows differ in size ({'x'.join(map(str, space))} into {'x'.join(map(str, op.size))})")
    return tuple(size // parts for size, parts in zip(space, op.size, strict=True))


def missing(node: Node, graph: Graph) -> int:
    """Return the number of window values of one channel that lie beyond the edges."""
    if not isinstance(node.op, MaxPool | AvgPool):
        return 0
    shape = graph.types[node.inputs[0]].sizes()
    _, there = windows(node, graph, torch.zeros(1, 1, *shape[2:], dtype=torch.uint8), 1)
    return 0 if there is None else int((~there).sum())


def overlap(op: Operator) -> bool:
    """Return whether any value is needed for more than one result."""
    if isinstance(op, MaxPool) and any(d > 1 for d in op.dilation):
        return True
    return isinstance(op, MaxPool | AvgPool) and any(s < k for s, k in zip(op.stride, op.kernel, strict=True))


def windows(node: Node, graph: Graph, x: Tensor, positions: int) -> tuple[Tensor, Tensor | None]:
    """Return the values (N · positions, candidates, lanes) of all results by position, and a mask of those present (same shape, or None).

    Padding is absent.
    """
    op = node.op
    if isinstance(op, MaxPool | AvgPool):
        half = len(op.kernel)
        dilation = op.dilation if isinstance(op, MaxPool) else (1,) * half
        sizes = node.type.sizes()[2:]
        values = _unfolded(x, op.kernel, op.stride, op.padding, dilation, sizes)
        ones = torch.ones_like(x[:1, :1], dtype=torch.uint8)
        there = _unfolded(ones, op.kernel, op.stride, op.padding, dilation, sizes).bool().expand(-1, -1, x.shape[1])
        return values, None if bool(there.all()) else there.repeat(len(x), 1, 1)
    if isinstance(op, AdaptiveMaxPool | AdaptiveAvgPool):
        kernel = kernel_of(op, tuple(x.shape))
        none = (0,) * (2 * len(kernel))
        return _unfolded(x, kernel, kernel, none, (1,) * len(kernel), op.size), None
    if isinstance(op, Reduce):
        kept = [axis for axis in range(1, x.dim()) if axis not in [a % x.dim() for a in op.axes]]
        moved = x.permute(0, *[a % x.dim() for a in op.axes], *kept)
        return moved.reshape(len(x) * positions, -1, prod(x.shape[axis] for axis in kept) // positions), None
    if positions > 1 and x.dim() > 3:
        x = x.movedim(1, -1)
    return x.reshape(len(x) * positions, 1, -1), None


def results(node: Node, found: Tensor, samples: int) -> Tensor:
    """Return results (N · positions, lanes) in the layout of the node's tensor."""
    shape = (samples, *node.type.sizes()[1:])
    if len(shape) > 3 or isinstance(node.op, Pool):
        return found.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)
    return found.reshape(shape)


def _unfolded(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], sizes: tuple[int, ...]
) -> Tensor:
    """Return the windows (N · positions, kernel, channels) of x (N, C, *space); values beyond the edges are 0."""
    sides: list[int] = []
    for axis in reversed(range(len(kernel))):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        need = (sizes[axis] - 1) * stride[axis] + reach
        before = padding[axis]
        sides += [before, max(0, need - before - x.shape[2 + axis])]
    x = F.pad(x.to(torch.int64), sides)
    for axis in range(len(kernel)):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        x = x.unfold(2 + axis, reach, stride[axis]).narrow(2 + axis, 0, sizes[axis])
    for axis in range(len(kernel)):
        place = x.dim() - len(kernel) + axis
        x = x.index_select(place, torch.arange(0, x.shape[place], dilation[axis], device=x.device))
    spaces = len(kernel)
    x = x.movedim(1, -1)  # (N, *sizes, *kernel, C)
    return x.reshape(x.shape[0] * prod(x.shape[1 : 1 + spaces]), prod(kernel), x.shape[-1])
