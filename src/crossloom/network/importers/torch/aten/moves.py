"""Operators that move elements without changing them: shapes, slices, concatenation."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import torch

from crossloom.network.importers.torch.aten.table import Lowering, Ref, axis_of, broadcast, many, rule
from crossloom.network.operators import Concat, Expand, Gather, Slice, Transpose


@rule("view", "reshape", "_unsafe_view", "_reshape_alias")
def view(low: Lowering, x: Ref, shape: Any, *_: Any) -> Ref:
    if isinstance(shape, torch.dtype):
        raise NotImplementedError("it reads the bits of one type as another; use x.to(dtype)")
    return low.reshape(x, list(shape))


@rule("view_as", "reshape_as")
def view_as(low: Lowering, x: Ref, other: Ref) -> Ref:
    return low.reshape(x, low.shape(other))


@rule("flatten")
def flatten(low: Lowering, x: Ref, start: int = 0, end: int = -1) -> Ref:
    shape = low.shape(x)
    if not shape:
        return low.reshape(x, (1,))
    first, last = axis_of(start, len(shape)), axis_of(end, len(shape))
    return low.reshape(x, [*shape[:first], -1, *shape[last + 1 :]]) if last > first else x


@rule("unflatten")
def unflatten(low: Lowering, x: Ref, axis: int, sizes: list[int]) -> Ref:
    shape, axis = low.shape(x), axis_of(axis, low.dims(x))
    if -1 in sizes:
        known = -prod(sizes)
        sizes = [shape[axis] // known if size == -1 else size for size in sizes]
    return low.reshape(x, [*shape[:axis], *sizes, *shape[axis + 1 :]])


@rule("squeeze")
def squeeze(low: Lowering, x: Ref, axes: Any = None) -> Ref:
    shape = low.shape(x)
    axes = range(len(shape)) if axes is None else axes if isinstance(axes, list | tuple) else [axes]
    chosen = [axis_of(a, len(shape)) for a in axes]
    return low.reshape(x, [size for i, size in enumerate(shape) if not (i in chosen and size == 1)])


@rule("unsqueeze")
def unsqueeze(low: Lowering, x: Ref, axis: int) -> Ref:
    shape = list(low.shape(x))
    shape.insert(axis % (len(shape) + 1), 1)
    return low.reshape(x, shape)


@rule("permute")
def permute(low: Lowering, x: Ref, order: Any) -> Ref:
    return low.add(Transpose(tuple(axis_of(a, low.dims(x)) for a in order)), x)


@rule("transpose", "swapaxes")
def transpose(low: Lowering, x: Ref, a: int, b: int) -> Ref:
    order = list(range(low.dims(x)))
    a, b = axis_of(a, len(order)), axis_of(b, len(order))
    order[a], order[b] = order[b], order[a]
    return low.add(Transpose(tuple(order)), x)


@rule("t", "mT", "mH", "matrix_H", "adjoint")
def swap_last(low: Lowering, x: Ref) -> Ref:
    return x if low.dims(x) < 2 else transpose(low, x, -2, -1)


@rule("numpy_T")
def reverse(low: Lowering, x: Ref) -> Ref:
    return permute(low, x, list(reversed(range(low.dims(x)))))


@rule("movedim")
def movedim(low: Lowering, x: Ref, source: Any, destination: Any) -> Ref:
    dims = list(range(low.dims(x)))
    sources = [axis_of(a, len(dims)) for a in (source if isinstance(source, list | tuple) else [source])]
    targets = [axis_of(a, len(dims)) for a in (destination if isinstance(destination, list | tuple) else [destination])]
    rest = iter([d for d in dims if d not in sources])
    placed = dict(zip(targets, sources, strict=True))
    return permute(low, x, [placed[i] if i in placed else next(rest) for i in dims])


@rule("expand", "broadcast_to")
def expand(low: Lowering, x: Ref, shape: Any, **_: Any) -> Ref:
    have, want = low.shape(x), list(shape)
    x = low.reshape(x, [1] * (len(want) - len(have)) + list(have))
    have = low.shape(x)
    return low.add(Expand(tuple(h if w == -1 else int(w) for h, w in zip(have, want, strict=True))), x)


@rule("expand_as")
def expand_as(low: Lowering, x: Ref, other: Ref) -> Ref:
    return expand(low, x, low.shape(other))


@rule("repeat", "tile")
def repeat(low: Lowering, x: Ref, times: Any) -> Ref:
    """Repeat the whole tensor along each dimension: expand a new dimension next to each one and merge the two."""
    shape = [1] * (len(times) - low.dims(x)) + list(low.shape(x))
    times = [1] * (len(shape) - len(times)) + [int(t) for t in times]
    x = low.reshape(x, [size for s in shape for size in (1, s)])
    x = low.add(Expand(tuple(size for t, s in zip(times, shape, strict=True) for size in (t, s))), x)
    return low.reshape(x, [t * s for t, s in zip(times, shape, strict=True)])


@rule("repeat_interleave")
def repeat_interleave(low: Lowering, x: Ref, times: Any, axis: int | None = None, **_: Any) -> Ref:
    """Repeat each element (of the flattened tensor if no dimension is given); different counts become one Gather."""
    if axis is None:
        x, axis = low.reshape(x, [-1]), 0
    shape, axis = low.shape(x), axis_of(axis, low.dims(x))
    if isinstance(times, Ref):
        if times.value is None:
            raise NotImplementedError("counts that depend on the data: the size of the result would depend on them")
        places = torch.arange(shape[axis]).repeat_interleave(times.value)
        return low.add(Gather(axis), x, low.known(places, "places"))
    x = low.reshape(x, [*shape[: axis + 1], 1, *shape[axis + 1 :]])
    x = low.add(Expand((*shape[: axis + 1], times, *shape[axis + 1 :])), x)
    return low.reshape(x, [*shape[:axis], shape[axis] * times, *shape[axis + 1 :]])


@rule("cat", "concat", "concatenate")
def cat(low: Lowering, tensors: list[Ref], axis: int = 0) -> Ref:
    kept = [t for t in tensors if low.shape(t) != (0,)]
    return kept[0] if len(kept) == 1 else low.add(Concat(axis_of(axis, low.dims(kept[0]))), *kept)


@rule("stack")
def stack(low: Lowering, tensors: list[Ref], axis: int = 0) -> Ref:
    axis = axis % (low.dims(tensors[0]) + 1)
    return cat(low, [unsqueeze(low, t, axis) for t in tensors], axis)


def _piece(low: Lowering, x: Ref, axis: int, start: int, stop: int, step: int = 1) -> Ref:
    size = low.shape(x)[axis]
    return low.add(Slice(axis, start, None if stop >= size else stop, step), x)


@rule("slice")
def slice_(low: Lowering, x: Ref, axis: int = 0, start: int | None = None, stop: int | None = None, step: int = 1) -> Ref:
    axis = axis_of(axis, low.dims(x))
    first, last, step = slice(start, stop, step).indices(low.shape(x)[axis])
    return _piece(low, x, axis, first, max(first, last), step)


@rule("narrow")
def narrow(low: Lowering, x: Ref, axis: int, start: int, length: int) -> Ref:
    start = start % low.shape(x)[axis] if start < 0 else start
    return slice_(low, x, axis, start, start + length)


@rule("select")
def select(low: Lowering, x: Ref, axis: int, index: int) -> Ref:
    shape, axis = low.shape(x), axis_of(axis, low.dims(x))
    index = index % shape[axis]
    piece = _piece(low, x, axis, index, index + 1)
    return low.reshape(piece, [*shape[:axis], *shape[axis + 1 :]])


@rule("split", "split_with_sizes", "unsafe_split")
def split(low: Lowering, x: Ref, sizes: Any, axis: int = 0) -> list[Ref]:
    axis = axis_of(axis, low.dims(x))
    total = low.shape(x)[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [_piece(low, x, axis, start, start + size) for start, size in zip(starts, sizes, strict=True)]


@rule("chunk")
def chunk(low: Lowering, x: Ref, count: int, axis: int = 0) -> list[Ref]:
    total = low.shape(x)[axis_of(axis, low.dims(x))]
    return split(low, x, -(-total // count), axis)


@rule("tensor_split")
def tensor_split(low: Lowering, x: Ref, count: Any, axis: int = 0) -> list[Ref]:
    total = low.shape(x)[axis_of(axis, low.dims(x))]
    if isinstance(count, list | tuple):
        return [slice_(low, x, axis, start, stop) for start, stop in pairwise([0, *count, total])]
    return split(low, x, [total // count + (i < total % count) for i in range(count)], axis)


@rule("unbind")
def unbind(low: Lowering, x: Ref, axis: int = 0) -> list[Ref]:
    return [select(low, x, axis, i) for i in range(low.shape(x)[axis_of(axis, low.dims(x))])]


@rule("flip")
def flip(low: Lowering, x: Ref, axes: list[int]) -> Ref:
    for axis in axes:
        size = low.shape(x)[axis_of(axis, low.dims(x))]
        x = low.add(Slice(axis_of(axis, low.dims(x)), size - 1, None, -1), x)
    return x


@rule("roll")
def roll(low: Lowering, x: Ref, shifts: Any, axes: Any = ()) -> Ref:
    shifts, axes = list(many(shifts, 1)), list(many(axes, 1)) if axes or axes == 0 else []
    if not axes:
        return low.reshape(roll(low, low.reshape(x, [-1]), shifts, [0]), low.shape(x))
    for shift, axis in zip(shifts, axes, strict=True):
        axis = axis_of(axis, low.dims(x))
        size = low.shape(x)[axis]
        cut = (size - shift) % size
        if cut:
            x = low.add(Concat(axis), _piece(low, x, axis, cut, size), _piece(low, x, axis, 0, cut))
    return x


@rule("pixel_shuffle")
def pixel_shuffle(low: Lowering, x: Ref, factor: int) -> Ref:
    """Turn blocks of channels into pixels; any dimensions before the channels stay."""
    *outer, c, h, w = low.shape(x)
    x = low.reshape(x, (*outer, c // factor**2, factor, factor, h, w))
    return low.reshape(_inner(low, x, (0, 3, 1, 4, 2)), (*outer, c // factor**2, h * factor, w * factor))


@rule("pixel_unshuffle")
def pixel_unshuffle(low: Lowering, x: Ref, factor: int) -> Ref:
    *outer, c, h, w = low.shape(x)
    x = low.reshape(x, (*outer, c, h // factor, factor, w // factor, factor))
    return low.reshape(_inner(low, x, (0, 2, 4, 1, 3)), (*outer, c * factor**2, h // factor, w // factor))


def _inner(low: Lowering, x: Ref, order: tuple[int, ...]) -> Ref:
    """Permute the last dimensions; those before them stay in place."""
    outer = low.dims(x) - len(order)
    return permute(low, x, [*range(outer), *(outer + i for i in order)])


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(low: Lowering, x: Ref, groups: int) -> Ref:
    n, c, *space = low.shape(x)
    x = transpose(low, low.reshape(x, (n, groups, c // groups, *space)), 1, 2)
    return low.reshape(x, (n, c, *space))


@rule("meshgrid")
def meshgrid(low: Lowering, axes: list[Ref], *, indexing: str = "ij") -> list[Ref]:
    """Return each vector along its own dimension, repeated along the others; "xy" swaps the dimensions of the first two."""
    swap = indexing == "xy" and len(axes) > 1
    axes = [axes[1], axes[0], *axes[2:]] if swap else list(axes)
    shape = [low.shape(a)[0] if low.dims(a) else 1 for a in axes]
    grids = [expand(low, low.reshape(a, [-1 if i == j else 1 for j in range(len(shape))]), shape) for i, a in enumerate(axes)]
    return [grids[1], grids[0], *grids[2:]] if swap else grids


@rule("broadcast_tensors")
def broadcast_tensors(low: Lowering, tensors: list[Ref]) -> list[Ref]:
    shape = broadcast(*(low.shape(t) for t in tensors))
    return [expand(low, t, shape) for t in tensors]


@rule("diagonal")
def diagonal(low: Lowering, x: Ref, offset: int = 0, first: int = 0, second: int = 1) -> Ref:
    """Take a diagonal: merge the two dimensions into one and keep every (size + 1)-th entry."""
    dims = low.dims(x)
    pair = axis_of(first, dims), axis_of(second, dims)
    x = permute(low, x, [*(i for i in range(dims) if i not in pair), *pair])
    *outer, rows, columns = low.shape(x)
    start = offset if offset >= 0 else -offset * columns
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    stop = start + (length - 1) * (columns + 1) + 1 if length else start
    return slice_(low, low.reshape(x, [*outer, rows * columns]), -1, start, stop, columns + 1)
