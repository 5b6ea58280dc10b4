"""From real partial sums to a strip's sums: each converted, or none (see `analog/layer.py`); what lies between is in `accumulated.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.analog.rng import normals
from crossloom.engine.crossbar.analog.strips import Strip
from crossloom.engine.crossbar.analog.trained import TransferTable, pool
from crossloom.engine.crossbar.ideal.product import EXACT_FLOAT32, byte_product
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.trained_settings import Circuits
from crossloom.network.integer import plain_arithmetic
from crossloom.periphery.converter import HOLDS_F

TIE = 2.0**-30
"""In units of the partial sum: rounding errors of the sums are smaller by far, effects larger by far."""


@dataclass(frozen=True)
class RandomStream:
    """The random numbers of some input vectors: a key for each; None where nothing is random."""

    key: Tensor | None

    def __len__(self) -> int:
        return 0 if self.key is None else len(self.key)

    def normals(self, first: int, count: int) -> Tensor:
        """Return numbers `first` to `first + count` of each vector, (N, count); `first` is a multiple of four."""
        assert self.key is not None
        return normals(self.key, first, count)


@dataclass(frozen=True)
class Noise:
    """Variances (rows, lines) of what a digit 1 reads, to be multiplied by squares of digits: bytes times `scale`, or float32."""

    variance: Tensor
    scale: float

    @classmethod
    def of(cls, variance: Tensor | None, largest: int) -> Noise | None:
        """Return the variances for squares up to `largest`, or None if there are none."""
        if variance is None or not bool((variance > 0).any()):
            return None
        if largest > 127 or variance.is_cuda:
            return cls(variance.to(torch.float32), 1.0)
        scale = float(variance.max()) / 127
        return cls(torch.round(variance / scale).to(torch.int8).contiguous(), scale)

    def add(self, sums: Tensor, squares: Tensor, normal: Tensor) -> None:
        """Add to sums (N, lines) normal numbers of the variance squares (N, rows) · variance; squares are bytes where variances are."""
        if self.variance.dtype == torch.int8:
            spread = byte_product(squares.to(torch.int8), self.variance).to(torch.float32).sqrt_()
        else:
            spread = torch.sqrt_(squares.to(torch.float32) @ self.variance)
        normal = normal.reshape(sums.shape)
        if sums.dtype == torch.float32:
            sums.addcmul_(spread, normal, value=self.scale**0.5)
        else:
            sums.add_(spread.mul_(normal), alpha=self.scale**0.5)


def _coarse(lines: Tensor, digit: int, sigma: float) -> Tensor:
    """Return matrices on a grid so coarse that all sums of their products with digits are exact in float32, in any order of summation.

    Only where the grid is far below σ, the mean fluctuation of a cell from read to read; otherwise as they are, in float64.
    """
    largest = digit * float(lines.abs().sum(0).max())
    grid = 2.0 ** (math.ceil(math.log2(largest + 1)) - 23)
    return (torch.round(lines / grid) * grid).to(torch.float32) if grid < sigma / 16 else lines


def fours(count: int) -> int:
    """Return a count rounded up to a multiple of four: one random word yields four numbers."""
    return -(-count // 4) * 4


def digits_of(vectors: Tensor, layer: MappedLayer) -> Tensor:
    """Return the digits (N, D, rows) of input vectors (N, rows), as signed bytes: no digit has more than seven bits."""
    whole = vectors if vectors.dtype == torch.uint8 else vectors.to(torch.int32)
    if layer.digits.signs:
        return layer.digits(whole).to(torch.int8).transpose(0, 1)
    return torch.stack([((whole >> shift) & ((1 << width) - 1)).to(torch.int8) for shift, width, _ in layer.digits.cuts], 1)


def squares_of(digits: Tensor, layer: MappedLayer) -> Tensor:
    """Return the squares of digits (bytes): bytes while they fit, which those of one bit are themselves."""
    if layer.xbar.input_bits == 1 and not layer.digits.signs:
        return digits
    return digits.square() if layer.xbar.input_bits <= 3 else digits.to(torch.float32).square()


def _summed(digits: Tensor, layer: MappedLayer) -> Tensor:
    """Return Σ_b α_b · digit (N, ...) for numbers (N, D, ...) of each digit."""
    weights = layer.digits.weights
    total = digits[:, 0] * weights[0]
    for place, weight in enumerate(weights[1:], 1):
        total.add_(digits[:, place], alpha=weight)
    return total


@dataclass(frozen=True)
class Quantiser:
    """The converters at the end of some sums: ideal, or trained circuits."""

    converter: Converter
    table: TransferTable | None = None

    @classmethod
    def of(cls, converter: Converter, strip: Strip, layer: MappedLayer, lines: int = 1) -> Quantiser:
        """Return the converters of a strip's results, by the number of bit lines of each."""
        circuits = layer.xbar.circuits
        if not circuits.converter:
            return cls(converter)
        found = pool(Circuits("", circuits.converter, circuits.calibrated), 1, max(HOLDS_F), strip.seed)
        return cls(converter, TransferTable.of(found, strip.arrays.repeat(lines), converter, strip.first_circuit))

    def draws(self, count: int) -> int:
        """Random numbers for `count` sums."""
        return fours(count) if self.table else 0

    def __call__(self, steps: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return codes for real sums in steps (rows, columns), the rows of one input vector after the other; overwrites its argument."""
        if self.table is not None:
            return self.table.codes(steps, streams.normals(first, steps.numel() // len(streams)))
        return steps.add_(0.5 + TIE).floor_().clamp_(*self.converter.codes)


@dataclass(frozen=True)
class PerPartialSum:
    """A strip each of whose partial sums is converted.

    `lines` are its matrices and, if the sum of the inputs counts, its unit columns, all in steps of the converter.
    """

    strip: Strip
    layer: MappedLayer
    converter: Converter
    lines: Tensor
    noise: Noise | None
    quantiser: Quantiser

    @classmethod
    def of(cls, strip: Strip, layer: MappedLayer) -> PerPartialSum:
        """Return the strip with the machine's converter."""
        converter, counted = layer.converters[0], strip.counts_inputs
        quantiser = Quantiser.of(converter, strip, layer, len(layer.slices))
        step = 1 << converter.shift
        lines = (torch.cat((strip.sums, strip.unit), 1) if counted else strip.sums) / step
        if strip.variance is None:
            return cls(strip.lean, layer, converter, lines, None, quantiser)
        unit = torch.zeros_like(strip.unit) if strip.unit_variance is None else strip.unit_variance
        variance = (torch.cat((strip.variance, unit), 1) if counted else strip.variance) / step**2
        digit = (1 << layer.xbar.input_bits) - 1
        lines = _coarse(lines, digit, float(variance.mean()) ** 0.5)
        return cls(strip.lean, layer, converter, lines, Noise.of(variance, digit**2), quantiser)

    @property
    def numbers(self) -> torch.dtype:
        """The type of what is read: float64, so that no rounding error is taken for a unit; of noisy sums float32 is enough.

        Their weighted sums over the digits must stay below 2²⁴ for that, where whole numbers in float32 are exact.
        """
        xbar = self.layer.xbar
        largest = max((1 << self.converter.bits) - 1, 2 * xbar.rows * ((1 << xbar.input_bits) - 1))
        small = sum(map(abs, self.layer.digits.weights)) * largest < EXACT_FLOAT32
        return torch.float32 if self.noise and small else torch.float64

    @property
    def width(self) -> int:
        """Numbers read for one input vector."""
        return len(self.layer.digits) * self.lines.shape[1]

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        return (fours(self.width) if self.noise else 0) + self.quantiser.draws(len(self.layer.digits) * self.strip.weights.numel())

    def __call__(self, vectors: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        digits, data = digits_of(vectors, self.layer), self.strip.weights.numel()
        flat = digits.reshape(-1, digits.shape[2])
        with plain_arithmetic(flat):
            read = (flat.to(self.lines.dtype) @ self.lines).to(self.numbers)
        if self.noise:
            self.noise.add(read, squares_of(flat, self.layer), streams.normals(first, self.width))
            first += fours(self.width)
        read[:, data:].mul_(1 << self.converter.shift).add_(0.5 + TIE).floor_()
        read[:, :data] = self.quantiser(read[:, :data], streams, first)
        total = _summed(read.reshape(*digits.shape[:2], -1), self.layer).to(torch.float64)
        slices = total[:, :data].reshape(len(vectors), *self.strip.weights.shape)
        sums = (slices * (self.strip.weights * (1 << self.converter.shift))).sum(1)
        return sums.addcmul_(total[:, data:][:, self.strip.unit_of], self.strip.of_inputs) if self.strip.counts_inputs else sums


@dataclass(frozen=True)
class Inputs:
    """The sum of the inputs that unit columns measure, digit after digit, rounded to whole units."""

    strip: Strip
    layer: MappedLayer
    noise: Noise | None

    @classmethod
    def of(cls, strip: Strip, layer: MappedLayer) -> Inputs:
        return cls(strip, layer, Noise.of(strip.unit_variance, ((1 << layer.xbar.input_bits) - 1) ** 2) if strip.counts_inputs else None)

    @property
    def draws(self) -> int:
        return fours(len(self.layer.digits) * self.strip.unit.shape[1]) if self.noise else 0

    def __call__(self, digits: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return what the inputs add to the results, (N, columns) or (N, 1), for digits (N, D, rows)."""
        if not self.strip.counts_inputs:
            return torch.zeros(len(digits), 1, dtype=torch.float64, device=digits.device)
        flat = digits.reshape(-1, digits.shape[2])
        sums = flat.to(torch.float64) @ self.strip.unit
        if self.noise:
            self.noise.add(sums, squares_of(flat, self.layer), streams.normals(first, digits.shape[1] * sums.shape[1]))
        sums = sums.add_(0.5 + TIE).floor_().reshape(*digits.shape[:2], -1)
        return _summed(sums, self.layer)[:, self.strip.unit_of] * self.strip.of_inputs


def at_once(strip: Strip, weights: Tensor) -> Noise | None:
    """Return the variance of what all slices of a digit 1 read together, with weights (K, columns)."""
    if strip.variance is None:
        return None
    each = strip.variance.reshape(len(strip.variance), *weights.shape)
    return Noise.of((each * weights.square()).sum(1), 1 << 30)


def weighted_squares(vectors: Tensor, layer: MappedLayer) -> Tensor:
    """Return Σ_b α_b² d_b² (N, rows) of integer input vectors (N, rows)."""
    weights = torch.tensor(layer.digits.weights, dtype=torch.float64, device=vectors.device)
    return torch.einsum("ndr,d->nr", digits_of(vectors, layer).to(torch.float64).square(), weights.square())


@dataclass(frozen=True)
class NoAdc:
    """A strip without converters: whole inputs times the weights as they are."""

    strip: Strip
    layer: MappedLayer
    effective: Tensor
    noise: Noise | None
    unit_noise: Noise | None

    @classmethod
    def of(cls, strip: Strip, layer: MappedLayer) -> NoAdc:
        """Return the strip with everything that is linear in one matrix."""
        return cls(strip.lean, layer, strip.effective, at_once(strip, strip.weights), Noise.of(strip.unit_variance, 1 << 30))

    @property
    def width(self) -> int:
        """Numbers held for one input vector."""
        return self.strip.height * (len(self.layer.digits) if self.noise else 1) + self.effective.shape[1]

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        data = fours(self.effective.shape[1]) if self.noise else 0
        return data + (fours(self.strip.unit.shape[1]) if self.unit_noise else 0)

    def __call__(self, vectors: Tensor, streams: RandomStream, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        sums = vectors.to(torch.float64) @ self.effective
        if not self.noise and not self.unit_noise:
            return sums
        squares = weighted_squares(vectors, self.layer)
        if self.noise:
            self.noise.add(sums, squares, streams.normals(first, sums.shape[1]))
            first += fours(sums.shape[1])
        if self.unit_noise:
            unit = torch.zeros(len(vectors), self.strip.unit.shape[1], dtype=torch.float64, device=sums.device)
            self.unit_noise.add(unit, squares, streams.normals(first, unit.shape[1]))
            sums += unit[:, self.strip.unit_of] * self.strip.of_inputs
        return sums
