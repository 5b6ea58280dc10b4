"""Transistor model in one equation, smooth from weak to strong inversion, and the inverter made of two transistors.

Enz, Krummenacher and Vittoz, Analog Integrated Circuits and Signal Processing 8, 1995 (the EKV model), with channel-length modulation:

    I = 2 n β U_T² · (F(V_P / 2U_T) − F((V_P − V_D) / 2U_T)) · (1 + λ |V_D|),     F(x) = ln²(1 + e^x),    V_P = (V_G − V_T) / n,

with voltages relative to the source. A transistor of width W and length L has β = K W/L and λ = λ₁/L. The threshold and β of one device deviate
from those of its neighbour by A_VT/√(WL) and A_β/√(WL) (Pelgrom et al., IEEE JSSC 24(5), 1989). The parameters are typical of 130 nm CMOS and
assumed: cao2022 gives only 130 nm and 1.2 V.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BOLTZMANN_EV_K = 8.617e-5
"""Boltzmann's constant over the elementary charge (V/K)."""
P_WIDTH = 3.0
"""Width of an inverter's p transistor relative to its n transistor, for equal strength."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process corner: supply (V), temperature (K), thresholds (V) and transconductances (A/V²) at 300 K, and their local deviations (assumed)."""

    supply_v: float = 1.2
    temperature_k: float = 300.0
    n_threshold_v: float = 0.35
    p_threshold_v: float = 0.35
    n_beta_a_v2: float = 300e-6
    p_beta_a_v2: float = 100e-6
    slope: float = 1.3
    modulation_um_v: float = 0.05
    threshold_v_um: float = 4e-3
    beta_um: float = 0.01

    @property
    def thermal_v(self) -> float:
        """U_T (V)."""
        return BOLTZMANN_EV_K * self.temperature_k

    @property
    def thresholds_v(self) -> tuple[float, float]:
        """Thresholds (V) of n and p, which fall by 1 mV/K."""
        fall = 1e-3 * (self.temperature_k - 300)
        return self.n_threshold_v - fall, self.p_threshold_v - fall

    @property
    def betas_a_v2(self) -> tuple[float, float]:
        """K (A/V²) of n and p; mobility falls as T^-1.5."""
        factor = (self.temperature_k / 300) ** -1.5
        return self.n_beta_a_v2 * factor, self.p_beta_a_v2 * factor


@dataclass(frozen=True, slots=True)
class Size:
    """Width of the n transistor and length of both (µm); the p transistor is three times as wide."""

    width_um: float
    length_um: float

    def sigmas(self, process: Process) -> tuple[float, float, float, float]:
        """Return the standard deviations of the thresholds (V) of n and p, and of their relative β."""
        n, p = ((self.width_um * wide * self.length_um) ** 0.5 for wide in (1.0, P_WIDTH))
        return process.threshold_v_um / n, process.threshold_v_um / p, process.beta_um / n, process.beta_um / p


NONE = (0.0, 0.0, 0.0, 0.0)
Deviation = tuple[Tensor | float, Tensor | float, Tensor | float, Tensor | float]
"""Deviations of the thresholds of n and p (V), and of their relative β."""


def current_a(gate_v: Tensor, drain_v: Tensor, threshold_v: Tensor | float, beta: Tensor | float, *, modulation: float, process: Process) -> Tensor:
    """Return the drain current (A) of an n transistor whose source is at 0 V."""
    twice = 2 * process.thermal_v
    pinch = (gate_v - threshold_v) / process.slope
    forward, reverse = F.softplus(pinch / twice), F.softplus((pinch - drain_v) / twice)
    return 2 * process.slope * beta * process.thermal_v**2 * (forward.square() - reverse.square()) * (1 + modulation * drain_v.abs())


def inverter_a(gate_v: Tensor, output_v: Tensor, size: Size, process: Process, deviation: Deviation = NONE) -> Tensor:
    """Return the current (A) that an inverter drives out of its output node at given gate and output voltages (V)."""
    (n_threshold, p_threshold), (n_beta, p_beta) = process.thresholds_v, process.betas_a_v2
    strength, modulation = size.width_um / size.length_um, process.modulation_um_v / size.length_um
    sunk = current_a(gate_v, output_v, n_threshold + deviation[0], n_beta * strength * (1 + deviation[2]), modulation=modulation, process=process)
    up, across = process.supply_v - gate_v, process.supply_v - output_v
    driven = current_a(
        up, across, p_threshold + deviation[1], p_beta * P_WIDTH * strength * (1 + deviation[3]), modulation=modulation, process=process
    )
    return driven - sunk


def solve(net: object, low: Tensor, high: Tensor, steps: int = 50) -> Tensor:
    """Return the zero of a decreasing function of the voltage between two bounds, by bisection to 2^-steps of their distance."""
    assert callable(net)
    for _ in range(steps):
        middle = 0.5 * (low + high)
        above = net(middle) > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return 0.5 * (low + high)
