"""Phase-change memory of IBM's HERMES chip, one device or two in parallel, as in aihwkit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from crossloom.device.cell import Cell
from crossloom.device.programming import Polynomial
from crossloom.device.reading import Flicker
from crossloom.device.time import PowerLaw

Of = Callable[[Tensor], Tensor]


def drift_mean(x: Tensor) -> Tensor:
    """Return the mean drift exponent for a conductance relative to the highest."""
    return torch.where(x < 0.0945, (-0.0387 * torch.log(x) - 0.0182).clamp(0.0720, 0.13), -0.0436 * x**2 - 0.0126 * x + 0.0736)


def _pieces(edge: float, low: tuple[float, float, float, float], high: tuple[float, ...]) -> Of:
    """Return clamp(a·ln x + b, c, d) below `edge`, and a polynomial (constant first) from `edge` on."""

    def piecewise(x: Tensor) -> Tensor:
        above = torch.zeros_like(x)
        for coefficient in reversed(high):
            above = above * x + coefficient
        return torch.where(x < edge, (low[0] * torch.log(x) + low[1]).clamp(low[2], low[3]), above)

    return piecewise


def _hermes(devices: int, high_us: float, start_s: float, programming: tuple[float, ...], spread: Of, amplitude: Of) -> Cell:
    return Cell(
        name=f"hermes-{devices}",
        title=f"phase-change memory of IBM's HERMES chip, {devices} device{'s' if devices > 1 else ''}, {high_us:g} µS",
        source="IBM HERMES project chip, 14 nm; coefficients as in aihwkit's hermes noise models",
        low_s=0.0,
        high_s=high_us * 1e-6,
        programming=Polynomial(programming, reference_s=high_us * 1e-6),
        drift=PowerLaw(start_s, drift_mean, spread),
        reading=Flicker(start_s, 512e-9, amplitude),
        note=f"times count from {start_s:g} s after writing",
    )


CELLS = (
    _hermes(
        1,
        10.35,
        200.0,
        (0.15781817, 2.32443916, -2.16310839, 0.68841818),
        _pieces(0.3039, (-0.0120, -0.0023, 0.0124, 0.04), (0.0104, 0.0116, -0.0165)),
        _pieces(0.1591, (-0.0078, 0.0038, 0.0179, 0.04), (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    _hermes(
        2,
        20.7,
        300.0,
        (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        _pieces(0.3055, (-0.0117, -0.0057, 0.0091, 0.04), (0.0073, 0.0093, -0.0118)),
        _pieces(0.16, (-0.0117, -0.0069, 0.015, 0.04), (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
)
