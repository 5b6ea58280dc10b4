"""Resizing. Modes of torch's interpolation become a Resize; other rules for the nearest pixel become Gathers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Add, Gather, Mul, Resize

_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


@dataclass(frozen=True)
class _Plan:
    """Sizes before and after, and the factor used to compute positions, for every dimension."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    factor: tuple[float, ...]

    @property
    def changed(self) -> list[int]:
        """Dimensions that change in size."""
        return [i for i, (a, b) in enumerate(zip(self.before, self.after, strict=True)) if a != b or self.factor[i] != 1.0]

    @property
    def exact(self) -> bool:
        """Whether each factor is the ratio of the sizes, which is what torch uses."""
        return all(abs(a / b - f) < 1e-5 for a, b, f in zip(self.after, self.before, self.factor, strict=True))


@rule("Resize")
def resize(
    low: Lowering,
    x: str,
    roi: str | None = None,
    scales: str | None = None,
    sizes: str | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> str:
    plan = _plan(low, x, scales, sizes, axes, keep_aspect_ratio_policy)
    if not plan.changed:
        return x
    if antialias and any(f < 1 for f in plan.factor):
        raise NotImplementedError("resizing with antialiasing; resize the data beforehand")
    if coordinate_transformation_mode == "tf_crop_and_resize":
        raise NotImplementedError("resizing a region of interest; crop the data beforehand")
    if mode == "nearest":
        return _nearest(low, x, plan, coordinate_transformation_mode, nearest_mode)
    if mode == "linear" and coordinate_transformation_mode == "asymmetric":
        return _between(low, x, plan)
    kind = _LINEAR.get(low.dims(x)) if mode == "linear" else "bicubic" if low.dims(x) == 4 else None
    cubic = mode == "cubic" and (abs(cubic_coeff_a + 0.75) > 1e-6 or exclude_outside)
    corners = coordinate_transformation_mode == "align_corners"
    if kind is None or cubic or min(plan.changed) < 2 or not plan.exact or not _as_torch(plan, coordinate_transformation_mode):
        detail = f"{mode}, {coordinate_transformation_mode}"
        raise NotImplementedError(f"this mode of resizing ({detail}); use linear or cubic with half_pixel or align_corners")
    return low.add(Resize(plan.after[2:], kind, corners), x)  # type: ignore[arg-type]


def _as_torch(plan: _Plan, mode: str) -> bool:
    """Return whether positions match torch's, with or without aligned corners."""
    if mode == "pytorch_half_pixel":
        return all(plan.after[i] > 1 for i in plan.changed)
    return mode in ("half_pixel", "half_pixel_symmetric", "align_corners")


def _plan(low: Lowering, x: str, scales: str | None, sizes: str | None, axes: Sequence[int] | None, policy: str) -> _Plan:
    before = low.shape(x)
    along = [low.axis(a, len(before)) for a in axes] if axes is not None else list(range(len(before)))
    after, factor = list(before), [1.0] * len(before)
    if sizes is not None and low.shape(sizes) != (0,):
        for axis, (size, scale) in zip(along, _targets([before[a] for a in along], low.numbers(sizes, "sizes"), policy), strict=True):
            after[axis], factor[axis] = size, scale
    elif scales is not None:
        for axis, value in zip(along, low.known(scales, "scales").tolist(), strict=True):
            after[axis], factor[axis] = int(before[axis] * value + 1e-6), value
    return _Plan(before, tuple(after), tuple(factor))


def _targets(before: list[int], sizes: list[int], policy: str) -> list[tuple[int, float]]:
    """Return the size and the factor of each dimension under the aspect-ratio policy."""
    factors = [size / b for size, b in zip(sizes, before, strict=True)]
    if policy == "stretch":
        return list(zip(sizes, factors, strict=True))
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [(int(factor * b + 0.5), factor) for b in before]


def _nearest(low: Lowering, x: str, plan: _Plan, mode: str, rounding: str) -> str:
    picked = {i: _indices(plan.before[i], plan.after[i], plan.factor[i], mode, rounding) for i in plan.changed}
    as_torch = all(torch.equal(index, _torch_indices(plan.before[i], plan.after[i])) for i, index in picked.items())
    if as_torch and min(picked) >= 2 and low.dims(x) in _LINEAR:
        return low.add(Resize(plan.after[2:]), x)
    for axis, index in picked.items():
        x = low.add(Gather(axis), x, low.constant(index))
    return x


def _torch_indices(before: int, after: int) -> Tensor:
    line = torch.arange(before, dtype=torch.float32).reshape(1, 1, -1)
    return F.interpolate(line, after, mode="nearest").reshape(-1).to(torch.int64)


def _indices(before: int, after: int, factor: float, mode: str, rounding: str) -> Tensor:
    """Return the source index of each output position, by the formulas of the ONNX operator Resize."""
    place = torch.arange(after, dtype=torch.float64)
    if mode == "asymmetric":
        at = place / factor
    elif mode == "align_corners":
        at = place * (before - 1) / (factor * before - 1) if after > 1 else torch.zeros_like(place)
    elif mode == "pytorch_half_pixel" and after == 1:
        at = torch.zeros_like(place)
    else:
        at = (place + 0.5) / factor - 0.5
    if mode == "half_pixel_symmetric":
        at = at + before / 2 * (1 - after / (factor * before))
    at = (at * 2**20).round() / 2**20
    half_down, half_up = torch.ceil(at - 0.5), torch.floor(at + 0.5)
    rounded = {"round_prefer_floor": half_down, "round_prefer_ceil": half_up, "floor": at.floor(), "ceil": at.ceil()}[rounding]
    return rounded.clamp(0, before - 1).to(torch.int64)


def _between(low: Lowering, x: str, plan: _Plan) -> str:
    """Interpolate between the two neighbours of position / factor, one dimension at a time."""
    for axis in plan.changed:
        last = plan.before[axis] - 1
        at = (torch.arange(plan.after[axis], dtype=torch.float64) / plan.factor[axis]).clamp(0, last)
        left = at.floor().to(torch.int64)
        share = (at - left).to(torch.float32).reshape(-1, *[1] * (low.dims(x) - 1 - axis))
        parts = [low.add(Gather(axis), x, low.constant(index)) for index in (left, (left + 1).clamp(max=last))]
        x = low.add(Add(), *(low.add(Mul(), part, low.constant(weight)) for part, weight in zip(parts, (1 - share, share), strict=True)))
    return x


@rule("Upsample")
def upsample(low: Lowering, x: str, scales: str, *, mode: str = "nearest") -> str:
    return resize(low, x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
