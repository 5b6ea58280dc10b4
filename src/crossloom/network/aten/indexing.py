"""Choosing by index, and tensors that depend on a shape alone."""

from __future__ import annotations

from typing import Any

import torch

from crossloom.network.aten.table import Lowering, Ref, axis_of, rule
from crossloom.network.operators import Add, Concat, Gather, GatherElements, Mul, Slice


@rule("embedding")
def embedding(low: Lowering, table: Ref, indices: Ref, *_: Any) -> Ref:
    return low.add(Gather(0), table, indices)


@rule("index_select")
def index_select(low: Lowering, x: Ref, axis: int, indices: Ref) -> Ref:
    return low.add(Gather(axis_of(axis, low.dims(x))), x, indices)


@rule("gather")
def gather(low: Lowering, x: Ref, axis: int, indices: Ref, **_: Any) -> Ref:
    return low.add(GatherElements(axis_of(axis, low.dims(x))), x, indices)


@rule("index")
def index(low: Lowering, x: Ref, indices: list[Ref | None]) -> Ref:
    """One index tensor is a Gather; several with the rest of the tensor flat are one Gather over merged dimensions."""
    given = [(axis, ref) for axis, ref in enumerate(indices) if ref is not None]
    if any(low.dtype(ref) == "bool" for _, ref in given):
        raise NotImplementedError("choosing by a mask: the size of the result depends on the data")
    if len(given) == 1:
        return low.add(Gather(given[0][0]), x, given[0][1])
    axes = [axis for axis, _ in given]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise NotImplementedError("index tensors on dimensions that are not next to each other")
    shape = low.shape(x)
    flat: Ref | None = None
    for axis, ref in given:
        flat = ref if flat is None else low.add(Add(), low.add(Mul(), flat, low.scalar(shape[axis])), ref)
    assert flat is not None
    merged = low.reshape(x, [*shape[: axes[0]], -1, *shape[axes[-1] + 1 :]])
    return low.add(Gather(axes[0]), merged, flat)


@rule("slice_scatter")
def slice_scatter(low: Lowering, x: Ref, source: Ref, axis: int = 0, start: int | None = None, stop: int | None = None, step: int = 1) -> Ref:
    axis = axis_of(axis, low.dims(x))
    size = low.shape(x)[axis]
    first, last, step = slice(start, stop, step).indices(size)
    if step != 1:
        raise NotImplementedError("writing into a strided slice")
    parts = [low.add(Slice(axis, 0, first), x)] if first else []
    parts.append(source)
    parts += [low.add(Slice(axis, last, None), x)] if last < size else []
    return parts[0] if len(parts) == 1 else low.add(Concat(axis), *parts)


@rule("select_scatter")
def select_scatter(low: Lowering, x: Ref, source: Ref, axis: int, index: int) -> Ref:
    axis = axis_of(axis, low.dims(x))
    index = index % low.shape(x)[axis]
    row = low.reshape(source, [*low.shape(x)[:axis], 1, *low.shape(x)[axis + 1 :]])
    return slice_scatter(low, x, row, axis, index, index + 1)


@rule("copy")
def copy(low: Lowering, x: Ref, source: Ref, *_: Any) -> Ref:
    from crossloom.network.aten.moves import expand

    return source if low.shape(source) == low.shape(x) else expand(low, source, low.shape(x))


@rule("tril", "triu")
def triangle(low: Lowering, x: Ref, diagonal: int = 0) -> Ref:
    raise NotImplementedError("a triangle of a tensor that depends on the input")


def _filled(low: Lowering, shape: Any, value: Any, dtype: Any) -> Ref:
    return low.known(torch.full([int(size) for size in shape], value, dtype=dtype))


def _dtype(low: Lowering, x: Ref, dtype: Any) -> torch.dtype:
    return dtype or {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}[low.dtype(x)]


@rule("full_like")
def full_like(low: Lowering, x: Ref, value: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, low.shape(x), value, _dtype(low, x, dtype))


@rule("zeros_like", "empty_like")
def zeros_like(low: Lowering, x: Ref, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, low.shape(x), 0, _dtype(low, x, dtype))


@rule("ones_like")
def ones_like(low: Lowering, x: Ref, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, low.shape(x), 1, _dtype(low, x, dtype))


@rule("new_zeros", "new_empty")
def new_zeros(low: Lowering, x: Ref, shape: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, shape, 0, _dtype(low, x, dtype))


@rule("new_ones")
def new_ones(low: Lowering, x: Ref, shape: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, shape, 1, _dtype(low, x, dtype))


@rule("new_full")
def new_full(low: Lowering, x: Ref, shape: Any, value: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, shape, value, _dtype(low, x, dtype))


@rule("fill")
def fill(low: Lowering, x: Ref, value: Any) -> Ref:
    return full_like(low, x, float(value.value) if isinstance(value, Ref) and value.value is not None else value)


