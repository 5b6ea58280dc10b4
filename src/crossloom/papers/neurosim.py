"""DNN+NeuroSim V1.3 against the NeuroSim-style machine: the tool's printed output beside the results computed here.

No paper's claim is checked. The output of an estimator stands beside a model that shares its architecture but none of its unit costs. The estimator
is neurosim13, run with synthetic traces: weights N(0, 0.25), rectified activations N(0, 0.35), 8-bit grids; ternary weights with four fifths zeros.
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
"""Layout overhead by which the tool divides its efficiency (`zeta` in its `Param.cpp`); its energies do not include it."""
CHOSEN = (
    "all unit costs: library/rram.yaml, from physics and literature",
    "a quarter of the word lines driven, cells halfway between their levels on average",
    "cells conduct for 1 ns in each of a converter's eight time slots: the tool's sensing time, the only figure taken from it",
    "a chip with the tiles needed for one copy",
)
_claim = partial(Claim, paper=PAPER, tolerance=0.25, free_parameters=CHOSEN)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the tool: network of the zoo, bits, configuration, and printed output (mm², ms, µJ; terms of area and dynamic energy by name).

    Its dynamic energy is the sum of ADC, accumulation and other; interconnect is part of other.
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
    """Return the network of a run, with the run's bits and shapes only."""
    run = RUNS[id]
    return with_bits(network(run.network), run.activations, signed=False, weights=run.weights)


@cache
def cost_of(id: str, *, pulse_s: float = 1e-9, sar: bool = False) -> Cost:
    """Return the cost of a run on the NeuroSim-style machine, optionally with another pulse or ISAAC's converters."""
    b = RUNS[id].baseline
    return baseline_energy(
        graph_of(id),
        Baseline(node_nm=b.node_nm, side=b.side, columns_per_adc=b.columns_per_adc, pulse_s=pulse_s, converter="sar" if sar else "sense"),
    )


def figures(cost: Cost, graph: Graph) -> dict[str, float]:
    """Return a cost in the terms and units of the tool's report: mm², ms, µJ, TOPS/W (with static energy; one MAC is two operations)."""
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
    """Counts of one inference under the tool's mapping: conversions, bytes over the H-tree, and operations by its definition."""

    conversions: int
    moved: float
    operations: int


def counts(id: str) -> Counts:
    """Return the tool's counts for a run.

    Padding is left out, so a convolution has ((H - k)/s + 1)² positions. In 3x3 kernels, every kernel point has separate arrays, and an input is
    moved once per kernel row instead of once per point ("novel mapping"). Operations are counted as if without a stride.
    """
    graph, run = graph_of(id), RUNS[id]
    layers = [_mapped(node, graph, run) for node in graph.nodes if isinstance(node.op, Conv | Linear)]
    return Counts(sum(each.conversions for each in layers), sum(each.moved for each in layers), sum(each.operations for each in layers))


def _mapped(node: Node, graph: Graph, run: Run) -> Counts:
    """Return the tool's counts for a layer."""
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
    """An energy term: the number of its events here and under the tool's mapping, and the energy per event in both (pJ)."""

    name: str
    event: str
    ours: float
    theirs: float
    our_pj: float
    implied_pj: float


def terms(id: str) -> list[Term]:
    """Return the terms of a run with events countable for both; the tool's energy per event is its printed energy over its events."""
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
    """Return the comparison of one figure of a run."""
    run = RUNS[id]
    unit = UNITS.get(what, "mm²" if what.startswith("area") else "µJ")
    return _claim(
        id=f"{id}-{what}",
        statement=f"NeuroSim: {run.words}: {what.replace('-', ' of ')} {run.printed[what]:g} {unit}",
        published=run.printed[what],
        computed=figures(cost_of(id), graph_of(id))[what],
        basis="ledger and timeline of the NeuroSim-style machine, one layer at a time, beside the output of V1.3 (commit 388f4212)",
        note=_why(id, what),
    )


def _why(id: str, what: str) -> str:
    """Return the reason for the difference in one figure."""
    cost = cost_of(id)
    if what.startswith("area"):
        return _of_area(id, what)
    if what in ("adc", "accumulation", "interconnect"):
        return _of_term(id, what)
    if what == "latency":
        slow = 1e3 * cost_of(id, pulse_s=10e-9).latency_s
        return f"Here, latency is read time only; in the tool, buffers and H-tree add to it in sequence. With pulses of 10 ns: {slow:.3g} ms."
    if what == "leakage":
        theirs = 1e3 * RUNS[id].printed["leakage"] / (RUNS[id].printed["latency"] * RUNS[id].printed["area"])
        return f"{1e6 * cost.static_j / cost.latency_s / cost.area_mm2:.0f} µW/mm² here, for a shorter time; {theirs:.0f} µW/mm² in the tool."
    if what == "efficiency":
        return _of_efficiency(id)
    if what == "dynamic":
        dearer, slower = (1e6 * sum(other.dynamic_j.values()) for other in (cost_of(id, sar=True), cost_of(id, pulse_s=10e-9)))
        heat = 1e6 * cost.dynamic_j["array"]
        return (
            f"{_made_of(id, 'adc', 'accumulation', 'other')} Dissipation in the cells is {heat:.3g} µJ of it. With ISAAC's converters it would be {dearer:.4g} µJ; with pulses of 10 ns, the"
            f" tool's parameter, {slower:.4g} µJ."
        )
    return "In the tool, register buffers on three levels, switches and decoders are more expensive, and a word-line pulse is charged for each time slot of a converter."


def _made_of(id: str, *terms: str) -> str:
    """Return the ratios of the terms of a sum, because agreement of the sum does not imply agreement of its terms."""
    ours, printed = figures(cost_of(id), graph_of(id)), RUNS[id].printed
    ratios = ", ".join(f"{term} {ours[term] / printed[term]:.2g}" for term in terms if term in printed)
    return f"Its individual terms differ (ours over the tool's: {ratios})."


def _of_term(id: str, what: str) -> str:
    """Return the events of a term, and the energy per event here and in the tool."""
    term = next(each for each in terms(id) if each.name == what)
    said = f"{term.ours:.3g} times {term.our_pj:.3g} pJ per {term.event} here, {term.theirs:.3g} times {term.implied_pj:.3g} pJ in the tool."
    more = {
        "adc": " V²/R of 0.5 V and 6 kΩ for 1 ns is most of it here; the tool's sensing charges 0.063 V²/R, as for 0.25 V, and its traces drive fewer lines.",
        "accumulation": " Here, a 20-bit register is written for each conversion, with all bits at full activity; in the tool, half of them switch.",
        "interconnect": " Windows are fetched point by point here, row by row in the tool; its chip is larger and its wires are longer.",
    }
    return said + more[what]


def _of_area(id: str, what: str) -> str:
    run, cost = RUNS[id], cost_of(id)
    arrays = cost.program.arrays
    if what == "area-adc":
        each = run.baseline.side // run.baseline.columns_per_adc * arrays
        return f"{1e6 * run.printed[what] / each:.0f} µm² for each of {each} converters if the tool had as many as here, where one takes {1e6 * cost.terms_mm2['adc'] / each:.0f} µm²."
    if what == "area-array":
        return f"{1e6 * run.printed[what] / arrays:.0f} µm² for each of {arrays} arrays if the tool had as many as here; its tiles have one size, so it has more."
    if what == "area-interconnect":
        return "A tree of 512 wires with a pitch of 8 F here, three levels of trees and buses in the tool."
    return "Only the arrays that are needed here; in the tool, tiles of one size for all layers, larger converters and register buffers."


def _of_efficiency(id: str) -> str:
    """Return the derivation of the tool's efficiency from its energies."""
    run = RUNS[id]
    counted = counts(id).operations
    follows = counted / LAYOUT / (run.printed["dynamic"] + run.printed["leakage"]) / 1e6
    return (
        f"{_made_of(id, 'dynamic', 'leakage')} The tool counts {counted / 1e9:.3g} G operations, strides ignored (the network has {operations(graph_of(id)) / 1e9:.3g} G), and {LAYOUT} times the energy "
        f"that it prints: this gives {follows:.4g} TOPS/W."
    )


def _ratios() -> list[Claim]:
    """Return the change of energy with the network, the bits and the node, where unit costs of single parts matter less."""
    rows = (
        ("networks", "ResNet-18 over VGG-8", "resnet18", "vgg8"),
        ("bits", "activations of 8 bits over 4", "ternary-8", "ternary"),
        ("cells", "four cells per weight over one", "resnet18", "ternary-8"),
        ("node", "45 nm and 256x256 over 22 nm and 128x128", "ternary-45", "ternary"),
    )
    made = []
    for id, words, over, under in rows:
        published = RUNS[over].printed["dynamic"] / RUNS[under].printed["dynamic"]
        found = [sum(cost_of(each).dynamic_j.values()) for each in (over, under)]
        note = (
            "In the tool, supply voltage and charges grow more; here, dissipation in the cells does not change with the node." if id == "node" else ""
        )
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
