"""Selection by index, partial writes, and tensors that depend only on a shape."""

from __future__ import annotations

from typing import Any

import torch

from crossloom.network.importers.torch.aten.moves import expand, permute, unsqueeze
from crossloom.network.importers.torch.aten.pointwise import add, cast, kind_of, mul, remainder, where
from crossloom.network.importers.torch.aten.table import Lowering, Missing, Ref, axis_of, broadcast, rule
from crossloom.network.operators import Compare, Concat, Gather, GatherElements, Reduce, Slice


@rule("embedding")
def embedding(low: Lowering, table: Ref, indices: Ref, *_: Any) -> Ref:
    return low.add(Gather(0), table, indices)


@rule("embedding_bag", "_embedding_bag")
def embedding_bag(
    low: Lowering,
    table: Ref,
    indices: Ref,
    offsets: Ref | None = None,
    scale_grad: bool = False,
    mode: int = 0,
    sparse: bool = False,
    weights: Ref | None = None,
    include_last: bool = False,
    padding: int | None = None,
) -> list[Any]:
    """Look up and reduce the rows of bags of equal length."""
    starts = None if offsets is None or offsets.value is None else [int(v) for v in offsets.value.tolist()]
    total = low.shape(indices)[0]
    starts = starts[:-1] if starts and include_last else starts
    bags = len(starts) if starts else 0
    length = total // bags if bags else 0
    if weights is not None or (padding is not None and padding >= 0) or starts != [i * length for i in range(bags)] or bags * length != total:
        raise NotImplementedError("bags of different lengths, with weights or with padding; look up an embedding and reduce it yourself")
    rows = low.add(Gather(0), table, low.reshape(indices, (bags, length)))
    kind: Any = ("sum", "mean", "max")[mode]
    return [low.add(Reduce(kind, (1,), False), rows), *[Missing("the training outputs of an embedding bag")] * 3]


@rule("index_select")
def index_select(low: Lowering, x: Ref, axis: int, indices: Ref) -> Ref:
    return low.add(Gather(axis_of(axis, low.dims(x))), x, indices)


@rule("gather")
def gather(low: Lowering, x: Ref, axis: int, indices: Ref, **_: Any) -> Ref:
    return low.add(GatherElements(axis_of(axis, low.dims(x))), x, indices)


@rule("take_along_dim")
def take_along_dim(low: Lowering, x: Ref, indices: Ref, axis: int | None = None) -> Ref:
    if axis is None:
        x, indices, axis = low.reshape(x, [-1]), low.reshape(indices, [-1]), 0
    axis, have, want = axis_of(axis, low.dims(x)), list(low.shape(x)), list(low.shape(indices))
    shape = broadcast([*have[:axis], 1, *have[axis + 1 :]], [*want[:axis], 1, *want[axis + 1 :]])
    x, indices = (expand(low, t, [*shape[:axis], n[axis], *shape[axis + 1 :]]) for t, n in ((x, have), (indices, want)))
    return gather(low, x, axis, indices)


@rule("index", "_unsafe_index")
def index(low: Lowering, x: Ref, indices: list[Ref | None]) -> Ref:
    """Lower one index tensor to a Gather, and several to one Gather over their merged dimensions."""
    given = [(axis, ref) for axis, ref in enumerate(_numbered(low, indices)) if ref is not None]
    if any(low.dtype(ref) == "bool" for _, ref in given):
        raise NotImplementedError("selection by a mask: the size of the result depends on the data; use torch.where")
    if len(given) == 1:
        return low.add(Gather(given[0][0]), x, given[0][1])
    axes = [axis for axis, _ in given]
    if axes != list(range(axes[0], axes[0] + len(axes))):  # torch then puts the indexed dimensions first
        x = permute(low, x, [*axes, *(i for i in range(low.dims(x)) if i not in axes)])
        axes = list(range(len(axes)))
    chosen = [ref for _, ref in given]
    if axes[0] == 0 and _counts_samples(low, x, chosen):
        return _for_each_sample(low, x, chosen[1:])
    return _merged(low, x, axes[0], chosen)


def _numbered(low: Lowering, indices: list[Ref | None]) -> list[Ref | None]:
    """Return the indices, with known masks replaced by the positions where they are true."""
    numbered: list[Ref | None] = []
    for ref in indices:
        if ref is not None and ref.value is not None and ref.value.dtype == torch.bool:
            numbered += [low.known(places) for places in ref.value.nonzero(as_tuple=True)]
        else:
            numbered.append(ref)
    return numbered


def _merged(low: Lowering, x: Ref, axis: int, chosen: list[Ref]) -> Ref:
    """Select along adjacent dimensions, merged into one."""
    shape = low.shape(x)
    sizes = shape[axis : axis + len(chosen)]
    flat = remainder(low, chosen[0], sizes[0])
    for size, ref in zip(sizes[1:], chosen[1:], strict=True):
        flat = add(low, mul(low, flat, size), remainder(low, ref, size))
    return low.add(Gather(axis), low.reshape(x, [*shape[:axis], -1, *shape[axis + len(chosen) :]]), flat)


def _counts_samples(low: Lowering, x: Ref, chosen: list[Ref]) -> bool:
    """Return whether the first index is 0, 1, 2, ... over all samples, as in `x[torch.arange(batch), position]`."""
    samples, batch = chosen[0], low.shape(x)[0]
    if samples.value is None or samples.value.numel() != batch or low.shape(samples)[:1] != (batch,):
        return False
    shape = broadcast(*(low.shape(ref) for ref in chosen))
    return len(shape) == low.dims(samples) and samples.value.flatten().tolist() == list(range(batch))


def _for_each_sample(low: Lowering, x: Ref, chosen: list[Ref]) -> Ref:
    """Select from each sample by its own indices. The samples stay separate, so the batch may have any size."""
    batch, *sizes = low.shape(x)[: len(chosen) + 1]
    rest = low.shape(x)[len(chosen) + 1 :]
    flat = remainder(low, chosen[0], sizes[0])
    for size, ref in zip(sizes[1:], chosen[1:], strict=True):
        flat = add(low, mul(low, flat, size), remainder(low, ref, size))
    shape = broadcast((batch, *[1] * (low.dims(flat) - 1)), low.shape(flat))
    flat = low.reshape(expand(low, flat, shape), [batch, -1, *[1] * len(rest)])
    flat = expand(low, flat, [batch, low.shape(flat)[1], *rest])
    picked = low.add(GatherElements(1), low.reshape(x, [batch, -1, *rest]), flat)
    return low.reshape(picked, [*shape, *rest])


@rule("index_put", "_unsafe_index_put")
def index_put(low: Lowering, x: Ref, indices: list[Ref | None], values: Ref, accumulate: bool = False) -> Ref:
    """Write one value wherever a mask is true."""
    mask = indices[0]
    if len(indices) != 1 or mask is None or low.dtype(mask) != "bool" or low.shape(values) not in ((), (1,)) or accumulate:
        raise NotImplementedError("writing at selected indices; use torch.where")
    shape = low.shape(mask)
    mask = low.reshape(mask, [*shape, *[1] * (low.dims(x) - len(shape))])
    return where(low, mask, cast(low, low.reshape(values, ()), low.dtype(x)), x)


@rule("one_hot")
def one_hot(low: Lowering, x: Ref, classes: int = -1) -> Ref:
    if classes < 0:
        raise NotImplementedError("one_hot without the number of classes: the size of the result depends on the data")
    return cast(low, low.add(Compare("eq"), unsqueeze(low, x, -1), low.known(torch.arange(classes), "classes")), "i64")


@rule("slice_scatter")
def slice_scatter(low: Lowering, x: Ref, source: Ref, axis: int = 0, start: int | None = None, stop: int | None = None, step: int = 1) -> Ref:
    """Concatenate the part before, the source and the part after. A strided slice is one Gather from `x` and the source end to end."""
    axis = axis_of(axis, low.dims(x))
    size = low.shape(x)[axis]
    first, last, step = slice(start, stop, step).indices(size)
    length = len(range(first, last, step))
    if not length:
        return x
    source = expand(low, cast(low, source, low.dtype(x)), [*low.shape(x)[:axis], length, *low.shape(x)[axis + 1 :]])
    if step != 1:
        places = torch.arange(size)
        places[first:last:step] = size + torch.arange(length)
        return low.add(Gather(axis), low.add(Concat(axis), x, source), low.known(places, "places"))
    parts = [low.add(Slice(axis, 0, first), x)] if first else []
    parts.append(source)
    parts += [low.add(Slice(axis, last, None), x)] if last < size else []
    return parts[0] if len(parts) == 1 else low.add(Concat(axis), *parts)


@rule("select_scatter")
def select_scatter(low: Lowering, x: Ref, source: Ref, axis: int, index: int) -> Ref:
    axis = axis_of(axis, low.dims(x))
    index = index % low.shape(x)[axis]
    return slice_scatter(low, x, unsqueeze(low, source, axis), axis, index, index + 1)


@rule("copy")
def copy(low: Lowering, x: Ref, source: Ref, *_: Any) -> Ref:
    return expand(low, cast(low, source, low.dtype(x)), low.shape(x))


@rule("fill")
def fill(low: Lowering, x: Ref, value: Any) -> Ref:
    return expand(low, cast(low, low.operand(value, x), low.dtype(x)), low.shape(x))


@rule("zero")
def zero(low: Lowering, x: Ref) -> Ref:
    return zeros_like(low, x)


@rule("tril")
def tril(low: Lowering, x: Ref, diagonal: int = 0) -> Ref:
    inside = torch.ones(low.shape(x)[-2:], dtype=torch.bool).tril(diagonal)
    return where(low, low.known(inside, "triangle"), x, cast(low, low.scalar(0), low.dtype(x)))


@rule("triu")
def triu(low: Lowering, x: Ref, diagonal: int = 0) -> Ref:
    outside = torch.ones(low.shape(x)[-2:], dtype=torch.bool).tril(diagonal - 1)
    return where(low, low.known(outside, "triangle"), cast(low, low.scalar(0), low.dtype(x)), x)


def _filled(low: Lowering, x: Ref, shape: Any, value: Any, dtype: Any) -> Ref:
    kind = kind_of(dtype) if dtype is not None else low.dtype(x)
    numbers = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
    return low.known(torch.full([int(size) for size in shape], value, dtype=numbers[kind]))


@rule("full_like")
def full_like(low: Lowering, x: Ref, value: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, x, low.shape(x), value, dtype)


@rule("zeros_like", "empty_like")
def zeros_like(low: Lowering, x: Ref, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, x, low.shape(x), 0, dtype)


@rule("ones_like")
def ones_like(low: Lowering, x: Ref, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, x, low.shape(x), 1, dtype)


@rule("new_zeros", "new_empty")
def new_zeros(low: Lowering, x: Ref, shape: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, x, shape, 0, dtype)


@rule("new_ones")
def new_ones(low: Lowering, x: Ref, shape: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, x, shape, 1, dtype)


@rule("new_full")
def new_full(low: Lowering, x: Ref, shape: Any, value: Any, *, dtype: Any = None, **_: Any) -> Ref:
    return _filled(low, x, shape, value, dtype)
