"""The crossbar engine: convolutions and linear layers with constant weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.engine.base import Counts, Engine, Executor, Inferences, Kits, Pace
from crossloom.engine.crossbar.actions import array_actions, traffic
from crossloom.engine.crossbar.analog.layer import Deferred
from crossloom.engine.crossbar.ideal.calibrated_range import reach
from crossloom.engine.crossbar.layer import Layer
from crossloom.engine.crossbar.mapping.fuse_residual import with_residuals
from crossloom.engine.crossbar.mapping.overlap import with_overlap
from crossloom.engine.crossbar.mapping.tiling import Tiling, added_to, tile
from crossloom.engine.crossbar.plan import Plan, plan
from crossloom.engine.crossbar.reference.ideal import reference_sums
from crossloom.engine.crossbar.settings import crossbars, paced_roles
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import multiplier, requantize
from crossloom.network.operators import Conv, ConvTranspose, Linear, ProductAdd, product_of
from crossloom.program.floorplan import Block
from crossloom.program.program import Program, Stage


@dataclass(frozen=True, slots=True)
class Crossbar(Engine):
    """Takes layers whose weights are constant; see the package's docstring for the arithmetic."""

    name: str = "crossbar"

    def adapt(self, graph: Graph, machine: Machine, kits: Kits) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with residual additions on the bit lines of products, and overlapped convolutions, if the machine has them so."""
        of_kit = {view.kit: crossbars(view) for view in machine.views}
        first, xbar = next(iter(of_kit.items()))
        graph, residuals = with_residuals(graph, xbar) if xbar.residual == "analog" else (graph, ())
        graph, overlaps = with_overlap(graph, lambda node: of_kit[kits.get(node.inputs[1], first)])
        return graph, (*residuals, *overlaps)

    def refuses(self, node: Node, graph: Graph, machine: Machine) -> str | None:
        """Return why the engine cannot run a node, or None."""
        if not isinstance(product_of(node.op), Conv | ConvTranspose | Linear):
            return "no product with constant weights"
        if node.inputs[1] not in graph.constants:
            return "its weights depend on the input"
        if isinstance(node.op, ProductAdd) and not added_to(node, graph, crossbars(machine)).whole:
            return "the gain of its residual is no sum of weights in so few rows (residual_rows)"
        return None

    def place(self, stage: Stage, graph: Graph, machine: Machine) -> Tiling:
        """Return the tiling of one copy."""
        return tile(graph.node(stage.nodes[0]), graph, crossbars(machine))

    def blocks(self, stage: Stage, graph: Graph, machine: Machine) -> tuple[Block, ...]:
        """Return the rectangles that the tiles of one copy take."""
        tiling: Tiling = stage.placement
        return tiling.blocks

    def listens(self, machine: Machine) -> bool:
        """Return whether converters are set by what each layer gives (range: layer)."""
        return crossbars(machine).range == "layer"

    def tune(self, stage: Stage, graph: Graph, machine: Machine, tensors: Sequence[Tensor]) -> Tiling:
        """Return the tiling with the reach of the sums that integers such as these make."""
        tiling: Tiling = stage.placement
        return replace(tiling, reach=reach(layer_of(graph.node(stage.nodes[0]), graph, machine, tiling), *_data(tensors)))

    def notes(self, machine: Machine) -> tuple[str, ...]:
        """Return where cells and wires leave what was measured."""
        return crossbars(machine).physics.notes

    def banks(self, machine: Machine) -> int:
        """Return 2 where one layer of a stack is read while the other is written (eshraghian2021, deep-net mode), else 1."""
        return crossbars(machine).banks

    def held(self, stage: Stage, graph: Graph) -> tuple[tuple[str, ...], Tiling]:
        """Return the names of the weights and of a residual's gains, and how they lie."""
        inputs = graph.node(stage.nodes[0]).inputs
        return (inputs[1], *inputs[4:]), stage.placement

    def rewrites(self, stage: Stage, graph: Graph, machine: Machine) -> float:
        """Return 1 over the inferences that share one writing, where a network streams through the arrays; else 0."""
        return 1 / stage.inferences_per_load if stage.load_s else 0.0

    def vectors(self, stage: Stage, graph: Graph) -> int:
        """Return the number of input vectors: results of one sample over results of one vector."""
        node = graph.node(stage.nodes[0])
        tiling: Tiling = stage.placement
        return node.type.count(1) // (tiling.groups * tiling.columns)

    def figures(self, stage: Stage) -> Mapping[str, int]:
        """Return the matrices of a layer, and the arrays that one copy of each takes."""
        tiling: Tiling = stage.placement
        named = ("groups", "rows", "columns", "slices", "row_tiles", "column_tiles")
        return {name: getattr(tiling, name) for name in named}

    def price(self, stage: Stage, graph: Graph, machine: Machine) -> Mapping[str, int]:
        """Return the actions of one inference: arrays, converters, data moved."""
        node = graph.node(stage.nodes[0])
        layer = layer_of(node, graph, machine, stage.placement)
        counts = array_actions(stage.positions, layer)
        counts.update(layer_traffic(stage.positions, stage, layer, graph))
        counts.update(_writes(1, stage))
        return dict(counts)

    def pace(self, stage: Stage, graph: Graph, machine: Machine) -> Pace:
        """Return the occupancy of an array and the latency of an operation.

        One cycle for each digit, and those in which the arrays wait for converters (cao2022, Figure 8); latency after shafiee2016, Figure 4b.
        """
        xbar = crossbars(machine)
        cycles = len(layer_of(graph.node(stage.nodes[0]), graph, machine, stage.placement).digits)
        before, after = xbar.overhead_cycles
        return Pace((cycles + xbar.pause_cycles) * xbar.cycle_s, (before + cycles + after) * xbar.cycle_s, xbar.paced_by)

    def paced_parts(self, machine: Machine) -> frozenset[str]:
        """Return the parts that a read occupies; converters are among them unless they work once for each operation."""
        return paced_roles(crossbars(machine).accumulate)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a layer's integers by the cheapest plan."""
        stage = program.stage_of[node.name]
        layer = layer_of(node, program.graph, program.machine_of(stage), stage.placement)
        return CrossbarExecutor(layer, plan(layer, seed), stage, program)


def layer_of(node: Node, graph: Graph, machine: Machine, tiling: Tiling) -> Layer:
    """Return a node of a graph as a machine's crossbars see it."""
    weight = node.inputs[1]
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else None
    xbar = crossbars(machine)
    added = added_to(node, graph, xbar) if isinstance(node.op, ProductAdd) else None
    x, q = graph.quantization[node.inputs[0]], graph.quantization[weight]
    return Layer(node, x, graph.constants[weight], q, bias, xbar, tiling, added=added)


def layer_traffic(vectors: int, stage: Stage, layer: Layer, graph: Graph) -> Counts:
    """Count what moves. Row tiles in one IMA are joined by its own shift-and-add, as they are converted; the tile joins IMAs."""
    tiling = layer.tiling
    results = tiling.groups * tiling.columns
    units = -(-tiling.row_tiles // layer.xbar.arrays_per_unit)
    fetched = tiling.groups * tiling.rows * layer.x.bits * stage.parts
    if layer.added:  # all matrices see the same input, and the word lines of an element of the residual one register
        rows = tiling.rows - layer.added.rows * tiling.columns
        fetched = rows * layer.x.bits * stage.parts + results * layer.added.q.bits
    return traffic(
        vectors,
        fetched,
        results,
        graph.quantization[stage.name].bits,
        stage.hops,
        results * (units - 1),
        stage.stays,
    )


def _data(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return what a layer reads: its input, and its residual if it has one."""
    return tensors[0], tensors[3] if len(tensors) > 3 else None


def _writes(samples: int, stage: Stage) -> Counts:
    """Count the rows written for a number of inferences, if the stage's cells are written again and again."""
    if not stage.load_s:
        return Counts()
    tiling: Tiling = stage.placement
    return Counts({"array.write_row": samples * -(-tiling.driven_rows * stage.copies // stage.inferences_per_load)})


@dataclass(frozen=True, slots=True)
class CrossbarExecutor:
    """Computes one layer and counts what its arrays do."""

    layer: Layer
    chosen: Plan
    stage: Stage
    program: Program

    @property
    def plan(self) -> str:
        """Name of the plan."""
        return self.chosen.name

    @property
    def why(self) -> str:
        """Why the plan is allowed."""
        return self.chosen.why

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the layer's integers; the counts follow from the number of results that there are."""
        layer, graph = self.layer, self.program.graph
        chosen, (x, residual) = self.chosen.sums, _data(tensors)
        sums = chosen(x, inferences, residual) if isinstance(chosen, Deferred) else chosen(x, residual)
        vectors = sums.numel() // (layer.tiling.groups * layer.tiling.columns)
        counts.update(array_actions(vectors, layer))
        counts.update(layer_traffic(vectors, self.stage, layer, graph))
        counts.update(_writes(inferences.count, self.stage))
        q = graph.quantization[layer.node.name]
        return requantize(sums, multiplier(layer.x, layer.weight_q, q, layer.node), q)


@dataclass(frozen=True, slots=True)
class ReferenceExecutor:
    """Computes one layer digit by digit and slice by slice: the definition that the plans are tested against."""

    layer: Layer
    stage: Stage
    program: Program
    plan: str = "reference"
    why: str = "asked for"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the layer's integers, counting every action where it happens."""
        layer, graph = self.layer, self.program.graph
        x, residual = _data(tensors)
        vectors = layer.vectors(x.to(torch.int64), residual)
        sums = reference_sums(vectors, layer.matrices(), layer, counts)
        counts.update(layer_traffic(vectors.shape[0], self.stage, layer, graph))
        counts.update(_writes(inferences.count, self.stage))
        q = graph.quantization[layer.node.name]
        return requantize(layer.result(x, sums), multiplier(layer.x, layer.weight_q, q, layer.node), q)


def reference_executor(node: Node, program: Program, seed: int = 0) -> ReferenceExecutor:
    """Return the plain executor of a crossbar node on ideal cells, where nothing is left to chance."""
    stage = program.stage_of[node.name]
    return ReferenceExecutor(layer_of(node, program.graph, program.machine_of(stage), stage.placement), stage, program)


CROSSBAR = Crossbar()
