"""The associative engine: ternary-weight layers as additions and subtractions in content-addressable arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from crossloom.engine.associative.compile.cache import compiled_layer
from crossloom.engine.associative.compile.layer import TernaryLayer, distinct_inputs, unfit
from crossloom.engine.associative.compile.listing import PASSES, listing
from crossloom.engine.associative.placement import InRows, placed
from crossloom.engine.associative.settings import Processors, processors
from crossloom.engine.associative.simulate.executors import Limiter, ProductExecutor, StreamExecutor, takes_steps
from crossloom.engine.base import Cost, Counts, Executor, Holder
from crossloom.errors import CapacityError
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Clip, Conv, ConvTranspose, Linear, Relu
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing
from crossloom.units import show

INSTRUCTION_BYTES = 8
"""Size of an instruction: an operation, three columns, three domains and three widths."""
_UNTRAINED = "train it with ternary weights (crossloom ternarize), or set a sparsity for cost estimates only"
_TRAINED = "the other layers' weights are ternary; ternarize trains only nn.Linear and convolutions, so write a projection as nn.Linear"


@dataclass(frozen=True, slots=True)
class Associative:
    """The associative engine: products with weights -1, 0 and 1."""

    name: str = "associative"

    def on(self, machine: Machine) -> MappedAssociative:
        """Return the engine on a machine's associative processors. Raises MachineError."""
        return MappedAssociative(machine, processors(machine))


@dataclass(frozen=True, slots=True)
class MappedAssociative:
    """The engine on the associative processors of one machine."""

    machine: Machine
    chip: Processors
    name: str = "associative"
    paced_parts: frozenset[str] = frozenset(("array",))
    passes: tuple[str, ...] = PASSES
    """Compiler passes of a layer."""

    def adapt(self, graph: Graph, holder: Holder) -> tuple[Graph, tuple[str, ...]]:
        """Return the unchanged network, and a note on the layers that run on digital units because their weights are not ternary."""
        layers = [node.name for node in graph.nodes if isinstance(node.op, Conv | ConvTranspose | Linear)]
        left = [name for name in layers if unfit(graph.node(name), graph)]
        if not left:
            return graph, ()
        first = next(unfit(graph.node(name), graph) for name in left)
        which = f"{left[0]}: {first}" if len(left) == 1 else f"first {left[0]}: {first}"
        count = "1 layer is" if len(left) == 1 else f"{len(left)} layers are"
        return graph, (f"{count} computed by digital units ({which}); {_UNTRAINED if len(left) == len(layers) else _TRAINED}",)

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None."""
        return unfit(node, graph)

    def fuses(self, stage: Stage, node: Node, graph: Graph) -> bool:
        """Return whether a node only limits requantised sums; requantisation includes that."""
        return isinstance(node.op, Relu | Clip)

    def place(self, stage: Stage, graph: Graph) -> InRows:
        """Return the placement of a layer. Raises CapacityError if the arrays are too small for any layer."""
        node, chip = graph.node(stage.nodes[0]), self.chip
        layer = TernaryLayer.of(node, graph)
        positions = node.type.count(1) // layer.all_outputs
        row_groups = -(-positions // chip.rows)
        try:
            whole = compiled_layer(layer, row_groups, chip)
        except CapacityError as short:
            raise CapacityError(f"{short.what} of {node.name}", short.need, short.have, short.remedy) from short
        return placed(whole, distinct_inputs(node, graph, chip.rows), positions, chip)

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the time of a wave: inputs arrive, every search, write and shift of the longest stream runs in sequence, sums leave."""
        rows, does = _placement(stage), self.machine.part("array").actions
        counts = {"compare": rows.searches, "write": rows.writes, "shift": rows.shifts}
        seconds = {name: count * does[name].latency_s.value for name, count in counts.items()}
        total = sum(seconds.values()) + _moving_s(rows, self.machine)
        return Timing(total, total, f"array.{max(seconds, key=lambda name: seconds[name])}")

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions of one inference, and its mean number of writes to the most-written cell over random bits."""
        rows = _placement(stage)
        return Cost(dict(actions(stage, graph, self.chip)), rows.worn * rows.waves)

    def review(self, program: Program) -> tuple[str, ...]:
        """Return notes on memories too small for all instructions, or for the data that a layer reads and writes."""
        stages = [stage for stage in program.stages if stage.engine == self.name and stage.arrays]
        activations = (stage.actions.get("buffer.read", 0) + stage.actions.get("buffer.write", 0) for stage in stages)
        wanted = {
            "instruction_memory": sum(_placement(stage).instructions for stage in stages) * INSTRUCTION_BYTES,
            "buffer": max(activations, default=0),
        }
        return tuple(_short(program, part, count) for part, count in wanted.items() if count > _capacity(program, part))

    def pieces(self, stage: Stage) -> int:
        """Return the number of streams of a layer."""
        rows = _placement(stage)
        return rows.tiles * rows.parts

    def listing(self, stage: Stage, program: Program, after: str, piece: int) -> Iterator[str]:
        """Yield the lines of a stream after a pass."""
        rows = _placement(stage)
        layer = TernaryLayer.of(program.graph.node(stage.nodes[0]), program.graph)
        yield from listing(compiled_layer(layer, rows.row_groups, self.chip), rows.positions, self.chip, after, piece)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return the executor of a layer: its stream, step by step, or the equal integer product."""
        stage, chip = program.stage_of[node.name], self.chip
        if node.name != stage.nodes[0]:
            return Limiter(node, program)
        counts = actions(stage, program.graph, chip)
        steps, why = takes_steps(_placement(stage), chip)
        if not steps:
            return ProductExecutor(node, program, counts, why)
        layer = TernaryLayer.of(node, program.graph)
        return StreamExecutor(node, program, counts, why, compiled_layer(layer, _placement(stage).row_groups, chip), chip, seed)


def _placement(stage: Stage) -> InRows:
    placement = stage.placement
    assert isinstance(placement, InRows)
    return placement


def actions(stage: Stage, graph: Graph, chip: Processors) -> Counts:
    """Return the action counts of a stage in one inference: in the arrays, for instructions, on links, and for sums after readout."""
    placement = _placement(stage)
    sums = placement.results // placement.parts
    read, crossing = -(-placement.read // 8), -(-placement.read * (_routers(placement, chip) - 1) // (8 * placement.parts))
    readings = -(-placement.row_groups // placement.arrays)
    fetched, stored = -(-placement.fetched // 8), -(-sums * graph.quantization[stage.name].bits // 8)
    return Counts(
        {
            "array.compare": placement.compared,
            "array.write": placement.written,
            "array.shift": placement.moved,
            "controller.issue": placement.instructions * placement.row_groups,
            "instruction_memory.read": placement.instructions * INSTRUCTION_BYTES * readings,
            "adder.add": placement.results - sums,
            "requantizer.apply": sums,
            "buffer.read": fetched,
            "bus.transfer": fetched + read + stored,
            "buffer.write": stored,
            "router.hop": stored * stage.hops + crossing,
        }
    )


def _capacity(program: Program, role: str) -> float:
    """Return the total capacity in bytes of a role's memories on all chips; unlimited if the machine does not specify it."""
    part = program.machine.optional(role)
    return part.parameters.get("capacity", math.inf) * part.total * program.chips if part is not None else math.inf


def _short(program: Program, role: str, count: int) -> str:
    what = "all instructions take" if role == "instruction_memory" else "a layer reads and writes up to"
    have, name = show(_capacity(program, role), "B"), program.machine.part(role).name
    return f"{what} {show(count, 'B')} but the memories hold {have}; the cost of fetching the rest is not counted; set {name}.capacity"


def _routers(placement: InRows, chip: Processors) -> int:
    """Return the number of routers over which partial sums are added. Sums pass from router to router and are accumulated at each."""
    at_each = max(1, chip.arrays // max(1, chip.routers))
    return -(-min(placement.parts, placement.arrays) // at_each)


def _moving_s(placement: InRows, machine: Machine) -> float:
    """Return the bus time of a wave in seconds: inputs arrive before the arrays start, and sums leave when they finish."""
    bus = machine.optional("bus")
    if bus is None or "transfer" not in bus.actions or not bus.total:
        return 0.0
    used = max(1.0, min(bus.total, -(-placement.arrays * bus.total // machine.part("array").total)))
    return (placement.fetched + placement.read) / 8 / placement.waves * bus.actions["transfer"].latency_s.value / used


ASSOCIATIVE = Associative()
