"""HfO2 RRAM of Milo et al. (IRPS 2021), programmed by IGVVA-100, with its nonlinear I-V law, as in CrossSim."""

from __future__ import annotations

import torch
from torch import Tensor

from crossloom.device.cell import Cell
from crossloom.device.iv import Cubic
from crossloom.device.programming import Polynomial


def second(conductance_s: Tensor) -> Tensor:
    """Return the coefficient of V² (A/V²)."""
    log = torch.log10(conductance_s.clamp(min=1e-12))
    return 1.388e-4 * log**3 + 1.541e-3 * log**2 + 5.711e-3 * log + 7.063e-3


def third(conductance_s: Tensor) -> Tensor:
    """Return the coefficient of V³ (A/V³)."""
    log = torch.log10(conductance_s.clamp(min=1e-12))
    return 8.871e-5 * log**2 + 6.7919e-4 * log + 1.2968e-3


CELLS = (
    Cell(
        name="milo-hfo2",
        title="HfO2 RRAM of Milo et al., 50 to 225 µS, nonlinear I-V law",
        source="Milo et al., IRPS 2021 (IGVVA-100); fits as in CrossSim's RRAM_Milo",
        low_s=50e-6,
        high_s=225e-6,
        programming=Polynomial((4.782321, -0.009107), of="microsiemens"),
        iv=Cubic(second, third, highest_v=0.5),
        note="measured up to 0.5 V; the law is taken as odd for negative voltages",
    ),
)
