"""The crossbar's arithmetic where partial sums are accumulated in analog before they are converted, on ideal cells: integers throughout.

What one cyclic shift-and-add accumulates is Σ_b α_b Σ_k β_k p_bk = Σ_i x_i · (w + offset)_i: a single product for each row tile, in float32
where all sums stay below 2²⁴. Columns of a buffer need the partial sums themselves, made as in `sliced.py`, and are fewer than these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.dataflow import Line
from crossloom.engine.crossbar.ideal.product import EXACT_FLOAT32, byte_product
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.encode import Digits, Programmed
from crossloom.network.integer import plain_arithmetic

BLOCK = 1 << 18
"""Partial sums of one block, as in `sliced.py`."""


@dataclass(frozen=True, slots=True)
class ConvertedOnce:
    """Sums of one matrix each of whose row tiles is accumulated and converted once: its rows, and the cells that belong together as one number."""

    tiles: tuple[tuple[slice, Tensor], ...]
    offset: int
    converter: Converter

    @classmethod
    def of(cls, tiles: list[Programmed], layer: MappedLayer) -> ConvertedOnce:
        """Return the sums of a matrix's row tiles."""
        weights = torch.tensor(layer.slices.weights, device=layer.weight.device)
        whole = [(tile.rows, (tile.cells * weights.reshape(-1, 1, 1)).sum(0)) for tile in tiles]
        small = all(layer.largest_input * int(cells.abs().sum(0).max()) < EXACT_FLOAT32 for _, cells in whole)
        number = torch.float32 if small else torch.float64
        return cls(tuple((rows, cells.to(number)) for rows, cells in whole), layer.slices.offset, layer.converters[0])

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the sums (M, C) in int64 for integer vectors (M, R)."""
        number = self.tiles[0][1].dtype
        real = vectors.to(number)
        total = torch.zeros(vectors.shape[0], self.tiles[0][1].shape[1], dtype=torch.int64, device=vectors.device)
        for rows, cells in self.tiles:
            with plain_arithmetic(real):
                analog = real[:, rows] @ cells
            total += self.converter(analog.to(torch.int64))
        return total.sub_(self.offset * vectors.to(torch.int64).sum(1, keepdim=True)) if self.offset else total


@dataclass(frozen=True, slots=True)
class Buffered:
    """Sums of one matrix whose partial sums meet in the columns of a buffer, row tile for row tile."""

    tiles: tuple[tuple[slice, Tensor], ...]
    digits: Digits
    offset: int
    lines: tuple[Line, ...]
    converters: tuple[Converter, ...]
    accumulator: torch.dtype

    @classmethod
    def of(cls, tiles: list[Programmed], layer: MappedLayer) -> Buffered:
        """Return the sums of a matrix's row tiles."""
        found = layer.lines
        widest = max(max(-low, high) for low, high in (line.span(layer.xbar.rows, layer.digits, layer.slices) for line in found))
        cells = tuple((tile.rows, tile.cells.to(torch.int8).contiguous()) for tile in tiles)
        widest = max(widest, *(converter.limit for converter in layer.converters))
        number = torch.int32 if 2 * widest < 1 << 31 else torch.int64
        return cls(cells, layer.digits, layer.slices.offset, found, layer.converters, number)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the sums (M, C) in int64 for integer vectors (M, R)."""
        columns = self.tiles[0][1].shape[2]
        rows = max(1, BLOCK // ((len(self.digits) + len(self.lines)) * max(columns, 1)))
        return torch.cat([self._block(vectors[i : i + rows].to(torch.int32)) for i in range(0, max(vectors.shape[0], 1), rows)])

    def _block(self, vectors: Tensor) -> Tensor:
        total = -self.offset * vectors.sum(1, keepdim=True, dtype=torch.int64) if self.offset else 0
        for rows, cells in self.tiles:
            for line, converter, sums in zip(self.lines, self.converters, self._lines(vectors[:, rows], cells), strict=True):
                total = total + converter(sums).to(torch.int64) * line.weight
        assert isinstance(total, Tensor)
        return total

    def _lines(self, vectors: Tensor, cells: Tensor) -> Tensor:
        """Return the sums (lines, M, C) that one row tile's partial sums make in the buffer."""
        digits = self.digits(vectors).to(torch.int8)
        flat, shape = digits.reshape(-1, digits.shape[-1]), (len(digits), len(vectors), cells.shape[2])
        partial = [byte_product(flat, each).reshape(shape) for each in cells]
        found = torch.zeros(len(self.lines), *shape[1:], dtype=self.accumulator, device=vectors.device)
        for sums, line in zip(found, self.lines, strict=True):
            for b, k, factor in line.terms:
                sums.add_(partial[k][b], alpha=factor)
        return found
