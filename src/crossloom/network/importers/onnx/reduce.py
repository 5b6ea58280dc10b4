"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Add, ArgMax, Cast, CumSum, Function, Mul, Reduce, Slice, Sub

Kind = Literal["sum", "mean", "max", "min", "prod"]


def _axes(low: Lowering, x: str, given: str | None, attribute: Sequence[int] | None, noop: int) -> tuple[int, ...] | None:
    """Return the axes to reduce, or None where an empty list means no axes instead of all."""
    axes = low.numbers(given, "axes") if given is not None else list(attribute or ())
    if not axes:
        return None if noop else tuple(range(low.dims(x)))
    return tuple(sorted(low.axis(axis, low.dims(x)) for axis in axes))


def _reduce(
    kind: Kind,
    before: Callable[[Lowering, str], str] | None,
    after: str | None,
    low: Lowering,
    x: str,
    given: str | None = None,
    *,
    axes: Sequence[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> str:
    chosen = _axes(low, x, given, axes, noop_with_empty_axes)
    y = before(low, x) if before else x
    if chosen is not None:
        y = _reduced(low, Reduce(kind, chosen, bool(keepdims)), y)
    return low.add(Function(after), y) if after else y


def _reduced(low: Lowering, op: Reduce, x: str) -> str:
    """Reduce a tensor; booleans, and means of integers, are reduced as real numbers."""
    dtype = low.builder.types[x].dtype
    if dtype == "bool" or (dtype == "i64" and op.kind == "mean"):
        return low.add(Cast("bool" if dtype == "bool" else "i64"), low.add(op, low.add(Cast("f32"), x)))
    return low.add(op, x)


def _square(low: Lowering, x: str) -> str:
    return low.add(Mul(), x, x)


def _abs(low: Lowering, x: str) -> str:
    return low.add(Function("abs"), x)


_TABLE: dict[str, tuple[Kind, Callable[[Lowering, str], str] | None, str | None]] = {
    "ReduceSum": ("sum", None, None),
    "ReduceMean": ("mean", None, None),
    "ReduceMax": ("max", None, None),
    "ReduceMin": ("min", None, None),
    "ReduceProd": ("prod", None, None),
    "ReduceL1": ("sum", _abs, None),
    "ReduceL2": ("sum", _square, "sqrt"),
    "ReduceSumSquare": ("sum", _square, None),
    "ReduceLogSum": ("sum", None, "log"),
}
for _name, _parts in _TABLE.items():
    rule(_name)(partial(_reduce, *_parts))


@rule("ReduceLogSumExp")
def log_sum_exp(
    low: Lowering,
    x: str,
    given: str | None = None,
    *,
    axes: Sequence[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> str:
    """Return max + log Σ exp(x − max), so that nothing overflows."""
    chosen = _axes(low, x, given, axes, noop_with_empty_axes)
    if chosen is None:
        return x
    largest = low.add(Reduce("max", chosen, True), x)
    powers = low.add(Function("exp"), low.add(Sub(), x, largest))
    total = low.add(Function("log"), low.add(Reduce("sum", chosen, True), powers))
    y = low.add(Add(), total, largest)
    return y if keepdims else low.reshape(y, [size for i, size in enumerate(low.shape(y)) if i not in chosen])


@rule("ArgMax")
def arg_max(low: Lowering, x: str, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> str:
    axis = low.axis(axis, low.dims(x))
    if not select_last_index:
        return low.add(ArgMax(axis, bool(keepdims)), x)
    size = low.shape(x)[axis]
    place = low.add(ArgMax(axis, bool(keepdims)), _turned(low, x, axis))
    return low.add(Sub(), low.scalar(size - 1, place), place)


@rule("ArgMin")
def arg_min(low: Lowering, x: str, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> str:
    return arg_max(low, low.add(Function("neg"), x), axis=axis, keepdims=keepdims, select_last_index=select_last_index)


@rule("CumSum")
def cum_sum(low: Lowering, x: str, axis: str, *, exclusive: int = 0, reverse: int = 0) -> str:
    place = low.axis(low.numbers(axis, "axis")[0], low.dims(x))
    y = low.add(CumSum(place), _turned(low, x, place) if reverse else x)
    y = _turned(low, y, place) if reverse else y
    return low.add(Sub(), y, x) if exclusive else y


def _turned(low: Lowering, x: str, axis: int) -> str:
    return low.add(Slice(axis, -1 if axis == 0 else low.shape(x)[axis] - 1, None, -1), x)
