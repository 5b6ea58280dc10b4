"""Pooling. ONNX counts windows differently when it rounds up, so their number is always checked."""

from __future__ import annotations

from collections.abc import Sequence

from crossloom.network.importers.onnx.matrix import padding_of, window
from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import AvgPool, Cast, MaxPool, Reduce


def _windows(size: int, sides: tuple[int, int], extent: int, stride: int, ceil: bool) -> int:
    """Return the number of windows of `extent` elements. If rounded up, it excludes a window that would start in the trailing padding."""
    free = size + sum(sides) - extent
    count = (-(-free // stride) if ceil else free // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= size + sides[0] else count


@rule("MaxPool")
def max_pool(
    low: Lowering,
    x: str,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] = (),
) -> str:
    """Lower a max pool. If the number of windows is rounded up, the trailing padding grows to hold the last one; it is never the maximum."""
    kernel, space = tuple(kernel_shape), len(kernel_shape)
    stride, dilation = tuple(strides) or (1,) * space, tuple(dilations) or (1,) * space
    size = low.shape(x)[2:]
    padding = padding_of(auto_pad, pads, window(size, kernel, stride, dilation))
    after = list(padding[space:])
    for i in range(space):
        extent = dilation[i] * (kernel[i] - 1) + 1
        count = _windows(size[i], (padding[i], after[i]), extent, stride[i], bool(ceil_mode) and auto_pad == "NOTSET")
        after[i] += max(0, (count - 1) * stride[i] + extent - size[i] - padding[i] - after[i])
    op = MaxPool(kernel, stride, (*padding[:space], *after), dilation)
    return low.add(op, x) if low.floating(x) else low.add(Cast("i64"), low.add(op, low.add(Cast("f32"), x)))


@rule("AveragePool")
def average_pool(
    low: Lowering,
    x: str,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] = (),
    pads: Sequence[int] | None = None,
    strides: Sequence[int] = (),
) -> str:
    kernel, space = tuple(kernel_shape), len(kernel_shape)
    if any(d != 1 for d in dilations):
        raise NotImplementedError("average pooling with dilation; write it as a depthwise convolution")
    stride, ceil = tuple(strides) or (1,) * space, bool(ceil_mode) and auto_pad == "NOTSET"
    size = low.shape(x)[2:]
    padding = padding_of(auto_pad, pads, window(size, kernel, stride, (1,) * space))
    y = low.add(AvgPool(kernel, stride, padding, ceil, bool(count_include_pad) or not any(padding)), x)
    for i in range(space):
        count = _windows(size[i], (padding[i], padding[space + i]), kernel[i], stride[i], ceil)
        y = low.cut(y, i + 2, 0, count)
    return y


@rule("GlobalAveragePool")
def global_average_pool(low: Lowering, x: str) -> str:
    return low.add(Reduce("mean", tuple(range(2, low.dims(x))), True), x)


@rule("GlobalMaxPool")
def global_max_pool(low: Lowering, x: str) -> str:
    return low.add(Reduce("max", tuple(range(2, low.dims(x))), True), x)
