"""MISCA (Zhu et al., ICCAD 2018): its claims, computed from the machine files.

We had only the abstract and a digest of the full text. The chip's mix of sizes, its cells, converters and components are not available to us.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean, geometric_mean

from crossloom.compiler import compile_network
from crossloom.machines import Machine, load_machine
from crossloom.network.operators import Conv
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import Use, compiled_use, network, overlapped_use, utilization, with_bits
from crossloom.program.program import Program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

PAPER = "zhu2018"
NETWORKS = ("alexnet", "vgg16", "resnet18", "resnet34", "resnet50")
SIZES = (128, 256, 512)
TABLE_1 = {"alexnet": ((99.0, 79.0, 57.0), (1.33, 0.82, 0.59)), "resnet18": ((99.0, 88.0, 57.0), (2.47, 1.78, 1.52))}
"""Utilization (%) and energy of convolutions (mJ) with arrays of 128, 256 and 512."""
CHOSEN = (
    "a third of the area of ISAAC's IMAs for each size; parts are ISAAC's, with lossless converters",
    "one two-bit cell per weight, 8-bit inputs",
    "single-size baselines at equal area",
    "early layers replicated until the arrays are used up; all weights programmed beforehand",
)
_claim = partial(Claim, paper=PAPER)


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_table_1(), _toy_case(), *_use(), *_systems(), *_not_computed()]


def _table_1() -> list[Claim]:
    made = []
    for name, (shares, energies) in TABLE_1.items():
        made += [
            _claim(
                id=f"utilization-{name}-{size}",
                statement=f"Table 1: utilization of {name} with arrays of {size}x{size}, conventional mapping: {percent:g} %",
                published=percent,
                computed=100 * utilization(name, size),
                tolerance=2.0,
                absolute=True,
                basis="convolutions, one cell per weight, used over allocated cells (points)",
            )
            for size, percent in zip(SIZES, shares, strict=True)
        ]
        made.append(
            _claim(
                id=f"energy-{name}",
                statement=f"Table 1: energy of the convolutions of {name}, arrays of 512x512 over 128x128: {energies[2]} / {energies[0]} mJ",
                published=energies[2] / energies[0],
                computed=_convolutions_j(name, "512") / _convolutions_j(name, "128"),
                tolerance=0.1,
                basis="ledger of the convolutions, without static power",
                free_parameters=CHOSEN,
                note=f"In mJ: {1e3 * _convolutions_j(name, '512'):.2f} and {1e3 * _convolutions_j(name, '128'):.2f}; the paper's values come from MNSIM, whose parts differ.",
            )
        )
    return made


def _toy_case() -> Claim:
    windows, kernel, stride = 2, 2, 1
    driven = kernel * (kernel + (windows - 1) * stride)
    return _claim(
        id="drives",
        statement="Overlapped mapping: 25 % fewer word lines driven in the example",
        published=25.0,
        computed=100 * (1 - driven / (windows * kernel * kernel)),
        tolerance=0.01,
        basis="word lines of two overlapped 2x2 windows over those of two separate windows",
        note="That the paper's example is this one is inferred from the number.",
    )


def _use() -> list[Claim]:
    fixed = fmean(fmean(_compiled(name, str(size))[1].held for size in SIZES) for name in NETWORKS)
    mixed = [_compiled(name, "misca")[1] for name in NETWORKS]
    single = fmean(overlapped_use(name, size).held for name in NETWORKS for size in SIZES)
    basis = "convolutions of the compiled programs, all copies; mean of five networks"
    return [
        _claim(
            id="utilization-fixed",
            statement="Table 4: mean utilization of single-size crossbars, conventional mapping: 56.75 %",
            published=56.75,
            computed=100 * fixed,
            tolerance=5.0,
            absolute=True,
            basis=f"{basis} and three sizes",
            free_parameters=CHOSEN,
            note=f"With one copy of each layer it is {100 * single:.1f} %: copies must be counted.",
        ),
        _claim(
            id="utilization-misca",
            statement="Table 4: mean utilization of MISCA: 91.26 %",
            published=91.26,
            computed=100 * fmean(use.mapped for use in mixed),
            tolerance=5.0,
            absolute=True,
            basis=f"{basis}; zeros between overlapped windows count as mapped",
            free_parameters=CHOSEN,
            note=f"Cells that hold weights are {100 * fmean(use.held for use in mixed):.1f} %. The abstract states 30 % more, the table 34.5 points.",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Figures:
    """Initiation interval (s), the same if digital units are never the bottleneck, and dynamic energy of an inference (J)."""

    interval_s: float
    arrays_s: float
    energy_j: float


def machine(which: str) -> Machine:
    """Return MISCA, or arrays of one size ("128", "256" or "512") with conventional mapping at equal area."""
    if which == "misca":
        return load_machine("misca")
    found = load_machine(f"isaac-{which}")
    links = found.part("hypertransport")
    outside = links.total * links.area_mm2.value
    inside = [part for part in found.parts.values() if ".ima." in part.path]
    each = sum(part.total * part.area_mm2.value for part in inside) / found.count_of("ima")
    tile = (load_machine("misca").area_mm2 - outside) / load_machine("misca").count_of("tile")
    shared = (found.area_mm2 - outside) / found.count_of("tile") - each * found.count_of("ima") / found.count_of("tile")
    return found.with_(tile_ima_count=round((tile - shared) / each))


@cache
def _program(name: str, which: str) -> Program:
    graph = with_bits(network(name), 8, signed=False, weights=2)
    chips = max(compile_network(graph, machine(each)).chips for each in ("misca", *map(str, SIZES)))
    return compile_network(graph, machine(which).with_(compile_chips=chips))


@cache
def _compiled(name: str, which: str) -> tuple[Figures, Use]:
    """Return the figures of a network on a machine, on as many chips as it needs on any of the machines, and the use of cells."""
    program = _program(name, which)
    timeline = read_timeline(program)
    energy = sum(entry.energy_j for entry in read_ledger(program, timeline).entries)
    arrays = max(stage.busy_s for stage in program.stages if stage.arrays)
    return Figures(timeline.interval_s, arrays, energy), compiled_use(program)


def _convolutions_j(name: str, which: str) -> float:
    """Return the energy of a network's convolutions, without static power (J)."""
    program = _program(name, which)
    convolutions = {stage.name for stage in program.stages if stage.arrays and isinstance(program.graph.node(stage.nodes[0]).op, Conv)}
    return sum(entry.energy_j for entry in read_ledger(program, read_timeline(program)).entries if entry.stage in convolutions)


def _ratios(what: str) -> dict[int, list[float]]:
    """Return the factor by which MISCA is better than arrays of each size, for each network."""
    return {size: [getattr(_compiled(n, str(size))[0], what) / getattr(_compiled(n, "misca")[0], what) for n in NETWORKS] for size in SIZES}


def _systems() -> list[Claim]:
    made = []
    for id, words, published, what, basis in (
        ("speed", "2.7 times faster on average than single-size crossbars", 2.7, "interval_s", "initiation interval of the compiled pipelines"),
        ("energy", "1.2 times the energy efficiency on average", 1.2, "energy_j", "dynamic energy of an inference"),
    ):
        found = _ratios(what)
        each = ", ".join(f"{size} {geometric_mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" for size, values in found.items())
        made.append(
            _claim(
                id=id,
                statement=f"Abstract: {words}",
                published=published,
                computed=fmean(geometric_mean(values) for values in found.values()),
                tolerance=0.1,
                basis=f"{basis}, MISCA against each of three sizes; geometric mean of five networks, mean of the sizes",
                free_parameters=CHOSEN,
                note=f"Against each size: {each}.",
            )
        )
    return [*made, *_spans()]


def _spans() -> list[Claim]:
    """Return claims on the ends of the two ranges in the digest of the paper."""
    made = []
    for id, words, least, most, what in (
        ("whole", "Section 6: the whole system is 1.7 to 2.7 times as fast", 1.7, 2.7, "interval_s"),
        ("convolutions", "Section 6: the convolutions are 3.1 to 6.7 times as fast", 3.1, 6.7, "arrays_s"),
    ):
        means = [geometric_mean(values) for values in _ratios(what).values()]
        for end, published, computed in (("least", least, min(means)), ("most", most, max(means))):
            made.append(
                _claim(
                    id=f"{id}-{end}",
                    statement=f"{words}: the {end}",
                    published=published,
                    computed=computed,
                    tolerance=0.1,
                    basis="initiation interval of the compiled pipelines"
                    + (" without digital units as the bottleneck" if what == "arrays_s" else ""),
                    free_parameters=CHOSEN,
                    note="The variable of the range is not available to us; here it is the three sizes that MISCA is compared with, each a mean of five networks.",
                )
            )
    return made


def _not_computed() -> list[Claim]:
    rows = (
        ("gpu-speed", "Abstract: 20 times as fast as a Titan X", 20.0, "no GPU is modelled here"),
        ("gpu-energy", "Abstract: 490.4 times the energy efficiency of a Titan X", 490.4, "no GPU is modelled here"),
        ("prime", "Against PRIME on VGG-D: 26.4 times as fast", 26.4, "PRIME's buffers and periphery are not available to us"),
    )
    return [
        _claim(id=id, statement=statement, published=published, computed=None, tolerance=0.1, basis="not computed", note=note)
        for id, statement, published, note in rows
    ]
