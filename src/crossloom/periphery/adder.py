"""NNS+A: shift-and-add by a network of RRAM and inverters, accumulated cycle by cycle through a sample-and-hold.

With digits of N bits, lowest first, and Q_i = Σ_j 2^j v_j the weighted slices of cycle i,

    v_i = 2^−N v_{i−1} + Q_i / β,        β = 255 / (1 − 2^−N),

so the last v is the dot product times 2^−N(C−1)/β and stays within the range for any input. cao2022 prints the feedback divided by β as well
(its Step 3, as extracted); the first digits would then count β times too little, so that form is not used.

Signals are −0.25 to 0.25 V about the middle of 0 to 0.5 V, the range of its Table 1. There are ten pairs of lines: eight slices, the feedback, and a
bias tied to the supply. The number of rows of a signal follows its share of the sum (`ROWS`). With one row each, the slice of weight 128 needs a neuron
gain of 8.3, which amplifies the neurons' mismatch too; with six of 18 rows it needs 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from crossloom.periphery.pairs import Instances, PairNetwork
from crossloom.periphery.task import FitTask

SLICES = 8
SPAN_V = 0.5
HALF_V = SPAN_V / 2
BIAS_V = 0.6
"""The bias pair is at the supply and at ground: half the supply from the middle."""
ROWS = {
    1: (1, 1, 1, 1, 1, 1, 2, 4, 8, 1),
    2: (1, 1, 1, 1, 1, 2, 3, 6, 4, 1),
    4: (1, 1, 1, 1, 1, 2, 3, 6, 1, 1),
}
"""Rows of the eight slices, the feedback and the bias, for digits of 1, 2 and 4 bits; roughly proportional to each signal's contribution."""
PLAIN_ROWS = (1,) * (SLICES + 2)
"""One row each, as in cao2022."""
HOLD_F = 50e-15
"""Capacitor of a sample-and-hold (assumed)."""
LOSS = 1e-3
"""Fraction of the charge lost in a transfer (assumed)."""
THERMAL_J = 1.380649e-23 * 300


def noise_v(capacitor_f: float) -> float:
    """Return the thermal noise √(kT/C) of a sample, in volts at 300 K."""
    return float((THERMAL_J / capacitor_f) ** 0.5)


def target(digit_bits: int) -> Tensor:
    """Return the target weights of the ten signals: the slices, the feedback, the bias."""
    beta = 255 / (1 - 2.0**-digit_bits)
    return torch.tensor([*(2.0**j / beta for j in range(SLICES)), 2.0**-digit_bits, 0.0], dtype=torch.float64)


def shift_and_add(digit_bits: int, counts: tuple[int, ...]) -> FitTask:
    """Return the task of an adder for digits of `digit_bits` bits in one cycle, with `counts` rows of each signal."""
    return FitTask(target(digit_bits), counts, inputs, noise_v(HOLD_F))


@dataclass(frozen=True)
class Adder:
    """A trained network and the digit width it is for."""

    network: PairNetwork
    digit_bits: int

    @cached_property
    def target(self) -> Tensor:
        """Target weight of each signal (10,)."""
        return target(self.digit_bits)

    def accumulate(self, built: Instances, slices: Tensor, generator: torch.Generator | None, loss: float = LOSS) -> Tensor:
        """Return the outputs (B, P) of instances for slices (C, 8, P) or (B, C, 8, P) of C cycles, lowest digit first.

        With a generator, every sample has noise. Each transfer, including the last, loses a fraction of the charge.
        """
        slices = slices.expand(len(built), *slices.shape[-3:])
        held = torch.zeros(len(built), slices.shape[-1], dtype=torch.float64)
        bias = torch.full((len(built), 1, slices.shape[-1]), BIAS_V, dtype=torch.float64)
        for cycle in range(slices.shape[1]):
            signals = torch.cat((slices[:, cycle], held[:, None]), 1).clamp(-HALF_V, HALF_V)
            if generator is not None:
                signals = signals + noise_v(HOLD_F) * torch.randn(signals.shape, generator=generator, dtype=torch.float64)
            held = (built(torch.cat((signals, bias), 1)) + HALF_V) * (1 - loss) - HALF_V
        return held

    def exact(self, slices: Tensor) -> Tensor:
        """Return the outputs (..., P) of ideal circuits for slices (..., C, 8, P)."""
        held = torch.zeros(*slices.shape[:-3], slices.shape[-1], dtype=torch.float64)
        for cycle in range(slices.shape[-3]):
            held = 2.0**-self.digit_bits * held + torch.einsum("j,...jp->...p", self.target[:SLICES], slices[..., cycle, :, :])
        return held


def inputs(count: int, generator: torch.Generator) -> Tensor:
    """Return signals (10, count) drawn uniformly from their range, with the bias at its fixed voltage."""
    drawn = (torch.rand(SLICES + 2, count, generator=generator, dtype=torch.float64) - 0.5) * SPAN_V
    drawn[-1] = BIAS_V
    return drawn


@dataclass(frozen=True)
class Errors:
    """Errors of instances against the target over drawn inputs (V², V), one number per instance."""

    mse: Tensor
    offset: Tensor
    gain: Tensor
    highest: Tensor
    lowest: Tensor
    nominal_mse: float

    @classmethod
    def of(cls, adder: Adder, count: int = 1000, points: int = 1000, seed: int = 11, noisy: bool = True) -> Errors:
        """Return the errors of `count` drawn instances; `noisy` adds the noise of all samples, referred to the output."""
        generator = torch.Generator().manual_seed(seed)
        signals = inputs(points, generator)
        wanted = adder.target @ signals
        found = torch.cat([part(signals) for part in _chunks(adder.network.drawn(count, generator), 50)])
        if noisy:
            sigma = noise_v(HOLD_F) * float((adder.target.square().sum() + 1).sqrt())
            found = found + sigma * torch.randn(found.shape, generator=generator, dtype=torch.float64)
        error, centred = found - wanted, wanted - wanted.mean()
        gain = (found - found.mean(1, keepdim=True)) @ centred / centred.square().sum()
        nominal = float((adder.network.nominal(signals)[0] - wanted).square().mean())
        return cls(error.square().mean(1), error.mean(1), gain, error.amax(1), error.amin(1), nominal)


def _chunks(built: Instances, size: int) -> list[Instances]:
    return [built[slice(start, start + size)] for start in range(0, len(built), size)]


@dataclass(frozen=True)
class Sinad:
    """Signal-to-noise-and-distortion ratio (dB) of accumulated results over instances, for three definitions of the signal power."""

    with_mean: Tensor
    without_mean: Tensor
    without_offset: Tensor

    @classmethod
    def of(cls, adder: Adder, count: int = 1000, points: int = 500, seed: int = 21) -> Sinad:
        """Return the ratios for uniformly drawn 8-bit inputs over the number of cycles they take.

        `with_mean` counts the 0.25 V of mid-range as signal (cao2022, Section 5.3, does not specify this); `without_offset` excludes the mean error.
        """
        generator = torch.Generator().manual_seed(seed)
        cycles = -(-8 // adder.digit_bits)
        slices = (torch.rand(cycles, SLICES, points, generator=generator, dtype=torch.float64) - 0.5) * SPAN_V
        wanted = adder.exact(slices)
        drawn = _chunks(adder.network.drawn(count, generator), 50)
        error = torch.cat([adder.accumulate(part, slices, generator) for part in drawn]) - wanted
        error = error + noise_v(HOLD_F) * torch.randn(error.shape, generator=generator, dtype=torch.float64)

        def decibel(signal: Tensor, noise: Tensor) -> Tensor:
            return 10 * torch.log10((signal + noise) / noise)

        power = error.square().mean(1)
        return cls(decibel((wanted + HALF_V).square().mean(), power), decibel(wanted.var(), power), decibel(wanted.var(), error.var(1)))
