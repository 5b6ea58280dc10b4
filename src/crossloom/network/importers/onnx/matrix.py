"""Convolutions and matrix products. A product with a constant is a Linear layer; a product of two data tensors is a MatMul."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from crossloom.network.importers.einsum import einstein_sum
from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Add, Conv, ConvTranspose, Linear, MatMul, Mul, Transpose


def window(x: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Return the total padding for which each dimension has ceil(size / stride) windows."""
    total = []
    for size, k, s, d in zip(x, kernel, stride, dilation, strict=True):
        total.append(max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size))
    return total


def padding_of(auto_pad: str, pads: Sequence[int] | None, total: Sequence[int]) -> tuple[int, ...]:
    """Return the padding before each dimension, then after each; `total` is the padding that SAME needs."""
    if auto_pad == "SAME_UPPER":
        return (*(t // 2 for t in total), *(t - t // 2 for t in total))
    if auto_pad == "SAME_LOWER":
        return (*(t - t // 2 for t in total), *(t // 2 for t in total))
    if auto_pad == "VALID" or not pads:
        return (0,) * (2 * len(total))
    return tuple(pads)


def _space(low: Lowering, weight: str) -> int:
    space = low.dims(weight) - 2
    if not 1 <= space <= 3:
        raise NotImplementedError(f"convolution over {space} spatial dimensions; one, two or three are supported")
    return space


@rule("Conv")
def conv(
    low: Lowering,
    x: str,
    weight: str,
    bias: str | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    pads: Sequence[int] | None = None,
    strides: Sequence[int] = (),
) -> str:
    space = _space(low, weight)
    stride, dilation = tuple(strides) or (1,) * space, tuple(dilations) or (1,) * space
    padding = padding_of(auto_pad, pads, window(low.shape(x)[2:], low.shape(weight)[2:], stride, dilation))
    return low.add(Conv(stride, padding, dilation, group), x, weight, *([bias] if bias else []))


@rule("ConvTranspose")
def conv_transpose(
    low: Lowering,
    x: str,
    weight: str,
    bias: str | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    kernel_shape: Sequence[int] = (),
    output_padding: Sequence[int] = (),
    output_shape: Sequence[int] = (),
    pads: Sequence[int] | None = None,
    strides: Sequence[int] = (),
) -> str:
    """Lower a transposed convolution. Padding that torch does not support (unequal sides) is cropped from the full result."""
    space = _space(low, weight)
    stride, dilation, extra = (tuple(given) or (default,) * space for given, default in ((strides, 1), (dilations, 1), (output_padding, 0)))
    size, kernel = low.shape(x)[2:], low.shape(weight)[2:]
    full = [s * (i - 1) + d * (k - 1) + 1 + e for i, k, s, d, e in zip(size, kernel, stride, dilation, extra, strict=True)]
    want = list(output_shape) or ([i * s for i, s in zip(size, stride, strict=True)] if auto_pad.startswith("SAME") else None)
    if want:
        grow = [max(0, w - f) for w, f in zip(want, full, strict=True)]
        extra = tuple(e + g for e, g in zip(extra, grow, strict=True))
        full = [f + g for f, g in zip(full, grow, strict=True)]
        upper = "SAME_UPPER" if auto_pad == "SAME_UPPER" else "SAME_LOWER"
        padding = padding_of(upper, None, [f - w for f, w in zip(full, want, strict=True)])
    else:
        padding = padding_of(auto_pad, pads, (0,) * space)
    inputs = (x, weight, *([bias] if bias else []))
    before, after = padding[:space], padding[space:]
    joined = tuple(e + b - a for e, b, a in zip(extra, before, after, strict=True))
    if all(0 <= j < max(s, d) for j, s, d in zip(joined, stride, dilation, strict=True)):
        return low.add(ConvTranspose(stride, before, joined, dilation, group), *inputs)
    y = low.add(ConvTranspose(stride, (0,) * space, extra, dilation, group), *inputs)
    for i in range(space):
        y = low.cut(y, i + 2, before[i], full[i] - after[i])
    return y


@rule("MatMul")
def matmul(low: Lowering, a: str, b: str) -> str:
    """Return the matrix product; a vector is a matrix of one row or column."""
    if low.dims(b) == 1:
        column = matmul(low, a, low.reshape(b, (*low.shape(b), 1)))
        return low.reshape(column, low.shape(column)[:-1])
    if low.dims(a) == 1:
        row = matmul(low, low.reshape(a, (1, *low.shape(a))), b)
        shape = low.shape(row)
        return low.reshape(row, (*shape[:-2], shape[-1]))
    if low.dims(b) == 2 and (weight := low.transposed(b, (1, 0))):
        return low.add(Linear(), a, weight)
    return low.add(MatMul(), a, b)


@rule("Einsum")
def einsum(low: Lowering, *operands: str, equation: str) -> str:
    return einstein_sum(low, equation, operands, partial(matmul, low), lambda x: low.weight(x) is not None)


@rule("Gemm")
def gemm(
    low: Lowering,
    a: str,
    b: str,
    c: str | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> str:
    """Return alpha · A · B + beta · C; a plain layer if B and C are constant and the factors are 1."""
    a = low.add(Transpose((1, 0)), a) if transA else a
    weight = low.transposed(b, (0, 1) if transB else (1, 0))
    if weight and c is not None and alpha == 1.0 and (bias := _bias(low, c, beta, low.shape(weight)[0])):
        return low.add(Linear(), a, weight, bias)
    product = low.add(Linear(), a, weight) if weight else low.add(MatMul(), a, low.add(Transpose((1, 0)), b) if transB else b)
    product = product if alpha == 1.0 else low.add(Mul(), product, low.scalar(alpha, product))
    if c is None or beta == 0.0:
        return product
    return low.add(Add(), product, c if beta == 1.0 else low.add(Mul(), c, low.scalar(beta, c)))


def _bias(low: Lowering, c: str, beta: float, count: int) -> str | None:
    """Return C as a vector of `count` numbers if it is constant and the same for each row."""
    value = low.value(c)
    if value is None or value.numel() not in (1, count) or (value.dim() == 2 and value.shape[0] != 1):
        return None
    if beta == 1.0 and value.shape == (count,):
        return c
    return low.constant((value.to(torch.float32) * beta).reshape(-1).expand(count), c)
