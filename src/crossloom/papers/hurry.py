"""HURRY (Shin, Kim, Kim, Kim 2024, arXiv 2409.16640): its claims, computed from the machine files.

We had only the abstract and public summaries: neither its tables of components, nor its networks, baselines and their sizes. What
is compared here is therefore our HURRY (docs/blocks.md) with our baselines; each claim says what was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

from crossloom.compiler import compile_network
from crossloom.machines import Machine, load_machine
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import network, utilization, with_bits
from crossloom.program.program import Program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

PAPER = "shin2024"
NETWORKS = ("alexnet-cifar", "vgg16-cifar", "resnet18-cifar", "alexnet", "vgg16", "resnet18")
BITS, GAIN = 8, 512
"""Of weights and activations; and what a residual is multiplied with on its way to the bit lines, as in our trained digits network."""
DIGITAL = {"max_pool.rate": "1 THz", "tile_shift_add.rate": "1 THz", "sigmoid.rate": "1 THz", "bus.transfer.latency": "1 ps"}
"""Digital units of the baselines keep up: their rates are not printed."""
CHOSEN = (
    "8 bits for weights and activations, cells of one bit in HURRY and of two in ISAAC",
    "a tile of HURRY: ISAAC's, with six arrays of 512x512; four ADCs of 9 bits for each",
    "a cell is written with 30.5 pJ (song2017: 3.91 nJ for a line, taken for 128 cells) in 50.88 ns, within a cycle of 100 ns",
    "residual gains of 512, as in a trained network",
    "AlexNet, VGG-16, ResNet-18, each for 32x32 and for 224x224; weights are in their cells beforehand",
    "digital units of the baselines keep up",
)
Settings = tuple[tuple[str, object], ...]
_claim = partial(Claim, paper=PAPER)


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_utilization(), *_periphery(), *_maxima(), _movement()]


def _utilization() -> list[Claim]:
    published = {128: 99.0, 256: 79.0, 512: 57.0}
    return [
        _claim(
            id=f"utilization-{size}",
            statement=f"Cells that hold weights with arrays of {size}x{size}, conventional mapping: {percent:g} %",
            published=percent,
            computed=100 * utilization("alexnet", size),
            tolerance=0.02,
            basis="convolutions of AlexNet (ungrouped), one cell for each weight, used over allocated cells",
            note="128 and 512 are in a summary of the paper, and all three in zhu2018, Table 1, for AlexNet: HURRY seems to quote them.",
        )
        for size, percent in published.items()
    ]


def _periphery() -> list[Claim]:
    isaac, hurry = load_machine("isaac-128"), load_machine("hurry")

    def power(machine: Machine, arrays: int) -> float:
        adc = machine.part("adc")
        return arrays * adc.total / machine.part("array").total * adc.power_w.value

    return [
        _claim(
            id="adc-power",
            statement="ADC power of sixteen arrays of 128x128 over that of one of 512x512: 3.4",
            published=3.4,
            computed=power(isaac, 16) / power(hurry, 1),
            tolerance=0.02,
            basis="sixteen ADCs of 8 bits over four of 9 bits, by the SAR law of shafiee2016 Section VII",
            free_parameters=("four ADCs of 9 bits for an array of 512x512: they convert its bit lines in a cycle",),
        ),
        _claim(
            id="array-area",
            statement="Area of sixteen arrays of 128x128 with their periphery over that of one of 512x512: 3.7",
            published=3.7,
            computed=_area_ratio(isaac, hurry),
            tolerance=0.1,
            basis="area of two IMAs of ISAAC over that of one of HURRY",
            free_parameters=("sense amplifiers of 4 um2 and line drivers of 1 um2 (assumed)",),
            note="A 9-bit ADC takes half as much again as one of 8 bits by that law. With ADCs whose area does not grow with bits the ratio is "
            f"{_area_ratio(isaac, hurry, flat=True):.1f}.",
        ),
    ]


def _area_ratio(isaac: Machine, hurry: Machine, *, flat: bool = False) -> float:
    """Return the area of sixteen small arrays with their periphery over that of a large one; with `flat` an ADC takes 1200 µm² at any number of bits."""

    def area(machine: Machine) -> float:
        inside = [part for part in machine.parts.values() if ".ima." in part.path]
        each = {part.name: isaac.part("adc").area_mm2.value if flat and part.name == "adc" else part.area_mm2.value for part in inside}
        return sum(part.total * each[part.name] for part in inside) / machine.part("array").total

    return 16 * area(isaac) / area(hurry)


@dataclass(frozen=True, slots=True)
class Figures:
    """Inferences per second, energy (J) of one, area (mm²) of the chips without links."""

    throughput: float
    energy_j: float
    area_mm2: float

    def better(self, other: Figures, what: str) -> float:
        """Return by how much these are better than others: in "speed", "energy" or "area"."""
        if what == "speed":
            return self.throughput / other.throughput
        if what == "energy":
            return other.energy_j / self.energy_j
        return self.throughput / self.area_mm2 / (other.throughput / other.area_mm2)


def baselines() -> dict[str, Machine]:
    """Return the baselines: ISAAC's arrays, larger ones by the two rules of scaling, (a) as many cells and (b) as many arrays; and MISCA."""
    larger = {"array_rows": 512, "array_columns": 512, "adc_bits": 10}
    found = {
        "ISAAC-128": load_machine("isaac-128"),
        "ISAAC-256a": load_machine("isaac-256"),
        "ISAAC-512a": load_machine("isaac-512"),
        "ISAAC-256b": load_machine("isaac-128").with_(array_rows=256, array_columns=256, adc_bits=9),
        "ISAAC-512b": load_machine("isaac-128").with_(**larger),
        "MISCA": load_machine("misca"),
    }
    return {name: machine.with_(**DIGITAL) for name, machine in found.items()}


def links_mm2(machine: Machine) -> float:
    """Return the area of the links to other chips."""
    links = machine.part("hypertransport")
    return links.total * links.area_mm2.value


def without_links(machine: Machine) -> float:
    """Return the area (mm²) of a chip but for its links to others."""
    return machine.area_mm2 - links_mm2(machine)


def of_area(machine: Machine, area_mm2: float) -> Machine:
    """Return a machine with as many tiles as fit an area, links left out."""
    each = without_links(machine) / machine.count_of("tile")
    return machine.with_(tile_count=max(1, round(area_mm2 / each)))


@cache
def program(name: str, machine: str, changes: Settings = (), area_mm2: float = 0.0) -> Program:
    """Return a network compiled for HURRY or a baseline, with changed settings, on chips of an area or as they are."""
    found = load_machine("hurry").with_(tile_shift_add_rate="1 THz", sigmoid_rate="1 THz") if machine == "HURRY" else baselines()[machine]
    found = found.with_(**dict(changes)) if changes else found
    found = of_area(found, area_mm2) if area_mm2 else found
    return compile_network(with_bits(network(name), BITS, signed=False, gain=GAIN), found)


def figures(compiled: Program) -> Figures:
    """Return what is compared. Links are left out: they are the same for all, and HURRY is not known to have any."""
    timeline = read_timeline(compiled)
    ledger = read_ledger(compiled, timeline)
    linked = sum(energy for name, energy in ledger.static_j.items() if name == "hypertransport")
    return Figures(
        timeline.throughput_per_s / compiled.chips, ledger.energy_j - linked, ledger.total_area_mm2 / compiled.chips - links_mm2(compiled.machine)
    )


PUBLISHED = {"speed": 3.35, "energy": 5.72, "area": 7.91}
WORDS = {"speed": "faster", "energy": "more energy-efficient", "area": "more area-efficient"}


def _maxima() -> list[Claim]:
    area = without_links(load_machine("hurry"))
    equal = {name: _ratios(name, area) for name in NETWORKS}
    given = {name: _ratios(name, 0.0) for name in NETWORKS}
    made = []
    for what, value in PUBLISHED.items():
        found = {(name, base): each[what] for name, ratios in equal.items() for base, each in ratios.items()}
        best = max(found, key=lambda key: found[key])
        made.append(
            _claim(
                id=what,
                statement=f"Up to {value} times {WORDS[what]} than current accelerators of ReRAM",
                published=value,
                computed=found[best],
                tolerance=0.1,
                basis="largest ratio over six networks and all baselines on as much area, links left out; compiled, timeline and ledger",
                free_parameters=CHOSEN,
                note=f"Largest for {best[0]} against {best[1]}. Over the networks: {_ranges(equal, what)}. With baselines of as many tiles as "
                f"HURRY, whatever their area: {_ranges(given, what)}. {_sensitivity(what, area)}{REMARKS[what]}",
            )
        )
    return made


REMARKS = {
    "speed": " Among this many pairs, one may come near the number by chance.",
    "energy": " Writing cells for functions costs more than it saves, and cells of one bit take twice ISAAC's conversions.",
    "area": " On as much area this is the ratio of speeds. The paper's 7.91 is 2.36 x 3.35: where it is largest, the baseline's area is larger.",
}


def _ratios(name: str, area_mm2: float) -> dict[str, dict[str, float]]:
    """Return by how much HURRY is better than each baseline, on chips of an area or with as many tiles."""
    ours = figures(program(name, "HURRY"))
    return {base: _better(ours, figures(program(name, base, area_mm2=area_mm2))) for base in baselines()}


def _better(ours: Figures, theirs: Figures) -> dict[str, float]:
    return {what: ours.better(theirs, what) for what in PUBLISHED}


def _ranges(ratios: Mapping[str, Mapping[str, Mapping[str, float]]], what: str) -> str:
    bases = next(iter(ratios.values())).keys()
    spans = {base: [each[base][what] for each in ratios.values()] for base in bases}
    return ", ".join(f"{base} {min(span):.2f} to {max(span):.2f}" for base, span in spans.items())


OTHERWISE: dict[str, tuple[Settings, Settings]] = {
    "as it is": ((), ()),
    "1 pJ to write a cell": ((("array.write_cell.energy", "1 pJ"),), ()),
    "functions in digital units": ((("blocks_relu", "digital"), ("blocks_pooling", "digital"), ("blocks_softmax", "digital")), ()),
    "digital residuals": ((("crossbar_residual", "digital"),), ()),
    "each array one layer's, all functions digital": (
        (("blocks_relu", "digital"), ("blocks_pooling", "digital"), ("blocks_softmax", "digital"), ("compile_arrays", "whole")), (),
    ),
    "two ADCs for an array": ((("adc_count", 2),), ()),
    "twelve arrays in a tile": ((("tile_ima_count", 12),), ()),
    "cells of one bit in ISAAC": ((), (("array_cell_bits", 1), ("adc_bits", -1))),
    "digital units of ISAAC at its clock": ((), tuple((name, "1.2 GHz") for name in DIGITAL if name.endswith("rate"))),
}  # fmt: skip
"""What could have been assumed instead: settings of HURRY, settings of the baseline; -1 takes a bit off an ADC."""
OBSERVED, AGAINST = "resnet18-cifar", ("ISAAC-128", "ISAAC-512a")


def _sensitivity(what: str, area_mm2: float) -> str:
    """Return what the ratio for one network would be if something else had been assumed, against two baselines on HURRY's area of then."""
    told = []
    for text, (ours, theirs) in OTHERWISE.items():
        made = figures(program(OBSERVED, "HURRY", ours))
        area = made.area_mm2 if ours else area_mm2
        ratios = [_better(made, figures(program(OBSERVED, base, _fewer_bits(base, theirs), area)))[what] for base in AGAINST]
        told.append(f"{text} {' and '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return f"{OBSERVED} against {' and '.join(AGAINST)} if assumed otherwise: " + "; ".join(told) + "."


def _fewer_bits(base: str, settings: Settings) -> Settings:
    return tuple((name, baselines()[base].part("adc").whole("bits") - 1 if value == -1 else value) for name, value in settings)


def _movement() -> Claim:
    stage = program("resnet18", "ISAAC-128").stages[0]
    cycle = load_machine("isaac-128").cycle_s
    assert cycle is not None
    outside = 1 - stage.interval_s / stage.latency_s
    return _claim(
        id="movement",
        statement="Up to 48 % of ISAAC's run time is movement between arrays and computing units",
        published=48.0,
        computed=None,
        tolerance=0.1,
        basis="nothing",
        note=f"What counts as movement is not available to us. Of the {stage.latency_s / cycle.value:.0f} cycles of an operation of 8 bits {100 * outside:.0f} % are outside the arrays.",
    )
