"""Pooling and reductions."""

from __future__ import annotations

import math
from functools import partial
from math import prod
from typing import Any

from crossloom.network.importers.torch.aten.pointwise import add, cast, div, finite, kind_of, maximum, minimum, mul, power, sub
from crossloom.network.importers.torch.aten.table import Lowering, Missing, Ref, axis_of, many, rule, with_batch
from crossloom.network.operators import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    Add,
    ArgMax,
    AvgPool,
    CumSum,
    Function,
    MaxPool,
    Mul,
    Reduce,
    Sub,
)

_WHERE_LARGEST = Missing("the indices of a max pool")


def max_pool(space: int, low: Lowering, x: Ref, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False) -> Ref:
    """Return the maximum of each window over the last `space` dimensions; a list of one number applies to all of them."""
    op = MaxPool(many(kernel, space), many(stride or kernel, space), many(padding, space) * 2, many(dilation, space), bool(ceil))
    return with_batch(low, x, space, lambda whole: low.add(op, whole))


def max_pool_with_indices(space: int, low: Lowering, *args: Any) -> list[Any]:
    """Return the pool and a placeholder for the indices."""
    return [max_pool(space, low, *args), _WHERE_LARGEST]


def avg_pool(
    space: int,
    low: Lowering,
    x: Ref,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil: bool = False,
    count_padding: bool = True,
    divisor: int | None = None,
) -> Ref:
    """Return the mean of each window over the last `space` dimensions; a list of one number applies to all of them."""
    if divisor is not None and ceil:
        raise NotImplementedError("average pooling with its own divisor over windows that are cut off at the border")
    counts = bool(count_padding) or divisor is not None
    op = AvgPool(many(kernel, space), many(stride or kernel, space), many(padding, space) * 2, bool(ceil), counts)
    y = with_batch(low, x, space, lambda whole: low.add(op, whole))
    return y if divisor is None else mul(low, y, prod(op.kernel) / divisor)


for _space in (1, 2, 3):
    rule(f"max_pool{_space}d")(partial(max_pool, _space))
    rule(f"max_pool{_space}d_with_indices")(partial(max_pool_with_indices, _space))
    rule(f"avg_pool{_space}d")(partial(avg_pool, _space))


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
@rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
def adaptive_avg_pool(low: Lowering, x: Ref, size: Any) -> Ref:
    return with_batch(low, x, len(size), lambda whole: _averaged(low, whole, size))


def _averaged(low: Lowering, x: Ref, size: Any) -> Ref:
    """Return the mean if one value remains of each dimension, and plain average pooling if the size divides evenly."""
    shape = low.shape(x)[2:]
    if all(z == 1 for z in size):
        return low.add(Reduce("mean", tuple(range(2, len(shape) + 2)), keep=True), x)
    if all(s % z == 0 for s, z in zip(shape, size, strict=True)):
        kernel = tuple(s // z for s, z in zip(shape, size, strict=True))
        return low.add(AvgPool(kernel, kernel, (0,) * (2 * len(shape))), x) if any(k > 1 for k in kernel) else x
    return low.add(AdaptiveAvgPool(tuple(size)), x)


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(low: Lowering, x: Ref, size: Any) -> list[Any]:
    axes = tuple(range(2, len(size) + 2))
    op = Reduce("max", axes, keep=True) if all(z == 1 for z in size) else AdaptiveMaxPool(tuple(size))
    return [with_batch(low, x, len(size), lambda whole: low.add(op, whole)), _WHERE_LARGEST]


def _axes(low: Lowering, x: Ref, axes: Any) -> tuple[int, ...]:
    if axes is None or axes == [] or isinstance(axes, bool):
        return tuple(range(low.dims(x)))
    return tuple(axis_of(a, low.dims(x)) for a in (axes if isinstance(axes, tuple | list) else [axes]))


def _reduced(low: Lowering, x: Ref, kind: Any, axes: Any, keep: bool) -> Ref:
    return low.add(Reduce(kind, _axes(low, x, axes), bool(keep)), x)


def _typed(low: Lowering, x: Ref, dtype: Any) -> Ref:
    """Return `x` in the requested type; booleans are counted."""
    return cast(low, x, kind_of(dtype) if dtype is not None else "i64" if low.dtype(x) == "bool" else low.dtype(x))


@rule("mean")
def mean(low: Lowering, x: Ref, axes: Any = None, keep: bool = False, *, dtype: Any = None) -> Ref:
    return _reduced(low, _typed(low, x, dtype), "mean", axes, keep)


@rule("sum")
def total(low: Lowering, x: Ref, axes: Any = None, keep: bool = False, *, dtype: Any = None) -> Ref:
    return _reduced(low, _typed(low, x, dtype), "sum", axes, keep)


@rule("prod")
def product(low: Lowering, x: Ref, axis: Any = None, keep: bool = False, *, dtype: Any = None) -> Ref:
    return _reduced(low, _typed(low, x, dtype), "prod", axis, keep)


@rule("cumsum")
def cumsum(low: Lowering, x: Ref, axis: int, *, dtype: Any = None) -> Ref:
    return low.add(CumSum(axis_of(axis, low.dims(x))), _typed(low, x, dtype))


@rule("amax")
def amax(low: Lowering, x: Ref, axes: Any = None, keep: bool = False) -> Ref:
    return _reduced(low, x, "max", axes, keep)


@rule("amin")
def amin(low: Lowering, x: Ref, axes: Any = None, keep: bool = False) -> Ref:
    return _reduced(low, x, "min", axes, keep)


@rule("any")
def some(low: Lowering, x: Ref, axes: Any = None, keep: bool = False) -> Ref:
    return cast(low, amax(low, cast(low, cast(low, x, "bool"), "i64"), axes, keep), "bool")


@rule("all")
def every(low: Lowering, x: Ref, axes: Any = None, keep: bool = False) -> Ref:
    return cast(low, amin(low, cast(low, cast(low, x, "bool"), "i64"), axes, keep), "bool")


@rule("max")
def largest(low: Lowering, x: Ref, axis: Any = None, keep: bool = False) -> Any:
    if isinstance(axis, Ref):
        return maximum(low, x, axis)
    return amax(low, x) if axis is None else [amax(low, x, axis, keep), argmax(low, x, axis, keep)]


@rule("min")
def smallest(low: Lowering, x: Ref, axis: Any = None, keep: bool = False) -> Any:
    if isinstance(axis, Ref):
        return minimum(low, x, axis)
    return amin(low, x) if axis is None else [amin(low, x, axis, keep), argmin(low, x, axis, keep)]


@rule("aminmax")
def aminmax(low: Lowering, x: Ref, *, dim: int | None = None, keepdim: bool = False) -> list[Ref]:
    return [amin(low, x, dim, keepdim), amax(low, x, dim, keepdim)]


@rule("argmax")
def argmax(low: Lowering, x: Ref, axis: int | None = None, keep: bool = False) -> Ref:
    x = cast(low, x, "i64") if low.dtype(x) == "bool" else x
    if axis is None:
        place = low.add(ArgMax(0, False), low.reshape(x, (-1,)))
        return low.reshape(place, [1] * low.dims(x)) if keep else place
    return low.add(ArgMax(axis_of(axis, low.dims(x)), keep), x)


@rule("argmin")
def argmin(low: Lowering, x: Ref, axis: int | None = None, keep: bool = False) -> Ref:
    return argmax(low, low.add(Function("neg"), x), axis, keep)


@rule("logsumexp")
def logsumexp(low: Lowering, x: Ref, axes: Any, keep: bool = False) -> Ref:
    """Return the maximum plus log Σ e^(difference from it): no exponential overflows, and no infinity is subtracted from itself."""
    x = cast(low, x, "f32")
    top = finite(low, amax(low, x, axes, True))
    rest = total(low, low.add(Function("exp"), low.add(Sub(), x, top)), axes, True)
    y = low.add(Add(), top, low.add(Function("log"), rest))
    gone = _axes(low, x, axes)
    return y if keep else low.reshape(y, [s for i, s in enumerate(low.shape(y)) if i not in gone])


@rule("var")
def var(
    low: Lowering,
    x: Ref,
    axes: Any = None,
    unbiased: Any = True,
    keep: Any = False,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> Ref:
    unbiased = axes if isinstance(axes, bool) else unbiased
    less = correction if correction is not None else int(bool(unbiased))
    count = prod(low.shape(x)[axis] for axis in _axes(low, x, axes))
    centred = low.add(Sub(), x, mean(low, x, axes, True))
    squares = total(low, low.add(Mul(), centred, centred), axes, bool(keep or keepdim))
    return div(low, squares, float(max(0, count - less)))


@rule("std")
def std(low: Lowering, *args: Any, **kwargs: Any) -> Ref:
    return low.add(Function("sqrt"), var(low, *args, **kwargs))


@rule("var_mean")
def var_mean(low: Lowering, x: Ref, axes: Any = None, *args: Any, **kwargs: Any) -> list[Ref]:
    keep = bool(kwargs.get("keepdim") or args[1:2] == (True,))
    return [var(low, x, axes, *args, **kwargs), mean(low, x, axes, keep)]


@rule("std_mean")
def std_mean(low: Lowering, *args: Any, **kwargs: Any) -> list[Ref]:
    variance, centre = var_mean(low, *args, **kwargs)
    return [low.add(Function("sqrt"), variance), centre]


@rule("linalg_vector_norm", "norm")
def norm(low: Lowering, x: Ref, order: Any = 2, axes: Any = None, keep: bool = False, *, dtype: Any = None) -> Ref:
    order = 2 if order is None else order
    if order == 2:
        return low.add(Function("sqrt"), total(low, low.add(Mul(), x, x), axes, keep))
    size = low.add(Function("abs"), x)
    if order in (math.inf, -math.inf):
        return amax(low, size, axes, keep) if order > 0 else amin(low, size, axes, keep)
    if order == 1:
        return total(low, size, axes, keep)
    if order == 0 or not isinstance(order, int | float):
        raise NotImplementedError(f"norm of order {order}")
    return power(low, total(low, power(low, size, float(order)), axes, keep), 1.0 / order)


@rule("cosine_similarity")
def cosine_similarity(low: Lowering, a: Ref, b: Ref, axis: int = 1, eps: float = 1e-8) -> Ref:
    sizes = [maximum(low, norm(low, x, 2, axis, True), eps) for x in (a, b)]
    return total(low, low.add(Mul(), *(div(low, x, size) for x, size in zip((a, b), sizes, strict=True))), axis)


@rule("cdist", "_cdist_forward")
def cdist(low: Lowering, a: Ref, b: Ref, p: float = 2.0, mode: Any = None) -> Ref:
    """Return the distance of each row of `a` from each row of `b`."""
    rows, columns = low.shape(a), low.shape(b)
    apart = sub(low, low.reshape(a, (*rows[:-1], 1, rows[-1])), low.reshape(b, (*columns[:-2], 1, *columns[-2:])))
    return norm(low, apart, p, [-1])


@rule("hypot")
def hypot(low: Lowering, a: Ref, b: Ref) -> Ref:
    return low.add(Function("sqrt"), add(low, mul(low, a, a), mul(low, b, b)))
