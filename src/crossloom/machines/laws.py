"""How a component's cost changes with its parameters.

A law gets the parameters at which the library's figures hold and those that a machine asks for, and returns factors for
area, for the energy of each action (and the power with it), and for the time that an action takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
    leakage: float | None = None
    """Factor for the power that is drawn all the time; None: it grows as the area does."""

    @property
    def static(self) -> float:
        """The factor for the power that is drawn all the time."""
        return self.area if self.leakage is None else self.leakage

    def __mul__(self, other: Factors) -> Factors:
        """Return the factors of two laws that hold at once."""
        named = {name: self.of(name) * other.of(name) for name in {**self.actions, **other.actions}}
        why = "; ".join(each.why for each in (self, other) if not each.changes_nothing) or self.why
        assumed = any(each.assumed and not each.changes_nothing for each in (self, other))
        return Factors(self.area * other.area, self.energy * other.energy, self.time * other.time, why, named, assumed, self.static * other.static)

    def of(self, action: str) -> float:
        """The factor for the energy of an action."""
        return self.actions.get(action, self.energy)

    @property
    def changes_nothing(self) -> bool:
        """Whether every factor is one."""
        return all(factor == 1.0 for factor in (self.area, self.energy, self.time, self.static, *self.actions.values()))


Law = Callable[[Parameters, Parameters], Factors]
LAWS: dict[str, Law] = {}


def factors_of(names: Sequence[str], base: Parameters, wanted: Parameters) -> Factors:
    """Return the factors of laws, by their names, that hold at once: their product."""
    first, *others = (LAWS[name](base, wanted) for name in names)
    for other in others:
        first = first * other
    return first


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


@law("tracks")
def tracks(base: Parameters, wanted: Parameters) -> Factors:
    """Content-addressable array of tracks: area goes with rows and columns, under which the domains of a track lie; all of it assumed.

    Actions are those of one cell. A search charges a match line as long as the columns; a shift drives a track as long as its domains.
    """
    columns, domains = (wanted[name] / base[name] for name in ("columns", "domains"))
    size = wanted["rows"] / base["rows"] * columns
    why = f"area x{size:g} with rows and columns, a compared cell x{columns:g} with the columns, a shift x{domains:g} with the domains (assumed)"
    return Factors(size, size, 1.0, why, actions={"compare": columns, "write": 1.0, "shift": domains}, assumed=True)


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


LEAKAGE_A_PER_M = {22e-9: 475.3e-6, 32e-9: 57.9e-6, 45e-9: 19.57e-6}
"""Current of a transistor that is off, through its channel at 300 K and through its gate, for each metre of width: cacti7, `tech_params/*.dat`,
low standby power (I_off_n + I_g_on_n). Between nodes its logarithm is interpolated over that of the feature size; beyond them it stays."""


def leakage_a_per_m(node_m: float) -> float:
    """Return the current (A) through a metre of width of transistors that are off, at a node."""
    nodes = sorted(LEAKAGE_A_PER_M)
    node_m = min(max(node_m, nodes[0]), nodes[-1])
    above = next(place for place, node in enumerate(nodes) if node_m <= node)
    low, high = nodes[max(above - 1, 0)], nodes[above]
    share = math.log(node_m / low) / math.log(high / low) if high > low else 0.0
    return math.exp((1 - share) * math.log(LEAKAGE_A_PER_M[low]) + share * math.log(LEAKAGE_A_PER_M[high]))


@law("cmos")
def cmos(base: Parameters, wanted: Parameters) -> Factors:
    """The same circuit at another node and supply: area as the square of the feature size, energy as feature size times the square of the voltage.

    Switched capacitance per width and per length stays, as it did from 45 to 22 nm (assumed). Leakage is that of cacti7, of widths that shrink with the
    feature size. The time that an action takes is set otherwise.
    """
    size, volts = (wanted[name] / base[name] for name in ("node", "supply"))
    energy = size * volts**2
    leakage = size * volts * leakage_a_per_m(wanted["node"]) / leakage_a_per_m(base["node"])
    why = f"x{energy:.3g} at {wanted['node'] * 1e9:g} nm and {wanted['supply']:g} V, as feature size and V^2, area x{size**2:.3g} (assumed)"
    return Factors(size**2, energy, 1.0, why, assumed=True, leakage=leakage)


@law("features")
def features(base: Parameters, wanted: Parameters) -> Factors:
    """Area as the square of the feature size, all else as it is: cells measured in F^2 (assumed)."""
    size = wanted["node"] / base["node"]
    return Factors(size**2, 1.0, 1.0, f"area x{size**2:.3g} at {wanted['node'] * 1e9:g} nm, as F^2 (assumed)", assumed=True)


def mean_conductance_s(parameters: Parameters) -> float:
    """Return the mean conductance (S) of a cell between 1/R_on and 1/(R_on · ratio), at a mean `level` from 0 (off) to 1 (on)."""
    on = 1 / parameters["on_resistance"]
    off = on / parameters["on_off"]
    return off + parameters["level"] * (on - off)


def cell_heat_j(parameters: Parameters) -> float:
    """Return the heat (J) of one cell in one read, V² · G · t, on average over inputs: `activity` is the share of word lines that are driven."""
    return parameters["activity"] * mean_conductance_s(parameters) * parameters["read_voltage"] ** 2 * parameters["pulse"]


@law("ohmic")
def ohmic(base: Parameters, wanted: Parameters) -> Factors:
    """Array of resistors: a cell on a driven word line heats with V² · G for as long as the pulse; area goes with the cells.

    Bits of a cell change neither: its levels lie between the same two resistances.
    """
    heat = cell_heat_j(wanted) / cell_heat_j(base)
    columns = wanted["columns"] / base["columns"]
    count = columns * wanted["rows"] / base["rows"]
    why = f"a cell's read x{heat:.4g} by V^2 G t, x{count:g} with {wanted['rows']:g}x{wanted['columns']:g} cells"
    of_actions = {"read_cell": heat, "read_row": heat * columns, "write_row": columns, "write_cell": 1.0}
    return Factors(count, heat * count, wanted["pulse"] / base["pulse"], why, of_actions)


@law("flash_adc")
def flash_adc(base: Parameters, wanted: Parameters) -> Factors:
    """Converter of a comparator for each threshold, 2^bits - 1 of them; a conversion takes 1/rate."""
    ratio = (2.0 ** wanted["bits"] - 1) / (2.0 ** base["bits"] - 1)
    return Factors(ratio, ratio, base["rate"] / wanted["rate"], f"x{ratio:.4g} for {wanted['bits']:g} bits, a comparator for each threshold")


@law("word")
def word(base: Parameters, wanted: Parameters) -> Factors:
    """Register, adder or comparator: proportional to the bits of a word (assumed; horowitz2014 has 0.03, 0.05 and 0.1 pJ for 8, 16 and 32 bits)."""
    ratio = wanted["bits"] / base["bits"]
    return Factors(ratio, ratio, 1.0, f"x{ratio:.3g} for {wanted['bits']:g} bits (assumed proportional)", assumed=True)


@law("line")
def line(base: Parameters, wanted: Parameters) -> Factors:
    """What charges a line of an array: energy proportional to the cells along it, area unchanged (assumed)."""
    ratio = wanted["cells"] / base["cells"]
    return Factors(1.0, ratio, 1.0, f"energy x{ratio:g} for {wanted['cells']:g} cells along the line (assumed proportional)", assumed=True)


@law("sram")
def sram(base: Parameters, wanted: Parameters) -> Factors:
    """Memory: area proportional to the capacity, energy of an access to its square root: 10, 20 and 100 pJ at 8 KB, 32 KB and 1 MB in horowitz2014."""
    ratio = wanted["capacity"] / base["capacity"]
    return Factors(ratio, ratio**0.5, 1.0, f"x{ratio:g} in capacity, energy x{ratio**0.5:.3g} by its root (horowitz2014)")


@law("wire_tree")
def wire_tree(base: Parameters, wanted: Parameters) -> Factors:
    """H-tree over a square of side `length`: from its root to a leaf it is that far, and all its branches are 1.5 · length · √leaves long.

    Energy of a byte as length times V² (capacitance per length is that of its shape, the same at every node), area as the branches times wires and pitch,
    which shrinks with the feature size; so many wires move so many bits a cycle. Repeaters leak.
    """
    node, supply, length, wires, rate = (wanted[name] / base[name] for name in ("node", "supply", "length", "wires", "rate"))
    branches = wires * length * (wanted["leaves"] / base["leaves"]) ** 0.5
    leakage = branches * supply * node * leakage_a_per_m(wanted["node"]) / leakage_a_per_m(base["node"])
    why = f"x{length * supply**2:.3g} for {wanted['length'] * 1e3:g} mm at {wanted['supply']:g} V, area x{branches * node:.3g}"
    return Factors(branches * node, length * supply**2, 1 / (wires * rate), why, leakage=leakage)


@law("fixed")
def fixed(base: Parameters, wanted: Parameters) -> Factors:
    """Nothing scales."""
    return Factors(1.0, 1.0, 1.0, "fixed")
