"""DNN+NeuroSim V1.3 against the NeuroSim-style machine: what the tool printed when it was run, and what comes out here.

No paper's claim is checked: an estimator's output (neurosim13, run with synthetic traces: weights N(0, 0.25), rectified activations N(0, 0.35), grids of 8 bits;
ternary weights with four fifths zeros) stands beside a model that shares its arrangement and none of its prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from math import ceil, prod

from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv, Linear
from crossloom.papers.claim import Claim
from crossloom.papers.crossbar_baseline import Baseline, Cost, baseline_energy
from crossloom.papers.workloads import network, operations, with_bits

PAPER = "neurosim13"
LAYOUT = 1.22
"""By which the tool divides its efficiency, for what layout adds (`zeta` in its `Param.cpp`); its energies are without."""
CHOSEN = (
    "all prices: library/rram.yaml, from physics and literature",
    "a quarter of word lines driven, cells halfway between their levels on average",
    "cells conduct for 1 ns in each of eight turns of a converter: as long as sensing takes in the tool, the one figure that is taken from it",
    "a chip with the tiles that one copy takes",
)
_claim = partial(Claim, paper=PAPER, tolerance=0.25, free_parameters=CHOSEN)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the tool: network of the zoo, bits, configuration, and what it printed (mm², ms, µJ; terms of area and of dynamic energy by name).

    Its dynamic energy is that of ADC, accumulation and other; interconnect is a part of other.
    """

    network: str
    weights: int
    activations: int
    words: str
    printed: Mapping[str, float]
    baseline: Baseline = field(default_factory=Baseline)


RUNS = {
    "vgg8": Run(
        "vgg8",
        8,
        8,
        "VGG-8, 8 bits",
        {
            "area": 58.73,
            "area-array": 1.54,
            "area-interconnect": 7.08,
            "area-adc": 24.53,
            "area-accumulation": 5.31,
            "area-other": 20.27,
            "latency": 1.359,
            "dynamic": 41.95,
            "adc": 21.41,
            "accumulation": 4.86,
            "other": 15.68,
            "interconnect": 10.22,
            "leakage": 1.48,
            "efficiency": 23.25,
        },
    ),
    "resnet18": Run(
        "resnet18",
        8,
        8,
        "ResNet-18, 8 bits",
        {
            "area": 79.48,
            "area-array": 1.97,
            "area-interconnect": 12.73,
            "area-adc": 31.42,
            "area-accumulation": 7.15,
            "area-other": 26.21,
            "latency": 12.18,
            "dynamic": 181.3,
            "adc": 77.03,
            "accumulation": 21.80,
            "other": 82.49,
            "interconnect": 58.36,
            "leakage": 10.60,
            "efficiency": 23.46,
        },
    ),
    "ternary": Run(
        "resnet18",
        2,
        4,
        "ResNet-18, ternary weights in one cell, activations of 4 bits",
        {"area": 38.9, "latency": 8.53, "dynamic": 48.2, "adc": 9.3, "interconnect": 28.4, "leakage": 2.4, "efficiency": 89.0},
    ),
    "ternary-8": Run(
        "resnet18",
        2,
        8,
        "ResNet-18, ternary weights in one cell, activations of 8 bits",
        {"area": 40.5, "latency": 11.3, "dynamic": 97.5, "adc": 23.0, "interconnect": 53.4, "leakage": 3.8, "efficiency": 44.5},
    ),
    "ternary-45": Run(
        "resnet18",
        2,
        4,
        "ResNet-18, ternary weights in one cell, activations of 4 bits, at 45 nm with arrays of 256x256",
        {"area": 122.0, "latency": 24.7, "dynamic": 149.2, "adc": 30.3, "interconnect": 59.4, "leakage": 13.0, "efficiency": 27.8},
        Baseline(node_nm=45, side=256),
    ),
}
UNITS = {"latency": "ms", "efficiency": "TOPS/W"}


def claims() -> list[Claim]:
    """Return every claim."""
    return [*(_printed(id, what) for id, run in RUNS.items() for what in run.printed), *_ratios()]


@cache
def graph_of(id: str) -> Graph:
    """Return the network of a run in its bits, with shapes only."""
    run = RUNS[id]
    return with_bits(network(run.network), run.activations, signed=False, weights=run.weights)


@cache
def cost_of(id: str, *, pulse_s: float = 1e-9, sar: bool = False) -> Cost:
    """Return what the NeuroSim-style machine takes for a run; with a longer pulse, or with ISAAC's converters, if asked for."""
    b = RUNS[id].baseline
    return baseline_energy(
        graph_of(id),
        Baseline(node_nm=b.node_nm, side=b.side, columns_per_adc=b.columns_per_adc, pulse_s=pulse_s, converter="sar" if sar else "sense"),
    )


def figures(cost: Cost, graph: Graph) -> dict[str, float]:
    """Return a cost in the terms and units of the tool's report: mm², ms, µJ, TOPS/W (static energy included, a multiply-accumulate is two)."""
    terms, dynamic_j = cost.terms_j, sum(cost.dynamic_j.values())
    found = {"area": cost.area_mm2, **{f"area-{name}": area for name, area in cost.terms_mm2.items()}, "latency": 1e3 * cost.latency_s}
    energies = {
        "dynamic": dynamic_j,
        "adc": terms["adc"],
        "accumulation": terms["accumulation"],
        "other": dynamic_j - terms["adc"] - terms["accumulation"],
        "interconnect": terms["interconnect"],
        "leakage": cost.static_j,
    }
    return found | {name: 1e6 * energy for name, energy in energies.items()} | {"efficiency": operations(graph) / cost.energy_j / 1e12}


@dataclass(frozen=True, slots=True)
class Counts:
    """What happens in one inference as the tool maps a network: conversions, bytes over the H-tree, and operations as it counts them."""

    conversions: int
    moved: float
    operations: int


def counts(id: str) -> Counts:
    """Return what the tool counts for a run.

    Padding is left out, so that a convolution has ((H - k)/s + 1)² positions. In kernels of 3x3 every point lies in arrays of its own, and an input is moved
    once for each row of the kernel instead of each point ("novel mapping"); operations are those without a stride.
    """
    graph, run = graph_of(id), RUNS[id]
    layers = [_mapped(node, graph, run) for node in graph.nodes if isinstance(node.op, Conv | Linear)]
    return Counts(sum(each.conversions for each in layers), sum(each.moved for each in layers), sum(each.operations for each in layers))


def _mapped(node: Node, graph: Graph, run: Run) -> Counts:
    """Return what the tool counts for a layer."""
    shape, sizes = tuple(graph.constants[node.inputs[1]].shape), graph.types[node.inputs[0]].sizes()
    results, channels, kernel = shape[0], shape[1], shape[2:]
    inputs, stride = (sizes[2:], node.op.stride) if isinstance(node.op, Conv) else ((), ())
    positions = prod((size - k) // s + 1 for size, k, s in zip(inputs, kernel, stride, strict=True))
    points, side = prod(kernel), run.baseline.side
    apart = points == 9 and 9 * channels >= side
    tiles = points * ceil(channels / side) if apart else ceil(channels * points / side)
    cells = ceil(run.weights / 2)
    rows = channels * points / (kernel[0] if apart else 1)
    return Counts(
        positions * tiles * results * cells * run.activations,
        positions * (rows + results) * run.activations / 8,
        2 * prod(inputs) * channels * points * results,
    )


@dataclass(frozen=True, slots=True)
class Term:
    """A term of energy: how often it happens here and by the tool's mapping, and what each takes here and there (pJ)."""

    name: str
    event: str
    ours: float
    theirs: float
    our_pj: float
    implied_pj: float


def terms(id: str) -> list[Term]:
    """Return the terms of a run whose events can be counted for both: what the tool printed over its events is the price that it implies."""
    run, cost, theirs = RUNS[id], cost_of(id), counts(id)
    rows = [
        ("adc", "conversion with its cells", cost.actions["adc.convert"], theirs.conversions),
        ("accumulation", "conversion", cost.actions["adc.convert"], theirs.conversions),
        ("interconnect", "byte", cost.actions["bus.transfer"], theirs.moved),
    ]
    found = figures(cost, graph_of(id))
    return [
        Term(name, event, ours, other, 1e6 * found[name] / ours, 1e6 * run.printed[name] / other)
        for name, event, ours, other in rows
        if name in run.printed
    ]


def _printed(id: str, what: str) -> Claim:
    """Return the claim on one figure of a run."""
    run = RUNS[id]
    unit = UNITS.get(what, "mm²" if what.startswith("area") else "µJ")
    return _claim(
        id=f"{id}-{what}",
        statement=f"NeuroSim: {run.words}: {what.replace('-', ' of ')} {run.printed[what]:g} {unit}",
        published=run.printed[what],
        computed=figures(cost_of(id), graph_of(id))[what],
        basis="ledger and timeline of the NeuroSim-style machine, one layer at a time, beside what V1.3 (commit 388f4212) printed",
        note=_why(id, what),
    )


def _why(id: str, what: str) -> str:
    """Return what makes the difference in one figure."""
    cost = cost_of(id)
    if what.startswith("area"):
        return _of_area(id, what)
    if what in ("adc", "accumulation", "interconnect"):
        return _of_term(id, what)
    if what == "latency":
        slow = 1e3 * cost_of(id, pulse_s=10e-9).latency_s
        return (
            f"Here reading is the whole of it; there buffers and H-tree take their time one after the other with it. Pulses of 10 ns: {slow:.3g} ms."
        )
    if what == "leakage":
        theirs = 1e3 * RUNS[id].printed["leakage"] / (RUNS[id].printed["latency"] * RUNS[id].printed["area"])
        return f"{1e6 * cost.static_j / cost.latency_s / cost.area_mm2:.0f} µW/mm² for a shorter time, there {theirs:.0f} µW/mm²."
    if what == "efficiency":
        return _of_efficiency(id)
    if what == "dynamic":
        dearer, slower = (1e6 * sum(other.dynamic_j.values()) for other in (cost_of(id, sar=True), cost_of(id, pulse_s=10e-9)))
        heat = 1e6 * cost.dynamic_j["array"]
        return (
            f"{_made_of(id, 'adc', 'accumulation', 'other')} Of it the heat of cells is {heat:.3g} µJ. With ISAAC's converters {dearer:.4g} µJ; with pulses of 10 ns, the"
            f" tool's parameter, {slower:.4g} µJ."
        )
    return "Buffers of registers on three levels, switches and decoders are dearer there, and a pulse on a word line is charged for each turn of a converter."


def _made_of(id: str, *terms: str) -> str:
    """Return by how much terms of a sum miss, so that nobody takes the sum's agreement for theirs."""
    ours, printed = figures(cost_of(id), graph_of(id)), RUNS[id].printed
    ratios = ", ".join(f"{term} {ours[term] / printed[term]:.2g}" for term in terms if term in printed)
    return f"Its terms are off on their own (ours over the tool's: {ratios})."


def _of_term(id: str, what: str) -> str:
    """Return the events of a term, and what each takes here and there."""
    term = next(each for each in terms(id) if each.name == what)
    said = f"{term.ours:.3g} times {term.our_pj:.3g} pJ for a {term.event}, there {term.theirs:.3g} times {term.implied_pj:.3g} pJ."
    more = {
        "adc": " V²/R of 0.5 V and 6 kΩ for 1 ns is most of it here; the tool's sensing charges 0.063 V²/R, as of 0.25 V, and its traces drive fewer lines.",
        "accumulation": " Here a register of 20 bits is written for each conversion, all its bits at full activity; there half of them switch.",
        "interconnect": " Windows are fetched point by point here, row by row there; its chip is larger and its wires longer.",
    }
    return said + more[what]


def _of_area(id: str, what: str) -> str:
    run, cost = RUNS[id], cost_of(id)
    arrays = cost.program.arrays
    if what == "area-adc":
        each = run.baseline.side // run.baseline.columns_per_adc * arrays
        return f"{1e6 * run.printed[what] / each:.0f} µm² for each of {each} converters if it had as many as here, where one is {1e6 * cost.terms_mm2['adc'] / each:.0f} µm²."
    if what == "area-array":
        return f"{1e6 * run.printed[what] / arrays:.0f} µm² for each of {arrays} arrays if it had as many as here; its tiles have one size, so that it has more."
    if what == "area-interconnect":
        return "A tree of 512 wires with a pitch of 8 F here, three levels of trees and buses there."
    return "Arrays that are needed and no more here, tiles of one size for all layers there; larger converters and buffers of registers there."


def _of_efficiency(id: str) -> str:
    """Return how the tool's efficiency follows from its energies."""
    run = RUNS[id]
    counted = counts(id).operations
    follows = counted / LAYOUT / (run.printed["dynamic"] + run.printed["leakage"]) / 1e6
    return (
        f"{_made_of(id, 'dynamic', 'leakage')} The tool counts {counted / 1e9:.3g} G operations, strides ignored (the network has {operations(graph_of(id)) / 1e9:.3g} G), and {LAYOUT} times the energy "
        f"that it prints: {follows:.4g} TOPS/W from its energies."
    )


def _ratios() -> list[Claim]:
    """Return how energies change with the network, the bits and the node, on which prices of single parts weigh less."""
    rows = (
        ("networks", "ResNet-18 over VGG-8", "resnet18", "vgg8"),
        ("bits", "activations of 8 bits over 4", "ternary-8", "ternary"),
        ("cells", "four cells for each weight over one", "resnet18", "ternary-8"),
        ("node", "45 nm and 256x256 over 22 nm and 128x128", "ternary-45", "ternary"),
    )
    made = []
    for id, words, over, under in rows:
        published = RUNS[over].printed["dynamic"] / RUNS[under].printed["dynamic"]
        found = [sum(cost_of(each).dynamic_j.values()) for each in (over, under)]
        note = "There supply and charges grow more, here the heat of the cells does not change with the node." if id == "node" else ""
        made.append(
            _claim(
                id=f"ratio-{id}",
                statement=f"NeuroSim: dynamic energy, {words}: {published:.2f}",
                published=published,
                computed=found[0] / found[1],
                basis="ratio of the ledgers",
                note=note,
            )
        )
    return made
