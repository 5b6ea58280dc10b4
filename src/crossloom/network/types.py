"""Tensor types and shapes with an open batch dimension.

A graph runs at any batch size, so a dimension is a number or a multiple of the batch size. For example, `Batch(64)`
stands for the 64 windows into which a shifted-window transformer cuts each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u8": torch.uint8,
    "bool": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Batch:
    """A dimension of `times` elements per sample of the batch."""

    times: int = 1

    def __repr__(self) -> str:
        return "N" if self.times == 1 else f"{self.times} * N"


Dim = int | Batch


def resolve(shape: Sequence[Dim], batch: int | None = None) -> tuple[int, ...]:
    """Return the numeric shape at a batch size. Raises ValueError if the shape is open and no batch size is given."""
    if batch is None and any(isinstance(dim, Batch) for dim in shape):
        raise ValueError(f"shape {tuple(shape)} depends on the batch size and none was given")
    return tuple(dim.times * (batch or 0) if isinstance(dim, Batch) else dim for dim in shape)


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a tensor, printed as in `f32[N, 64, 56, 56]`."""

    dtype: str
    shape: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(repr, self.shape))}]"

    @classmethod
    def of(cls, tensor: torch.Tensor) -> TensorType:
        """Return the type of a tensor, with fixed dimensions only."""
        return cls(_NAMES.get(tensor.dtype, str(tensor.dtype).removeprefix("torch.")), tuple(tensor.shape))

    @property
    def batched(self) -> bool:
        """Whether any dimension grows with the batch."""
        return any(isinstance(dim, Batch) for dim in self.shape)

    def count(self, batch: int = 1) -> int:
        """Return the number of elements at a batch size."""
        return prod(resolve(self.shape, batch))

    def sizes(self, batch: int = 1) -> tuple[int, ...]:
        """Return the numeric shape at a batch size."""
        return resolve(self.shape, batch)
