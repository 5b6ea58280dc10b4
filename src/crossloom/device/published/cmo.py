"""CMO/HfOx RRAM of Falcone et al. (arXiv 2502.04524, 2025), one device per weight, as in aihwkit."""

from __future__ import annotations

from crossloom.device.cell import Cell
from crossloom.device.programming import Polynomial
from crossloom.device.reading import LogFlicker
from crossloom.device.time import Logarithmic


def _cmo(name: str, acceptance: str, coefficients: tuple[float, float]) -> Cell:
    return Cell(
        name=name,
        title=f"CMO/HfOx RRAM, 8 to 90 µS, written to within {acceptance} of the range",
        source="Falcone et al., arXiv 2502.04524, 2025; fits as in aihwkit's ReRAMCMONoiseModel",
        low_s=8e-6,
        high_s=90e-6,
        programming=Polynomial(coefficients, of="microsiemens"),
        drift=Logarithmic(-0.0890, 0.0420, 0.4118),
        reading=LogFlicker(0.0277, 1e-6),
    )


CELLS = (_cmo("cmo-hfox", "0.2 %", (8.1e-4, 1.069e-3)), _cmo("cmo-hfox-2", "2 %", (1.122e-2, 1.129e-2)))
