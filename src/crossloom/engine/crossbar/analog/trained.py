"""Shift-and-add and converters that are trained circuits, as a crossbar meets them.

A pool of circuits is drawn for a seed; arrays take them in turn. What such a circuit does is split, as everything static is, into what can be
computed once and what is left for each sum:

* the slopes of an adder's inputs are weights of the slices: they are folded into an array's matrix,
* its offset, its curve and the converter behind it are one table of codes over the voltage,
* the noise of all samples on the way, carried to the converter's input, is one normal number.

The feedback's own slope is taken as exact: it deviates by a percent of what is divided by 2^N (with N = 1 the spread comes out a tenth too small). Slices beyond the range of an adder's input are
not cut here. `circuits_reference` computes every sample, cycle by cycle, and tests compare the two.

Where both have a range, a layer's front end has a gain (assumed to be settable): slices fill the adder's input up to four standard deviations,
and of a converter's three ranges the smallest is taken that holds the largest sum, both as samples show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.analog.rng import key_of
from crossloom.engine.crossbar.trained_settings import Circuits
from crossloom.periphery.adder import BIAS_V, HALF_V, HOLD_F, LOSS, SLICES, Adder, noise_v
from crossloom.periphery.converter import BITS, HOLDS_F, Converters
from crossloom.periphery.file import load_adder, load_converters
from crossloom.periphery.pairs import Instances

ADDERS, CONVERTERS = 64, 16
"""Circuits drawn for a seed: those of one tile of Neural-PIM, four converters drawn for each that it has."""
FINE = 16
"""Entries of a table for each step of the converter."""
BEYOND = 16
"""Steps that a table reaches beyond the converter's range."""


@dataclass(frozen=True)
class Pool:
    """Drawn circuits.

    Attributes:
        slopes: (ADDERS, 8) of the slices, times what they should be.
        offset_v: (ADDERS,) what is taken off digitally.
        tables: (ADDERS, entries) codes, signed, over the voltage; entry e stands for e − entries/2 of 1/FINE steps.
        lsb_v: step of the converter.
        noise_v: of everything on the way, at the converter's input.
    """

    slopes: Tensor
    offset_v: Tensor
    tables: Tensor
    lsb_v: float
    noise_v: float


@cache
def pool(circuits: Circuits, cycles: int, range_v: float, seed: int) -> Pool:
    """Return the circuits of a seed, for dot products of `cycles` cycles and a converter range."""
    entries = ((1 << BITS) + 2 * BEYOND) * FINE
    lsb_v = range_v / (1 << BITS)
    grid = (torch.arange(entries, dtype=torch.float64) - entries // 2 + 0.5) * lsb_v / FINE
    slopes, offset, at, variance = (
        torch.ones(ADDERS, SLICES, dtype=torch.float64),
        torch.zeros(ADDERS, dtype=torch.float64),
        grid.expand(ADDERS, -1),
        0.0,
    )
    if circuits.adder:
        adder, built = _adders(circuits, seed)
        slopes, offset = built.linear()[:, :SLICES] / adder.target[:SLICES], _offsets(adder, built, cycles)
        at, variance = _bent(adder, built, grid) + offset[:, None], _noise(adder, cycles, circuits.low_first)
    if circuits.converter:
        drawn = _converters(circuits, range_v, seed)
        codes = drawn(at.reshape(len(drawn), -1)).reshape(ADDERS, -1)
        variance += drawn.design.noise_v[0] ** 2
    else:
        codes = (at / lsb_v + (1 << (BITS - 1))).floor().clamp(0, (1 << BITS) - 1)
    taken = offset if circuits.calibrated else torch.zeros_like(offset)
    return Pool(slopes, taken, (codes - (1 << (BITS - 1))).to(torch.float32).contiguous(), lsb_v, variance**0.5)


@cache
def _adders(circuits: Circuits, seed: int) -> tuple[Adder, Instances]:
    adder = load_adder(circuits.adder)
    return adder, adder.network.drawn(ADDERS, torch.Generator().manual_seed(key_of(seed, "adders")))


@cache
def _converters(circuits: Circuits, range_v: float, seed: int) -> Converters:
    design = load_converters(circuits.converter)[range_v]
    generator = torch.Generator().manual_seed(key_of(seed, "converters", range_v))
    return design.drawn(CONVERTERS, generator, calibrate=1024 if circuits.calibrated else 0)


def circuits_of(circuits: Circuits, seed: int) -> tuple[Adder, Instances, dict[float, Converters]]:
    """Return the drawn circuits themselves: the adder's design, its instances, and the converters for each range."""
    return *_adders(circuits, seed), {range_v: _converters(circuits, range_v, seed) for range_v in HOLDS_F}


def _bias(points: int) -> Tensor:
    signals = torch.zeros(SLICES + 2, points, dtype=torch.float64)
    signals[-1] = BIAS_V
    return signals


def _offsets(adder: Adder, built: Instances, cycles: int) -> Tensor:
    """Return the adders' output (B,) for zero input after `cycles` cycles."""
    held = torch.zeros(len(built), 1, dtype=torch.float64)
    for _ in range(cycles):
        signals = _bias(1).expand(len(built), -1, -1).clone()
        signals[:, SLICES] = held
        held = (built(signals) + HALF_V) * (1 - LOSS) - HALF_V
    return held[:, 0]


def _bent(adder: Adder, built: Instances, wanted: Tensor) -> Tensor:
    """Return what adders make of sums (P,) that straight ones would give, without their offset (B, P): all inputs in proportion."""
    slopes = built.linear()[:, : SLICES + 1].sum(1)
    common = (wanted / slopes[:, None]).clamp(-HALF_V, HALF_V)
    signals = torch.cat((common[:, None].expand(-1, SLICES + 1, -1), torch.full((len(built), 1, len(wanted)), BIAS_V, dtype=torch.float64)), 1)
    bent = built(signals) - built(_bias(1))
    beyond = wanted - common * slopes[:, None]
    return (bent + beyond) * (1 - LOSS)


def _noise(adder: Adder, cycles: int, low_first: bool) -> float:
    """Return the variance (V²) of the sampling noise at an adder's output after `cycles` cycles.

    With the highest digit first nothing divides what the first cycles add: their noise counts in full.
    """
    each = noise_v(HOLD_F) ** 2 * float(adder.target.square().sum())
    fall = 4.0**-adder.digit_bits if low_first else 1.0
    return each * sum(fall**cycle for cycle in range(cycles))


@dataclass(frozen=True)
class FrontEnd:
    """How a layer's sums become volts and codes become sums: units of the sum for each step, and the converter's range."""

    per_step: float
    range_v: float
    slice_v: float


def front_end(adder: Adder, rows: int, cycles: int, slices: int, reach: tuple[int, ...]) -> FrontEnd:
    """Return the gain of a layer's front end for what samples showed: (largest sum, reach of a slice); everything that could occur without.

    Fewer slices than the adder takes are wired to its heaviest inputs.
    """
    beta = 255 / (1 - 2.0**-adder.digit_bits) * 2.0 ** (adder.digit_bits * (cycles - 1) - SLICES + slices)
    everything = (rows * ((1 << SLICES) - 1) * ((1 << adder.digit_bits * cycles) - 1), rows * ((1 << adder.digit_bits) - 1))
    largest, of_slice = reach or everything
    slice_v = HALF_V / max(of_slice, 1)
    span = 2 * largest * slice_v / beta
    range_v = min((each for each in HOLDS_F if each >= span), default=max(HOLDS_F))
    return FrontEnd(range_v / (1 << BITS) * beta / slice_v, range_v, slice_v)


@dataclass(frozen=True)
class TransferTable:
    """Trained converters for some bit lines or sums: which circuit of the pool each has."""

    found: Pool
    which: Tensor
    bottom: int

    @classmethod
    def of(cls, found: Pool, arrays: Tensor, converter: Converter, first: int) -> TransferTable:
        """Return the tables for sums of arrays with these numbers; codes are those of the converter, signed or not."""
        device = arrays.device
        moved = Pool(found.slopes, found.offset_v, found.tables.to(device), found.lsb_v, found.noise_v)
        return cls(moved, (arrays + first) % ADDERS, 0 if converter.signed else 1 << (BITS - 1))

    def codes(self, steps: Tensor, normal: Tensor) -> Tensor:
        """Return codes for real sums in steps (N, C), with normal numbers of the same shape."""
        tables = self.found.tables
        entries = tables.shape[1]
        place = (steps - self.bottom + 0.5) * FINE + (FINE * self.found.noise_v / self.found.lsb_v) * normal.reshape(steps.shape)
        index = place.floor_().add_(entries // 2).clamp_(0, entries - 1).to(torch.int64).add_(self.which * entries)
        return tables.flatten()[index].add_(self.bottom)
