"""Neural-PIM (Cao et al., IEEE Transactions on Computers 71(9), 2022): its claims on dataflows, chip and systems.

The claims on its circuits are in `neural_periphery.py`.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from statistics import fmean, geometric_mean
from typing import Any

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.dataflow import Line, lines
from crossloom.engine.crossbar.mapping.encode import Digits, Slices
from crossloom.engine.crossbar.peak import peak
from crossloom.machines import Machine, load_machine
from crossloom.papers import neural_periphery as circuits
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import Run, network, ratio, side_by_side, with_bits
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

PAPER = "cao2022"
NETWORKS = ("alexnet", "resnet50", "resnet101", "vgg16", "vgg19", "inception-v3", "googlenet", "mobilenet-v2", "neuraltalk")
ROUTER = "share of a router in a tile: calibrated on the chip's area"
CHOSEN = (
    "networks larger than a chip: on twice the chips needed for one copy on the machine that needs most, for all three",
    "baselines: W+ and W- in separate columns, nine cycles for eight input bits, as many tiles as fit into the area",
    "buffers, buses and routers: neural-pim's for all three",
    "buffer cells, amplifiers and TIAs of the CASCADE-style machine: assumed, or calibrated on chou2019",
    "pooling, merging of partial sums and buses: never the bottleneck, as the paper's pipeline leaves them out",
)
FAST = {"max_pool.rate": "1 THz", "tile_shift_add.rate": "1 THz", "bus.transfer.latency": "1 ps"}


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_dataflows(), *_table_2(), *_densities(), *_breakdown(), *_design_space(), *_systems(), *_dac_bits(), *circuits.claims()]


@cache
def _machine(name: str) -> Machine:
    return load_machine(name)


def _claim(id: str, statement: str, published: float | None, computed: float, tolerance: float, basis: str, **more: Any) -> Claim:
    return Claim(id=id, paper=PAPER, statement=statement, published=published, computed=computed, tolerance=tolerance, basis=basis, **more)


def _dataflows() -> list[Claim]:
    """Return claims on conversions and resolutions of an 8-bit dot product (H6; Section 3.1, Equations 2 to 7)."""
    published = {1: ((64, 8), (15, 11)), 2: ((32, 9), (11, 11)), 4: ((16, 11), (9, 12))}
    made = [
        _claim("conversions-analog", "conversions for one 8-bit dot product, strategy C", 1, len(_lines("analog", 1)), 0.0, "lines of the dataflow")
    ]
    for dac_bits, both in published.items():
        for strategy, letter, (conversions, bits) in zip(("digital", "buffered"), "AB", both, strict=True):
            found = _lines(strategy, dac_bits)
            digits, slices = Digits.of(8, False, dac_bits), Slices.of(8, "offset", 1)
            need = max(math.ceil(math.log2(line.span(128, digits, slices)[1] + 1)) for line in found)
            what, basis = f"strategy {letter}, {dac_bits}-bit DAC", "lines of the dataflow for 128 rows of one-bit cells"
            made.append(_claim(f"conversions-{strategy}-{dac_bits}", f"conversions for one dot product, {what}", conversions, len(found), 0.0, basis))
            note = ""
            if need != bits:
                note = (
                    "Equation 3 adds log2 of the cycles; with multi-bit digits and C+K-1 columns (Equation 6), the rows of a column have "
                    "different significance, so they need weights and take more bits"
                )
            made.append(_claim(f"bits-{strategy}-{dac_bits}", f"bits of a lossless converter, {what}", bits, need, 0.0, basis, note=note))
    return made


def _lines(strategy: str, dac_bits: int) -> tuple[Line, ...]:
    return lines(strategy, Digits.of(8, False, dac_bits), Slices.of(8, "offset", 1))


def _of_tile(machine: Machine, unit: str = ".tile") -> tuple[float, float]:
    """Return power (W) and area (mm²) of the parts in one tile, or of those in its unit `unit`."""
    parts = [part for part in machine.built_in() if f"{unit}." in part.path]
    tiles = machine.count_of("tile")
    return sum(p.total * p.power_w.value for p in parts) / tiles, sum(p.total * p.area_mm2.value for p in parts) / tiles


def _table_2() -> list[Claim]:
    """Return claims on power and area of PE, tiles and chip (H12)."""
    machine = _machine("neural-pim")
    (pe_w, pe_mm2), (tile_w, tile_mm2) = _of_tile(machine, ".pe"), _of_tile(machine)
    tiles, basis = machine.count_of("tile"), "sum of the rows of Table 2 times their counts, plus ISAAC's remaining parts"
    rest = ("buffer and bus: ISAAC's for 64 of 96 arrays", ROUTER)
    return [
        _claim("pe-power", "Table 2: 64 arrays with their periphery draw 0.18 W", 0.18, pe_w, 0.03, basis, note="printed to two digits"),
        _claim("pe-area", "Table 2: 64 arrays with their periphery take 0.084 mm2", 0.084, pe_mm2, 0.02, basis),
        _claim("tiles-power", "Table 2: 280 tiles draw 57.3 W", 57.3, tiles * tile_w, 0.015, basis, free_parameters=rest),
        _claim(
            "tiles-area",
            "Table 2: 280 tiles take 63.5 mm2",
            None,
            tiles * tile_mm2,
            0.015,
            basis,
            free_parameters=rest,
            note="63.5 mm2 is the fitting target",
        ),
        _claim("chip-power", "Table 2: the chip draws 67.7 W", 67.7, machine.power_w, 0.015, basis, free_parameters=rest),
        _claim(
            "chip-area",
            "Table 2: the chip takes 86.4 mm2",
            None,
            machine.area_mm2,
            0.015,
            basis,
            free_parameters=rest,
            note="86.4 mm2 is the fitting target",
        ),
    ]


def _densities() -> list[Claim]:
    """Return claims on the area of the computing arrays over the area of a tile (H8, Table 3)."""
    notes = {
        "isaac-style": "0.68 % lies between 7-bit converters (0.71 %, as printed in Table 3) and 8-bit converters (0.65 %, as in its prose), which are used here",
        "cascade-style": "TIAs and amplifiers have no published area",
        "neural-pim": "",
    }
    made = []
    for name, published in (("isaac-style", 0.68), ("cascade-style", 0.76), ("neural-pim", 0.71)):
        machine = _machine(name)
        array = machine.part("array")
        share = 100 * array.total * array.area_mm2.value / (machine.count_of("tile") * _of_tile(machine)[1])
        made.append(
            _claim(
                f"density-{name}",
                f"Table 3: area of arrays over total area, {name} (%)",
                published,
                share,
                0.015,
                "machine file",
                note=notes[name],
                free_parameters=(ROUTER,),
            )
        )
    return made


def _breakdown() -> list[Claim]:
    """Return claims on the shares of power in Figure 13, with HyperTransport in "Other"; the labels are assigned by their sums."""
    roles = {"XB": ("array",), "ADC": ("adc",), "DAC": ("dac",), "S+A": ("shift_add", "accumulator", "tia", "buffer_array", "summing_amplifier")}
    published = {
        "isaac-style": (4.0, 52.8, 13.2, 0.7, 29.4),
        "cascade-style": (4.3, 38.5, 14.4, 4.1, 38.6),
        "neural-pim": (4.0, 5.0, 42.3, 8.0, 40.8),
    }
    notes = {
        ("neural-pim", "ADC"): "Table 2 prints 6 mW for four converters; Figure 13 shows twice the corresponding share",
        ("cascade-style", "ADC"): "the printed share implies 28.6 mW for each of three 10-bit converters; ISAAC's SAR law gives 2.8 mW",
        ("cascade-style", "DAC"): "share of a smaller total, see ADC",
        ("cascade-style", "XB"): "share of a smaller total, see ADC",
        ("cascade-style", "Other"): "share of a smaller total, see ADC",
        ("cascade-style", "S+A"): "TIAs, buffers and amplifiers have no published power; buffers are counted as if written continuously",
        ("isaac-style", "ADC"): "257 tiles fit here, about 270 in the paper, so the links' 10.4 W is a larger share of the total",
        ("isaac-style", "Other"): "the links' 10.4 W with 257 tiles instead of about 270, see ADC",
        ("neural-pim", "Other"): "the printed share is 98 mW for 64 arrays; the rows of Table 2, ISAAC's buffers and the links sum to 106 mW",
        ("neural-pim", "DAC"): "as a share of the total, see Other",
    }
    made = []
    for name, shares in published.items():
        machine = _machine(name)
        power = {part: sum(machine.part(role).total * machine.part(role).power_w.value for role in of if role in machine.by_role and not machine.part(role).extension)
                 for part, of in roles.items()}  # fmt: skip
        power["Other"] = machine.power_w - sum(power.values())
        for (part, watts), printed in zip(power.items(), shares, strict=True):
            made.append(
                _claim(
                    f"share-{name}-{part.lower()}",
                    f"Figure 13: share of {part} in the power of {name} (%)",
                    printed,
                    100 * watts / machine.power_w,
                    0.5,
                    "machine file, all parts active",
                    absolute=True,
                    note=notes.get((name, part), ""),
                    free_parameters=(ROUTER,),
                )
            )
    return made


def _density_of_work(machine: Machine) -> float:
    """Return GOPS/(s·mm²) at 8 bits without HyperTransport; the interval is the longer of the operation and the conversions."""
    best = peak(machine, 8, 8, signed=False)
    array, adc = machine.part("array"), machine.part("adc")
    sums = array.total * (array.parameters["columns"] // 16)
    converting_s = sums * adc.actions["convert"].latency_s.value / adc.total
    link = machine.part("hypertransport")
    operation_s = 2 * sums * array.parameters["rows"] / best.operations_per_s
    return 2 * sums * array.parameters["rows"] / max(operation_s, converting_s) / 1e9 / (machine.area_mm2 - link.total * link.area_mm2.value)


def sweep() -> dict[str, float]:
    """Return GOPS/(s·mm²) of the designs of Section 7.1 by name; components sized by the arrays scale with their rows."""
    found = {}
    for size, dac_bits, adcs, accumulators, arrays in product((32, 64, 128), (1, 2, 4), (1, 2, 4), (64, 128), (64, 96, 128)):
        grows = arrays * size / (64 * 128)
        machine = _machine("neural-pim").with_(**{
            "adder": "ideal", "converter": "ideal", "array.rows": size, "array.columns": size, "array.count": arrays, "dac.bits": dac_bits, "adc.count": adcs, "accumulator.count": accumulators,
            "buffer.capacity": f"{43690 * grows:.0f} B", "bus.wires": round(256 * grows), "router.count": 0.148 * grows,
            "input_register.count": grows, "input_register.digit_bits": dac_bits, "output_register.count": 8 * grows,
        })  # fmt: skip
        found[f"N{size}-D{dac_bits}-A{adcs}-S{accumulators}-M{arrays}"] = _density_of_work(machine)
    return found


def _design_space() -> list[Claim]:
    """Return claims on the best design of Section 7.1 (H7)."""
    name, found = "N128-D4-A4-S64-M64", sweep()
    best = max(found, key=lambda each: found[each])
    free = (ROUTER, "buffer, bus, router and registers: proportional to the word lines of a tile")
    basis = "peak of the machine file at 8 bits, 64 arrays x 1024 weights x 2 operations in 300 ns, area without HyperTransport"
    return [
        _claim("efficiency", f"Section 7.1: {name} does 1904.0 GOPS/(s·mm2)", 1904.0, found[name], 0.015, basis, free_parameters=free),
        _claim(
            "best-design",
            f"Section 7.1: {name} is the best of the sweep (its efficiency over the efficiency of the best design here)",
            1.0,
            found[name] / found[best],
            0.015,
            "162 designs, each a variant of the machine file",
            free_parameters=free,
            note=f"best here: {best}, {found[best]:.0f} GOPS/(s·mm2)",
        ),
    ]


@cache
def runs(name: str, boards: int = 2, changes: tuple[tuple[str, str], ...] = tuple(FAST.items())) -> dict[str, Run]:
    """Return a network's runs on the three machines with equal chip counts: `boards` times the most that any of them needs."""
    machines = {each: _machine(each).with_(**dict(changes)) for each in ("isaac-style", "cascade-style", "neural-pim")}
    return side_by_side(with_bits(network(name), 8, signed=False), machines, boards)


def _average(what: str, baseline: str, boards: int = 2, changes: tuple[tuple[str, str], ...] = tuple(FAST.items())) -> float:
    return fmean(ratio(runs(name, boards, changes), "neural-pim", baseline, what) for name in NETWORKS)


def _systems() -> list[Claim]:
    """Return claims on energy and throughput against the two baselines, for each network and on average (H1 to H5)."""
    published = {
        ("energy", "isaac-style"): 5.36, ("energy", "cascade-style"): 1.73, ("throughput", "isaac-style"): 3.43, ("throughput", "cascade-style"): 1.59,
    }  # fmt: skip
    made = []
    for (what, baseline), value in published.items():
        ratios = {name: ratio(runs(name), "neural-pim", baseline, what) for name in NETWORKS}
        others = {
            "on the minimum number of chips": (1, tuple(FAST.items())),
            "on four times as many": (4, tuple(FAST.items())),
            "pooling units, adders and buses as in ISAAC": (2, ()),
        }
        notes = [", ".join(f"{name} {each:.2f}" for name, each in ratios.items()), f"geometric average {geometric_mean(ratios.values()):.2f}"]
        notes += [f"{way}: {_average(what, baseline, *options):.2f}" for way, options in others.items()]
        notes += [_terms(baseline)] if what == "energy" else []
        made.append(
            _claim(
                f"{what}-{baseline}",
                f"Section 7.2: {what} of Neural-PIM against {baseline}, mean of nine networks",
                value,
                fmean(ratios.values()),
                0.1,
                "compiled, timeline and ledger of a full pipeline; includes the links' static power",
                free_parameters=CHOSEN,
                note="; ".join(notes),
            )
        )
    vgg = runs("vgg16")
    adc, adder = vgg["isaac-style"].ledger.by_component["adc"], vgg["neural-pim"].ledger.by_component["accumulator"]
    note = "the baseline's converters do 128 conversions where an accumulator operates twice; 33 requires 1.67 pJ per 8-bit conversion, and less than the accumulator's 3.7 pJ of Table 2"
    made.append(
        _claim(
            "adc-over-accumulator",
            "Section 7.2: energy of ISAAC's converters over the energy of NNS+A",
            33.0,
            adc / adder,
            0.1,
            "ledgers of VGG-16",
            note=note,
        )
    )
    return made


def _terms(baseline: str) -> str:
    """Return the main energy shares of VGG-16 on Neural-PIM and on a baseline, and the ratio without the links' static power."""
    found = {name: runs("vgg16")[name].ledger for name in ("neural-pim", baseline)}
    dynamic = {name: ledger.energy_j - sum(ledger.static_j.values()) for name, ledger in found.items()}
    largest = [
        f"{name} {', '.join(f'{part} {energy / ledger.energy_j:.0%}' for part, energy in list(ledger.by_component.items())[:4])}"
        for name, ledger in found.items()
    ]
    return f"VGG-16: {'; '.join(largest)}; without the links' static power {dynamic[baseline] / dynamic['neural-pim']:.2f}"


def _dac_bits() -> list[Claim]:
    """Return claims on the best DAC resolution (H13; the values of Figure 4(b) cannot be read)."""
    made = []
    for name, published, note in (
        ("neural-pim", 4, ""),
        ("isaac-style", 1, "the paper's converter grows exponentially with its bits; by the SAR law fitted for ISAAC, 11 bits cost 1.8 times as much as 8 bits, for a quarter of the conversions"),
    ):  # fmt: skip
        energy = {bits: _dynamic_j(_machine(name), bits) for bits in (1, 2, 4)}
        listed = ", ".join(f"{bits} bits {joule / energy[1]:.2f}" for bits, joule in energy.items())
        made.append(
            _claim(
                f"dac-bits-{name}",
                f"Section 3.3: DAC resolution at which {name} takes the least energy (bits)",
                published,
                min(energy, key=lambda bits: energy[bits]),
                0.0,
                "dynamic energy of one AlexNet inference; lossless converters, DACs by the law of their component, registers by the digit",
                note=f"{listed} times the energy with one bit" + (f"; {note}" if note else ""),
            )
        )
    return made


def _dynamic_j(machine: Machine, dac_bits: int) -> float:
    """Return the dynamic energy of an AlexNet inference (J) with digits of `dac_bits` bits; converters match the width of each partial sum."""
    changes: dict[str, object] = {"dac.bits": dac_bits, "input_register.digit_bits": dac_bits, "range": "ideal"}
    if machine.name == "isaac-style":
        changes["adc.bits"] = {1: 8, 2: 9, 4: 11}[dac_bits]
    program = compile_network(with_bits(network("alexnet"), 8, signed=False), machine.with_(**changes))
    return sum(entry.energy_j for entry in read_ledger(program, read_timeline(program)).entries)
