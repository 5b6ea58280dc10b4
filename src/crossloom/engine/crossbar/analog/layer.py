"""A layer whose cells and wires are real: partial sums are real numbers, which the converters round and clip.

An array multiplies digits by a fixed matrix (`programmed.py`); what a partial sum is has changed, what is made of it has not:

    Σ_b α_b · ( Σ_k β_k · A( Σ_i d_ib · M_ik + noise )  +  γ · U_b ),    A(s) = step · clamp(⌊s/step + 1/2⌋, 0, 2^bits − 1)

with γ and U_b, the sum of the digits, as in `sliced.py`. A unit column measures U_b in the array, with the array's errors; its converter
rounds to whole units. Without one, U_b is digital and exact. Noise of reading is normal and independent from cell to cell, so that a
partial sum has one number of the variance Σ d²·σ². Four ways, chosen by the machine (`dataflow.py`):

* each partial sum is converted: products of digits in float64 (`PerPartialSum`),
* partial sums meet in the columns of a buffer, whose cells fluctuate (`PerBufferColumn`),
* each row tile is accumulated in analog and converted once: one product a row tile (`PerDotProduct`),
* converters are left out (range: ideal): one product with the weights as they are (`NoAdc`).

Sums are rounded after adding 2⁻³⁰, so that a tie is a tie whatever the order of summation. Where reads fluctuate, matrices are held on a grid
below a sixteenth of the fluctuation of a cell, so coarse that float32 sums them exactly, in any order; and variances are sums of bytes where
digits are small, each cell's rounded to 1/127 of the strip's largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from crossloom.engine.base import Inferences
from crossloom.engine.crossbar.analog.accumulated import PerBufferColumn, PerDotProduct
from crossloom.engine.crossbar.analog.conversion import NoAdc, PerPartialSum, RandomStream
from crossloom.engine.crossbar.analog.rng import key_of, keys
from crossloom.engine.crossbar.analog.strips import gains, strips_of
from crossloom.engine.crossbar.layer import MappedLayer

BLOCK = 1 << 19
"""Partial sums computed at once, so that what is done to them is done in the cache."""


@dataclass(frozen=True)
class Deferred:
    """A layer whose arrays are written when the first sums are asked for: times and costs need none."""

    layer: MappedLayer
    seed: int

    @cached_property
    def built(self) -> AnalogLayer:
        """The layer with its arrays written."""
        return AnalogLayer.of(self.layer, self.seed)

    def __call__(self, x: Tensor, inferences: Inferences, residual: Tensor | None = None) -> Tensor:
        """Return Σ (x − zero) · w + bias as the arrays give it, float64."""
        return self.built(x, inferences, residual)


@dataclass(frozen=True)
class AnalogLayer:
    """The sums of a layer as its arrays give them.

    Attributes:
        layer: what is computed.
        parts: its strips, each with its way of conversion.
        gain: factors on the sums (G·C,), or None.
        key: of its random numbers.
    """

    layer: MappedLayer
    parts: tuple[PerPartialSum | PerBufferColumn | PerDotProduct | NoAdc, ...]
    gain: Tensor | None
    key: int

    @classmethod
    def of(cls, layer: MappedLayer, seed: int) -> AnalogLayer:
        """Write a layer's arrays and return what they compute."""
        found = list(strips_of(layer, seed))
        xbar = layer.xbar
        by_dataflow: dict[str, type[PerPartialSum | PerBufferColumn | PerDotProduct]] = {
            "digital": PerPartialSum,
            "buffered": PerBufferColumn,
            "analog": PerDotProduct,
        }
        kind = NoAdc if xbar.range == "ideal" else by_dataflow[xbar.accumulate]
        return cls(layer, tuple(kind.of(strip, layer) for strip in found), gains(found, layer), key_of(seed, "reads", layer.node.name))

    def __call__(self, x: Tensor, inferences: Inferences, residual: Tensor | None = None) -> Tensor:
        """Return Σ (x − zero) · w + bias as the arrays give it, float64."""
        vectors = self.layer.vectors(x, residual)
        groups, columns = self.layer.tiling.groups, self.layer.tiling.columns
        flat = vectors.reshape(len(vectors), -1)
        sums = torch.cat([self._block(flat[part], self._streams(part, len(flat), inferences, x)) for part in self._blocks(len(flat))])
        if self.gain is not None:
            sums = sums * self.gain
        return self.layer.result(x, sums.reshape(len(flat), groups, columns))

    def _blocks(self, vectors: int) -> Iterator[slice]:
        widest = max(part.width for part in self.parts)
        size = max(1, BLOCK // widest)
        return (slice(start, start + size) for start in range(0, max(vectors, 1), size))

    def _streams(self, part: slice, vectors: int, inferences: Inferences, x: Tensor) -> RandomStream:
        """Return the random numbers of some of the vectors: each belongs to an inference and a position in it."""
        if not any(each.draws for each in self.parts):
            return RandomStream(None)
        inference, position = self.layer.places(x, vectors, torch.arange(part.start, min(part.stop, vectors), device=x.device))
        return RandomStream(keys(keys(torch.tensor(self.key, device=x.device), inferences.first + inference), position))

    def _block(self, vectors: Tensor, streams: RandomStream) -> Tensor:
        """Return the sums (N, G·C) of input vectors (N, G·R)."""
        tiling = self.layer.tiling
        total = torch.zeros(len(vectors), tiling.groups * tiling.columns, dtype=torch.float64, device=vectors.device)
        first = 0
        for part in self.parts:
            total[:, part.strip.columns] += part(vectors[:, part.strip.rows], streams, first)
            first += part.draws
        return total
