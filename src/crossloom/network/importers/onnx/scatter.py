"""Writes into a tensor at known positions: a slice if the positions form one, otherwise a selection by index."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Concat, Gather


@rule("ScatterND")
def scatter_nd(low: Lowering, x: str, indices: str, updates: str, *, reduction: str = "none") -> str:
    if reduction != "none":
        raise NotImplementedError(f"scattering with reduction {reduction}")
    places, growth = low.known(indices, "indices"), low.growth(x) or low.growth(updates)
    x = low.repeated(x, growth.axis, growth) if growth and low.growth(x) is None else x
    shape = low.shape(x)
    depth = places.shape[-1]
    places = torch.where(places < 0, places + torch.tensor(shape[:depth]), places).reshape(-1, depth)
    box = _box(places, shape[:depth])
    if box is None:
        return _chosen(low, x, places, updates)
    if growth and growth.axis < depth and box[growth.axis] == (0, growth.before):
        box[growth.axis] = (0, growth.now)
    partial = [axis for axis, (start, count) in enumerate(box) if (start, count) != (0, shape[axis])]
    piece = low.reshape(updates, [*(count for _, count in box), *shape[depth:]])
    if not partial:
        return piece
    if len(partial) > 1:
        return _chosen(low, x, places, updates)
    axis, (start, count) = partial[0], box[partial[0]]
    parts = [low.cut(x, axis, 0, start)] if start else []
    parts += [piece, *([low.cut(x, axis, start + count, shape[axis])] if start + count < shape[axis] else [])]
    return low.add(Concat(axis), *parts)


def _box(places: Tensor, shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """Return the start and length of a box in each dimension if the positions are its elements in order, else None."""
    if not len(places):
        return None
    start, last = places.min(0).values, places.max(0).values
    box = [(int(a), int(b) - int(a) + 1) for a, b in zip(start, last, strict=True)]
    grid = torch.cartesian_prod(*(torch.arange(a, a + n) for a, n in box)).reshape(-1, len(shape))
    return box if torch.equal(grid, places) else None


def _chosen(low: Lowering, x: str, places: Tensor, updates: str) -> str:
    """Append the updates to the rows of `x` and select each row from either; the last update of a position wins."""
    shape, depth = low.shape(x), places.shape[-1]
    rows, rest = prod(shape[:depth]), shape[depth:]
    strides = torch.tensor([prod(shape[i + 1 : depth]) for i in range(depth)])
    source = torch.arange(rows)
    for i, row in enumerate((places * strides).sum(-1).tolist()):
        source[row] = rows + i
    both = low.add(Concat(0), low.reshape(x, (rows, *rest)), low.reshape(updates, (len(places), *rest)))
    return low.reshape(low.add(Gather(0), both, low.constant(source)), shape)
