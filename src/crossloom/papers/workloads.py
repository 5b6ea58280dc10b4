"""Workloads of the claims: networks of the zoo, quantised on random inputs where only shapes matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Literal

import torch

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.engine import tiling_of
from crossloom.engine.crossbar.mapping.overlap import Windows, best_times, overlapped_shape
from crossloom.engine.crossbar.mapping.tiling import Tiling, matrix_shape
from crossloom.job.check import macs
from crossloom.job.source import load
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.types import Batch, TensorType
from crossloom.network.zoo import build
from crossloom.program.program import Program
from crossloom.read.ledger import Ledger, read_ledger
from crossloom.read.timeline import read_timeline


@cache
def network(name: str) -> Graph:
    """Return a network of the zoo with shapes only."""
    return load(*build(name, weights=False), name=name)


def with_bits(graph: Graph, bits: int, *, signed: bool = True, weights: int = 0, gain: int = 1) -> Graph:
    """Return a graph with all tensors declared as integers of `bits` bits, and weights as `weights` bits if given, for readings without values.

    If not `signed`, activations are non-negative, as after a ReLU; weights are always signed. One step of an activation is worth `gain` steps of
    a sum of products.
    """
    q, whole = Quantization((1.0 / gain,), 0, weights or bits, signed=True), Quantization((1.0,), 0, bits, signed=signed)
    names = [name for name, type in graph.inputs if type.dtype == "f32"] + [node.name for node in graph.nodes if node.type.dtype == "f32"]
    held = [node.inputs[1] for node in graph.nodes if len(node.inputs) > 1 and node.inputs[1] in graph.constants]
    constants = {name: value.to(carrier(q)) if name in held else value for name, value in graph.constants.items()}
    return Graph(graph.name, graph.inputs, graph.nodes, graph.outputs, constants, dict.fromkeys(names, whole) | dict.fromkeys(held, q), graph.batch)


def operations(graph: Graph) -> int:
    """Return the number of operations of one inference (1 MAC = 2)."""
    return 2 * sum(macs(node, graph) for node in graph.nodes)


def operation_cycles(machine: Machine) -> tuple[float, float]:
    """Return the number of cycles for which a 16-bit operation occupies an array, and the number until its result is stored."""
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
    """One network on one machine: inferences per second, energy per inference (J), and its ledger."""

    throughput: float
    energy_j: float
    ledger: Ledger


def side_by_side(graph: Graph, machines: Mapping[str, Machine], boards: int) -> dict[str, Run]:
    """Return a network's runs on several machines with equal chip counts: `boards` times the most that any of them needs for one copy."""
    chips = boards * max(compile_network(graph, machine).chips for machine in machines.values())
    found = {}
    for name, machine in machines.items():
        program = compile_network(graph, machine.with_(**{"compile.chips": chips}))
        timeline = read_timeline(program)
        ledger = read_ledger(program, timeline)
        found[name] = Run(timeline.throughput_per_s, ledger.energy_j, ledger)
    return found


def ratio(runs: Mapping[str, Run], ours: str, baseline: str, what: str) -> float:
    """Return the factor by which one run is better than another, in "throughput" or in "energy"."""
    if what == "throughput":
        return runs[ours].throughput / runs[baseline].throughput
    return runs[baseline].energy_j / runs[ours].energy_j


@dataclass(frozen=True, slots=True)
class Use:
    """Shares of array cells: `held` by weights, and `mapped` to rows and columns of layers (including blank cells between overlapped windows)."""

    held: float
    mapped: float

    @classmethod
    def of(cls, tilings: Iterable[tuple[Tiling, int]]) -> Use:
        """Return the shares for pairs of a tiling and its number of occurrences."""
        found = [(tiling, times, tiling.arrays * tiling.array_rows * tiling.array_columns * times) for tiling, times in tilings]
        cells = sum(taken for _, _, taken in found)
        held, mapped = (
            sum(share * taken for share, (_, _, taken) in zip(shares, found, strict=True)) / cells
            for shares in ([t.utilization for t, _, _ in found], [t.mapped_utilization for t, _, _ in found])
        )
        return cls(held, mapped)


def overlapped_use(name: str, size: int, overlap: int | Literal["none", "auto"] = "none") -> Use:
    """Return the use of cells with each convolution tiled separately, one cell per weight, neighbouring windows overlapped."""
    graph = network(name)
    return Use.of((_one_cell_each(node, graph, size, overlap), 1) for node in graph.nodes if isinstance(node.op, Conv))


def compiled_use(program: Program) -> Use:
    """Return the use of cells by a program's convolutions, including all copies."""
    held = [stage for stage in program.stages if stage.arrays and isinstance(program.graph.node(stage.nodes[0]).op, Conv)]
    return Use.of((tiling_of(stage), stage.arrays // stage.placement.arrays) for stage in held)


def _one_cell_each(node: Node, graph: Graph, size: int, overlap: int | Literal["none", "auto"]) -> Tiling:
    """Return the tiling of a convolution with one cell per weight."""
    shape, windows = matrix_shape(node, graph), Windows.of(node, graph)

    def tiling(times: int) -> Tiling:
        groups, rows, columns = overlapped_shape(shape, windows, times) if windows else shape
        blank = groups * rows * columns - prod(shape) * times
        return Tiling(groups=groups, rows=rows, columns=columns, slices=1, array_rows=size, array_columns=size, packed=1, unit=0, blank=blank)

    if windows is None or overlap == "none":
        return tiling(1)
    return tiling(best_times(windows, lambda times: tiling(times).arrays) if overlap == "auto" else min(overlap, windows.count))


def utilization(name: str, size: int) -> float:
    """Return the share of cells that hold weights, with each convolution tiled separately and one cell per weight."""
    return overlapped_use(name, size).held
