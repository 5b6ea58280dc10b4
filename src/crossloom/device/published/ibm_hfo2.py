"""IBM's HfO2 arrays measured for training: Gong, Rasch et al. (IEDM 2022), as in aihwkit.

6T1R arrays of up to 2 thousand devices on a 14-nm baseline. The published data are the devices' pulse responses, in normalised weights: `HFO2`
(the baseline) and `OPTIMISED` (the optimised material). Bounds are those after adjusting the compliance, ±1. aihwkit gives the fractions of failed
devices in comments beside a default of 0; the measured ones are used here. The reference spread of 0.05 is an assumption of aihwkit, not a measurement.

The cells are derived by us, not measured: `crossloom.device.verified.left_over` programs such devices by write and verify, to within 0.05
with at most 100 pulses from reset. Three things are assumed: that procedure; targets from −0.5 to 0.5, because fewer and fewer devices reach
beyond; and the conductances, as none are published: 50 µS at weight 0, 0 S at −1 and, for up to 3 % of the baseline's cells, below.
"""

from __future__ import annotations

from crossloom.device.cell import Cell
from crossloom.device.update import SoftBounds
from crossloom.device.verified import Verified

_PAPER = "Gong, Rasch et al., IEDM 2022 (33.7)"

HFO2 = SoftBounds(
    source=f"{_PAPER}, baseline HfO2; parameters as in aihwkit's ReRamArrayHfO2PresetDevice",
    step=0.4622,
    step_spread=0.7125,
    tilt_spread=0.01,
    cycle_spread=0.2174,
    write_noise=0.5841,
    high_spread=0.4295,
    low_spread=0.5990,
    reference_spread=0.05,
    failed=0.0977,
    failed_range=0.01,
)
OPTIMISED = SoftBounds(
    source=f"{_PAPER}, optimised material; parameters as in aihwkit's ReRamArrayOMPresetDevice",
    step=0.0949,
    step_spread=0.7829,
    tilt_spread=0.01,
    cycle_spread=0.4158,
    write_noise=1.4113,
    high_spread=0.3499,
    low_spread=0.5695,
    reference_spread=0.05,
    failed=0.1348,
    failed_range=0.01,
)


def _cell(name: str, material: str, kind: SoftBounds) -> Cell:
    return Cell(
        name=name,
        title=f"IBM's HfO2 RRAM, {material}, by write and verify, 25 to 75 µS assumed",
        source=f"{kind.source}; programming error derived from its pulse response, conductances assumed",
        low_s=25e-6,
        high_s=75e-6,
        programming=Verified(kind, tolerance=0.05, most=100, at_zero=-1.0, at_high=0.5),
        longest_s=0.0,
        note=f"{kind.failed:.1%} of the devices failed and stay near 50 µS after any write; behaviour over time after writing is unknown",
    )


CELLS = (_cell("ibm-hfo2", "baseline", HFO2), _cell("ibm-hfo2-optimised", "optimised material", OPTIMISED))
