"""The crossbar's arithmetic for columns where the converter does clip or round, in 8-bit products.

For each row tile and slice, all digits of a block of vectors are one 8-bit matrix product with 32-bit sums; the converter
works on the block while it is in the cache, and the result is added up at once. Partial sums never reach main memory.

A flipped column holds its cells negated here, so that its sums come out with the sign with which they are added up; what
mirroring adds, (2^w − 1) · Σ x for each flipped column, is one outer product for each row tile, as is the offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.ideal.product import byte_product
from crossloom.engine.crossbar.mapping.encode import Digits, Programmed, Slices

BLOCK = 1 << 18
"""Partial sums of one block: 1 MiB. Smaller blocks pay for more calls, larger ones leave the cache."""


@dataclass(frozen=True, slots=True)
class _Tile:
    """One row tile: its rows, cells (K, rows, columns) as signed bytes, and the weight of Σ x in each column (int64)."""

    rows: slice
    cells: Tensor
    of_inputs: Tensor


@dataclass(frozen=True, slots=True)
class Sliced:
    """Sums of one weight matrix with conversion of every partial sum."""

    tiles: tuple[_Tile, ...]
    columns: int
    digits: Digits
    slices: Slices
    converter: Converter

    @classmethod
    def of(cls, tiles: list[Programmed], columns: Tensor, digits: Digits, slices: Slices, converter: Converter) -> Sliced:
        """Return the sums for some of the columns."""
        return cls(tuple(_prepared(tile, columns, slices) for tile in tiles), len(columns), digits, slices, converter)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the sums (M, C) in int64 for integer vectors (M, R)."""
        rows = max(1, BLOCK // (len(self.digits) * max(self.columns, 1)))
        return torch.cat([self._block(vectors[i : i + rows].to(torch.int32)) for i in range(0, vectors.shape[0], rows)])

    @property
    def _dtype(self) -> torch.dtype:
        """The accumulator: 32 bits unless the converters' largest values could fill them."""
        span = sum(map(abs, self.digits.weights)) * sum(map(abs, self.slices.weights)) * len(self.tiles)
        return torch.int32 if span * self.converter.limit < 1 << 31 else torch.int64

    def _block(self, vectors: Tensor) -> Tensor:
        total = torch.zeros(vectors.shape[0], self.columns, dtype=self._dtype, device=vectors.device)
        constant = torch.zeros(vectors.shape[0], self.columns, dtype=torch.int64, device=vectors.device)
        for tile in self.tiles:
            driven = vectors[:, tile.rows]
            constant.addcmul_(driven.sum(1, keepdim=True), tile.of_inputs)
            digits = self.digits(driven).to(torch.int8)
            flat = digits.reshape(-1, digits.shape[-1])
            for k, slice_weight in enumerate(self.slices.weights):
                sums = self._converted(byte_product(flat, tile.cells[k])).reshape(len(digits), -1, self.columns)
                for b, digit_weight in enumerate(self.digits.weights):
                    total.add_(sums[b], alpha=digit_weight * slice_weight)
        return constant.add_(total)

    def _converted(self, sums: Tensor) -> Tensor:
        """Convert magnitudes; the sign says only how a column is added up."""
        if not self.converter.shift:
            return sums.clamp_(-self.converter.limit, self.converter.limit)
        return self.converter(sums.abs()).mul_(sums.sign())


def _prepared(tile: Programmed, columns: Tensor, slices: Slices) -> _Tile:
    cells = tile.cells[:, :, columns]
    of_inputs = torch.full((1, len(columns)), -slices.offset, dtype=torch.int64, device=cells.device)
    if tile.flipped is not None:
        flipped = tile.flipped[:, columns]
        cells = torch.where(flipped[:, None], -cells, cells)
        highest = torch.tensor(
            [weight * ((1 << width) - 1) for weight, width in zip(slices.weights, slices.widths, strict=True)], device=cells.device
        )
        of_inputs = of_inputs + (highest[:, None] * flipped).sum(0, keepdim=True)
    return _Tile(tile.rows, cells.to(torch.int8).contiguous(), of_inputs)
