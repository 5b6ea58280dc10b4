"""Linearity of converters: differential and integral nonlinearity (DNL, INL) and effective number of bits (ENOB)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.periphery.converter import BITS, Converters

PER_STEP = 32
"""Ramp points per converter step."""
SINE = 4096
_CYCLES = 307


@dataclass(frozen=True)
class Linearity:
    """DNL and INL curves (B, codes) and the ENOB (B,) of converters.

    Attributes:
        dnl: width of each code except the first and the last over the mean width, minus one, in steps.
        inl: deviation of the transition levels from their best-fit straight line, in steps.
        enob: log2(256 g / (√12 σ)) for a sine over 95 % of the range, noise included; g is the fitted over the applied amplitude,
            σ the residual of the sine fit.
    """

    dnl: Tensor
    inl: Tensor
    enob: Tensor

    @classmethod
    def of(cls, converters: Converters, seed: int = 7) -> Linearity:
        """Return the linearity of converters, measured with a ramp without noise and a sine with noise."""
        generator = torch.Generator().manual_seed(seed)
        parts = [converters[slice(start, start + 40)] for start in range(0, len(converters), 40)]
        found = [(*_ramp(part), _sine(part, generator)) for part in parts]
        return cls(*(torch.cat(each) for each in zip(*found, strict=True)))

    def within(self, dnl: float, inl: float, enob: float) -> Tensor:
        """Return which converters (B,) meet all three limits."""
        return (self.dnl.abs().amax(1) <= dnl) & (self.inl.abs().amax(1) <= inl) & (self.enob >= enob)


def _ramp(converters: Converters) -> tuple[Tensor, Tensor]:
    """Return DNL and INL (B, codes) from the number of ramp points per code."""
    design, codes = converters.design, 1 << BITS
    half = design.range_v / 2 + 4 * design.lsb_v
    points = PER_STEP * (codes + 8)
    ramp = -half + (torch.arange(points, dtype=torch.float64) + 0.5) * design.lsb_v / PER_STEP
    code = converters(ramp).to(torch.int64)
    width = torch.zeros(len(converters), codes, dtype=torch.float64).scatter_add_(1, code, torch.ones_like(code, dtype=torch.float64))
    inner = width[:, 1:-1] / PER_STEP
    level = torch.cat((torch.zeros(len(converters), 1, dtype=torch.float64), inner.cumsum(1)), 1)
    place = torch.arange(level.shape[1], dtype=torch.float64)
    centred = place - place.mean()
    slope = (level @ centred / centred.square().sum())[:, None]
    return inner / inner.mean(1, keepdim=True) - 1, (level - level.mean(1, keepdim=True)) / slope - centred


def _sine(converters: Converters, generator: torch.Generator) -> Tensor:
    """Return the effective number of bits (B,)."""
    design = converters.design
    phase = 2 * torch.pi * torch.arange(SINE, dtype=torch.float64) * _CYCLES / SINE
    code = converters(0.475 * design.range_v * torch.sin(phase + 0.1), generator)
    basis = torch.stack((torch.ones_like(phase), torch.sin(phase), torch.cos(phase)), 1)
    fit = torch.linalg.lstsq(basis, code.T).solution
    left = (code - (basis @ fit).T).square().mean(1).sqrt()
    gain = (fit[1].square() + fit[2].square()).sqrt() / (0.475 * (1 << BITS))
    return torch.log2((1 << BITS) * gain / 12**0.5 / left)
