"""Quantisation: each pair of QuantizeLinear and DequantizeLinear becomes one FakeQuantize, whose grid later passes read.

Weights stored as integers become real numbers on their grid, followed by a FakeQuantize that specifies it. Plain
arithmetic remains where a scale depends on the data, or where `Quantization` cannot represent the grid.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from crossloom.network.importers.onnx.table import Integers, Lowering, rule
from crossloom.network.operators import Add, Cast, Clip, Div, FakeQuantize, Function, Mul, Sub
from crossloom.network.quantization import Quantization


@rule("QuantizeLinear")
def quantize_linear(
    low: Lowering,
    x: str,
    scale: str,
    zero: str | None = None,
    *,
    axis: int = 1,
    saturate: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
) -> Integers | str:
    bits, signed = _integers(_kind(low, zero, output_dtype))
    x = x if low.floating(x) else low.add(Cast("f32"), x)
    grid = None if block_size else _grid(low, scale, zero, (bits, signed), axis)
    if grid is not None:
        return Integers(x, grid)
    lowest, highest = limits(bits, signed)
    steps = low.add(Function("round"), low.add(Div(), x, _beside(low, scale, x, axis, block_size)))
    moved = steps if zero is None else low.add(Add(), steps, low.add(Cast("f32"), _beside(low, zero, x, axis, block_size)))
    return low.add(Cast("i64"), low.add(Clip(float(lowest), float(highest)), moved))


@rule("DequantizeLinear", take_integers=True)
def dequantize_linear(
    low: Lowering,
    x: str | Integers,
    scale: str | Integers,
    zero: str | Integers | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> str:
    scale, zero = as_integers(low, scale), None if zero is None else as_integers(low, zero)
    if isinstance(x, Integers):
        grid = _grid(low, scale, zero, (x.quantization.bits, x.quantization.signed), axis)
        if grid is not None and replace(grid, narrow=x.quantization.narrow) == x.quantization:
            return rounded(low, x)
        x = as_integers(low, x)
    value, kind = low.value(x), low.kinds.get(x) or (low.kinds.get(zero) if zero else None)
    if value is not None and not block_size and kind is not None and (size := width(kind)):
        grid = _grid(low, scale, zero, size, axis)
        if grid is not None:
            return low.store(grid.dequantize(value), grid, x)
    real = _scaled(low, x, (scale, zero), axis, block_size)
    return real if (plain := low.value(real)) is None else low.constant(plain, x)


def rounded(low: Lowering, x: Integers) -> str:
    """Return the FakeQuantize of a quantised tensor; add it if there is none yet."""
    if x not in low.quantized:
        low.quantized[x] = low.add(FakeQuantize(x.quantization), x.real)
    return low.quantized[x]


def _scaled(low: Lowering, x: str, grid: tuple[str, str | None], axis: int, block: int) -> str:
    """Return (x − zero) · scale, by plain arithmetic."""
    scale, zero = (None if name is None else _beside(low, name, x, axis, block) for name in grid)
    assert scale is not None
    real = x if low.floating(x) else low.add(Cast("f32"), x)
    if zero is not None:
        real = low.add(Sub(), real, zero if low.floating(zero) else low.add(Cast("f32"), zero))
    return low.add(Mul(), real, scale)


def _beside(low: Lowering, name: str, x: str, axis: int, block: int = 0) -> str:
    """Return a scale or zero point in a shape that broadcasts to the tensor: along one axis, or repeated for each block."""
    dims, shape = low.dims(x), low.shape(name)
    if block:
        along = low.axis(axis, dims)
        value = low.known(name, "scale").repeat_interleave(block, along).narrow(along, 0, low.shape(x)[along])
        return low.constant(value, name)
    if len(shape) == 1 and shape != (1,):
        return low.reshape(name, [-1 if i == axis % dims else 1 for i in range(dims)])
    return low.reshape(name, ())


def as_integers(low: Lowering, x: str | Integers) -> str:
    """Return a tensor that holds the integers themselves, for a consumer that does not dequantise them."""
    if isinstance(x, str):
        return x
    grid = x.quantization
    steps = low.add(Function("round"), low.add(Div(), x.real, low.constant(grid.scale_of(low.dims(x.real)))))
    moved = low.add(Add(), steps, low.scalar(grid.zero, steps)) if grid.zero else steps
    return low.add(Cast("i64"), low.add(Clip(float(grid.low), float(grid.high)), moved))


def narrowed(x: Integers, low_end: Tensor | None, high_end: Tensor | None) -> Integers | None:
    """Return integers limited to fewer bits, or None if the limits match no number of bits (QCDQ)."""
    grid = x.quantization
    lowest = grid.low if low_end is None else max(grid.low, int(low_end))
    highest = grid.high if high_end is None else min(grid.high, int(high_end))
    for bits in range(1, grid.bits + 1):
        for signed, narrow in ((True, False), (True, True), (False, False)):
            smaller = replace(grid, bits=bits, signed=signed, narrow=narrow)
            if (smaller.low, smaller.high) == (lowest, highest):
                return Integers(x.real, smaller)
    return None


def _kind(low: Lowering, zero: str | None, output_dtype: int) -> int:
    from onnx import TensorProto

    if zero is None:
        return output_dtype or TensorProto.UINT8
    if zero not in low.kinds:
        raise NotImplementedError("a zero point of unknown element type; make it a constant")
    return low.kinds[zero]


def width(kind: int) -> tuple[int, bool] | None:
    """Return the bits and signedness of an ONNX element type, or None if it is not an integer of at most 16 bits."""
    from onnx import TensorProto

    match = re.fullmatch(r"(U?)INT(\d+)", TensorProto.DataType.Name(kind))
    return (int(match[2]), not match[1]) if match and int(match[2]) <= 16 else None


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """Return the smallest and the largest integer of `bits` bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _integers(kind: int) -> tuple[int, bool]:
    from onnx import TensorProto

    size = width(kind)
    if size is None:
        raise NotImplementedError(f"quantising to {TensorProto.DataType.Name(kind).lower()}; use integers of 2 to 16 bits")
    return size


def _grid(low: Lowering, scale: str, zero: str | None, size: tuple[int, bool], axis: int) -> Quantization | None:
    """Return the grid if its scale and zero point are known and `Quantization` can represent it, else None."""
    scales, zeros = low.value(scale), torch.zeros(1) if zero is None else low.value(zero)
    if scales is None or zeros is None or len(set(zeros.reshape(-1).tolist())) != 1 or scales.dim() > 1:
        return None
    along = None if scales.numel() == 1 else axis
    try:
        return Quantization(tuple(scales.reshape(-1).tolist()), int(zeros.reshape(-1)[0]), *size, axis=along)
    except ValueError:
        return None
