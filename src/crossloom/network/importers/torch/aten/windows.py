"""Padding, resizing, and sliding windows laid out as dimensions."""

from __future__ import annotations

from math import floor
from typing import Any

import torch

from crossloom.network.importers.torch.aten.moves import permute
from crossloom.network.importers.torch.aten.table import Lowering, Ref, axis_of, many, rule, with_batch
from crossloom.network.operators import Add, Gather, Mul, Pad, Resize

Sides = tuple[int, ...]


@rule("pad", "constant_pad_nd")
def pad(low: Lowering, x: Ref, sides: list[int], mode: Any = "constant", value: float | None = None) -> Ref:
    if not isinstance(mode, str):
        mode, value = "constant", mode
    dims = low.dims(x)
    before, after = [0] * dims, [0] * dims
    for i in range(len(sides) // 2):
        before[dims - 1 - i], after[dims - 1 - i] = int(sides[2 * i]), int(sides[2 * i + 1])
    if not any((*before, *after)):
        return x
    return low.add(Pad((*before, *after), mode, float(value or 0.0)), x)


def _padded(mode: str) -> Any:
    return lambda low, x, sides: pad(low, x, sides, mode)


for _dims in ("1d", "2d", "3d"):
    rule(f"reflection_pad{_dims}")(_padded("reflect"))
    rule(f"replication_pad{_dims}")(_padded("replicate"))


def _target(low: Lowering, x: Ref, size: Any, factors: Any) -> tuple[tuple[int, ...], list[float] | None]:
    """Return the size after resizing, and for each dimension the step through the source if it isn't simply in/out."""
    space = low.shape(x)[2:]
    factors = [float(f) for f in factors] if isinstance(factors, list | tuple) and all(f is not None for f in factors) else []
    out = tuple(int(s) for s in size) if size is not None else tuple(floor(s * f) for s, f in zip(space, factors, strict=True))
    plain = not factors or all(s * f == o for s, f, o in zip(space, factors, out, strict=True))
    return out, None if plain else [1.0 / f for f in factors]


def _along(low: Lowering, x: Ref, axis: int, positions: list[int]) -> Ref:
    return low.add(Gather(axis), x, low.known(torch.tensor(positions), "positions"))


def _nearest(low: Lowering, x: Ref, out: tuple[int, ...], steps: list[float], offset: float) -> Ref:
    for axis, (size, step) in enumerate(zip(out, steps, strict=True), 2):
        x = _along(low, x, axis, [min(floor((i + offset) * step), low.shape(x)[axis] - 1) for i in range(size)])
    return x


def _linear(low: Lowering, x: Ref, out: tuple[int, ...], steps: list[float]) -> Ref:
    """Interpolate between two neighbours, one dimension at a time."""
    for axis, (size, step) in enumerate(zip(out, steps, strict=True), 2):
        last = low.shape(x)[axis] - 1
        places = [min(max((i + 0.5) * step - 0.5, 0.0), float(last)) for i in range(size)]
        left = [min(int(p), last) for p in places]
        share = torch.tensor([p - q for p, q in zip(places, left, strict=True)]).reshape(-1, *[1] * (low.dims(x) - 1 - axis))
        parts = _along(low, x, axis, left), _along(low, x, axis, [min(q + 1, last) for q in left])
        weights = low.known(1 - share, "weight"), low.known(share, "weight")
        x = low.add(Add(), *(low.add(Mul(), part, weight) for part, weight in zip(parts, weights, strict=True)))
    return x


def _factors(rest: tuple[Any, ...]) -> Any:
    """Return the scale factors, which are passed as one list or one by one."""
    return rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest


def upsample_nearest(low: Lowering, x: Ref, size: Any = None, *rest: Any) -> Ref:
    out, steps = _target(low, x, size, _factors(rest))
    return low.add(Resize(out), x) if steps is None else _nearest(low, x, out, steps, 0.0)


def upsample_nearest_exact(low: Lowering, x: Ref, size: Any = None, *rest: Any) -> Ref:
    out, steps = _target(low, x, size, _factors(rest))
    return _nearest(low, x, out, steps or [s / o for s, o in zip(low.shape(x)[2:], out, strict=True)], 0.5)


def _upsample(mode: Any) -> Any:
    def lowered(low: Lowering, x: Ref, size: Any, align_corners: bool, *rest: Any) -> Ref:
        out, steps = _target(low, x, size, _factors(rest))
        if steps is None or align_corners:
            return low.add(Resize(out, mode, bool(align_corners)), x)
        if mode == "bicubic":
            raise NotImplementedError("bicubic resizing by a factor that does not divide evenly; give the size instead")
        return _linear(low, x, out, steps)

    return lowered


for _space in (1, 2, 3):
    rule(f"upsample_nearest{_space}d")(upsample_nearest)
    rule(f"_upsample_nearest_exact{_space}d")(upsample_nearest_exact)
for _aten, _mode in {"linear1d": "linear", "bilinear2d": "bilinear", "trilinear3d": "trilinear", "bicubic2d": "bicubic"}.items():
    rule(f"upsample_{_aten}")(_upsample(_mode))


@rule("unfold")
def unfold(low: Lowering, x: Ref, axis: int, size: int, step: int) -> Ref:
    """Return windows of `size` elements every `step`: one Gather turns a dimension into two, and the inner one goes last."""
    axis = axis_of(axis, low.dims(x))
    starts = torch.arange(0, low.shape(x)[axis] - size + 1, step)
    windows = low.add(Gather(axis), x, low.known(starts[:, None] + torch.arange(size), "windows"))
    order = [i for i in range(low.dims(windows)) if i != axis + 1]
    return permute(low, windows, [*order, axis + 1])


@rule("im2col")
def im2col(low: Lowering, x: Ref, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Ref:
    """Turn an image (N, C, H, W) into columns (N, C·kernel, windows): one Gather for the rows of each window, one for its columns."""
    sizes = [many(v, 2) for v in (kernel, dilation, padding, stride)]
    return with_batch(low, x, 2, lambda whole: _columns(low, whole, *sizes))


def _columns(low: Lowering, x: Ref, kernel: Sides, dilation: Sides, padding: Sides, stride: Sides) -> Ref:
    x = pad(low, x, [padding[1], padding[1], padding[0], padding[0]])
    for axis, (k, d, s) in zip((2, 4), zip(kernel, dilation, stride, strict=True), strict=True):
        starts = torch.arange(0, low.shape(x)[axis] - d * (k - 1), s)
        x = low.add(Gather(axis), x, low.known(torch.arange(k)[:, None] * d + starts, "windows"))
    n, c, _, rows, _, columns = low.shape(x)
    return low.reshape(permute(low, x, (0, 1, 2, 4, 3, 5)), (n, c * kernel[0] * kernel[1], rows * columns))
