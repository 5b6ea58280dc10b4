"""The dynamic engine: products of two activations, one of which is written into crossbars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from crossloom.engine.base import Cost, Executor, Holder
from crossloom.engine.crossbar.actions import array_actions
from crossloom.engine.crossbar.engine import tiling_of
from crossloom.engine.crossbar.ideal.calibrated_range import observed_range
from crossloom.engine.crossbar.mapping.tiling import Tiling, tile_matrices
from crossloom.engine.crossbar.settings import Crossbars, crossbars, paced_roles
from crossloom.engine.dynamic.adapt import with_stores
from crossloom.engine.dynamic.compute import ProductExecutor, StoreExecutor
from crossloom.engine.dynamic.geometry import Geometry
from crossloom.engine.dynamic.operand import layer_of, of_one_inference, product_traffic, stored_as
from crossloom.engine.dynamic.rewrite import rewritten
from crossloom.engine.dynamic.settings import Dynamics, dynamics
from crossloom.engine.dynamic.stored import readers_of, store_of, unfit
from crossloom.engine.dynamic.writing import Writing
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Store
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing


@dataclass(frozen=True, slots=True)
class Dynamic:
    """Takes products whose right operand is stored, and the stores."""

    name: str = "dynamic"

    def on(self, machine: Machine) -> MappedDynamic:
        """Return the engine on a machine's crossbars. Raises MachineError."""
        chosen = dynamics(machine)
        if chosen.products != "digital":
            _check(machine)
        return MappedDynamic(machine, chosen, crossbars(machine))


@dataclass(frozen=True, slots=True)
class MappedDynamic:
    """The engine on the crossbars of one machine."""

    machine: Machine
    chosen: Dynamics
    xbar: Crossbars
    name: str = "dynamic"

    @property
    def paced_parts(self) -> frozenset[str]:
        """Parts that a read occupies."""
        return paced_roles(self.xbar.accumulate)

    @property
    def needs_calibration(self) -> bool:
        """Whether converters are set by what each product gives (range: layer)."""
        return self.xbar.range == "layer"

    def adapt(self, graph: Graph, holder: Holder) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with attention rewritten, if the machine asks for it, and operands stored."""
        notes: tuple[str, ...] = ()
        if self.chosen.products == "digital":
            return graph, ()
        if self.chosen.products == "rewritten":
            graph, notes = rewritten(graph, self.chosen.dual_access)
        graph, more = with_stores(graph, self.chosen.operand_sets)
        return graph, (*notes, *more)

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None."""
        if isinstance(node.op, Store):
            return None
        return unfit(node, graph) or (None if store_of(node, graph) else "its right operand is not stored")

    def place(self, stage: Stage, graph: Graph) -> Tiling:
        """Return how the stored operand lies, as a product reads it; a store lies as its first reader has it.

        Each matrix has arrays of its own, so that heads are written side by side. A position reads as many vectors as it has, of all heads
        that share an operand.
        """
        node = graph.node(stage.nodes[0])
        reader = readers_of(node, graph)[0] if isinstance(node.op, Store) else node
        store = node if isinstance(node.op, Store) else store_of(node, graph)
        assert store is not None
        shape = Geometry.of(reader, graph)
        held = stored_as(graph.quantization[reader.inputs[1]])[0]
        tiling = tile_matrices(node.name, (shape.groups, shape.rows, shape.columns), held, self.xbar, pack=False)
        return replace(tiling, holds=(store.name,), written=True)

    def calibrate(self, stage: Stage, graph: Graph, tensors: Sequence[Tensor]) -> Tiling:
        """Return the tiling with the reach of the sums that integers such as these make."""
        tiling, node = tiling_of(stage), graph.node(stage.nodes[0])
        if isinstance(node.op, Store):
            return tiling
        shape, layer = Geometry.of(node, graph), layer_of(node, graph, self.xbar, tiling)
        left, right = shape.left(tensors[0]), shape.right(tensors[1])
        found = [observed_range(*of_one_inference(layer, shape, left[i], right[i], i)) for i in range(len(left))]
        return replace(tiling, observed_range=tuple(max(most) for most in zip(*found, strict=True)))

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the time of a position: its lines written one after the other, or its vectors read one after the other.

        Arrays are written side by side, each with its own drivers (assumed).
        """
        node, xbar, tiling = graph.node(stage.nodes[0]), self.xbar, tiling_of(stage)
        if isinstance(node.op, Store):
            lines = Writing.of(node, graph, tiling).serial_lines
            seconds = lines / stage.positions * self.machine.part("array").actions["write_row"].latency_s.value
            return Timing(seconds, seconds + xbar.overhead_cycles[0] * xbar.cycle_s, "array.write_row")
        cycles = len(layer_of(node, graph, xbar, tiling).digits)
        before, after = xbar.overhead_cycles
        each = (cycles + xbar.pause_cycles) * xbar.cycle_s
        vectors = -(-Geometry.of(node, graph).per_group // stage.positions)
        return Timing(vectors * each, (vectors - 1) * each + (before + cycles + after) * xbar.cycle_s, xbar.paced_by)

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions of one inference: lines written, or arrays read.

        A store's cells are written once by each inference, less often where a cache stays in them or sets of cells take turns.
        """
        node, tiling = graph.node(stage.nodes[0]), tiling_of(stage)
        if isinstance(node.op, Store):
            writing = Writing.of(node, graph, tiling)
            return Cost(dict(writing.actions(_copies(stage), 1)), writing.share / stage.residency.buffers)
        vectors = Geometry.of(node, graph).per_group
        layer = layer_of(node, graph, self.xbar, tiling)
        counts = array_actions(vectors, layer)
        counts.update(product_traffic(vectors, stage, layer, graph))
        return Cost(dict(counts))

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a product's integers, or hands a stored operand on."""
        stage = program.stage_of[node.name]
        if isinstance(node.op, Store):
            return StoreExecutor(Writing.of(node, program.graph, tiling_of(stage)), _copies(stage))
        return ProductExecutor.of(node, program, self.xbar, seed)


def _copies(stage: Stage) -> int:
    """Return how many copies of an operand a store writes."""
    return int(stage.arrays // (stage.placement.arrays * stage.residency.buffers))


def _check(machine: Machine) -> None:
    """Raise MachineError for arrays that cannot be written."""
    if machine.compile.get("arrays", "whole") == "shared":
        raise MachineError(
            f"machine {machine.name}: operands are written into arrays of their own, not beside blocks of others; set dynamic.products=digital, or compile.arrays=whole"
        )
    array = machine.part("array")
    if "write_row" not in array.actions:
        raise MachineError(f"machine {machine.name}: engines.dynamic writes operands and {array.path} has no action write_row; give it one")


DYNAMIC = Dynamic()
