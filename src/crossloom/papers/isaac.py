"""ISAAC (Shafiee et al., ISCA 2016, corrected 5 October 2016): its claims, computed from the machine files."""

from __future__ import annotations

from functools import cache

from crossloom.engine.crossbar.peak import Peak, peak
from crossloom.engine.crossbar.settings import lossless_bits
from crossloom.machines import Machine, load_machine
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import operation_cycles, throughput_16_bit, utilization

PAPER = "shafiee2016"
_PE_GEOMETRY = "geometry of ISAAC-PE is not printed: geometry of ISAAC-CE assumed"
_SE_GEOMETRY = "geometry of ISAAC-SE: H256-A8-C512-I4 from memory, 168 tiles assumed"
_NFU = "288 multipliers and 288 adders per NFU, from memory of chen2014"


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_table_1(), *_efficiencies(), *_shares(), *_design(), *_sensitivities(), *_against_dadiannao(), *_conventional_mapping()]


@cache
def _machine(name: str) -> Machine:
    return load_machine(name)


@cache
def _peak(name: str) -> Peak:
    return peak(_machine(name))


def _sum(machine: Machine, unit: str, figure: str) -> float:
    """Return power (W) or area (mm²) of one unit, including the units inside it."""
    scale = machine.units[unit]
    chosen = [part for part in machine.built_in() if part.unit == unit or part.path.startswith(unit + ".")]
    return sum(part.total * (part.power_w if figure == "power" else part.area_mm2).value for part in chosen) / scale


def _table_1() -> list[Claim]:
    m = _machine("isaac-ce")
    tile, ima = "chip.tile", "chip.tile.ima"
    own = [part for part in m.built_in() if part.unit == tile]
    rows: list[tuple[str, str, float, float]] = [
        ("tile-periphery-power", "a tile without IMAs draws 40.9 mW", 40.9e-3, sum(p.count * p.power_w.value for p in own)),
        ("tile-periphery-area", "a tile without IMAs takes 0.215 mm²", 0.215, sum(p.count * p.area_mm2.value for p in own)),
        ("imas-power", "12 IMAs draw 289 mW", 289e-3, 12 * _sum(m, ima, "power")),
        ("imas-area", "12 IMAs take 0.157 mm²", 0.157, 12 * _sum(m, ima, "area")),
        ("tile-power", "a tile draws 330 mW", 330e-3, _sum(m, tile, "power")),
        ("tile-area", "a tile takes 0.372 mm²", 0.372, _sum(m, tile, "area")),
        ("tiles-power", "168 tiles draw 55.4 W", 55.4, 168 * _sum(m, tile, "power")),
        ("tiles-area", "168 tiles take 62.5 mm²", 62.5, 168 * _sum(m, tile, "area")),
        ("chip-power", "the chip draws 65.8 W", 65.8, m.power_w),
        ("chip-area", "the chip takes 85.4 mm²", 85.4, m.area_mm2),
    ]
    made = [
        Claim(
            id=f"table1-{i}",
            paper=PAPER,
            statement=f"Table I: {s}",
            published=p,
            computed=c,
            tolerance=0.003,
            basis="sum of the rows of Table I times their counts",
        )
        for i, s, p, c in rows
    ]
    d = _machine("dadiannao")
    for i, s, p, c in (("power", "draws 20.1 W", 20.1, d.power_w), ("area", "takes 88 mm²", 88.0, d.area_mm2)):
        made.append(
            Claim(
                id=f"table1-dadiannao-{i}",
                paper=PAPER,
                statement=f"Table I: DaDianNao {s}",
                published=p,
                computed=c,
                tolerance=0.003,
                basis="sum of its rows",
            )
        )
    return made


def _efficiencies() -> list[Claim]:
    table = (
        ("isaac-ce", (478.95, 627.5, 0.74), (), "CE is 0.9 % high: the paper's number corresponds to 86.2 mm², but its table sums to 85.4"),
        (
            "isaac-pe",
            (409.67, 644.2, 0.62),
            (_PE_GEOMETRY,),
            "computed with the geometry of ISAAC-CE, because this design's is not printed: nothing about it can be confirmed",
        ),
        (
            "isaac-se",
            (103.35, 312.5, 20.25),
            (_SE_GEOMETRY,),
            "CE and SE are off by the same factor of 2.15, so arrays and ADCs fit but the area does not: 23 tiles instead of 168 would give 103 and 20.2",
        ),
    )
    made = []
    for name, published, free, note in table:
        p = _peak(name)
        for what, value, computed, unit in zip(
            ("CE", "PE", "SE"),
            published,
            (p.computational_efficiency, p.power_efficiency, p.storage_efficiency),
            ("GOPS/(s·mm²)", "GOPS/W", "MB/mm²"),
            strict=True,
        ):
            made.append(
                Claim(
                    id=f"{name}-{what.lower()}",
                    paper=PAPER,
                    statement=f"Table IV: {what} of {name.upper()} is {value} {unit}",
                    published=value,
                    computed=computed,
                    tolerance=0.01,
                    basis="peak of the machine file at 16 bits, HyperTransport included, 1 MAC = 2 operations, MB = 2^20 bytes",
                    free_parameters=free,
                    note=note if free or what == "CE" else "",
                )
            )
    return made


def _dadiannao() -> tuple[float, float, float]:
    """Return CE, PE and SE of DaDianNao from its components."""
    d = _machine("dadiannao")
    nfu, buffer = d.part("nfu"), d.part("buffer")
    operations = nfu.total * nfu.parameters["operators"] * nfu.parameters["rate"] / 1e9
    return operations / d.area_mm2, operations / d.power_w, buffer.total * buffer.parameters["capacity"] / 2**20 / d.area_mm2


def _shares() -> list[Claim]:
    m, d = _machine("isaac-ce"), _machine("dadiannao")
    tile = "chip.tile"
    tile_power, tile_area = _sum(m, tile, "power"), _sum(m, tile, "area")
    adc, buffer, bus = m.part("adc"), m.part("buffer"), m.part("bus")
    adcs = adc.total / m.units[tile]
    rows = (
        ("adc-power", "ADCs are 58 % of a tile's power", 58.0, 100 * adcs * adc.power_w.value / tile_power),
        ("adc-area", "ADCs are 31 % of a tile's area", 31.0, 100 * adcs * adc.area_mm2.value / tile_area),
        ("memory-area", "eDRAM and its bus are 47 % of a tile's area", 47.0, 100 * (buffer.area_mm2.value + bus.area_mm2.value) / tile_area),
        (
            "links-power",
            "HyperTransport is 16 % of the chip's power",
            16.0,
            100 * m.part("hypertransport").total * m.part("hypertransport").power_w.value / m.power_w,
        ),
        (
            "links-dadiannao",
            "HyperTransport is about half of DaDianNao's power",
            50.0,
            100 * d.part("hypertransport").total * d.part("hypertransport").power_w.value / d.power_w,
        ),
    )
    return [
        Claim(
            id=f"share-{i}",
            paper=PAPER,
            statement=f"Section VIII: {s}",
            published=p,
            computed=c,
            tolerance=2.0 if "about" in s else 1.0,
            absolute=True,
            basis="components of Table I, in percent",
        )
        for i, s, p, c in rows
    ]


def _design() -> list[Claim]:
    occupancy, latency = operation_cycles(_machine("isaac-ce"))
    rows = (
        (
            "adc-bits",
            "Equations 1 and 2: 9 bits for 128 rows, 1-bit DAC, 2-bit cells",
            9.0,
            float(lossless_bits(128, 1, 2)),
            "lowest resolution with a code for every partial sum",
        ),
        (
            "adc-bits-flip",
            "Section V: flip encoding reduces this to 8 bits",
            8.0,
            float(lossless_bits(128, 1, 2, flip=True)),
            "the same, with column sums of at most half",
        ),
        (
            "occupancy",
            "Figure 4: a 16-bit operation occupies an array for 16 cycles",
            16.0,
            occupancy,
            "initiation interval of a compiled 16-bit layer over the cycle",
        ),
        ("latency", "Figure 4: a 16-bit operation takes 22 cycles", 22.0, latency, "latency of a compiled 16-bit layer over the cycle"),
    )
    return [
        Claim(id=f"design-{i}", paper=PAPER, statement=s, published=p, computed=c, tolerance=0.0, absolute=True, basis=b) for i, s, p, c, b in rows
    ]


def _sensitivities() -> list[Claim]:
    base, machine = _peak("isaac-ce"), _machine("isaac-ce")
    slow = peak(machine.with_(cycle="200 ns", **{"adc.count": 4}))
    plain = peak(machine.with_(flip=False, adc_bits=9))
    wide = peak(machine, weight_bits=32, input_bits=32)
    halved = "with 200 ns reads, 4 ADCs serve the 8 arrays of an IMA; the paper redesigned the IMA but does not print the redesign"
    law = "the ADC law here is from hwcomponents, where the ninth bit costs 18 % energy and 52 % area; the paper's own law is not available and may be steeper, and the paper may compare redesigned chips"
    rows: tuple[tuple[str, str, float, float, float, str, tuple[str, ...], str], ...] = (
        (
            "slow-read-throughput",
            "200 ns reads halve the throughput",
            0.5,
            slow.operations_per_s / base.operations_per_s,
            0.05,
            "peak with 200 ns reads",
            (),
            "",
        ),
        (
            "slow-read-ce",
            "200 ns reads cost 30 % of CE",
            -30.0,
            100 * (slow.computational_efficiency / base.computational_efficiency - 1),
            5.0,
            "peak with 200 ns reads",
            (halved,),
            "the paper does not print the redesign; with half the ADCs, the area saved does not make up for the lower throughput",
        ),
        (
            "wide",
            "32-bit arithmetic loses three quarters of the throughput",
            0.25,
            wide.operations_per_s / base.operations_per_s,
            0.01,
            "peak at 32 bits",
            (),
            "",
        ),
        (
            "flip-ce",
            "the encoding gains 50 % of CE",
            50.0,
            100 * (base.computational_efficiency / plain.computational_efficiency - 1),
            5.0,
            "peak against a peak with 9-bit ADCs",
            (law,),
            law,
        ),
        (
            "flip-pe",
            "the encoding gains 80 % of PE",
            80.0,
            100 * (base.power_efficiency / plain.power_efficiency - 1),
            5.0,
            "peak against a peak with 9-bit ADCs",
            (law,),
            law,
        ),
    )
    return [
        Claim(
            id=f"sensitivity-{i}",
            paper=PAPER,
            statement=f"Sections V, VIII: {s}",
            published=p,
            computed=c,
            tolerance=t,
            absolute=True,
            basis=b,
            free_parameters=f,
            note=n,
        )
        for i, s, p, c, t, b, f, n in rows
    ]


def _against_dadiannao() -> list[Claim]:
    ours = _peak("isaac-ce")
    ce, pe, se = _dadiannao()
    made = [
        Claim(
            id=f"dadiannao-{what}",
            paper=PAPER,
            statement=f"Table IV: {what.upper()} of DaDianNao is {value}",
            published=value,
            computed=computed,
            tolerance=0.01,
            basis="16 NFUs of 576 operations at 606 MHz over Table I",
            free_parameters=(_NFU,),
            note=note,
        )
        for what, value, computed, note in (
            ("ce", 63.46, ce, "depends on 288 + 288 operators, quoted from memory; with 256 + 256 it would be 56.4"),
            ("pe", 286.4, pe, "286.4 would require 19.5 W; the table sums to 20.1 W"),
            ("se", 0.41, se, ""),
        )
    ]
    made += [
        Claim(
            id="ratio-ce",
            paper=PAPER,
            statement="Abstract: 7.5 times the computational density of DaDianNao",
            published=7.5,
            computed=ours.computational_efficiency / ce,
            tolerance=0.02,
            basis="ratio of the two peaks",
            free_parameters=(_NFU,),
        ),
        Claim(
            id="ratio-pe",
            paper=PAPER,
            statement="Table IV: 2.19 times the power efficiency of DaDianNao",
            published=2.19,
            computed=ours.power_efficiency / pe,
            tolerance=0.02,
            basis="ratio of the two peaks",
            free_parameters=(_NFU,),
            note="follows from DaDianNao's PE, which is 3 % low",
        ),
    ]
    operations = _dadiannao()[0] * _machine("dadiannao").area_mm2 * 1e9
    ratios = {name: throughput_16_bit(name, _machine("isaac-ce"), chips=16) / (16 * operations) for name in ("vgg11", "vgg13", "vgg16", "vgg19")}
    listed = ", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios.items())
    made.append(
        Claim(
            id="ratio-throughput",
            paper=PAPER,
            statement="Abstract: 14.8 times the throughput of DaDianNao, averaged over the suite, 16 chips each",
            published=14.8,
            computed=None,
            tolerance=0.1,
            basis=f"missing: DaDianNao's throughput on each network. ISAAC against DaDianNao's peak gives a lower bound: {listed}",
            note="neither the paper's bars for each network are available, nor the limit that DaDianNao's eDRAM bandwidth sets",
        )
    )
    made.append(
        Claim(
            id="ratio-energy",
            paper=PAPER,
            statement="Abstract: 5.5 times less energy than DaDianNao, same configuration",
            published=5.5,
            computed=None,
            tolerance=0.1,
            basis="missing: DaDianNao's run time on each network",
            note="requires a model of DaDianNao's memory traffic",
        )
    )
    return made


def _conventional_mapping() -> list[Claim]:
    published = {"alexnet": (99.0, 79.0, 57.0), "resnet18": (99.0, 88.0, 57.0)}
    made = []
    for name, row in published.items():
        for size, value in zip((128, 256, 512), row, strict=True):
            made.append(
                Claim(
                    id=f"utilization-{name}-{size}",
                    paper="zhu2018",
                    statement=f"MISCA Table 1: conventional mapping of {name} uses {value:g} % of the cells in {size}x{size} arrays",
                    published=value,
                    computed=100 * utilization(name, size),
                    tolerance=2.0,
                    absolute=True,
                    basis="cells used over cells of the arrays allocated, all convolutions together, one cell per weight",
                )
            )
    return made
