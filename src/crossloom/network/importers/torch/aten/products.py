"""Convolutions and matrix products."""

from __future__ import annotations

from functools import partial
from typing import Any

from crossloom.network.importers.einsum import einstein_sum
from crossloom.network.importers.torch.aten.moves import permute, swap_last
from crossloom.network.importers.torch.aten.pointwise import add, mul
from crossloom.network.importers.torch.aten.table import Lowering, Ref, many, rule, with_batch
from crossloom.network.operators import Conv, ConvTranspose, Linear, MatMul, Operator


@rule("conv1d", "conv2d", "conv3d")
def conv(
    low: Lowering,
    x: Ref,
    weight: Ref,
    bias: Ref | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Ref:
    space = low.dims(weight) - 2
    dilation = many(dilation, space)
    if isinstance(padding, str):
        padding = _same(low.shape(weight)[2:], dilation) if padding == "same" else (0,) * (2 * space)
    else:
        padding = many(padding, space) * 2
    return _filtered(low, Conv(many(stride, space), padding, dilation, groups), x, weight, bias)


@rule("convolution", "_convolution")
def convolution(
    low: Lowering,
    x: Ref,
    weight: Ref,
    bias: Ref | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *_: Any,
) -> Ref:
    if transposed:
        return conv_transpose(low, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(low, x, weight, bias, stride, padding, dilation, groups)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    low: Lowering,
    x: Ref,
    weight: Ref,
    bias: Ref | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Ref:
    space = low.dims(weight) - 2
    op = ConvTranspose(many(stride, space), many(padding, space), many(output_padding, space), many(dilation, space), groups)
    return _filtered(low, op, x, weight, bias)


def _filtered(low: Lowering, op: Operator, x: Ref, weight: Ref, bias: Ref | None) -> Ref:
    operands = (weight,) if bias is None else (weight, bias)
    return with_batch(low, x, low.dims(weight) - 2, lambda whole: low.add(op, whole, *operands))


def _same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return (*(t // 2 for t in total), *(t - t // 2 for t in total))


@rule("linear")
def linear(low: Lowering, x: Ref, weight: Ref, bias: Ref | None = None) -> Ref:
    return low.add(Linear(), x, weight, *((bias,) if bias is not None else ()))


@rule("mm", "bmm", "matmul", "mv", "dot", "vdot")
def matmul(low: Lowering, left: Ref, right: Ref) -> Ref:
    """Return the matrix product. A known matrix on the right is the weight of a Linear; a vector is a matrix of one row or column."""
    if low.dims(right) == 1:
        column = matmul(low, left, low.reshape(right, (-1, 1)))
        return low.reshape(column, low.shape(column)[:-1])
    if low.dims(left) == 1:
        row = matmul(low, low.reshape(left, (1, -1)), right)
        shape = low.shape(row)
        return low.reshape(row, (*shape[:-2], shape[-1]))
    if right.value is not None and right.value.dim() == 2 and left.value is None:
        return low.add(Linear(), left, _transposed(right))
    return low.add(MatMul(), left, right)


@rule("inner")
def inner(low: Lowering, left: Ref, right: Ref) -> Ref:
    """Return the product of each row of one operand with each row of the other; a scalar operand scales the other."""
    if not low.dims(left) or not low.dims(right):
        return mul(low, left, right)
    if low.dims(right) == 1:
        return matmul(low, left, right)
    rows = right if low.dims(right) == 2 else low.reshape(right, [-1, low.shape(right)[-1]])
    y = linear(low, left, rows) if rows.value is not None else matmul(low, left, swap_last(low, rows))
    return low.reshape(y, [*low.shape(left)[:-1], *low.shape(right)[:-1]])


def _transposed(weight: Ref) -> Ref:
    assert weight.value is not None
    return Ref(None, weight.value.t().contiguous(), weight.hint, weight.learned)


@rule("addmm", "baddbmm", "addmv")
def addmm(low: Lowering, bias: Ref, left: Ref, right: Ref, *, beta: float = 1, alpha: float = 1) -> Ref:
    plain = beta == alpha == 1 and right.value is not None and bias.value is not None
    if plain and right.value is not None and right.value.dim() == 2 and low.dims(bias) == 1:
        return linear(low, left, _transposed(right), bias)
    product = mul(low, matmul(low, left, right), alpha)
    return product if beta == 0 else add(low, product, mul(low, bias, beta))


@rule("addbmm")
def addbmm(low: Lowering, bias: Ref, left: Ref, right: Ref, *, beta: float = 1, alpha: float = 1) -> Ref:
    """Sum the products of all pairs of matrices as one product: the left ones are placed side by side, the right ones stacked."""
    pairs, rows, inside = low.shape(left)
    joined = low.reshape(permute(low, left, (1, 0, 2)), (rows, pairs * inside))
    return addmm(low, bias, joined, low.reshape(right, (pairs * inside, -1)), beta=beta, alpha=alpha)


@rule("outer", "ger")
def outer(low: Lowering, a: Ref, b: Ref) -> Ref:
    return mul(low, low.reshape(a, (-1, 1)), b)


@rule("einsum")
def einsum(low: Lowering, equation: str, operands: list[Ref], *, path: Any = None) -> Ref:
    return einstein_sum(low, equation, operands, partial(matmul, low), lambda x: x.value is not None)


@rule("bilinear")
def bilinear(low: Lowering, a: Ref, b: Ref, weight: Ref, bias: Ref | None = None) -> Ref:
    outer = low.shape(a)[:-1]
    flat = [low.reshape(x, [-1, low.shape(x)[-1]]) for x in (a, b)]
    y = einsum(low, "ni,oij,nj->no", [flat[0], weight, flat[1]])
    return low.reshape(y if bias is None else add(low, y, bias), [*outer, low.shape(weight)[0]])


@rule("tensordot")
def tensordot(low: Lowering, a: Ref, b: Ref, first: list[int], second: list[int]) -> Ref:
    letters = [chr(ord("a") + i) for i in range(low.dims(a) + low.dims(b))]
    left, right = letters[: low.dims(a)], letters[low.dims(a) :]
    for i, j in zip(first, second, strict=True):
        right[j] = left[i]
    output = [c for c in left if c not in right] + [c for c in right if c not in left]
    return einsum(low, f"{''.join(left)},{''.join(right)}->{''.join(output)}", [a, b])
