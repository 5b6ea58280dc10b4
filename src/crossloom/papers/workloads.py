"""What claims are computed on: networks of the zoo, quantised on random inputs where only shapes matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.tiling import Tiling, matrix_shape
from crossloom.job.check import macs
from crossloom.job.source import load
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.types import Batch, TensorType
from crossloom.network.zoo import build
from crossloom.read.ledger import Ledger, read_ledger
from crossloom.read.timeline import read_timeline


@cache
def network(name: str) -> Graph:
    """Return a network of the zoo, shapes alone."""
    return load(*build(name, weights=False), name=name)


def with_bits(graph: Graph, bits: int, *, signed: bool = True, gain: int = 1) -> Graph:
    """Return a graph whose tensors are all declared to be integers of some bits, for readings that need no values.

    Activations are never negative if not `signed`, as those after a ReLU; weights always may be. One step of an activation is worth `gain` steps
    of a sum of products.
    """
    q, whole = Quantization((1.0 / gain,), 0, bits, signed=True), Quantization((1.0,), 0, bits, signed=signed)
    names = [name for name, type in graph.inputs if type.dtype == "f32"] + [node.name for node in graph.nodes if node.type.dtype == "f32"]
    weights = [node.inputs[1] for node in graph.nodes if len(node.inputs) > 1 and node.inputs[1] in graph.constants]
    constants = {name: value.to(carrier(q)) if name in weights else value for name, value in graph.constants.items()}
    return Graph(
        graph.name, graph.inputs, graph.nodes, graph.outputs, constants, dict.fromkeys(names, whole) | dict.fromkeys(weights, q), graph.batch
    )


def operations(graph: Graph) -> int:
    """Return the operations of one inference (1 MAC = 2)."""
    return 2 * sum(macs(node, graph) for node in graph.nodes)


def operation_cycles(machine: Machine) -> tuple[float, float]:
    """Return the cycles for which a 16-bit operation occupies an array, and after which its result is stored."""
    type = TensorType("f32", (Batch(), 16, 8, 8))
    node = Node("y", Conv((1, 1), (1, 1, 1, 1), (1, 1)), ("x", "w"), type)
    graph = Graph("one layer", (("x", type),), (node,), ("y",), {"w": torch.ones(16, 16, 3, 3)})
    stage = compile_network(with_bits(graph, 16), machine).stages[0]
    assert machine.cycle_s is not None
    return round(stage.interval_s / machine.cycle_s.value, 9), round(stage.latency_s / machine.cycle_s.value, 9)


def throughput_16_bit(name: str, machine: Machine, chips: int) -> float:
    """Return operations per second (1 MAC = 2) of a network at 16 bits on a board of chips."""
    graph = with_bits(network(name), 16)
    return operations(graph) * read_timeline(compile_network(graph, machine.with_(**{"compile.chips": chips}))).throughput_per_s


@dataclass(frozen=True)
class Run:
    """One network on one machine: inferences per second, energy (J) of one, and its ledger."""

    throughput: float
    energy_j: float
    ledger: Ledger


def side_by_side(graph: Graph, machines: Mapping[str, Machine], boards: int) -> dict[str, Run]:
    """Return a network's runs on several machines, each with `boards` times the chips on which one copy fits in the machine that needs most."""
    chips = boards * max(compile_network(graph, machine).chips for machine in machines.values())
    found = {}
    for name, machine in machines.items():
        program = compile_network(graph, machine.with_(**{"compile.chips": chips}))
        timeline = read_timeline(program)
        ledger = read_ledger(program, timeline)
        found[name] = Run(timeline.throughput_per_s, ledger.energy_j, ledger)
    return found


def ratio(runs: Mapping[str, Run], ours: str, baseline: str, what: str) -> float:
    """Return by how much one run is better than another: in "throughput", or in "energy"."""
    if what == "throughput":
        return runs[ours].throughput / runs[baseline].throughput
    return runs[baseline].energy_j / runs[ours].energy_j


def utilization(name: str, size: int) -> float:
    """Return the share of cells that hold weights when each convolution is tiled by itself, one cell for each weight."""
    graph = network(name)
    used = taken = 0
    for node in graph.nodes:
        if isinstance(node.op, Conv):
            groups, rows, columns = matrix_shape(node, graph)
            tiling = Tiling(groups=groups, rows=rows, columns=columns, slices=1, array_rows=size, array_columns=size, packed=1, unit=0)
            used += tiling.cells
            taken += tiling.arrays * size * size
    return used / taken
