"""How a component's cost changes with its parameters.

A law gets the parameters at which the library's figures hold and those that a machine asks for, and returns factors for
area, for the energy of each action (and the power with it), and for the time that an action takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Parameters = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Factors:
    """What the library's figures are multiplied with, and why."""

    area: float
    energy: float
    time: float
    why: str
    actions: Mapping[str, float] = field(default_factory=dict)
    """Factors for the energy of actions that grow otherwise, by name: one on a row, or on a cell."""
    assumed: bool = False
    """Whether the law itself is assumed, so that what it scales is too."""


Law = Callable[[Parameters, Parameters], Factors]
LAWS: dict[str, Law] = {}


def law(name: str) -> Callable[[Law], Law]:
    """Register a scaling law under a name that library files use."""

    def register(function: Law) -> Law:
        LAWS[name] = function
        return function

    return register


SAR_ENERGY_SHARE = 0.0635
SAR_AREA_SHARE = 0.4551
"""Share of the capacitive DAC at 8 bits. Fitted to the energies and areas for 4 to 10 bits in the public component library
hwcomponents (isaac.py), which follows the rule in Section VII of shafiee2016; the fit is within 0.3 % of each of its points."""


@law("sar_adc")
def sar_adc(base: Parameters, wanted: Parameters) -> Factors:
    """Successive-approximation ADC: reference buffer, memory and clock grow linearly with the bits, the capacitive DAC as 2^bits.

    Shafiee et al. 2016, Section VII. Energy per conversion does not depend on the rate; a conversion takes 1/rate.
    """

    def size(bits: float, share: float) -> float:
        return (1 - share) * bits / 8 + share * float(2.0 ** (bits - 8))

    a, b = base["bits"], wanted["bits"]
    why = f"{a:g} to {b:g} bits by the SAR law of shafiee2016 Section VII (hwcomponents fit)" if a != b else f"at {wanted['rate']:g} Hz"
    return Factors(
        area=size(b, SAR_AREA_SHARE) / size(a, SAR_AREA_SHARE),
        energy=size(b, SAR_ENERGY_SHARE) / size(a, SAR_ENERGY_SHARE),
        time=base["rate"] / wanted["rate"],
        why=why,
    )


@law("flat_adc")
def flat_adc(base: Parameters, wanted: Parameters) -> Factors:
    """ADC whose energy is linear in bits and whose area does not change (the constants of the PUMA simulator)."""
    ratio = wanted["bits"] / base["bits"]
    return Factors(1.0, ratio, base["rate"] / wanted["rate"], f"x{ratio:g} for {wanted['bits']:g} bits as in the PUMA simulator's constants")


@law("dac_levels")
def dac_levels(base: Parameters, wanted: Parameters) -> Factors:
    """Word-line DAC: power and area double with each bit (1, 2, 4 bits at 3.9, 7.8, 31.2 µW in PIMSYN's configuration)."""
    factor = 2.0 ** (wanted["bits"] - base["bits"])
    return Factors(factor, factor, 1.0, f"x{factor:g} for {wanted['bits']:g} bits as in PIMSYN's configuration")


@law("dac_capacitors")
def dac_capacitors(base: Parameters, wanted: Parameters) -> Factors:
    """Word-line DAC of switched capacitors: power and area are linear in 2^bits, so that 4 bits take 3.17 times what one bit does.

    Through two points: the totals for 64 x 128 drivers of cao2022, Table 2 (4 bits) and of shafiee2016, Table I (1 bit, eight IMAs).
    """

    def size(bits: float) -> float:
        return 1 + 2.17 / 14 * (float(2.0**bits) - 2)

    factor = size(wanted["bits"]) / size(base["bits"])
    return Factors(
        factor, factor, 1.0, f"x{factor:.3g} for {wanted['bits']:g} bits, linear in 2^bits (assumed) through cao2022 and shafiee2016", assumed=True
    )


@law("pipelined_adc")
def pipelined_adc(base: Parameters, wanted: Parameters) -> Factors:
    """ADC of stages one after the other: energy of a conversion and area proportional to the bits (assumed); a conversion takes 1/rate."""
    ratio = wanted["bits"] / base["bits"]
    why = f"x{ratio:g} for {wanted['bits']:g} bits, a stage for each (assumed)"
    return Factors(ratio, ratio, base["rate"] / wanted["rate"], why, assumed=True)


@law("cells")
def cells(base: Parameters, wanted: Parameters) -> Factors:
    """Array: area and read energy are proportional to the number of cells (0.3, 1.2, 4.8 mW at 128, 256, 512 in PUMA and PIMSYN).

    Bits per cell change neither: no source in hand gives their effect.
    """
    factor = wanted["rows"] * wanted["columns"] / (base["rows"] * base["columns"])
    return Factors(
        factor,
        factor,
        1.0,
        f"x{factor:g} for {wanted['rows']:g}x{wanted['columns']:g} cells as in PUMA's and PIMSYN's constants",
        actions={"write_row": wanted["columns"] / base["columns"], "read_row": wanted["columns"] / base["columns"], "write_cell": 1.0},
    )


@law("searched")
def searched(base: Parameters, wanted: Parameters) -> Factors:
    """Small array that is searched or read by its rows: area and energy of an action proportional to the cells (assumed; sensing goes with the rows)."""
    factor = wanted["rows"] * wanted["columns"] / (base["rows"] * base["columns"])
    return Factors(factor, factor, 1.0, f"x{factor:g} with {wanted['rows']:g}x{wanted['columns']:g} cells (assumed proportional)", assumed=True)


@law("rows")
def rows(base: Parameters, wanted: Parameters) -> Factors:
    """A counter or driver for each row: area proportional to the rows, the energy of one of them unchanged (assumed)."""
    factor = wanted["rows"] / base["rows"]
    return Factors(factor, 1.0, 1.0, f"area x{factor:g} with the rows (assumed proportional)", assumed=True)


@law("table")
def table(base: Parameters, wanted: Parameters) -> Factors:
    """Clocked table: area and energy of a read proportional to the capacity (assumed)."""
    factor = wanted["capacity"] / base["capacity"]
    why = f"x{factor:g} with the capacity (assumed proportional), at {wanted['rate']:g} Hz"
    return Factors(factor, factor, base["rate"] / wanted["rate"], why, assumed=True)


@law("capacity")
def capacity(base: Parameters, wanted: Parameters) -> Factors:
    """Memory: area and power proportional to the capacity (assumed; CACTI gives less than proportional for large ones)."""
    factor = wanted["capacity"] / base["capacity"]
    return Factors(factor, factor, 1.0, f"x{factor:g} with the capacity (assumed proportional)", assumed=True)


@law("register")
def register(base: Parameters, wanted: Parameters) -> Factors:
    """Input register: area proportional to the capacity, the energy of a read to the bits of a digit too (cao2022 takes four times ISAAC's for four)."""
    size, digit = (wanted[name] / base[name] for name in ("capacity", "digit_bits"))
    why = f"x{size * digit:g} with capacity and bits of a digit, area x{size:g} (assumed proportional)"
    return Factors(size, size * digit, 1.0, why, assumed=True)


@law("wires")
def wires(base: Parameters, wanted: Parameters) -> Factors:
    """Bus: area proportional to the number of wires; the energy of a byte does not change (assumed)."""
    factor = wanted["wires"] / base["wires"]
    return Factors(factor, 1.0, 1 / factor, f"area x{factor:g} with the wires (assumed proportional)", assumed=True)


@law("flits")
def flits(base: Parameters, wanted: Parameters) -> Factors:
    """Router: area proportional to flit width and number of ports, the energy of a byte unchanged (assumed)."""
    factor = wanted["flit_bits"] * wanted["ports"] / (base["flit_bits"] * base["ports"])
    return Factors(
        factor, 1.0, base["flit_bits"] / wanted["flit_bits"], f"area x{factor:g} with flit width and ports (assumed proportional)", assumed=True
    )


@law("clocked")
def clocked(base: Parameters, wanted: Parameters) -> Factors:
    """Digital unit: an action takes a period of its clock; energy and area do not change with the rate (assumed)."""
    return Factors(1.0, 1.0, base["rate"] / wanted["rate"], f"at {wanted['rate']:g} Hz", assumed=True)


@law("fixed")
def fixed(base: Parameters, wanted: Parameters) -> Factors:
    """Nothing scales."""
    return Factors(1.0, 1.0, 1.0, "fixed")
