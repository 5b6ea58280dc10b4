"""Convolutions and matrix products."""

from __future__ import annotations

from typing import Any

from crossloom.network.aten.table import Lowering, Ref, many, rule
from crossloom.network.operators import Add, Conv, ConvTranspose, Linear, MatMul, Mul, Reduce, Transpose


@rule("conv1d", "conv2d", "conv3d")
def conv(low: Lowering, x: Ref, weight: Ref, bias: Ref | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Ref:
    space = low.dims(weight) - 2
    dilation = many(dilation, space)
    if isinstance(padding, str):
        padding = _same(low.shape(weight)[2:], dilation) if padding == "same" else (0,) * (2 * space)
    else:
        padding = many(padding, space) * 2
    return _batched(low, Conv(many(stride, space), padding, dilation, groups), x, weight, bias)


@rule("convolution", "_convolution")
def convolution(
    low: Lowering, x: Ref, weight: Ref, bias: Ref | None, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int, *_: Any
) -> Ref:
    if transposed:
        return conv_transpose(low, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(low, x, weight, bias, stride, padding, dilation, groups)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    low: Lowering, x: Ref, weight: Ref, bias: Ref | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1
) -> Ref:
    space = low.dims(weight) - 2
    op = ConvTranspose(many(stride, space), many(padding, space), many(output_padding, space), many(dilation, space), groups)
    return _batched(low, op, x, weight, bias)


def _batched(low: Lowering, op: Conv | ConvTranspose, x: Ref, weight: Ref, bias: Ref | None) -> Ref:
    """Add the node, with a batch dimension for an input that has none."""
    shape = low.shape(x)
    extra = (bias,) if bias is not None else ()
    if len(shape) == low.dims(weight):
        return low.add(op, x, weight, *extra)
    y = low.add(op, low.reshape(x, (1, *shape)), weight, *extra)
    return low.reshape(y, low.shape(y)[1:])


def _same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return (*(t // 2 for t in total), *(t - t // 2 for t in total))


@rule("linear")
def linear(low: Lowering, x: Ref, weight: Ref, bias: Ref | None = None) -> Ref:
    return low.add(Linear(), x, weight, *((bias,) if bias is not None else ()))


@rule("mm", "bmm", "matmul")
def matmul(low: Lowering, left: Ref, right: Ref) -> Ref:
    if right.value is not None and right.value.dim() == 2 and low.dims(left) >= 2:
        return low.add(Linear(), left, low.known(right.value.t().contiguous(), right.hint))
    return low.add(MatMul(), left, right)


@rule("addmm", "baddbmm")
def addmm(low: Lowering, bias: Ref, left: Ref, right: Ref, beta: float = 1, alpha: float = 1) -> Ref:
    if beta == 1 and alpha == 1 and right.value is not None and bias.value is not None and right.value.dim() == 2 and bias.value.dim() == 1:
        return linear(low, left, low.known(right.value.t().contiguous(), right.hint), bias)
    product = matmul(low, left, right)
    if alpha != 1:
        product = low.add(Mul(), product, low.scalar(float(alpha)))
    if beta == 0:
        return product
    return low.add(Add(), product, bias if beta == 1 else low.add(Mul(), bias, low.scalar(float(beta))))


@rule("einsum")
def einsum(low: Lowering, equation: str, operands: list[Ref], path: Any = None) -> Ref:
    """Two operands become batched MatMul; one becomes a transposition and a sum."""
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "." in equation or len(terms) > 2 or any(len(set(term)) != len(term) for term in terms) or not _:
        raise NotImplementedError(f"einsum {equation!r}: only one or two operands without ellipsis or repeated letters")
    if len(terms) == 1:
        gone = tuple(i for i, letter in enumerate(terms[0]) if letter not in output)
        kept = [letter for letter in terms[0] if letter in output]
        x = low.add(Reduce("sum", gone), operands[0]) if gone else operands[0]
        return low.add(Transpose(tuple(kept.index(letter) for letter in output)), x)
    return _einsum_pair(low, terms[0], terms[1], output, operands[0], operands[1])


def _einsum_pair(low: Lowering, a: str, b: str, output: str, left: Ref, right: Ref) -> Ref:
    sizes = dict(zip(a, low.shape(left), strict=True)) | dict(zip(b, low.shape(right), strict=True))
    shared = [letter for letter in a if letter in b]
    batch, summed = [s for s in shared if s in output], [s for s in shared if s not in output]
    rows, columns = [s for s in a if s not in b], [s for s in b if s not in a]
    if any(s not in output for s in (*rows, *columns)):
        raise NotImplementedError("einsum that sums over a letter of one operand alone")

    def size(letters: list[str]) -> int:
        total = 1
        for letter in letters:
            total *= sizes[letter]
        return total

    def arranged(x: Ref, term: str, *groups: list[str]) -> Ref:
        x = low.add(Transpose(tuple(term.index(s) for group in groups for s in group)), x)
        return low.reshape(x, (*(sizes[s] for s in groups[0]), *(size(group) for group in groups[1:])))

    product = low.add(MatMul(), arranged(left, a, batch, rows, summed), arranged(right, b, batch, summed, columns))
    order = batch + rows + columns
    spread = low.reshape(product, [sizes[s] for s in order])
    return low.add(Transpose(tuple(order.index(s) for s in output)), spread)
