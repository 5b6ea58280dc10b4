"""HURRY (Shin, Kim, Kim, Kim 2024, arXiv 2409.16640): its claims, computed from the machine files.

We had only the abstract and public summaries, but not its component tables, networks, or baselines and their sizes. The comparison
here is therefore between our HURRY (docs/blocks.md) and our baselines; each claim lists what was chosen.
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
"""Bits of weights and activations, and the gain of a residual on its way to the bit lines, as in our trained digits network."""
DIGITAL = {"max_pool.rate": "1 THz", "tile_shift_add.rate": "1 THz", "sigmoid.rate": "1 THz", "bus.transfer.latency": "1 ps"}
"""Rates at which digital units of the baselines are never the bottleneck; the paper does not print them."""
CHOSEN = (
    "8 bits for weights and activations, one-bit cells in HURRY and two-bit cells in ISAAC",
    "a tile of HURRY: ISAAC's, with six arrays of 512x512, each with four 9-bit ADCs",
    "writing a cell takes 30.5 pJ (song2017: 3.91 nJ for a line, assumed to have 128 cells) and 50.88 ns, within a cycle of 100 ns",
    "residual gains of 512, as in a trained network",
    "AlexNet, VGG-16, ResNet-18, each for 32x32 and for 224x224; weights are programmed beforehand",
    "digital units of the baselines are never the bottleneck",
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
            basis="convolutions of AlexNet (ungrouped), one cell per weight, used over allocated cells",
            note="Values for 128 and 512 are in a summary of the paper, and all three are in zhu2018, Table 1, for AlexNet: HURRY seems to quote them.",
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
            statement="ADC power of sixteen arrays of 128x128 over the ADC power of one of 512x512: 3.4",
            published=3.4,
            computed=power(isaac, 16) / power(hurry, 1),
            tolerance=0.02,
            basis="sixteen 8-bit ADCs over four 9-bit ADCs, with the SAR law of shafiee2016 Section VII",
            free_parameters=("four 9-bit ADCs for an array of 512x512: they convert its bit lines in one cycle",),
        ),
        _claim(
            id="array-area",
            statement="Area of sixteen arrays of 128x128 with their periphery over the area of one of 512x512: 3.7",
            published=3.7,
            computed=_area_ratio(isaac, hurry),
            tolerance=0.1,
            basis="area of two IMAs of ISAAC over the area of one IMA of HURRY",
            free_parameters=("sense amplifiers of 4 um2 and line drivers of 1 um2 (assumed)",),
            note="By that law, a 9-bit ADC takes half as much area again as an 8-bit ADC. With ADCs whose area does not grow with bits, the ratio is "
            f"{_area_ratio(isaac, hurry, flat=True):.1f}.",
        ),
    ]


def _area_ratio(isaac: Machine, hurry: Machine, *, flat: bool = False) -> float:
    """Return the area of sixteen small arrays with periphery over that of a large one; if `flat`, an ADC takes 1200 µm² at any resolution."""

    def area(machine: Machine) -> float:
        inside = [part for part in machine.parts.values() if ".ima." in part.path]
        each = {part.name: isaac.part("adc").area_mm2.value if flat and part.name == "adc" else part.area_mm2.value for part in inside}
        return sum(part.total * each[part.name] for part in inside) / machine.part("array").total

    return 16 * area(isaac) / area(hurry)


@dataclass(frozen=True, slots=True)
class Figures:
    """Inferences per second, energy per inference (J), area of the chips without links (mm²)."""

    throughput: float
    energy_j: float
    area_mm2: float

    def better(self, other: Figures, what: str) -> float:
        """Return the factor by which these are better than others, in "speed", "energy" or "area"."""
        if what == "speed":
            return self.throughput / other.throughput
        if what == "energy":
            return other.energy_j / self.energy_j
        return self.throughput / self.area_mm2 / (other.throughput / other.area_mm2)


def baselines() -> dict[str, Machine]:
    """Return the baselines: ISAAC's arrays, larger ones by two scaling rules, (a) equal cells and (b) equal arrays, and MISCA."""
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
    """Return the area of the links to other chips (mm²)."""
    links = machine.part("hypertransport")
    return links.total * links.area_mm2.value


def without_links(machine: Machine) -> float:
    """Return the area of a chip without its links to others (mm²)."""
    return machine.area_mm2 - links_mm2(machine)


def of_area(machine: Machine, area_mm2: float) -> Machine:
    """Return a machine with as many tiles as fit into an area, without links."""
    each = without_links(machine) / machine.count_of("tile")
    return machine.with_(tile_count=max(1, round(area_mm2 / each)))


@cache
def program(name: str, machine: str, changes: Settings = (), area_mm2: float = 0.0) -> Program:
    """Return a network compiled for HURRY or a baseline, with changed settings, on chips of the given area or unmodified chips."""
    found = load_machine("hurry").with_(tile_shift_add_rate="1 THz", sigmoid_rate="1 THz") if machine == "HURRY" else baselines()[machine]
    found = found.with_(**dict(changes)) if changes else found
    found = of_area(found, area_mm2) if area_mm2 else found
    return compile_network(with_bits(network(name), BITS, signed=False, gain=GAIN), found)


def figures(compiled: Program) -> Figures:
    """Return the figures to compare. Links are left out: they are the same for all, and HURRY is not known to have any."""
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
                statement=f"Up to {value} times {WORDS[what]} than current ReRAM accelerators",
                published=value,
                computed=found[best],
                tolerance=0.1,
                basis="largest ratio over six networks and all baselines at equal area, without links; compiled, timeline and ledger",
                free_parameters=CHOSEN,
                note=f"Largest for {best[0]} against {best[1]}. Over the networks: {_ranges(equal, what)}. With baselines of as many tiles as "
                f"HURRY, regardless of their area: {_ranges(given, what)}. {_sensitivity(what, area)}{REMARKS[what]}",
            )
        )
    return made


REMARKS = {
    "speed": " Among this many pairs, one may be near the number by chance.",
    "energy": " Writing cells for functions costs more than it saves, and one-bit cells take twice ISAAC's conversions.",
    "area": " At equal area this is the ratio of speeds. The paper's 7.91 is 2.36 x 3.35: where it is largest, the baseline's area is larger.",
}


def _ratios(name: str, area_mm2: float) -> dict[str, dict[str, float]]:
    """Return the factors by which HURRY is better than each baseline, on chips of a given area or with equal numbers of tiles."""
    ours = figures(program(name, "HURRY"))
    return {base: _better(ours, figures(program(name, base, area_mm2=area_mm2))) for base in baselines()}


def _better(ours: Figures, theirs: Figures) -> dict[str, float]:
    return {what: ours.better(theirs, what) for what in PUBLISHED}


def _ranges(ratios: Mapping[str, Mapping[str, Mapping[str, float]]], what: str) -> str:
    bases = next(iter(ratios.values())).keys()
    spans = {base: [each[base][what] for each in ratios.values()] for base in bases}
    return ", ".join(f"{base} {min(span):.2f} to {max(span):.2f}" for base, span in spans.items())


OTHERWISE: dict[str, tuple[Settings, Settings]] = {
    "unchanged": ((), ()),
    "1 pJ to write a cell": ((("array.write_cell.energy", "1 pJ"),), ()),
    "functions in digital units": ((("blocks_relu", "digital"), ("blocks_pooling", "digital"), ("blocks_softmax", "digital")), ()),
    "digital residuals": ((("crossbar_residual", "digital"),), ()),
    "one layer per array, all functions digital": (
        (("blocks_relu", "digital"), ("blocks_pooling", "digital"), ("blocks_softmax", "digital"), ("compile_arrays", "whole")), (),
    ),
    "two ADCs per array": ((("adc_count", 2),), ()),
    "twelve arrays per tile": ((("tile_ima_count", 12),), ()),
    "one-bit cells in ISAAC": ((), (("array_cell_bits", 1), ("adc_bits", -1))),
    "digital units of ISAAC at its clock": ((), tuple((name, "1.2 GHz") for name in DIGITAL if name.endswith("rate"))),
}  # fmt: skip
"""Alternative assumptions: settings of HURRY, settings of the baseline; -1 removes one bit from an ADC."""
OBSERVED, AGAINST = "resnet18-cifar", ("ISAAC-128", "ISAAC-512a")


def _sensitivity(what: str, area_mm2: float) -> str:
    """Return one network's ratio under alternative assumptions, against two baselines on HURRY's area under the same assumptions."""
    told = []
    for text, (ours, theirs) in OTHERWISE.items():
        made = figures(program(OBSERVED, "HURRY", ours))
        area = made.area_mm2 if ours else area_mm2
        ratios = [_better(made, figures(program(OBSERVED, base, _fewer_bits(base, theirs), area)))[what] for base in AGAINST]
        told.append(f"{text} {' and '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return f"{OBSERVED} against {' and '.join(AGAINST)} with other assumptions: " + "; ".join(told) + "."


def _fewer_bits(base: str, settings: Settings) -> Settings:
    return tuple((name, baselines()[base].part("adc").whole("bits") - 1 if value == -1 else value) for name, value in settings)


def _movement() -> Claim:
    stage = program("resnet18", "ISAAC-128").stages[0]
    cycle = load_machine("isaac-128").cycle_s
    assert cycle is not None
    outside = 1 - stage.interval_s / stage.latency_s
    return _claim(
        id="movement",
        statement="Up to 48 % of ISAAC's run time is data movement between arrays and computing units",
        published=48.0,
        computed=None,
        tolerance=0.1,
        basis="not computed",
        note=f"The paper's definition of movement is not available to us. Of the {stage.latency_s / cycle.value:.0f} cycles of an 8-bit operation, {100 * outside:.0f} % are outside the arrays.",
    )
