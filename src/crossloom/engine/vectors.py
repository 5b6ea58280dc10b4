"""From layers to matrix products: the input vectors that a layer's weight matrix is multiplied with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.operators import Conv, ConvTranspose, Linear, Operator


def weight_matrices(op: Operator, weight: Tensor) -> Tensor:
    """Return the weights (G, R, C) of a layer: one matrix for each group, rows in the order of `input_vectors`."""
    if isinstance(op, Linear):
        return weight.t()[None]
    assert isinstance(op, Conv | ConvTranspose)
    if isinstance(op, ConvTranspose):
        turned = weight.reshape(op.groups, weight.shape[0] // op.groups, *weight.shape[1:])
        turned = turned.flip(tuple(range(3, turned.dim())))
        return turned.transpose(1, 2).reshape(op.groups, weight.shape[1], -1).transpose(1, 2)
    return weight.reshape(op.groups, weight.shape[0] // op.groups, -1).transpose(1, 2)


def input_vectors(op: Operator, x: Tensor, kernel: tuple[int, ...], fill: int) -> Tensor:
    """Return the input vectors (M, G, R) of a layer in raster order of its output positions; padding has the value `fill`."""
    if isinstance(op, Linear):
        return x.reshape(-1, 1, x.shape[-1])
    assert isinstance(op, Conv | ConvTranspose)
    if isinstance(op, ConvTranspose):
        x, op = _spread(op, x, kernel, fill)
    half = len(op.stride)
    sides = [side for axis in reversed(range(half)) for side in (op.padding[axis], op.padding[half + axis])]
    x = F.pad(x, sides, value=fill)
    for axis in range(half):
        reach = (kernel[axis] - 1) * op.dilation[axis] + 1
        x = x.unfold(2 + axis, reach, op.stride[axis])
    x = _strided(x, op.dilation)
    n, c = x.shape[:2]
    places = x.shape[2 : 2 + half]
    x = x.movedim(1, 1 + half).reshape(n * _product(places), op.groups, c // op.groups * _product(kernel))
    return x


def rows_of(op: Operator, result: Tensor) -> Tensor:
    """Return (M, G·C) for a tensor in the layout of the layer's result: `output_of` turned around."""
    if not isinstance(op, Linear):
        result = result.movedim(1, -1)
    return result.reshape(-1, result.shape[-1])


def output_of(op: Operator, sums: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return sums (M, G·C) of all output positions in the layout of the layer's result."""
    if isinstance(op, Linear):
        return sums.reshape(shape)
    return sums.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def _spread(op: ConvTranspose, x: Tensor, kernel: tuple[int, ...], fill: int) -> tuple[Tensor, Conv]:
    """Return the plain convolution that equals a transposed one, and its input with zeros between the elements."""
    space = [(size - 1) * stride + 1 for size, stride in zip(x.shape[2:], op.stride, strict=True)]
    spread = torch.full((*x.shape[:2], *space), fill, dtype=x.dtype, device=x.device)
    _strided(spread, op.stride).copy_(x)
    edge = [d * (k - 1) - p for d, k, p in zip(op.dilation, kernel, op.padding, strict=True)]
    after = [e + o for e, o in zip(edge, op.output_padding, strict=True)]
    return spread, Conv((1,) * len(space), (*edge, *after), op.dilation, op.groups)


def _strided(x: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Return a view of every `steps`-th element along the last dimensions."""
    for axis, step in enumerate(reversed(steps), 1):
        x = x.unfold(-axis, 1, step).squeeze(-1) if step > 1 else x
    return x


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
