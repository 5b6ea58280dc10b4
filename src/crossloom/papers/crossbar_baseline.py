"""Crossbar baseline for other ideas: the NeuroSim-style machine in a given configuration, sized for a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from crossloom.compiler import compile_network
from crossloom.errors import InputError
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.program.program import Program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

MACHINES = {22: "neurosim-style", 32: "neurosim-style-32", 45: "neurosim-style-45"}
"""The machine of each node (nm)."""
Converting = Literal["sense", "sar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Baseline configuration.

    Attributes:
        node_nm: 22, 32 or 45.
        side: word lines and bit lines of an array.
        columns_per_adc: number of bit lines time-shared by a converter.
        adc_bits: resolution of a converter.
        pulse_s: time for which the cells of a bit line conduct during its conversion.
        converter: one sense amplifier per level, or ISAAC's successive approximation.
        activity: mean share of word lines driven in a cycle.
    """

    node_nm: int = 22
    side: int = 128
    columns_per_adc: int = 8
    adc_bits: int = 5
    pulse_s: float = 1e-9
    converter: Converting = "sense"
    activity: float = 0.25


RANGE = tuple(
    replace(other, node_nm=node, side=side)
    for node in MACHINES
    for side in (128, 256)
    for other in (Baseline(), Baseline(converter="sar"), Baseline(pulse_s=10e-9))
)
"""Range of plausible crossbar baselines: node, array size, and either a more expensive converter or a pulse of 10 ns."""

TERMS: Mapping[str, tuple[str, ...]] = {
    "adc": ("array", "adc", "sample_hold"),
    "accumulation": ("shift_add", "output_register", "tile_shift_add"),
    "interconnect": ("bus",),
    "buffers": ("buffer", "input_register", "tile_output_register"),
    "functions": ("dac", "activation", "max_pool", "vector"),
}
"""Components by the terms of DNN+NeuroSim's energy report. Its converters include the array energy; its "other" is all but the first two terms."""
AREAS: Mapping[str, tuple[str, ...]] = {"array": ("array",), "adc": ("adc",), "accumulation": TERMS["accumulation"], "interconnect": ("bus",)}
"""The same for its area report, where the rest is "other"."""


@dataclass(frozen=True)
class Cost:
    """Cost of one inference: `dynamic_j` by component, total `static_j`, latency, area by component, and action counts."""

    dynamic_j: Mapping[str, float]
    static_j: float
    latency_s: float
    areas_mm2: Mapping[str, float]
    actions: Mapping[str, int]
    program: Program

    @property
    def energy_j(self) -> float:
        """Energy (J), including static energy."""
        return sum(self.dynamic_j.values()) + self.static_j

    @property
    def area_mm2(self) -> float:
        """Area (mm²) of the chip."""
        return sum(self.areas_mm2.values())

    @property
    def terms_j(self) -> dict[str, float]:
        """Dynamic energy (J) by the terms of `TERMS`."""
        return {term: sum(self.dynamic_j.get(name, 0.0) for name in names) for term, names in TERMS.items()}

    @property
    def terms_mm2(self) -> dict[str, float]:
        """Area (mm²) by the terms of `AREAS`, the rest as `other`."""
        found = {term: sum(self.areas_mm2.get(name, 0.0) for name in names) for term, names in AREAS.items()}
        return found | {"other": self.area_mm2 - sum(found.values())}


def baseline_machine(baseline: Baseline) -> Machine:
    """Return the machine of a configuration, with the number of tiles from its file. Raises InputError for a node without a machine."""
    if baseline.node_nm not in MACHINES:
        raise InputError(f"no crossbar baseline at {baseline.node_nm} nm; choose one of {', '.join(map(str, MACHINES))}")
    machine = load_machine(MACHINES[baseline.node_nm])
    if baseline.converter == "sar":
        machine = machine.with_(adc_use="rram.adc")
    return machine.with_(
        **{
            "array.rows": baseline.side,
            "array.columns": baseline.side,
            "array.pulse": f"{baseline.pulse_s} s",
            "array.activity": baseline.activity,
            "dac.cells": baseline.side,
            "sample_hold.cells": baseline.side,
            "adc.bits": baseline.adc_bits,
            "adc.rate": f"{1 / baseline.pulse_s} Hz",
            "adc.count": baseline.side / baseline.columns_per_adc,
            "shift_add.count": baseline.side / baseline.columns_per_adc,
        }
    )


def fitted(graph: Graph, machine: Machine) -> Machine:
    """Return a machine with tiles for one copy of a network, buffers for its largest layer, and an H-tree as long as the chip's side.

    The side depends on the tree's own area, so it is found by fixed-point iteration, to one part in a thousand.
    """
    arrays = compile_network(graph, machine).arrays
    each = machine.part("array").total / machine.count_of("tile")
    tiles = math.ceil(arrays / each)
    banks = math.ceil(_largest_layer(graph) / machine.part("buffer").parameters["capacity"])
    machine = machine.with_(**{"tile.count": tiles, "buffer.count": banks, "bus.leaves": tiles})
    side_m = 0.0
    while abs(side_m - (new := math.sqrt(machine.area_mm2) * 1e-3)) > 1e-3 * new:
        side_m = new
        machine = machine.with_(**{"bus.length": f"{side_m} m"})
    return machine


def _largest_layer(graph: Graph) -> float:
    """Return the largest sum of a node's inputs and output (bytes)."""

    def held(name: str) -> float:
        q = graph.quantization.get(name)
        return graph.types[name].count(1) * q.bits / 8 if q is not None and name not in graph.constants else 0.0

    return max(held(node.name) + sum(map(held, node.inputs)) for node in graph.nodes)


def baseline_energy(graph: Graph, baseline: Baseline | None = None) -> Cost:
    """Return the cost of an inference of a quantised network on a crossbar chip of matching size.

    Weights and activations have the network's bits. Without a configuration, the cheapest of those left open by DNN+NeuroSim's defaults is
    used. For networks known only by shape, see `workloads.with_bits`. Raises InputError for a node without a machine.
    """
    program = compile_network(graph, fitted(graph, baseline_machine(baseline or Baseline())))
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    dynamic: dict[str, float] = {}
    for entry in ledger.entries:
        dynamic[entry.component] = dynamic.get(entry.component, 0.0) + entry.energy_j
    return Cost(dynamic, sum(ledger.static_j.values()), timeline.latency_s, ledger.area_mm2, ledger.actions, program)


def baseline_range(graph: Graph) -> dict[Baseline, Cost]:
    """Return the costs of a quantised network in every configuration of `RANGE`."""
    return {baseline: baseline_energy(graph, baseline) for baseline in RANGE}
