"""Hidden neuron: an inverter that drives a second one with its input and output tied, and its voltage transfer curve.

The gain is the ratio of the two inverters' strengths, so process, supply and temperature cancel to first order, and the curve is linear over a
wide swing (Nauta, IEEE JSSC 27(2), 1992, builds filters from this pair). cao2022 specifies only an "inverter". A single inverter has a gain of
tens; with passive weights of 1/10 that gain would mainly amplify mismatch.

The curve is a polynomial in the input. The effect of the eight deviations of its four transistors is first order: eight further polynomials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from crossloom.periphery.transistor import NONE, Deviation, Process, Size, inverter_a, solve

DEGREE = 9
_POINTS, _SMALL = 200, 1e-5
DRIVER = Size(4.125, 0.8)
LOAD_LENGTH_UM = 1.6


@dataclass(frozen=True)
class Neuron:
    """An inverter of size `driver` and `strength` times the conductance of its load; `reach_v` is the largest input swing from mid-supply."""

    strength: float
    reach_v: float
    process: Process = field(default_factory=Process)
    driver: Size = DRIVER

    @property
    def load(self) -> Size:
        """The size of the self-connected inverter."""
        return Size(self.driver.width_um / self.driver.length_um / self.strength * LOAD_LENGTH_UM, LOAD_LENGTH_UM)

    @property
    def middle_v(self) -> float:
        """Half of the supply (V)."""
        return self.process.supply_v / 2

    def leaving_a(self, input_v: Tensor, output_v: Tensor, driver: Deviation = NONE, load: Deviation = NONE) -> Tensor:
        """Return the current (A) out of the output node, zero in equilibrium; input and output are relative to ground."""
        return inverter_a(input_v, output_v, self.driver, self.process, driver) + inverter_a(output_v, output_v, self.load, self.process, load)

    def output(self, signal: Tensor, driver: Deviation = NONE, load: Deviation = NONE) -> Tensor:
        """Return the output for an input (both V relative to mid-supply), solved from the transistor equations."""
        gate = self.middle_v + signal
        low = torch.zeros_like(gate)
        return solve(lambda v: self.leaving_a(gate, v, driver, load), low, low + self.process.supply_v) - self.middle_v

    @cached_property
    def sigmas(self) -> Tensor:
        """Standard deviations (8,) of the thresholds and β of driver and load."""
        return torch.tensor([*self.driver.sigmas(self.process), *self.load.sigmas(self.process)], dtype=torch.float64)

    @cached_property
    def curves(self) -> Tensor:
        """Coefficients (9, 10), constant first: the curve, and its derivative with respect to each of the eight deviations."""
        place = torch.cos(torch.pi * (torch.arange(_POINTS, dtype=torch.float64) + 0.5) / _POINTS)
        signal = self.reach_v * place
        output = self.output(signal)
        gate, at = self.middle_v + signal, self.middle_v + output
        conductance = (self.leaving_a(gate, at - _SMALL) - self.leaving_a(gate, at + _SMALL)) / (2 * _SMALL)
        rows = [output]
        for k in range(8):
            up, down = ([sign * _SMALL if place == k else 0.0 for place in range(8)] for sign in (1, -1))
            change = self.leaving_a(gate, at, tuple(up[:4]), tuple(up[4:])) - self.leaving_a(gate, at, tuple(down[:4]), tuple(down[4:]))  # type: ignore[arg-type]
            rows.append(change / (2 * _SMALL) / conductance)
        return torch.stack([self._polynomial(place, row) for row in rows])

    def _polynomial(self, place: Tensor, values: Tensor) -> Tensor:
        """Return the coefficients, in powers of the signal, that fit values at the Chebyshev nodes."""
        powers = chebyshev.cheb2poly(chebyshev.chebfit(place.numpy(), values.numpy(), DEGREE))
        padded = np.pad(powers, (0, DEGREE + 1 - len(powers)))
        return torch.as_tensor(padded / self.reach_v ** np.arange(DEGREE + 1))

    @cached_property
    def conductance_s(self) -> float:
        """Output conductance (S) at mid-supply, the reference for a load on the output."""
        middle = torch.tensor([self.middle_v], dtype=torch.float64)
        return float((self.leaving_a(middle, middle - _SMALL) - self.leaving_a(middle, middle + _SMALL)) / (2 * _SMALL))

    def drawn(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return the deviations (*shape, 8) of neurons."""
        return torch.randn(*shape, 8, generator=generator, dtype=torch.float64) * self.sigmas

    def of(self, deviations: Tensor) -> Tensor:
        """Return the coefficients (*shape, 10) of neurons with deviations (*shape, 8)."""
        return self.curves[0] + deviations @ self.curves[1:]


def evaluate(coefficients: Tensor, signal: Tensor) -> Tensor:
    """Return polynomials with coefficients (..., 10), constant first, at signals that broadcast with (...)."""
    value = torch.zeros_like(signal) + coefficients[..., -1]
    for power in range(coefficients.shape[-1] - 2, -1, -1):
        value = value * signal + coefficients[..., power]
    return value
