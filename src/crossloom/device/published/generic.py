"""Generic cells, not from a paper: ideal, with the classic variation law, and with a typical noise level."""

from __future__ import annotations

from crossloom.device.cell import Cell
from crossloom.device.programming import Gaussian, LogNormal
from crossloom.device.reading import Share

_RANGE = (1e-6, 100e-6)

CELLS = (
    Cell(name="ideal", title="an ideal cell, 1 to 100 µS", source="none: every conductance is exact", low_s=_RANGE[0], high_s=_RANGE[1]),
    Cell(
        name="log-normal",
        title="a cell with log-normal variation of 5 %, 1 to 100 µS",
        source="assumed; most variation studies use the law g·exp(N(0, σ))",
        low_s=_RANGE[0],
        high_s=_RANGE[1],
        programming=LogNormal(0.05),
    ),
    Cell(
        name="gaussian",
        title="a cell with programming and read noise of 1 % of its range each, 1 to 100 µS",
        source="assumed; published RRAM chips report 1 to 2 %",
        low_s=_RANGE[0],
        high_s=_RANGE[1],
        programming=Gaussian(0.01),
        reading=Share(0.01),
    ),
)
