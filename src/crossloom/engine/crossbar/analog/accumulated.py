"""From real partial sums to a strip's sums where they meet in analog before they are converted (see `analog/layer.py` for what that computes)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.analog.conversion import (
    Inputs,
    Noise,
    Quantiser,
    RandomStream,
    at_once,
    digits_of,
    fours,
    squares_of,
    weighted_squares,
)
from crossloom.engine.crossbar.analog.strips import Strip
from crossloom.engine.crossbar.analog.trained import TransferTable, front_end, pool
from crossloom.engine.crossbar.ideal.product import byte_product
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.network.integer import plain_arithmetic
from crossloom.periphery.adder import SLICES
from crossloom.periphery.file import load_adder


@dataclass(frozen=True)
class PerBufferColumn:
    """A strip whose partial sums meet in the columns of a buffer, which are converted.

    `partial` is its matrices: bytes where the cells are ideal, float64 otherwise. `factors` (L, D·K) has what meets in each line, and `sigma` is the fluctuation that the buffer's cells add to
    each line; None if there is none.
    """

    strip: Strip
    layer: MappedLayer
    partial: Tensor
    factors: Tensor
    noise: Noise | None
    sigma: tuple[float, ...] | None
    quantisers: tuple[Quantiser, ...]
    inputs: Inputs

    @classmethod
    def of(cls, strip: Strip, layer: MappedLayer) -> PerBufferColumn:
        """Return the strip with the machine's buffer and converters."""
        partial = strip.sums.to(torch.int8).contiguous() if layer.xbar.physics.ideal else strip.sums
        noise = Noise.of(strip.variance, ((1 << layer.xbar.input_bits) - 1) ** 2)
        factors = torch.zeros(len(layer.lines), len(layer.digits), len(layer.slices), dtype=torch.float64, device=strip.sums.device)
        for place, line in enumerate(layer.lines):
            for b, k, factor in line.terms:
                factors[place, b, k] = factor
        quantisers = tuple(Quantiser.of(converter, strip, layer) for converter in layer.converters)
        buffer, sigma = layer.xbar.buffer, None
        if buffer and buffer.sigma:
            sigma = tuple(buffer.sigma_of_sums(layer.xbar) * math.sqrt(sum(f * f for _, _, f in line.terms)) for line in layer.lines)
        return cls(strip.lean, layer, partial, factors.flatten(1), noise, sigma, quantisers, Inputs.of(strip.lean, layer))

    @property
    def width(self) -> int:
        """Numbers held for one input vector."""
        return len(self.layer.digits) * self.partial.shape[1] + self._converted

    @property
    def _converted(self) -> int:
        return len(self.factors) * int(self.strip.weights.shape[1])

    @property
    def _draws(self) -> tuple[int, int, int]:
        """Random numbers of an input vector for reading the array, for reading the buffer, and for a converter of all."""
        reading = fours(len(self.layer.digits) * self.partial.shape[1]) if self.noise else 0
        return reading, fours(self._converted) if self.sigma else 0, self.quantisers[0].draws(int(self.strip.weights.shape[1]))

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        reading, keeping, converting = self._draws
        return reading + keeping + converting * len(self.quantisers) + self.inputs.draws

    def __call__(self, vectors: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        digits = digits_of(vectors, self.layer)
        reading, keeping, converting = self._draws
        sums = self._columns(digits, streams, first)
        fluctuation = streams.normals(first + reading, self._converted).reshape(len(vectors), len(sums), -1) if self.sigma else None
        first += reading + keeping
        total = self.inputs(digits, streams, first + converting * len(sums)).expand(len(vectors), sums.shape[2]).clone()
        for place, (line, quantiser) in enumerate(zip(self.layer.lines, self.quantisers, strict=True)):
            step = 1 << quantiser.converter.shift
            if fluctuation is not None and self.sigma:
                sums[place].add_(fluctuation[:, place], alpha=self.sigma[place])
            total.add_(quantiser(sums[place].div_(step), streams, first + place * converting), alpha=line.weight * step)
        return total

    def _columns(self, digits: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return what the columns of the buffer hold, (L, N, columns) float64, for digits (N, D, rows)."""
        flat = digits.reshape(-1, digits.shape[2])
        read = byte_product(flat, self.partial) if self.partial.dtype == torch.int8 else flat.to(torch.float64) @ self.partial
        if self.noise:
            self.noise.add(read, squares_of(flat, self.layer), streams.normals(first, digits.shape[1] * read.shape[1]))
        read = read.reshape(len(digits), self.factors.shape[1], -1).to(torch.float64)
        return torch.matmul(self.factors, read).transpose(0, 1).contiguous()


@dataclass(frozen=True)
class PerDotProduct:
    """A strip whose digits and slices are accumulated in analog, and converted once: one product with slices joined.

    `joined` is in steps of the converter, `per_step` units of the sum each; `taken` steps are subtracted from each code.
    """

    strip: Strip
    layer: MappedLayer
    joined: Tensor
    noise: Noise | None
    quantiser: Quantiser
    per_step: float
    taken: Tensor | None
    inputs: Inputs

    @classmethod
    def of(cls, strip: Strip, layer: MappedLayer) -> PerDotProduct:
        """Return the strip with its slices joined, by ideal circuits or trained ones."""
        weights, converter = strip.weights, layer.converters[0]
        inputs, whole = Inputs.of(strip.lean, layer), strip.sums.reshape(len(strip.sums), *strip.weights.shape)
        if not layer.xbar.circuits.adder:
            step = float(1 << converter.shift)
            joined = (whole * weights).sum(1) / step
            return cls(strip.lean, layer, joined, at_once(strip, weights / step), Quantiser.of(converter, strip, layer), step, None, inputs)
        adder, cycles, circuits = load_adder(layer.xbar.circuits.adder), len(layer.digits), layer.xbar.circuits
        half = len(layer.slices) // 2
        front = front_end(adder, layer.xbar.rows, cycles, half, layer.tiling.observed_range)
        found = pool(circuits, cycles, front.range_v, strip.seed)
        table = TransferTable.of(found, strip.arrays, converter, strip.first_circuit)
        wired = [SLICES - half + abs(weight).bit_length() - 1 for weight in layer.slices.weights]
        place = torch.tensor(wired, device=weights.device)
        sloped = weights * found.slopes.to(weights.device)[table.which][:, place].T / front.per_step
        taken = (found.offset_v / found.lsb_v).to(weights.device)[table.which]
        joined = (whole * sloped).sum(1).to(torch.float32)
        return cls(strip.lean, layer, joined, at_once(strip, sloped), Quantiser(converter, table), front.per_step, taken, inputs)

    @property
    def width(self) -> int:
        """Numbers held for one input vector: its digits, and its sums."""
        return len(self.layer.digits) * self.strip.height + 2 * self.joined.shape[1]

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        columns = self.joined.shape[1]
        return (fours(columns) if self.noise else 0) + self.quantiser.draws(columns) + self.inputs.draws

    def __call__(self, vectors: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        with plain_arithmetic(self.joined):
            steps = vectors.to(self.joined.dtype) @ self.joined
        if self.noise:
            self.noise.add(steps, weighted_squares(vectors, self.layer), streams.normals(first, steps.shape[1]))
            first += fours(steps.shape[1])
        codes = self.quantiser(steps, streams, first)
        first += self.quantiser.draws(steps.shape[1])
        sums = (codes if self.taken is None else codes - self.taken).to(torch.float64).mul_(self.per_step)
        return sums.add_(self.inputs(digits_of(vectors, self.layer), streams, first)) if self.strip.counts_inputs else sums
