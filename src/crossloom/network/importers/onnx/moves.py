"""Operators that move elements: shapes, slices, concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from crossloom.network.importers.limits import MOST_PARTS
from crossloom.network.importers.onnx.rebatch import Growth
from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Concat, Expand, Slice, Transpose


@rule("Reshape")
def reshape(low: Lowering, x: str, shape: str, *, allowzero: int = 0) -> str:
    target = low.numbers(shape, "target shape")
    sizes = _resolved(target, low.shape(x), bool(allowzero))
    then, growth = low.written(shape), low.growth(x)
    if growth and then is not None and then.tolist() == target:
        before = tuple(growth.before if i == growth.axis else size for i, size in enumerate(low.shape(x)))
        sizes = _scaled(low, before, growth, _resolved(target, before, bool(allowzero)))
    return low.reshape(x, sizes)


def _resolved(target: list[int], have: tuple[int, ...], allowzero: bool) -> list[int]:
    """Return the target shape with 0 (size unchanged) and -1 (size inferred) filled in."""
    sizes = [have[i] if size == 0 and not allowzero else size for i, size in enumerate(target)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = prod(have) // max(1, prod(size for size in sizes if size != -1))
    return sizes


def _scaled(low: Lowering, have: tuple[int, ...], growth: Growth, sizes: list[int]) -> list[int]:
    """Return a target shape written for a fixed batch size, scaled with the batch.

    In row-major order the number of elements after the batch is unchanged, which leaves one or two possible entries for it.
    """
    batch = low.original.builder.batch if low.original else 1
    ends = prod(have[growth.axis :]) // batch, prod(have[growth.axis + 1 :])
    places = [i for i in range(len(sizes)) if any(prod(sizes[i + 1 :]) <= end <= prod(sizes[i:]) // batch for end in ends)]
    places = [i for i in places if sizes[i] * growth.now % growth.before == 0]
    if growth.axis in places:
        alike = sizes[growth.axis] == batch
        places = [growth.axis, *(() if alike else (i for i in places if i != growth.axis))]
    if not places:
        return sizes
    place = low.choice((have, growth.axis, tuple(sizes)), places)
    return [size * growth.now // growth.before if i == place else size for i, size in enumerate(sizes)]


@rule("Flatten")
def flatten(low: Lowering, x: str, *, axis: int = 1) -> str:
    shape = low.shape(x)
    axis = axis + len(shape) if axis < 0 else axis
    return low.reshape(x, (prod(shape[:axis]), prod(shape[axis:])))


@rule("Squeeze")
def squeeze(low: Lowering, x: str, axes: str | None = None) -> str:
    shape = low.shape(x)
    if axes is None:
        return low.reshape(x, [size for size in shape if size != 1])
    gone = [low.axis(axis, len(shape)) for axis in low.numbers(axes, "axes")]
    return low.reshape(x, [size for i, size in enumerate(shape) if i not in gone])


@rule("Unsqueeze")
def unsqueeze(low: Lowering, x: str, axes: str) -> str:
    numbers = low.numbers(axes, "axes")
    dims = low.dims(x) + len(numbers)
    places = {low.axis(axis, dims) for axis in numbers}
    rest = iter(low.shape(x))
    return low.reshape(x, [1 if i in places else next(rest) for i in range(dims)])


@rule("Transpose")
def transpose(low: Lowering, x: str, *, perm: Sequence[int] = ()) -> str:
    order = tuple(low.axis(axis, low.dims(x)) for axis in perm) or tuple(reversed(range(low.dims(x))))
    found = low.weight(x)
    if found and found[1] is not None and (weight := low.transposed(x, order)):
        return weight
    return low.add(Transpose(order), x)


@rule("Expand")
def expand(low: Lowering, x: str, shape: str) -> str:
    target, have = low.numbers(shape, "target shape"), low.shape(x)
    growth = low.growth(x)
    if growth and len(target) == len(have) and target[growth.axis] == growth.before:
        target[growth.axis] = growth.now
    return low.add(Expand(np.broadcast_shapes(have, tuple(target))), x)


@rule("Tile")
def tile(low: Lowering, x: str, repeats: str) -> str:
    """Repeat a tensor along each dimension: expand a new dimension next to each one and merge the two."""
    times, shape = low.numbers(repeats, "repeats"), low.shape(x)
    if all(t == 1 for t in times):
        return x
    apart = low.reshape(x, [size for s in shape for size in (1, s)])
    spread = low.add(Expand(tuple(size for t, s in zip(times, shape, strict=True) for size in (t, s))), apart)
    return low.reshape(spread, [t * s for t, s in zip(times, shape, strict=True)])


@rule("Concat")
def concat(low: Lowering, *tensors: str, axis: int) -> str:
    axis = low.axis(axis, low.dims(tensors[0]))
    if len(tensors) == 1:
        return tensors[0]
    return low.add(Concat(axis), *_in_step(low, tensors, axis))


def _in_step(low: Lowering, tensors: tuple[str, ...], axis: int) -> list[str]:
    """Repeat constants written for a fixed batch size (a class token) by the factor by which the other tensors have grown."""
    growth = next((g for g in map(low.growth, tensors) if g and g.axis != axis), None)
    return list(tensors) if growth is None else [low.repeated(x, growth.axis, growth) for x in tensors]


@rule("Split")
def split(low: Lowering, x: str, sizes: str | None = None, *, axis: int = 0, num_outputs: int | None = None) -> tuple[str, ...]:
    axis = low.axis(axis, low.dims(x))
    total = low.shape(x)[axis]
    if sizes is not None:
        parts = low.numbers(sizes, "sizes")
    else:
        count = num_outputs or low.outputs
        if count > MOST_PARTS:
            raise NotImplementedError(f"more than {MOST_PARTS:,} parts")
        each = -(-total // count)
        parts = [min(each, max(0, total - i * each)) for i in range(count)]
    starts = [sum(parts[:i]) for i in range(len(parts))]
    return tuple(low.cut(x, axis, start, start + size) for start, size in zip(starts, parts, strict=True))


@rule("Slice")
def slice_(low: Lowering, x: str, starts: str, ends: str, axes: str | None = None, steps: str | None = None) -> str:
    first, last = low.numbers(starts, "starts"), low.numbers(ends, "ends")
    along = low.numbers(axes, "axes") if axes is not None else list(range(len(first)))
    by = low.numbers(steps, "steps") if steps is not None else [1] * len(first)
    for axis, start, stop, step in zip(along, first, last, by, strict=True):
        x = _slice(low, x, low.axis(axis, low.dims(x)), slice(start, stop, step))
    return x


def _slice(low: Lowering, x: str, axis: int, piece: slice) -> str:
    size = low.shape(x)[axis]
    start, stop, step = piece.indices(size)
    if step > 0:
        return low.add(Slice(axis, min(start, size), None if stop >= size else max(start, stop), step), x)
    from_end = start == size - 1 and axis == 0
    return low.add(Slice(axis, -1 if from_end else start, None if stop < 0 else stop, step), x)


@rule("DepthToSpace")
def depth_to_space(low: Lowering, x: str, *, blocksize: int, mode: str = "DCR") -> str:
    n, channels, *space = low.shape(x)
    b, c, h, w = blocksize, channels // blocksize**2, *space
    if mode == "DCR":
        parts = low.add(Transpose((0, 3, 4, 1, 5, 2)), low.reshape(x, (n, b, b, c, h, w)))
    else:
        parts = low.add(Transpose((0, 1, 4, 2, 5, 3)), low.reshape(x, (n, c, b, b, h, w)))
    return low.reshape(parts, (n, c, h * b, w * b))


@rule("SpaceToDepth")
def space_to_depth(low: Lowering, x: str, *, blocksize: int, mode: str = "DCR") -> str:
    n, c, h, w = low.shape(x)
    b = blocksize
    parts = low.reshape(x, (n, c, h // b, b, w // b, b))
    parts = low.add(Transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)), parts)
    return low.reshape(parts, (n, c * b * b, h // b, w // b))
