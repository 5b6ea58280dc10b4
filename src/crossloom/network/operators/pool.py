"""Pooling and reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.operators.base import Operator


def _sides(padding: tuple[int, ...]) -> list[int]:
    """Return padding (before..., after...) in torch's order: last dimension first, in pairs (before, after)."""
    half = len(padding) // 2
    return [side for pair in reversed(list(zip(padding[:half], padding[half:], strict=True))) for side in pair]


@dataclass(frozen=True, slots=True)
class MaxPool(Operator):
    """Largest element of each window of x (N, C, *space); padding is never chosen."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, padding = tensors[0], self.padding[: len(self.kernel)]
        if padding != self.padding[len(self.kernel) :] or any(2 * p > k for p, k in zip(padding, self.kernel, strict=True)):
            x, padding = F.pad(x, _sides(self.padding), value=-torch.inf), (0,) * len(self.kernel)
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(self.kernel) - 1]
        return pool(x, self.kernel, self.stride, padding, self.dilation, self.ceil)


@dataclass(frozen=True, slots=True)
class AvgPool(Operator):
    """Mean of each window of x (N, C, *space); `count_padding` specifies whether padded elements count."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil: bool = False
    count_padding: bool = True

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, padding = tensors[0], self.padding[: len(self.kernel)]
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(self.kernel) - 1]
        within = all(2 * p <= k for p, k in zip(padding, self.kernel, strict=True))
        if padding == self.padding[len(self.kernel) :] and within:
            return pool(x, self.kernel, self.stride, padding, self.ceil, self.count_padding)
        sides = _sides(self.padding)
        sums = pool(F.pad(x, sides), self.kernel, self.stride, 0, self.ceil)
        if self.count_padding:
            return sums
        return sums / pool(F.pad(torch.ones_like(x), sides), self.kernel, self.stride, 0, self.ceil)


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(Operator):
    """Mean over windows that divide the spatial dimensions into `size` parts, as evenly as whole pixels allow."""

    size: tuple[int, ...]

    def __call__(self, *tensors: Tensor) -> Tensor:
        pools: tuple[Callable[..., Tensor], ...] = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
        return pools[len(self.size) - 1](tensors[0], self.size)


@dataclass(frozen=True, slots=True)
class AdaptiveMaxPool(Operator):
    """Largest element of windows that divide the spatial dimensions into `size` parts, as evenly as whole pixels allow."""

    size: tuple[int, ...]

    def __call__(self, *tensors: Tensor) -> Tensor:
        pool = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[len(self.size) - 1]
        return pool(tensors[0], self.size)


@dataclass(frozen=True, slots=True)
class Reduce(Operator):
    """Sum, mean, maximum, minimum or product over some axes. A mean over the spatial axes is global average pooling."""

    kind: Literal["sum", "mean", "max", "min", "prod"]
    axes: tuple[int, ...]
    keep: bool = False

    def __call__(self, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        if self.kind == "prod":
            for axis in sorted((axis % x.dim() for axis in self.axes), reverse=True):
                x = torch.prod(x, axis, self.keep)
            return x
        if not self.axes:
            return x.clone()
        reductions: dict[str, Callable[..., Tensor]] = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}
        return reductions[self.kind](x, self.axes, self.keep)


@dataclass(frozen=True, slots=True)
class ArgMax(Operator):
    """Index of the first maximum along one axis."""

    axis: int
    keep: bool = False

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.argmax(tensors[0], self.axis, self.keep)


@dataclass(frozen=True, slots=True)
class CumSum(Operator):
    """Cumulative sum along one axis, for example to compute position indices."""

    axis: int

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.cumsum(tensors[0], self.axis)
