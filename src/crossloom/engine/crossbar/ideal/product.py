"""Exact integer matrix products, as fast as the processor allows.

Three ways, each used only where it is provably exact:

* **int8**: oneDNN's 8-bit convolution with 32-bit accumulators, read out as float32. Exact while a sum stays below 2²⁴; a layer
  with larger sums is cut along its input channels. Used if the processor passes a worst-case test, since instructions
  without 32-bit accumulation saturate.
* **float32**: integers in float32 are exact while every partial sum stays below 2²⁴, in any order of summation.
* **float64**: the same up to 2⁵³.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.graph import Node
from crossloom.network.integer import plain_arithmetic
from crossloom.network.operators import Conv, ConvTranspose, Linear, ProductAdd
from crossloom.network.quantization import Quantization

EXACT_FLOAT32 = 1 << 24
EXACT_FLOAT64 = 1 << 53


@dataclass(frozen=True, slots=True)
class Product:
    """The exact sums of products of one layer. `how` names the arithmetic."""

    how: str
    compute: Callable[[Tensor], Tensor]
    gain: Gain | None = None

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return Σ (x − zero) · w + bias for integers x in their carrier, as float32, float64 or an integer type that holds it exactly.

        With a gain it is that plus K · (r − zero) for a residual r.
        """
        sums = self.compute(x)
        return sums if self.gain is None or residual is None else self.gain(sums, residual)


@dataclass(frozen=True, slots=True)
class Gain:
    """What a residual adds to exact sums: K · r, K shaped to broadcast; `bound` is the largest magnitude that the whole can have."""

    factor: Tensor
    bound: int

    def __call__(self, sums: Tensor, residual: Tensor) -> Tensor:
        """Return sums + K · r, exactly; `sums` may be overwritten."""
        wide = {torch.float32: (EXACT_FLOAT32, torch.float64), torch.int32: (1 << 31, torch.int64)}
        limit, wider = wide.get(sums.dtype, (0, sums.dtype))
        if self.bound >= limit:
            sums = sums.to(wider)
        return sums.addcmul_(residual.to(sums.dtype), self.factor.to(sums.dtype))


def product_with_residual(node: Node, x: Quantization, weight: Tensor, bias: Tensor, *, q: Quantization, gains: Tensor) -> Product:
    """Return the fastest exact product of a `ProductAdd`, for weights, bias and gains (integers) and the residual's quantisation."""
    assert isinstance(node.op, ProductAdd)
    constant = bias - gains * q.zero
    plain = product(replace(node, op=node.op.product), x, weight, constant)
    bound = largest_magnitude(weight, x, 0) + int(constant.abs().max()) + int(gains.abs().max()) * max(abs(q.low), q.high)
    factor = gains if isinstance(node.op.product, Linear) else gains.reshape(-1, *[1] * len(node.op.product.stride))
    return replace(plain, gain=Gain(factor, bound))


def largest_magnitude(weight: Tensor, x: Quantization, axis: int) -> int:
    """Return a bound on |Σ (x − zero) · w| for any inputs, over all output channels of `axis`."""
    reach = max(x.high - x.zero, x.zero - x.low)
    total = weight.to(torch.int64).abs().transpose(0, axis).reshape(weight.shape[axis], -1).sum(1)
    return int(total.max()) * reach


def product(node: Node, x: Quantization, weight: Tensor, bias: Tensor | None) -> Product:
    """Return the fastest exact product for a layer's weights (integers) and integer bias."""
    axis = 1 if isinstance(node.op, ConvTranspose) else 0
    bound = largest_magnitude(weight, x, axis)
    small = x.bits <= 8 and int(weight.abs().max()) <= 127
    on_cpu = weight.device.type == "cpu"
    if isinstance(node.op, Conv) and len(node.op.stride) == 2 and node.op.groups == 1 and small and on_cpu and int8_is_exact():
        compute = _int8_convolution(node.op, x, weight, bias)
        if compute is not None:
            return Product("int8", compute)
    if isinstance(node.op, Linear) and small and x.zero == 0 and on_cpu:
        return Product("int8", _int8_linear(x, weight, bias))
    top = bound + (int(bias.abs().max()) if bias is not None else 0)
    if top < EXACT_FLOAT32:
        return Product("float32", _floating(node, x, weight, bias, torch.float32))
    return Product("float64", _floating(node, x, weight, bias, torch.float64))


def _floating(node: Node, x: Quantization, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    w, b = weight.to(dtype), None if bias is None else bias.to(dtype)

    def compute(integers: Tensor) -> Tensor:
        centred = integers.to(dtype)
        if x.zero:
            centred = centred - x.zero
        with plain_arithmetic(centred):
            return node.op(centred, w, b) if b is not None else node.op(centred, w)

    return compute


def byte_product(left: Tensor, right: Tensor) -> Tensor:
    """Return the exact 32-bit product of matrices of signed bytes.

    On the CPU, torch misreads a dimension of size one whose stride is not the usual one, which `contiguous` leaves as it is; such
    operands are copied. A GPU's 8-bit product wants sizes of its own, so float32 does it there, exactly below 2²⁴.
    """
    if left.device.type != "cpu":
        with plain_arithmetic(left):
            return (left.to(torch.float32) @ right.to(torch.float32)).to(torch.int32)
    if 1 in left.shape or 1 in right.shape:
        left, right = (x.reshape(-1).clone().view(x.shape) for x in (left, right))
    return torch._int_mm(left, right)


def _int8_linear(x: Quantization, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Unsigned inputs are moved by 128 to fit signed bytes; 128 · Σ w is added back."""
    w = weight.to(torch.int8).t().contiguous()
    moved = 0 if x.signed else 128
    constant = moved * weight.to(torch.int64).sum(1) + (bias if bias is not None else 0)
    constant = constant.to(_integers_for(largest_magnitude(weight, x, 0), constant))

    def compute(integers: Tensor) -> Tensor:
        flat = integers.reshape(-1, integers.shape[-1])
        flat = flat.to(torch.int8) if not moved else (flat.to(torch.int16) - moved).to(torch.int8)
        sums = byte_product(flat, w)
        return (sums + constant).reshape(*integers.shape[:-1], -1)

    return compute


def _integers_for(bound: int, constant: Tensor) -> torch.dtype:
    """Return 32 bits if sums up to `bound` and a constant fit them: a bias is huge where the input's scale is tiny."""
    return torch.int32 if bound + int(constant.abs().max()) < 1 << 31 else torch.int64


def _int8_convolution(op: Conv, x: Quantization, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """Return the layer by oneDNN, or None if no cut of its input channels makes every part's sums exact.

    The instruction wants unsigned inputs, so signed ones are moved by 128. Padding then has the value that stands for zero,
    and zero · Σ w is taken off afterwards.
    """
    moved = 128 if x.signed else 0
    zero, highest = x.zero + moved, x.high + moved
    magnitude = weight.to(torch.int64).abs().flatten(2).sum(2)
    bound = highest * int(magnitude.sum(1).max())
    channels = torch.tensor_split(torch.arange(weight.shape[1]), max(1, -(-bound // (EXACT_FLOAT32 - 1))))
    if any(highest * int(magnitude[:, part].sum(1).max()) >= EXACT_FLOAT32 for part in channels):
        return None
    constant = torch.zeros(weight.shape[0], dtype=torch.int64) if bias is None else bias
    constant = constant - zero * weight.to(torch.int64).flatten(1).sum(1)
    in_float32 = bound + int(constant.abs().max()) < EXACT_FLOAT32
    added = _integers_for(bound, constant)
    half = len(op.padding) // 2
    explicit = zero != 0 or op.padding[:half] != op.padding[half:]
    inner = replace(op, padding=(0,) * len(op.padding)) if explicit else op
    packed = [_packed(inner, weight[:, part]) for part in channels]
    sides = [op.padding[1], op.padding[3], op.padding[0], op.padding[2]]

    def compute(integers: Tensor) -> Tensor:
        if moved:
            integers = (integers.to(torch.int16) + moved).to(torch.uint8)
        if explicit:
            integers = F.pad(integers, sides, value=zero)
        integers = integers.contiguous(memory_format=torch.channels_last)
        if len(packed) == 1:
            dtype = torch.float32 if in_float32 else torch.float64
            return packed[0](integers).to(dtype).add_(constant.to(dtype).reshape(1, -1, 1, 1))
        total = constant.to(added).reshape(1, -1, 1, 1)
        for run, part in zip(packed, channels, strict=True):
            piece = integers[:, int(part[0]) : int(part[-1]) + 1].contiguous(memory_format=torch.channels_last)
            total = run(piece).to(added).add_(total)
        return total

    return compute


def _packed(op: Conv, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Return oneDNN's 8-bit convolution of unsigned inputs with unit scales, so that what comes out are the sums themselves."""
    out = weight.shape[0]
    ones, zeros = torch.ones(out), torch.zeros(out, dtype=torch.int64)
    stride, padding, dilation = list(op.stride), list(op.padding[:2]), list(op.dilation)
    prepacked = torch.ops.onednn.qconv_prepack(weight.to(torch.int8).contiguous(), ones, 1.0, 0, stride, padding, dilation, 1, None)

    def run(integers: Tensor) -> Tensor:
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(
            integers, 1.0, 0, prepacked, ones, zeros, None, stride, padding, dilation, 1, 1.0, 0, torch.float32, "none", [], "none"
        )
        return result

    return run


@cache
def int8_is_exact() -> bool:
    """Whether oneDNN's 8-bit convolution gives exact sums on this processor, tried on the largest operands."""
    op = Conv((1, 1), (0, 0, 0, 0), (1, 1))
    x = torch.full((1, 64, 5, 5), 255, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    weight = torch.full((16, 64, 3, 3), 127, dtype=torch.int8)
    weight[::2] = -127
    try:
        found = _packed(op, weight)(x)
    except (RuntimeError, AttributeError, TypeError):
        return False
    return torch.equal(found.to(torch.float64), op(x.to(torch.float64), weight.to(torch.float64)))
