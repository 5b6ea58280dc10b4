"""Padding; a negative amount crops."""

from __future__ import annotations

import torch
from torch import Tensor

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Gather, Pad

_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@rule("Pad")
def pad(low: Lowering, x: str, pads: str, value: str | None = None, axes: str | None = None, *, mode: str = "constant") -> str:
    amounts, dims = low.numbers(pads, "amounts"), low.dims(x)
    along = low.numbers(axes, "axes") if axes is not None else list(range(dims))
    before, after = [0] * dims, [0] * dims
    for i, axis in enumerate(low.axis(a, dims) for a in along):
        before[axis], after[axis] = amounts[i], amounts[len(along) + i]
    for axis in range(dims):
        x = low.cut(x, axis, max(0, -before[axis]), low.shape(x)[axis] - max(0, -after[axis]))
    before, after = [max(0, n) for n in before], [max(0, n) for n in after]
    if not any(before + after):
        return x
    if mode == "constant":
        fill = 0.0 if value is None else float(low.known(value, "value").reshape(()))
        return low.add(Pad((*before, *after), "constant", fill), x)
    return _mirrored(low, x, before, after, mode)


def _mirrored(low: Lowering, x: str, before: list[int], after: list[int], mode: str) -> str:
    """Pad with the tensor's own elements: with torch's padding where it applies (the last one to three dimensions), else by index."""
    dims, size = low.dims(x), low.shape(x)
    untouched = {3: 1, 4: 2, 5: 2}.get(dims, dims)
    short = all(max(b, a) < n for b, a, n in zip(before, after, size, strict=True))
    if low.floating(x) and short and not any(before[:untouched] + after[:untouched]):
        return low.add(Pad((*before, *after), _MODES[mode]), x)  # type: ignore[arg-type]
    for axis in range(dims):
        if before[axis] or after[axis]:
            place = torch.arange(-before[axis], size[axis] + after[axis])
            x = low.add(Gather(axis), x, low.constant(_inside(place, size[axis], mode)))
    return x


def _inside(place: Tensor, size: int, mode: str) -> Tensor:
    if mode == "edge":
        return place.clamp(0, size - 1)
    if mode == "wrap":
        return place % size
    period = max(1, 2 * (size - 1))
    return (size - 1) - ((place % period) - (size - 1)).abs()
