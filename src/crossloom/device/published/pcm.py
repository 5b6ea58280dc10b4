"""Phase-change memory: the model of Nandakumar et al. (ICECS 2019) and Joshi et al. (Nature Communications 2020), as in aihwkit.

The cell is one device of a differential pair; the model was fitted to a million devices of a 90 nm chip.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossloom.device.cell import Cell
from crossloom.device.programming import Polynomial
from crossloom.device.reading import Flicker
from crossloom.device.time import PowerLaw

START_S = 20.0


def drift_mean(x: Tensor) -> Tensor:
    """Return the mean drift exponent for a conductance relative to the highest."""
    return (-0.0155 * torch.log(x) + 0.0244).clamp(0.049, 0.1)


def drift_sigma(x: Tensor) -> Tensor:
    """Return the drift exponent's standard deviation."""
    return (-0.0125 * torch.log(x) - 0.0059).clamp(0.008, 0.045)


def amplitude(x: Tensor) -> Tensor:
    """Return Q of the 1/f noise."""
    return (0.0088 / (x**0.65).clamp(min=1e-3)).clamp(max=0.2)


CELLS = (
    Cell(
        name="pcm",
        title="phase-change memory, 25 µS, 90 nm",
        source="Nandakumar et al., ICECS 2019; Joshi et al., Nature Communications 11, 2020; coefficients as in aihwkit's PCMLikeNoiseModel",
        low_s=0.0,
        high_s=25e-6,
        programming=Polynomial((0.26348, 1.9650, -1.1731), reference_s=25e-6),
        drift=PowerLaw(START_S, drift_mean, drift_sigma),
        reading=Flicker(START_S, 250e-9, amplitude),
        note="times count from 20 s after writing; global drift compensation is usual",
    ),
)
