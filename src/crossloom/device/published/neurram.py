"""RRAM of NeuRRAM (Wan et al., Nature 608, 2022), in two fits of the same measurements; their difference is an uncertainty band."""

from __future__ import annotations

from crossloom.device.cell import Cell
from crossloom.device.programming import Exact, Polynomial
from crossloom.device.time import Relaxation

_DAY = 86400.0

CELLS = (
    Cell(
        name="neurram",
        title="RRAM of NeuRRAM, relaxation over two days, 40 µS",
        source="Wan et al., Nature 608, 2022; fit as in aihwkit's ReRAMWan2022NoiseModel",
        low_s=0.0,
        high_s=40e-6,
        programming=Exact(),
        drift=Relaxation(
            (1.0, _DAY, 2 * _DAY),
            (
                (0.348, 16.030, -43.853, 45.393, -16.815),
                (0.701, 22.086, -50.773, 47.095, -16.458),
                (0.782, 20.274, -43.507, 37.062, -11.934),
            ),
        ),
        longest_s=2 * _DAY,
        note="the first measurement is one second after writing; until then cells are modelled as written",
    ),
    Cell(
        name="neurram-crosssim",
        title="RRAM of NeuRRAM one second after writing, 39.26 µS",
        source="Wan et al., Nature 608, 2022; fit as in CrossSim's RRAM_Wan",
        low_s=0.0,
        high_s=39.26e-6,
        programming=Polynomial((1.053, 0.2374, -1.167e-2, 1.536e-4), of="microsiemens"),
        longest_s=1.0,
    ),
)
