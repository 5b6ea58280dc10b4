"""Operators that move elements.

A dimension given as an attribute is an `int` or a `Batch`. `Reshape` and `Expand` must be bound to a batch size
with `at` before they are called, because only the caller knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.operators.base import Move, Operator
from crossloom.network.types import Dim, resolve


@dataclass(frozen=True, slots=True)
class Reshape(Move):
    """The same elements in the same order in another shape; covers flatten, squeeze and unsqueeze."""

    shape: tuple[Dim, ...]

    def at(self, batch: int) -> Reshape:
        """Return this operator with every dimension a number."""
        return Reshape(resolve(self.shape, batch))

    def __call__(self, *tensors: Tensor) -> Tensor:
        return tensors[0].reshape(resolve(self.shape))


@dataclass(frozen=True, slots=True)
class Expand(Move):
    """The input repeated along dimensions of size one to give the shape."""

    shape: tuple[Dim, ...]

    def at(self, batch: int) -> Expand:
        """Return this operator with every dimension a number."""
        return Expand(resolve(self.shape, batch))

    def __call__(self, *tensors: Tensor) -> Tensor:
        return tensors[0].expand(resolve(self.shape))


@dataclass(frozen=True, slots=True)
class Transpose(Move):
    """Permutation of dimensions: dimension i of the result is dimension `order[i]` of the input."""

    order: tuple[int, ...]

    def __call__(self, *tensors: Tensor) -> Tensor:
        return tensors[0].permute(self.order)


@dataclass(frozen=True, slots=True)
class Slice(Move):
    """Elements start, start+step, ... before stop along one axis. All indices are in range; a negative step runs backwards.

    `stop` is None if the slice runs to the end, whatever the length.
    """

    axis: int
    start: int
    stop: int | None
    step: int = 1

    def __call__(self, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        if self.step > 0:
            index: list[slice] = [slice(None)] * x.dim()
            index[self.axis] = slice(self.start, self.stop, self.step)
            return x[tuple(index)]
        picked = range(x.shape[self.axis])[self.start : self.stop : self.step]
        return x.index_select(self.axis, torch.tensor(list(picked), dtype=torch.int64, device=x.device))


@dataclass(frozen=True, slots=True)
class Concat(Move):
    """Concatenation of the inputs along an axis."""

    axis: int

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.cat(tensors, self.axis)


@dataclass(frozen=True, slots=True)
class Pad(Move):
    """Padding by `padding` elements (before each dimension, then after each) with a constant, or by "reflect", "replicate" or "circular"."""

    padding: tuple[int, ...]
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: float = 0.0

    def __call__(self, *tensors: Tensor) -> Tensor:
        half = len(self.padding) // 2
        pairs = list(zip(self.padding[:half], self.padding[half:], strict=True))
        while self.mode != "constant" and len(pairs) > 2 and pairs[0] == (0, 0) and len(pairs) > half - 2:
            pairs.pop(0)
        sides = [side for pair in reversed(pairs) for side in pair]
        if self.mode == "constant":
            return F.pad(tensors[0], sides, value=self.value)
        return F.pad(tensors[0], sides, mode=self.mode)


@dataclass(frozen=True, slots=True)
class Interleave(Move):
    """x (N, C·times, ..., W) as (N, C, ..., size): channels c·times, c·times + 1, ... interleaved along the last axis and cut to `size`.

    It reorders the result of a convolution that computes several positions in parallel. Only machines insert this operator; importers do not.
    """

    times: int
    size: int

    def __call__(self, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        apart = x.reshape(x.shape[0], x.shape[1] // self.times, self.times, *x.shape[2:]).movedim(2, -1)
        return apart.reshape(*apart.shape[:-2], -1)[..., : self.size]


@dataclass(frozen=True, slots=True)
class Resize(Operator):
    """x (N, C, *space) at another spatial size. "nearest" takes floor(i · in/out), as torch does."""

    size: tuple[int, ...]
    mode: Literal["nearest", "linear", "bilinear", "bicubic", "trilinear"] = "nearest"
    align_corners: bool = False

    def __call__(self, *tensors: Tensor) -> Tensor:
        aligned = None if self.mode == "nearest" else self.align_corners
        return F.interpolate(tensors[0], self.size, mode=self.mode, align_corners=aligned)


@dataclass(frozen=True, slots=True)
class Gather(Operator):
    """Entries of `x` along one axis, selected by an integer tensor: inputs x, indices. An embedding is Gather(0)."""

    axis: int

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, indices = tensors
        axis = self.axis % x.dim()
        wrapped = torch.where(indices < 0, indices + x.shape[axis], indices).to(torch.int64)
        picked = x.index_select(axis, wrapped.reshape(-1))
        return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@dataclass(frozen=True, slots=True)
class GatherElements(Operator):
    """For each element of the indices, the entry of `x` at that index along one axis: inputs x, indices."""

    axis: int

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, indices = tensors
        return torch.gather(x, self.axis, indices.to(torch.int64))
