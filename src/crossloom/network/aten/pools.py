"""Pooling and reductions."""

from __future__ import annotations

from typing import Any

from crossloom.network.aten.table import Lowering, Ref, axis_of, many, rule
from crossloom.network.operators import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    ArgMax,
    AvgPool,
    Cast,
    CumSum,
    Div,
    Function,
    MaxPool,
    Mul,
    Reduce,
    Sub,
)


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(low: Lowering, x: Ref, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False) -> Ref:
    space = low.dims(x) - 2
    kernel = many(kernel, space)
    return low.add(MaxPool(kernel, many(stride, space) if stride else kernel, many(padding, space) * 2, many(dilation, space), ceil), x)


@rule("max_pool2d_with_indices")
def max_pool_with_indices(low: Lowering, *args: Any) -> list[Ref]:
    y = max_pool(low, *args)
    return [y, y]


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    low: Lowering, x: Ref, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, count_padding: bool = True, divisor: int | None = None
) -> Ref:
    space = low.dims(x) - 2
    kernel = many(kernel, space)
    if divisor is not None:
        raise NotImplementedError("average pooling with a divisor of its own")
    return low.add(AvgPool(kernel, many(stride, space) if stride else kernel, many(padding, space) * 2, ceil, count_padding), x)


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
def adaptive_avg_pool(low: Lowering, x: Ref, size: Any) -> Ref:
    """Return the mean where one value is left of each dimension, plain average pooling where the size divides evenly."""
    shape = low.shape(x)[2:]
    sizes = tuple(s if z is None else z for s, z in zip(shape, many(size, len(shape)), strict=True))
    if all(z == 1 for z in sizes):
        return low.add(Reduce("mean", tuple(range(2, len(shape) + 2)), keep=True), x)
    if all(s % z == 0 for s, z in zip(shape, sizes, strict=True)):
        kernel = tuple(s // z for s, z in zip(shape, sizes, strict=True))
        return low.add(AvgPool(kernel, kernel, (0,) * (2 * len(shape))), x) if any(k > 1 for k in kernel) else x
    return low.add(AdaptiveAvgPool(sizes), x)


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(low: Lowering, x: Ref, size: Any) -> list[Ref]:
    shape = low.shape(x)[2:]
    sizes = many(size, len(shape))
    if all(z == 1 for z in sizes):
        y = low.add(Reduce("max", tuple(range(2, len(shape) + 2)), keep=True), x)
    else:
        y = low.add(AdaptiveMaxPool(sizes), x)
    return [y, y]


def _axes(low: Lowering, x: Ref, axes: Any) -> tuple[int, ...]:
    if axes is None or axes == []:
        return tuple(range(low.dims(x)))
    return tuple(axis_of(a, low.dims(x)) for a in (axes if isinstance(axes, tuple | list) else [axes]))


@rule("mean")
def mean(low: Lowering, x: Ref, axes: Any = None, keep: bool = False, **_: Any) -> Ref:
    return low.add(Reduce("mean", _axes(low, x, axes), keep), x)


@rule("sum")
def total(low: Lowering, x: Ref, axes: Any = None, keep: bool = False, **_: Any) -> Ref:
    if low.dtype(x) == "bool":
        x = low.add(Cast("i64"), x)
    return low.add(Reduce("sum", _axes(low, x, axes), keep), x)


@rule("amax")
def amax(low: Lowering, x: Ref, axes: Any = None, keep: bool = False) -> Ref:
    return low.add(Reduce("max", _axes(low, x, axes), keep), x)


@rule("amin")
def amin(low: Lowering, x: Ref, axes: Any = None, keep: bool = False) -> Ref:
    return low.add(Reduce("min", _axes(low, x, axes), keep), x)


@rule("prod")
def prod(low: Lowering, x: Ref, axis: Any = None, keep: bool = False, **_: Any) -> Ref:
    return low.add(Reduce("prod", _axes(low, x, axis), keep), x)


@rule("max")
def largest(low: Lowering, x: Ref, axis: Any = None, keep: bool = False) -> Any:
    if isinstance(axis, Ref):
        from crossloom.network.aten.pointwise import maximum

        return maximum(low, x, axis)
    if axis is None:
        return amax(low, x)
    return [amax(low, x, axis, keep), low.add(ArgMax(axis_of(axis, low.dims(x)), keep), x)]


@rule("argmax")
def argmax(low: Lowering, x: Ref, axis: int | None = None, keep: bool = False) -> Ref:
    if axis is None:
        return low.add(ArgMax(0, False), low.reshape(x, (-1,)))
    return low.add(ArgMax(axis_of(axis, low.dims(x)), keep), x)


@rule("cumsum")
def cumsum(low: Lowering, x: Ref, axis: int, **_: Any) -> Ref:
    if low.dtype(x) == "bool":
        x = low.add(Cast("i64"), x)
    return low.add(CumSum(axis_of(axis, low.dims(x))), x)


@rule("var")
def var(low: Lowering, x: Ref, axes: Any = None, unbiased: Any = True, keep: Any = False, *, correction: Any = None, keepdim: bool = False) -> Ref:
    places = _axes(low, x, axes)
    count = 1
    for axis in places:
        count *= low.shape(x)[axis]
    less = correction if correction is not None else int(bool(unbiased))
    centred = low.add(Sub(), x, low.add(Reduce("mean", places, keep=True), x))
    squares = low.add(Reduce("sum", places, bool(keep or keepdim)), low.add(Mul(), centred, centred))
    return low.add(Div(), squares, low.scalar(float(count - less)))


@rule("std")
def std(low: Lowering, *args: Any, **kwargs: Any) -> Ref:
    return low.add(Function("sqrt"), var(low, *args, **kwargs))


@rule("linalg_vector_norm", "norm")
def norm(low: Lowering, x: Ref, order: Any = 2, axes: Any = None, keep: bool = False, **_: Any) -> Ref:
    if order not in (2, 2.0):
        raise NotImplementedError(f"norm of order {order}")
    return low.add(Function("sqrt"), low.add(Reduce("sum", _axes(low, x, axes), keep), low.add(Mul(), x, x)))
