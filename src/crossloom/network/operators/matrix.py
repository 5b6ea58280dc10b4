"""Products, the operators that in-memory arrays compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.operators.base import Move, Operator


@dataclass(frozen=True, slots=True)
class Conv(Operator):
    """Convolution in one, two or three spatial dimensions: inputs (N, C, *space), (K, C/groups, *kernel)[, bias (K,)].

    `padding` lists the pixels added before each spatial dimension, then those added after each, as in ONNX.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, weight, *bias = tensors
        x, padding = self.padded(x)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(self.stride) - 1]
        return convolve(x, weight, bias[0] if bias else None, self.stride, padding, self.dilation, self.groups)

    def padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return `x`, padded here if its sides differ, and the symmetric padding left for torch, which pads both sides equally."""
        before, after = self.padding[: len(self.stride)], self.padding[len(self.stride) :]
        if before == after:
            return x, before
        sides = [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair]
        return F.pad(x, sides), (0,) * len(self.stride)


@dataclass(frozen=True, slots=True)
class ConvTranspose(Operator):
    """Transposed convolution: inputs (N, C, *space), (C, K/groups, *kernel)[, bias (K,)]."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, weight, *bias = tensors
        transpose = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(self.stride) - 1]
        return transpose(x, weight, bias[0] if bias else None, self.stride, self.padding, self.output_padding, self.groups, self.dilation)


@dataclass(frozen=True, slots=True)
class Linear(Operator):
    """Fully connected layer over the last dimension: inputs (..., I), (O, I)[, bias (O,)]."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, weight, *bias = tensors
        return F.linear(x, weight, bias[0] if bias else None)


@dataclass(frozen=True, slots=True)
class ProductAdd(Operator):
    """A product with a residual on the same bit lines: inputs (x, weight, bias (C,), residual, gain (C,)), result product + gain · residual.

    The residual has the shape of the result. In integers, the gain converts its steps to the scale of the sums of products; it is an integer
    for each of the C outputs. The total is requantised once. Only machines insert this operator; importers do not.
    """

    product: Conv | Linear

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, weight, bias, residual, gain = tensors
        return self.add(self.product(x, weight, bias), residual, gain)

    def add(self, sums: Tensor, residual: Tensor, gain: Tensor) -> Tensor:
        """Return sums + gain · residual, in the dtype of the sums."""
        along = gain if isinstance(self.product, Linear) else gain.reshape(-1, *[1] * len(self.product.stride))
        return sums + along.to(sums.dtype) * residual.to(sums.dtype)


def product_of(op: Operator) -> Operator:
    """Return the product inside a `ProductAdd`, or the operator itself."""
    return op.product if isinstance(op, ProductAdd) else op


@dataclass(frozen=True, slots=True)
class MatMul(Operator):
    """Product of two data tensors, as in attention: (..., M, K) by (..., K, P)."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        left, right = tensors
        return torch.matmul(left, right)


@dataclass(frozen=True, slots=True)
class Store(Move):
    """An operand written into the cells of arrays, for a product of two activations. The elements do not change.

    It is written index by index along `axis` (-1 or -2), as the values are produced. The first `kept` indices are already in the cells from
    earlier inferences. `sets` is the number of cell sets, which inferences use in rotation. Only machines insert this operator; importers do not.
    """

    axis: int
    kept: int = 0
    sets: int = 1

    def __call__(self, *tensors: Tensor) -> Tensor:
        return tensors[0]
