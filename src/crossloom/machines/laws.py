"""Scaling laws: the cost of a component as a function of its parameters.

A law takes the parameters at which the library's figures hold and those a machine needs. It returns factors for the
area, for the energy of each action (and hence the power), and for the time an action takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Parameters = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Factors:
    """Factors on the library's figures, and the reason for them."""

    area: float
    energy: float
    time: float
    why: str
    actions: Mapping[str, float] = field(default_factory=dict)
    """Energy factors by action name, for actions that scale differently, such as one on a row or on a cell."""
    assumed: bool = False
    """Whether the law itself is assumed; the scaled figures are then marked assumed too."""
    leakage: float | None = None
    """Factor for the static power; None: the area factor."""

    @property
    def static(self) -> float:
        """The factor for the static power."""
        return self.area if self.leakage is None else self.leakage

    def __mul__(self, other: Factors) -> Factors:
        """Return the combined factors of two laws."""
        named = {name: self.of(name) * other.of(name) for name in {**self.actions, **other.actions}}
        why = "; ".join(each.why for each in (self, other) if not each.changes_nothing) or self.why
        assumed = any(each.assumed and not each.changes_nothing for each in (self, other))
        return Factors(self.area * other.area, self.energy * other.energy, self.time * other.time, why, named, assumed, self.static * other.static)

    def of(self, action: str) -> float:
        """Return the factor for the energy of an action."""
        return self.actions.get(action, self.energy)

    @property
    def changes_nothing(self) -> bool:
        """Whether every factor is one."""
        return all(factor == 1.0 for factor in (self.area, self.energy, self.time, self.static, *self.actions.values()))


Law = Callable[[Parameters, Parameters], Factors]
LAWS: dict[str, Law] = {}


def factors_of(names: Sequence[str], base: Parameters, wanted: Parameters) -> Factors:
    """Return the product of the factors of several laws, given by name."""
    first, *others = (LAWS[name](base, wanted) for name in names)
    for other in others:
        first = first * other
    return first


def law(name: str) -> Callable[[Law], Law]:
    """Register a scaling law under its name in library files."""

    def register(function: Law) -> Law:
        LAWS[name] = function
        return function

    return register


SAR_ENERGY_SHARE = 0.0635
SAR_AREA_SHARE = 0.4551
"""Shares of the capacitive DAC at 8 bits. Fitted to the energies and areas for 4 to 10 bits in the public component library
hwcomponents (isaac.py), which follows the rule in Section VII of shafiee2016; the fit is within 0.3 % of each of its points."""


@law("sar_adc")
def sar_adc(base: Parameters, wanted: Parameters) -> Factors:
    """Successive-approximation ADC: reference buffer, memory and clock grow linearly with the bits, the capacitive DAC grows as 2^bits.

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
    """ADC whose energy is linear in the bits and whose area is constant (the constants of the PUMA simulator)."""
    ratio = wanted["bits"] / base["bits"]
    return Factors(1.0, ratio, base["rate"] / wanted["rate"], f"x{ratio:g} for {wanted['bits']:g} bits as in the PUMA simulator's constants")


@law("dac_levels")
def dac_levels(base: Parameters, wanted: Parameters) -> Factors:
    """Word-line DAC: power and area double with each bit (1, 2, 4 bits at 3.9, 7.8, 31.2 µW in PIMSYN's configuration)."""
    factor = 2.0 ** (wanted["bits"] - base["bits"])
    return Factors(factor, factor, 1.0, f"x{factor:g} for {wanted['bits']:g} bits as in PIMSYN's configuration")


@law("dac_capacitors")
def dac_capacitors(base: Parameters, wanted: Parameters) -> Factors:
    """Switched-capacitor word-line DAC: power and area are linear in 2^bits, so that 4 bits take 3.17 times as much as one bit.

    The line passes through two points: the totals for 64 x 128 drivers in cao2022, Table 2 (4 bits) and in shafiee2016, Table I (1 bit, eight IMAs).
    """

    def size(bits: float) -> float:
        return 1 + 2.17 / 14 * (float(2.0**bits) - 2)

    factor = size(wanted["bits"]) / size(base["bits"])
    return Factors(
        factor, factor, 1.0, f"x{factor:.3g} for {wanted['bits']:g} bits, linear in 2^bits (assumed) through cao2022 and shafiee2016", assumed=True
    )


@law("pipelined_adc")
def pipelined_adc(base: Parameters, wanted: Parameters) -> Factors:
    """Pipelined ADC: energy per conversion and area are proportional to the bits (assumed); a conversion takes 1/rate."""
    ratio = wanted["bits"] / base["bits"]
    why = f"x{ratio:g} for {wanted['bits']:g} bits, one stage per bit (assumed)"
    return Factors(ratio, ratio, base["rate"] / wanted["rate"], why, assumed=True)


@law("cells")
def cells(base: Parameters, wanted: Parameters) -> Factors:
    """Array: area and read energy are proportional to the number of cells (0.3, 1.2, 4.8 mW at 128, 256, 512 in PUMA and PIMSYN).

    Bits per cell change neither: none of our sources gives their effect.
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
    """Small array searched or read by rows: area and energy per action proportional to the cells (assumed; sensing scales with the rows)."""
    factor = wanted["rows"] * wanted["columns"] / (base["rows"] * base["columns"])
    return Factors(factor, factor, 1.0, f"x{factor:g} with {wanted['rows']:g}x{wanted['columns']:g} cells (assumed proportional)", assumed=True)


@law("tracks")
def tracks(base: Parameters, wanted: Parameters) -> Factors:
    """Content-addressable array of racetracks: area scales with rows and columns, as the domains of a track lie under its cell; all of it assumed.

    Actions are per cell. The length of the match line charged by a search scales with the columns, that of the track driven by a shift with the domains.
    """
    columns, domains = (wanted[name] / base[name] for name in ("columns", "domains"))
    size = wanted["rows"] / base["rows"] * columns
    why = f"area x{size:g} with rows and columns, a compared cell x{columns:g} with the columns, a shift x{domains:g} with the domains (assumed)"
    return Factors(size, size, 1.0, why, actions={"compare": columns, "write": 1.0, "shift": domains}, assumed=True)


@law("rows")
def rows(base: Parameters, wanted: Parameters) -> Factors:
    """One counter or driver per row: area proportional to the rows, energy of each unchanged (assumed)."""
    factor = wanted["rows"] / base["rows"]
    return Factors(factor, 1.0, 1.0, f"area x{factor:g} with the rows (assumed proportional)", assumed=True)


@law("table")
def table(base: Parameters, wanted: Parameters) -> Factors:
    """Clocked lookup table: area and energy per read proportional to the capacity (assumed)."""
    factor = wanted["capacity"] / base["capacity"]
    why = f"x{factor:g} with the capacity (assumed proportional), at {wanted['rate']:g} Hz"
    return Factors(factor, factor, base["rate"] / wanted["rate"], why, assumed=True)


@law("capacity")
def capacity(base: Parameters, wanted: Parameters) -> Factors:
    """Memory: area and power proportional to the capacity (assumed; CACTI scales less than proportionally for large memories)."""
    factor = wanted["capacity"] / base["capacity"]
    return Factors(factor, factor, 1.0, f"x{factor:g} with the capacity (assumed proportional)", assumed=True)


@law("register")
def register(base: Parameters, wanted: Parameters) -> Factors:
    """Input register: area proportional to the capacity, energy per read to capacity times bits per digit (cao2022: four times ISAAC's for four bits)."""
    size, digit = (wanted[name] / base[name] for name in ("capacity", "digit_bits"))
    why = f"x{size * digit:g} with capacity and bits per digit, area x{size:g} (assumed proportional)"
    return Factors(size, size * digit, 1.0, why, assumed=True)


@law("wires")
def wires(base: Parameters, wanted: Parameters) -> Factors:
    """Bus: area proportional to the number of wires, energy per byte unchanged (assumed)."""
    factor = wanted["wires"] / base["wires"]
    return Factors(factor, 1.0, 1 / factor, f"area x{factor:g} with the wires (assumed proportional)", assumed=True)


@law("flits")
def flits(base: Parameters, wanted: Parameters) -> Factors:
    """Router: area proportional to flit width and number of ports, energy per byte unchanged (assumed)."""
    factor = wanted["flit_bits"] * wanted["ports"] / (base["flit_bits"] * base["ports"])
    return Factors(
        factor, 1.0, base["flit_bits"] / wanted["flit_bits"], f"area x{factor:g} with flit width and ports (assumed proportional)", assumed=True
    )


@law("clocked")
def clocked(base: Parameters, wanted: Parameters) -> Factors:
    """Digital unit: an action takes one clock period; energy and area do not depend on the rate (assumed)."""
    return Factors(1.0, 1.0, base["rate"] / wanted["rate"], f"at {wanted['rate']:g} Hz", assumed=True)


LEAKAGE_A_PER_M = {22e-9: 475.3e-6, 32e-9: 57.9e-6, 45e-9: 19.57e-6}
"""Off-state transistor current per metre of width, channel at 300 K plus gate: cacti7, `tech_params/*.dat`, low standby power
(I_off_n + I_g_on_n). Interpolated between nodes, log-log in the feature size; constant beyond them."""


def leakage_a_per_m(node_m: float) -> float:
    """Return the off-state current (A) per metre of transistor width at a node."""
    nodes = sorted(LEAKAGE_A_PER_M)
    node_m = min(max(node_m, nodes[0]), nodes[-1])
    above = next(place for place, node in enumerate(nodes) if node_m <= node)
    low, high = nodes[max(above - 1, 0)], nodes[above]
    share = math.log(node_m / low) / math.log(high / low) if high > low else 0.0
    return math.exp((1 - share) * math.log(LEAKAGE_A_PER_M[low]) + share * math.log(LEAKAGE_A_PER_M[high]))


@law("cmos")
def cmos(base: Parameters, wanted: Parameters) -> Factors:
    """The same circuit at another node and supply: area as the square of the feature size, energy as feature size times the square of the voltage.

    Switched capacitance per width and per length is constant, as it was from 45 to 22 nm (assumed). Leakage per width is cacti7's, and widths shrink
    with the feature size. The time per action is set elsewhere.
    """
    size, volts = (wanted[name] / base[name] for name in ("node", "supply"))
    energy = size * volts**2
    leakage = size * volts * leakage_a_per_m(wanted["node"]) / leakage_a_per_m(base["node"])
    why = f"x{energy:.3g} at {wanted['node'] * 1e9:g} nm and {wanted['supply']:g} V, as feature size and V^2, area x{size**2:.3g} (assumed)"
    return Factors(size**2, energy, 1.0, why, assumed=True, leakage=leakage)


@law("features")
def features(base: Parameters, wanted: Parameters) -> Factors:
    """Cells measured in F^2: area as the square of the feature size, everything else unchanged (assumed)."""
    size = wanted["node"] / base["node"]
    return Factors(size**2, 1.0, 1.0, f"area x{size**2:.3g} at {wanted['node'] * 1e9:g} nm, as F^2 (assumed)", assumed=True)


def mean_conductance_s(parameters: Parameters) -> float:
    """Return the mean conductance (S) of a cell between 1/R_on and 1/(R_on · ratio), at a mean `level` from 0 (off) to 1 (on)."""
    on = 1 / parameters["on_resistance"]
    off = on / parameters["on_off"]
    return off + parameters["level"] * (on - off)


def cell_heat_j(parameters: Parameters) -> float:
    """Return the heat (J) of one cell in one read, V² · G · t, averaged over inputs; `activity` is the fraction of word lines driven."""
    return parameters["activity"] * mean_conductance_s(parameters) * parameters["read_voltage"] ** 2 * parameters["pulse"]


@law("ohmic")
def ohmic(base: Parameters, wanted: Parameters) -> Factors:
    """Array of resistors: a cell on a driven word line dissipates V² · G during the pulse; area scales with the number of cells.

    Bits per cell change neither: the levels lie between the same two resistances.
    """
    heat = cell_heat_j(wanted) / cell_heat_j(base)
    columns = wanted["columns"] / base["columns"]
    count = columns * wanted["rows"] / base["rows"]
    why = f"a cell's read x{heat:.4g} by V^2 G t, x{count:g} with {wanted['rows']:g}x{wanted['columns']:g} cells"
    of_actions = {"read_cell": heat, "read_row": heat * columns, "write_row": columns, "write_cell": 1.0}
    return Factors(count, heat * count, wanted["pulse"] / base["pulse"], why, of_actions)


@law("flash_adc")
def flash_adc(base: Parameters, wanted: Parameters) -> Factors:
    """Flash ADC: one comparator per threshold, 2^bits - 1 in all; a conversion takes 1/rate."""
    ratio = (2.0 ** wanted["bits"] - 1) / (2.0 ** base["bits"] - 1)
    return Factors(ratio, ratio, base["rate"] / wanted["rate"], f"x{ratio:.4g} for {wanted['bits']:g} bits, one comparator per threshold")


@law("word")
def word(base: Parameters, wanted: Parameters) -> Factors:
    """Register, adder or comparator: proportional to the word width (assumed; horowitz2014 gives 0.03, 0.05 and 0.1 pJ for 8, 16 and 32 bits)."""
    ratio = wanted["bits"] / base["bits"]
    return Factors(ratio, ratio, 1.0, f"x{ratio:.3g} for {wanted['bits']:g} bits (assumed proportional)", assumed=True)


@law("line")
def line(base: Parameters, wanted: Parameters) -> Factors:
    """Line driver of an array: energy proportional to the cells along the line, area unchanged (assumed)."""
    ratio = wanted["cells"] / base["cells"]
    return Factors(1.0, ratio, 1.0, f"energy x{ratio:g} for {wanted['cells']:g} cells along the line (assumed proportional)", assumed=True)


@law("sram")
def sram(base: Parameters, wanted: Parameters) -> Factors:
    """SRAM: area proportional to the capacity, energy per access to its square root (horowitz2014: 10, 20 and 100 pJ at 8 KB, 32 KB and 1 MB)."""
    ratio = wanted["capacity"] / base["capacity"]
    return Factors(ratio, ratio**0.5, 1.0, f"x{ratio:g} in capacity, energy x{ratio**0.5:.3g} by its square root (horowitz2014)")


@law("wire_tree")
def wire_tree(base: Parameters, wanted: Parameters) -> Factors:
    """H-tree over a square of side `length`: a root-to-leaf path is `length` long, and all branches together 1.5 · length · √leaves.

    Energy per byte scales as length times V² (capacitance per length depends only on the wires' shape and is the same at every node). Area scales as branch
    length times wires times pitch, and the pitch shrinks with the feature size. Each wire moves one bit per cycle. Repeaters leak.
    """
    node, supply, length, wires, rate = (wanted[name] / base[name] for name in ("node", "supply", "length", "wires", "rate"))
    branches = wires * length * (wanted["leaves"] / base["leaves"]) ** 0.5
    leakage = branches * supply * node * leakage_a_per_m(wanted["node"]) / leakage_a_per_m(base["node"])
    why = f"x{length * supply**2:.3g} for {wanted['length'] * 1e3:g} mm at {wanted['supply']:g} V, area x{branches * node:.3g}"
    return Factors(branches * node, length * supply**2, 1 / (wires * rate), why, leakage=leakage)


@law("fixed")
def fixed(base: Parameters, wanted: Parameters) -> Factors:
    """No scaling: every factor is one."""
    return Factors(1.0, 1.0, 1.0, "fixed")
