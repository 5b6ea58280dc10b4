"""The crossbar engine: convolutions and linear layers with constant weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.engine.base import Cost, Counts, Executor, Holder, Inferences
from crossloom.engine.crossbar.actions import array_actions, traffic
from crossloom.engine.crossbar.analog.layer import Deferred
from crossloom.engine.crossbar.ideal.calibrated_range import observed_range
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.fuse_residual import with_residuals
from crossloom.engine.crossbar.mapping.overlap import with_overlap
from crossloom.engine.crossbar.mapping.tiling import Tiling, added_to, tile
from crossloom.engine.crossbar.plan import Plan, plan
from crossloom.engine.crossbar.reference.ideal import reference_sums
from crossloom.engine.crossbar.settings import Crossbars, crossbars, paced_roles
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import multiplier, requantize
from crossloom.network.operators import Conv, ConvTranspose, Linear, ProductAdd, product_of
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing


@dataclass(frozen=True, slots=True)
class Crossbar:
    """Takes layers whose weights are constant; see the package's docstring for the arithmetic."""

    name: str = "crossbar"

    def on(self, machine: Machine) -> MappedCrossbar:
        """Return the engine on a machine's crossbars. Raises MachineError."""
        return MappedCrossbar(machine, crossbars(machine))


@dataclass(frozen=True, slots=True)
class MappedCrossbar:
    """The engine on the crossbars of one machine, or of one array type of it."""

    machine: Machine
    xbar: Crossbars
    name: str = "crossbar"

    @property
    def paced_parts(self) -> frozenset[str]:
        """Parts that a read occupies; converters are among them unless they work once for each operation."""
        return paced_roles(self.xbar.accumulate)

    @property
    def notes(self) -> tuple[str, ...]:
        """Where cells and wires leave the measured range."""
        return self.xbar.physics.notes

    @property
    def array_banks(self) -> int:
        """2 where one layer of a stack is read while the other is written (eshraghian2021, deep-net mode), else 1."""
        return self.xbar.banks

    @property
    def needs_calibration(self) -> bool:
        """Whether converters are set by what each layer gives (range: layer)."""
        return self.xbar.range == "layer"

    def adapt(self, graph: Graph, holder: Holder) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with residual additions on the bit lines of products, and overlapped convolutions, if the machine has them so."""
        graph, residuals = with_residuals(graph, self.xbar) if self.xbar.residual == "analog" else (graph, ())

        def xbar_of(node: Node) -> Crossbars:
            held = holder(node.inputs[1])
            assert isinstance(held, MappedCrossbar)
            return held.xbar

        graph, overlaps = with_overlap(graph, xbar_of)
        return graph, (*residuals, *overlaps)

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None."""
        if not isinstance(product_of(node.op), Conv | ConvTranspose | Linear):
            return "not a product with constant weights"
        if node.inputs[1] not in graph.constants:
            return "its weights depend on the input"
        if isinstance(node.op, ProductAdd) and not added_to(node, graph, self.xbar).whole:
            return "its residual gain cannot be represented with residual_rows rows; raise residual_rows"
        return None

    def place(self, stage: Stage, graph: Graph) -> Tiling:
        """Return the tiling of one copy."""
        return tile(graph.node(stage.nodes[0]), graph, self.xbar)

    def calibrate(self, stage: Stage, graph: Graph, tensors: Sequence[Tensor]) -> Tiling:
        """Return the tiling with the reach of the sums that integers such as these make."""
        layer = self._layer(stage, graph)
        return replace(layer.tiling, observed_range=observed_range(layer, *_data(tensors)))

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the occupancy of an array and the latency of an operation.

        One cycle for each digit, and those in which the arrays wait for converters (cao2022, Figure 8); latency after shafiee2016, Figure 4b.
        """
        xbar = self.xbar
        cycles = len(self._layer(stage, graph).digits)
        before, after = xbar.overhead_cycles
        return Timing((cycles + xbar.pause_cycles) * xbar.cycle_s, (before + cycles + after) * xbar.cycle_s, xbar.paced_by)

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions of one inference (arrays, converters, data moved), and the writes where a network streams through the arrays."""
        layer = self._layer(stage, graph)
        counts = array_actions(stage.positions, layer)
        counts.update(layer_traffic(stage.positions, stage, layer, graph))
        counts.update(_writes(1, stage))
        return Cost(dict(counts), 1 / stage.residency.inferences_per_load if stage.residency.programming_s else 0.0)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a layer's integers by the cheapest plan."""
        stage = program.stage_of[node.name]
        layer = self._layer(stage, program.graph)
        return CrossbarExecutor(layer, plan(layer, seed), stage, program)

    def reference(self, node: Node, program: Program) -> ReferenceExecutor:
        """Return what computes a layer digit by digit on ideal cells, where nothing is left to chance."""
        stage = program.stage_of[node.name]
        return ReferenceExecutor(self._layer(stage, program.graph), stage, program)

    def _layer(self, stage: Stage, graph: Graph) -> MappedLayer:
        return layer_of(graph.node(stage.nodes[0]), graph, self.xbar, tiling_of(stage))


def tiling_of(stage: Stage) -> Tiling:
    """Return where a stage lies in crossbars."""
    assert isinstance(stage.placement, Tiling)
    return stage.placement


def layer_of(node: Node, graph: Graph, xbar: Crossbars, tiling: Tiling) -> MappedLayer:
    """Return a node of a graph as crossbars see it."""
    weight = node.inputs[1]
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else None
    added = added_to(node, graph, xbar) if isinstance(node.op, ProductAdd) else None
    x, q = graph.quantization[node.inputs[0]], graph.quantization[weight]
    return MappedLayer(node, x, graph.constants[weight], q, bias, xbar, tiling, added=added)


def layer_traffic(vectors: int, stage: Stage, layer: MappedLayer, graph: Graph) -> Counts:
    """Count what moves. Row tiles in one IMA are joined by its own shift-and-add, as they are converted; the tile joins IMAs."""
    tiling = layer.tiling
    results = tiling.groups * tiling.columns
    units = -(-tiling.row_tiles // layer.xbar.arrays_per_unit)
    fetched = tiling.groups * tiling.rows * layer.x.bits * stage.residency.chunks
    if layer.added:  # all matrices see the same input, and the word lines of an element of the residual one register
        rows = tiling.rows - layer.added.rows * tiling.columns
        fetched = rows * layer.x.bits * stage.residency.chunks + results * layer.added.q.bits
    return traffic(
        vectors,
        input_bits=fetched,
        results=results,
        result_bits=graph.quantization[stage.name].bits,
        hops=stage.hops,
        partial_sums=results * (units - 1),
        stays=stage.forwards_output,
    )


def _data(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return what a layer reads: its input, and its residual if it has one."""
    return tensors[0], tensors[3] if len(tensors) > 3 else None


def _writes(samples: int, stage: Stage) -> Counts:
    """Count the rows written for a number of inferences, if the stage's cells are written again and again."""
    if not stage.residency.programming_s:
        return Counts()
    return Counts({"array.write_row": samples * -(-tiling_of(stage).driven_rows * stage.copies // stage.residency.inferences_per_load)})


@dataclass(frozen=True, slots=True)
class CrossbarExecutor:
    """Computes one layer and counts what its arrays do."""

    layer: MappedLayer
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

    layer: MappedLayer
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
    """Return the plain executor of a crossbar node of a program; see `MappedCrossbar.reference`."""
    return Crossbar().on(program.machine_of(program.stage_of[node.name])).reference(node, program)


CROSSBAR = Crossbar()
