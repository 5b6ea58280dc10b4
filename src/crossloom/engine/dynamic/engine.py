"""The dynamic engine: products of two activations, one of which is written into crossbars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from crossloom.engine.base import Engine, Executor, Kits, Pace
from crossloom.engine.crossbar.actions import array_actions
from crossloom.engine.crossbar.ideal.calibrated_range import reach
from crossloom.engine.crossbar.mapping.tiling import Tiling, tile_matrices
from crossloom.engine.crossbar.settings import crossbars, paced_roles
from crossloom.engine.dynamic.adapt import with_stores
from crossloom.engine.dynamic.compute import ProductExecutor, StoreExecutor
from crossloom.engine.dynamic.geometry import Geometry
from crossloom.engine.dynamic.operand import layer_of, of_one_inference, product_traffic, stored_as
from crossloom.engine.dynamic.rewrite import rewritten
from crossloom.engine.dynamic.settings import dynamics
from crossloom.engine.dynamic.stored import readers_of, store_of, unfit
from crossloom.engine.dynamic.writing import Writing
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Store
from crossloom.program.program import Program, Stage


@dataclass(frozen=True, slots=True)
class Dynamic(Engine):
    """Takes products whose right operand is stored, and the stores."""

    name: str = "dynamic"

    def adapt(self, graph: Graph, machine: Machine, kits: Kits) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with attention rewritten, if the machine asks for it, and operands stored."""
        notes: tuple[str, ...] = ()
        chosen = dynamics(machine)
        if chosen.products == "digital":
            return graph, ()
        _check(machine)
        if chosen.products == "rewritten":
            graph, notes = rewritten(graph, chosen.dual_access)
        graph, more = with_stores(graph, chosen.operand_sets)
        return graph, (*notes, *more)

    def refuses(self, node: Node, graph: Graph, machine: Machine) -> str | None:
        """Return why the engine cannot run a node, or None."""
        if isinstance(node.op, Store):
            return None
        return unfit(node, graph) or (None if store_of(node, graph) else "its right operand is not stored")

    def place(self, stage: Stage, graph: Graph, machine: Machine) -> Tiling:
        """Return how the stored operand lies, as a product reads it; a store lies as its first reader has it.

        Each matrix has arrays of its own, so that heads are written side by side.
        """
        node = graph.node(stage.nodes[0])
        reader = readers_of(node, graph)[0] if isinstance(node.op, Store) else node
        shape = Geometry.of(reader, graph)
        held = stored_as(graph.quantization[reader.inputs[1]])[0]
        return tile_matrices(node.name, (shape.groups, shape.rows, shape.columns), held, crossbars(machine), pack=False)

    def listens(self, machine: Machine) -> bool:
        """Return whether converters are set by what each product gives (range: layer)."""
        return crossbars(machine).range == "layer"

    def tune(self, stage: Stage, graph: Graph, machine: Machine, tensors: Sequence[Tensor]) -> Tiling:
        """Return the tiling with the reach of the sums that integers such as these make."""
        tiling: Tiling = stage.placement
        node = graph.node(stage.nodes[0])
        if isinstance(node.op, Store):
            return tiling
        shape, layer = Geometry.of(node, graph), layer_of(node, graph, machine, tiling)
        left, right = shape.left(tensors[0]), shape.right(tensors[1])
        found = [reach(*of_one_inference(layer, shape, left[i], right[i], i)) for i in range(len(left))]
        return replace(tiling, reach=tuple(max(most) for most in zip(*found, strict=True)))

    def held(self, stage: Stage, graph: Graph) -> str:
        """Return the name of the store."""
        node = graph.node(stage.nodes[0])
        store = node if isinstance(node.op, Store) else store_of(node, graph)
        assert store is not None
        return store.name

    def rewrites(self, stage: Stage, graph: Graph, machine: Machine) -> float:
        """Return the share of a store that one inference writes: 1, less where a cache stays in the cells or sets of cells take turns."""
        node = graph.node(stage.nodes[0])
        return Writing.of(node, graph, stage.placement).share / stage.sets if isinstance(node.op, Store) else 0.0

    def vectors(self, stage: Stage, graph: Graph) -> None:
        """Return None: a position reads as many vectors as it has (of all heads that share an operand)."""

    def price(self, stage: Stage, graph: Graph, machine: Machine) -> Mapping[str, int]:
        """Return the actions of one inference: lines written, or arrays read."""
        node = graph.node(stage.nodes[0])
        if isinstance(node.op, Store):
            return dict(Writing.of(node, graph, stage.placement).actions(_copies(stage), 1))
        vectors = Geometry.of(node, graph).per_group
        layer = layer_of(node, graph, machine, stage.placement)
        counts = array_actions(vectors, layer)
        counts.update(product_traffic(vectors, stage, layer, graph))
        return dict(counts)

    def pace(self, stage: Stage, graph: Graph, machine: Machine) -> Pace:
        """Return the time of a position: its lines written one after the other, or its vectors read one after the other.

        Arrays are written side by side, each with its own drivers (assumed).
        """
        node, xbar = graph.node(stage.nodes[0]), crossbars(machine)
        if isinstance(node.op, Store):
            writing = Writing.of(node, graph, stage.placement)
            seconds = writing.serial_lines / stage.positions * machine.part("array").actions["write_row"].latency_s.value
            return Pace(seconds, seconds + xbar.overhead_cycles[0] * xbar.cycle_s, "array.write_row")
        cycles = len(layer_of(node, graph, machine, stage.placement).digits)
        before, after = xbar.overhead_cycles
        each = (cycles + xbar.pause_cycles) * xbar.cycle_s
        vectors = -(-Geometry.of(node, graph).per_group // stage.positions)
        return Pace(vectors * each, (vectors - 1) * each + (before + cycles + after) * xbar.cycle_s, xbar.paced_by)

    def paced_parts(self, machine: Machine) -> frozenset[str]:
        """Return the parts that a read occupies."""
        return paced_roles(crossbars(machine).accumulate)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a product's integers, or hands a stored operand on."""
        stage = program.stage_of[node.name]
        if isinstance(node.op, Store):
            return StoreExecutor(Writing.of(node, program.graph, stage.placement), _copies(stage))
        return ProductExecutor.of(node, stage, program, seed)


def _copies(stage: Stage) -> int:
    """Return how many copies of an operand a store writes."""
    return int(stage.arrays // (stage.placement.arrays * stage.sets))


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
