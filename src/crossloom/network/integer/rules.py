"""Integer rules of all operators except products; the package's docstring defines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.integer.arithmetic import Operand, ratio, requantize, rescaled, scale_of, settle
from crossloom.network.operators import (
    Add,
    AvgPool,
    Cast,
    Clip,
    Concat,
    Expand,
    Gather,
    GroupNorm,
    LayerNorm,
    Maximum,
    MaxPool,
    Minimum,
    Move,
    Mul,
    Operator,
    Pad,
    Reduce,
    Relu,
    Reshape,
    Resize,
    RmsNorm,
    Softmax,
    Sub,
    Unary,
    Where,
)
from crossloom.network.quantization import Quantization, carrier

EXP_BITS = 20
"""Fraction bits of the exponential table of a softmax."""


def _move(op: Operator, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return op(operands[0].values) if operands[0].q == q else rescaled(Operand(op(operands[0].values), operands[0].q), q)


def _pad(op: Pad, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    assert x.q is not None
    if op.mode != "constant":
        return rescaled(Operand(op(x.values.to(torch.float32)).to(x.values.dtype), x.q), q)
    fill = float(q.quantize(torch.tensor(op.value)))
    return Pad(op.padding, "constant", fill)(rescaled(x, q).to(torch.int32)).to(carrier(q))


def _concat(op: Concat, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return op(*(rescaled(x, q) for x in operands))


def _gather(op: Gather, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return rescaled(Operand(op(operands[0].values, operands[1].values), operands[0].q), q)


def _where(op: Where, operands: Sequence[Operand], q: Quantization) -> Tensor:
    condition, a, b = operands
    return op(condition.values, rescaled(a, q), rescaled(b, q))


def _max_pool(op: MaxPool, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    return rescaled(Operand(op(x.values.to(torch.float32)).to(x.values.dtype), x.q), q)


def _table(op: Unary, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Look up each integer in a table. A ReLU or clip between equal quantisations only clamps."""
    x = operands[0]
    if x.q is None or isinstance(op, Cast):
        return q.quantize(op(x.values)).to(carrier(q))
    if x.q == q and isinstance(op, Relu | Clip):
        low, high = (0.0, torch.inf) if isinstance(op, Relu) else (op.low, op.high)
        lowest, highest = (float(q.quantize(torch.tensor(v))) for v in (low, high))
        return x.values if lowest <= q.low and highest >= q.high else torch.clamp(x.values, int(lowest), int(highest))
    return look_up(table_of(op, x.q, q).to(x.values.device), x.values, x.q)


def table_of(op: Unary, x: Quantization, y: Quantization) -> Tensor:
    """Return the table of result integers for each integer from x.low to x.high, computed once in float64."""
    reals = (torch.arange(x.low, x.high + 1, dtype=torch.float64) - x.zero) * x.scale[0]
    steps = torch.nan_to_num(op(reals) / y.scale[0])
    return settle(steps, y)


def look_up(table: Tensor, integers: Tensor, q: Quantization) -> Tensor:
    """Return the table entry for each integer of a tensor quantised as `q`."""
    index = integers.to(torch.int32) - q.low
    return table.index_select(0, index.reshape(-1)).reshape(integers.shape)


def _sum_of_two(op: Add | Sub, operands: Sequence[Operand], q: Quantization) -> Tensor:
    a, b = (x.centred.to(torch.float32) * ratio(scale_of(x), over=q.scale[0]).to(x.values.device) for x in _both(operands, q))
    return settle(op(a, b), q)


def _product_of_two(op: Mul, operands: Sequence[Operand], q: Quantization) -> Tensor:
    a, b = _both(operands, q)
    return requantize(a.centred * b.centred, ratio(scale_of(a), scale_of(b), over=q.scale[0]), q)


def _both(operands: Sequence[Operand], q: Quantization) -> list[Operand]:
    """Return the operands in integers; native integers get scale 1."""
    return [x if x.q is not None else Operand(x.values, Quantization((1.0,), 0, 16)) for x in operands]


def _larger(op: Maximum | Minimum, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return op(*(rescaled(x, q) for x in operands))


def _average(op: AvgPool, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Sum each window in integers, then requantise once with the number of elements that count."""
    x = operands[0]
    sums, counts = window_sums(op, x.centred, 0.0), window_sums(op, torch.ones_like(x.centred[:1, :1]), float(op.count_padding))
    return requantize(sums, ratio(scale_of(x), over=q.scale[0]).to(sums.device) / counts.to(torch.float32), q)


def window_sums(op: AvgPool, x: Tensor, padding: float) -> Tensor:
    """Return the sum of each window. `padding` is the value of padded elements; elements beyond the padding count as 0."""
    space, half = len(op.kernel), len(op.padding) // 2
    after = op(torch.empty(x.shape, device="meta")).shape[-space:]
    sides = zip(op.padding[:half], op.padding[half:], strict=True)
    x = F.pad(x, [side for pair in reversed(list(sides)) for side in pair], value=padding)
    reach = [(o - 1) * s + k for o, s, k in zip(after, op.stride, op.kernel, strict=True)]
    beyond = [max(0, r - size) for r, size in zip(reach, x.shape[-space:], strict=True)]
    x = F.pad(x, [side for extra in reversed(beyond) for side in (0, extra)])
    none = (0,) * len(op.padding)
    sums = torch.round(AvgPool(op.kernel, op.stride, none)(x) * prod(op.kernel))
    within: tuple[Any, ...] = (..., *(slice(size) for size in after))
    return sums[within]


def _reduce(op: Reduce, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    if op.kind in ("max", "min"):
        return rescaled(Operand(op(x.values), x.q), q)
    if op.kind == "prod":
        return on_reals(op, operands, q)
    sums = Reduce("sum", op.axes, op.keep)(x.centred)
    count = prod(x.values.shape[axis] for axis in op.axes)
    factor = ratio(scale_of(x), over=q.scale[0])
    return requantize(sums, factor / count if op.kind == "mean" else factor, q)


def _softmax(op: Softmax, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    if op.log or x.q is None:
        return on_reals(op, operands, q)
    integers = x.values.to(torch.int32)
    if len(operands) > 1:
        integers = torch.where(operands[1].values, integers, x.q.low)
    distance = integers.amax(op.axis, keepdim=True) - integers
    powers = look_up(exp_table(x.q).to(integers.device), distance, Quantization((1.0,), bits=16, signed=False))
    if len(operands) > 1:
        powers = torch.where(operands[1].values, powers, 0.0)
    total = powers.sum(op.axis, keepdim=True).clamp_(min=1.0)
    return settle(powers / total / q.scale[0], q)


def exp_table(q: Quantization) -> Tensor:
    """Return round(2²⁰ · e^(−scale·d)) as float64 for each distance d between two integers."""
    distances = torch.arange(q.high - q.low + 1, dtype=torch.float64)
    return torch.round(torch.exp(-distances * q.scale[0]) * (1 << EXP_BITS))


def _normalize(op: LayerNorm | GroupNorm | RmsNorm, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Return (n·q − Σq) / √(n·Σq² − (Σq)² + ε·(n/s)²), times weight, plus bias; without the mean terms for RMS norm."""
    x, affine = operands[0], [p.real.to(torch.float64) for p in operands[1:]]
    values = x.centred
    shape = values.shape
    if isinstance(op, GroupNorm):
        values = values.reshape(shape[0], op.groups, -1)
        affine = [p.reshape(-1, *[1] * (len(shape) - 2)) for p in affine]
    axes = tuple(range(values.dim() - (1 if isinstance(op, GroupNorm) else op.dims), values.dim()))
    n = prod(values.shape[axis] for axis in axes)
    first, second = values.sum(axes, keepdim=True), values.square().sum(axes, keepdim=True)
    if isinstance(op, RmsNorm):
        first = torch.zeros_like(first)
    spread = torch.sqrt(n * second - first.square() + op.eps * (n / scale_of(x)) ** 2)
    result = ((n * values - first) / spread).reshape(shape)
    if affine:
        result = result * affine[0]
    if len(affine) > 1:
        result = result + affine[1]
    return settle(result / q.scale[0], q)


def on_reals(op: Operator, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Compute on the real values in float64 and round once."""
    reals = [x.real.to(torch.float64) if x.q is not None or x.values.is_floating_point() else x.values for x in operands]
    return settle(torch.nan_to_num(op(*reals) / q.scale[0]), q)


def _resize(op: Resize, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    if op.mode != "nearest":
        return on_reals(op, operands, q)
    return rescaled(Operand(op(x.values.to(torch.float32)).to(x.values.dtype), x.q), q)


def _widen(op: Reshape | Expand, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return rescaled(Operand(op(operands[0].values), operands[0].q), q)


RULES: tuple[tuple[Any, Callable[[Any, Sequence[Operand], Quantization], Tensor]], ...] = (
    (Pad, _pad),
    (Concat, _concat),
    (Reshape | Expand, _widen),
    (Move, _move),
    (Gather, _gather),
    (Where, _where),
    (MaxPool, _max_pool),
    (AvgPool, _average),
    (Reduce, _reduce),
    (Unary, _table),
    (Add | Sub, _sum_of_two),
    (Mul, _product_of_two),
    (Maximum | Minimum, _larger),
    (Softmax, _softmax),
    (LayerNorm | GroupNorm | RmsNorm, _normalize),
    (Resize, _resize),
)
