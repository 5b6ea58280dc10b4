"""Selection by index, and masks."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Add, Cast, Compare, Gather, GatherElements, Mul, Where


@rule("Gather")
def gather(low: Lowering, x: str, indices: str, *, axis: int = 0) -> str:
    """Gather by index. One constant index becomes a slice, which every engine supports directly."""
    axis, index = low.axis(axis, low.dims(x)), low.value(indices)
    if index is None or index.numel() != 1 or low.value(x) is not None:
        return low.add(Gather(axis), x, indices)
    size = low.shape(x)[axis]
    place = int(index) % size
    rest = [*low.shape(x)[:axis], *index.shape, *low.shape(x)[axis + 1 :]]
    return low.reshape(low.cut(x, axis, place, place + 1), rest)


@rule("GatherElements")
def gather_elements(low: Lowering, x: str, indices: str, *, axis: int = 0) -> str:
    axis = low.axis(axis, low.dims(x))
    for growth in filter(None, (low.growth(x), low.growth(indices))):
        if growth.axis != axis:
            x, indices = low.repeated(x, growth.axis, growth), low.repeated(indices, growth.axis, growth)
    return low.add(GatherElements(axis), x, _from_front(low, indices, low.shape(x)[axis]))


def _from_front(low: Lowering, indices: str, size: int) -> str:
    """Return non-negative indices; negative ones, which count from the end, are shifted by the size."""
    value = low.value(indices)
    if value is not None and not bool((value < 0).any()):
        return indices
    negative = low.add(Compare("lt"), indices, low.scalar(0, indices))
    return low.add(Where(), negative, low.add(Add(), indices, low.scalar(size, indices)), indices)


@rule("GatherND")
def gather_nd(low: Lowering, x: str, indices: str, *, batch_dims: int = 0) -> str:
    """Merge the indexed dimensions and the batch dimensions before them into one, and gather from it."""
    shape, places = low.shape(x), low.shape(indices)
    depth = batch_dims + places[-1]
    place = low.constant(_offsets(shape[:depth], batch_dims, places[:-1])) if batch_dims else None
    for i in range(places[-1]):
        axis = batch_dims + i
        part = low.reshape(low.cut(indices, len(places) - 1, i, i + 1), places[:-1])
        part, step = _from_front(low, part, shape[axis]), prod(shape[axis + 1 : depth])
        part = part if step == 1 else low.add(Mul(), part, low.scalar(step, part))
        place = part if place is None else low.add(Add(), place, part)
    merged = low.reshape(x, (prod(shape[:depth]), *shape[depth:]))
    return merged if place is None else low.add(Gather(0), merged, place)


def _offsets(shape: tuple[int, ...], batch_dims: int, places: tuple[int, ...]) -> Tensor:
    """Return the offset of each batch entry once the batch dimensions are merged with the indexed ones."""
    step = prod(shape[batch_dims:])
    starts = torch.arange(prod(shape[:batch_dims])) * step
    return starts.reshape(*shape[:batch_dims], *[1] * (len(places) - batch_dims)).expand(places)


@rule("OneHot")
def one_hot(low: Lowering, indices: str, depth: str, values: str, *, axis: int = -1) -> str:
    """Return rows of `values[0]` with `values[1]` at the index; a row whose index is out of range has none."""
    count = low.numbers(depth, "depth")[0]
    indices = indices if not low.floating(indices) else low.add(Cast("i64"), indices)
    shape = list(low.shape(indices))
    axis = axis % (len(shape) + 1)
    places = torch.arange(count).reshape([-1 if i == axis else 1 for i in range(len(shape) + 1)])
    spread = low.reshape(_from_front(low, indices, count), [*shape[:axis], 1, *shape[axis:]])
    hot = low.add(Compare("eq"), spread, low.constant(places))
    off, on = (low.reshape(low.cut(values, 0, i, i + 1), ()) for i in (0, 1))
    return low.add(Where(), hot, on, off)


@rule("Trilu")
def trilu(low: Lowering, x: str, k: str | None = None, *, upper: int = 1) -> str:
    """Keep the upper or lower triangle and set the rest to zero."""
    diagonal = low.numbers(k, "diagonal")[0] if k is not None else 0
    full = torch.ones(low.shape(x)[-2:], dtype=torch.bool)
    mask = full.triu(diagonal) if upper else full.tril(diagonal)
    zero = low.constant(torch.tensor(False)) if low.builder.types[x].dtype == "bool" else low.scalar(0, x)
    return low.add(Where(), low.constant(mask), x, zero)
