"""From real partial sums to a strip's sums: three ways of conversion (see `analog.py` for what they compute)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.convert import Converter
from crossloom.engine.crossbar.draws import normals
from crossloom.engine.crossbar.layer import Layer
from crossloom.engine.crossbar.product import byte_product
from crossloom.engine.crossbar.settings import largest_once
from crossloom.engine.crossbar.strips import Strip

TIE = 2.0**-30
"""In units of the partial sum: rounding errors of the sums are smaller by far, effects larger by far."""


@dataclass(frozen=True)
class Streams:
    """The random numbers of some input vectors: a key for each; None where nothing is random."""

    key: Tensor | None

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
        """Add to sums (N, lines) normal numbers of the variance squares (N, rows) · variance."""
        if self.variance.dtype == torch.int8:
            spread = torch.sqrt(byte_product(squares.to(torch.int8), self.variance)).mul_(self.scale**0.5)
        else:
            spread = torch.sqrt_(squares.to(torch.float32) @ self.variance)
        sums.add_(spread.mul_(normal.reshape(sums.shape)))


def _fours(count: int) -> int:
    """Return a count rounded up to a multiple of four: so many numbers does one word make."""
    return -(-count // 4) * 4


def _digits(vectors: Tensor, layer: Layer) -> Tensor:
    """Return the digits (N, D, rows) of input vectors (N, rows) as float64."""
    return layer.digits(vectors.to(torch.int32)).transpose(0, 1).to(torch.float64)


@dataclass(frozen=True)
class _Inputs:
    """The weighted sum of the inputs that each unit column measures, digit after digit, rounded to whole units."""

    strip: Strip
    layer: Layer
    noise: Noise | None

    @classmethod
    def of(cls, strip: Strip, layer: Layer) -> _Inputs:
        return cls(strip, layer, Noise.of(strip.unit_variance, ((1 << layer.xbar.input_bits) - 1) ** 2))

    @property
    def draws(self) -> int:
        return _fours(len(self.layer.digits) * self.strip.unit.shape[1]) if self.noise else 0

    def __call__(self, digits: Tensor, streams: Streams, first: int) -> Tensor:
        """Return what the inputs add to the results, (N, columns), for digits (N, D, rows)."""
        vectors, count = digits.shape[:2]
        flat = digits.reshape(vectors * count, -1)
        sums = flat @ self.strip.unit
        if self.noise:
            self.noise.add(sums, flat.square(), streams.normals(first, count * sums.shape[1]))
        sums = sums.add_(0.5 + TIE).floor_().reshape(vectors, count, -1)
        total = sum(weight * sums[:, place] for place, weight in enumerate(self.layer.digits.weights))
        assert isinstance(total, Tensor)
        return total[:, self.strip.unit_of] * self.strip.of_inputs


@dataclass(frozen=True)
class Each:
    """A strip each of whose partial sums is converted; `steps` are its matrices in steps of the converter."""

    strip: Strip
    layer: Layer
    converter: Converter
    steps: Tensor
    noise: Noise | None
    inputs: _Inputs

    @classmethod
    def of(cls, strip: Strip, layer: Layer) -> Each:
        """Return the strip with the machine's converter."""
        converter = layer.xbar.converter()
        step = 1 << converter.shift
        variance = None if strip.variance is None else strip.variance / step**2
        noise = Noise.of(variance, ((1 << layer.xbar.input_bits) - 1) ** 2)
        return cls(strip, layer, converter, strip.sums / step, noise, _Inputs.of(strip, layer))

    @property
    def width(self) -> int:
        """Partial sums of one input vector."""
        return len(self.layer.digits) * self.steps.shape[1]

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        return (_fours(self.width) if self.noise else 0) + self.inputs.draws

    def __call__(self, vectors: Tensor, streams: Streams, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        digits = _digits(vectors, self.layer)
        flat = digits.reshape(-1, digits.shape[2])
        sums = flat @ self.steps
        if self.noise:
            self.noise.add(sums, flat.square(), streams.normals(first, self.width))
            first += _fours(self.width)
        codes = sums.add_(0.5 + TIE).floor_().clamp_(0, (1 << self.converter.bits) - 1).reshape(*digits.shape[:2], -1)
        total = torch.zeros(len(vectors), self.steps.shape[1], dtype=torch.float64, device=sums.device)
        for place, weight in enumerate(self.layer.digits.weights):
            total.add_(codes[:, place], alpha=weight * (1 << self.converter.shift))
        of_slices = total.reshape(len(vectors), *self.strip.weights.shape).mul_(self.strip.weights).sum(1)
        return of_slices.add_(self.inputs(digits, streams, first))


@dataclass(frozen=True)
class Once:
    """A strip whose digits and slices are accumulated in analog; what counts positive and what counts negative is converted apart."""

    strip: Strip
    layer: Layer
    plus: Tensor
    minus: Tensor
    noise: tuple[Noise | None, Noise | None]
    inputs: _Inputs

    @classmethod
    def of(cls, strip: Strip, layer: Layer) -> Once:
        """Return the strip with its slices joined."""
        whole = strip.sums.reshape(len(strip.sums), *strip.weights.shape)
        plus, minus = ((whole * side).sum(1) for side in (strip.weights.clamp(min=0), (-strip.weights).clamp(min=0)))
        noise: list[Noise | None] = [None, None]
        if strip.variance is not None:
            each = strip.variance.reshape(whole.shape)
            sides = (strip.weights.clamp(min=0), strip.weights.clamp(max=0))
            noise = [Noise.of((each * side.square()).sum(1), 1 << 30) for side in sides]
        return cls(strip, layer, plus, minus, (noise[0], noise[1]), _Inputs.of(strip, layer))

    @property
    def width(self) -> int:
        """Numbers held for one input vector: its digits, and two sides of each sum."""
        return len(self.layer.digits) * len(self.strip.sums) + 2 * self.plus.shape[1]

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        return 4 * _fours(self.plus.shape[1]) + self.inputs.draws if any(self.noise) else self.inputs.draws

    def __call__(self, vectors: Tensor, streams: Streams, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        digits, weights = _digits(vectors, self.layer), self.layer.digits.weights
        alpha = torch.tensor(weights, dtype=torch.float64, device=vectors.device)
        total = torch.zeros(len(vectors), self.plus.shape[1], dtype=torch.float64, device=vectors.device)
        for sign in (1, -1):
            largest = largest_once(self.layer.xbar, weights, self.layer.slices.weights, sign)
            if not largest:
                continue
            ways = (((sign * alpha).clamp(min=0), self.plus, self.noise[0]), ((-sign * alpha).clamp(min=0), self.minus, self.noise[1]))
            sums = torch.zeros_like(total)
            for factor, side, noise in ways:
                sums += torch.einsum("ndr,d->nr", digits, factor) @ side
                if noise:
                    noise.add(sums, torch.einsum("ndr,d->nr", digits.square(), factor.square()), streams.normals(first, sums.shape[1]))
                    first += _fours(sums.shape[1])
            converter = self.layer.xbar.converter(largest)
            step = 1 << converter.shift
            total += sign * step * sums.div_(step).add_(0.5 + TIE).floor_().clamp_(0, (1 << converter.bits) - 1)
        return total.add_(self.inputs(digits, streams, first))


@dataclass(frozen=True)
class Never:
    """A strip without converters: whole inputs times the weights as they are."""

    strip: Strip
    layer: Layer
    effective: Tensor
    noise: Noise | None
    unit_noise: Noise | None

    @classmethod
    def of(cls, strip: Strip, layer: Layer) -> Never:
        """Return the strip with everything that is linear in one matrix."""
        noise = None
        if strip.variance is not None:
            each = strip.variance.reshape(len(strip.variance), *strip.weights.shape)
            noise = Noise.of((each * strip.weights.square()).sum(1), 1 << 30)
        return cls(strip, layer, strip.effective, noise, Noise.of(strip.unit_variance, 1 << 30))

    @property
    def width(self) -> int:
        """Numbers held for one input vector."""
        return len(self.strip.sums) * (len(self.layer.digits) if self.noise else 1) + self.effective.shape[1]

    @property
    def draws(self) -> int:
        """Random numbers for one input vector."""
        data = _fours(self.effective.shape[1]) if self.noise else 0
        return data + (_fours(self.strip.unit.shape[1]) if self.unit_noise else 0)

    def __call__(self, vectors: Tensor, streams: Streams, first: int) -> Tensor:
        """Return the sums (N, columns) of integer input vectors (N, rows)."""
        sums = vectors.to(torch.float64) @ self.effective
        if not self.noise and not self.unit_noise:
            return sums
        digits = self.layer.digits(vectors.to(torch.int32))
        squares = sum(weight**2 * digit.square() for weight, digit in zip(self.layer.digits.weights, digits, strict=True))
        assert isinstance(squares, Tensor)
        if self.noise:
            self.noise.add(sums, squares, streams.normals(first, sums.shape[1]))
            first += _fours(sums.shape[1])
        if self.unit_noise:
            unit = torch.zeros(len(vectors), self.strip.unit.shape[1], dtype=torch.float64, device=sums.device)
            self.unit_noise.add(unit, squares, streams.normals(first, unit.shape[1]))
            sums += unit[:, self.strip.unit_of] * self.strip.of_inputs
        return sums
