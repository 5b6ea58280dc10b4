"""The softmax engine: softmax in units of its own, with the arithmetic that these have.

Scores are requantised straight to the format of the unit where nothing else reads them, weights are handed on in its own: so a format is what
the products around see, without a second rounding. With `precision: ideal` numbers stay what they are in the integer reference, and the unit only
takes its time and its energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from crossloom.engine.base import Cost, Counts, Executor, Holder, Inferences
from crossloom.engine.softmax.formatted import in_formats
from crossloom.engine.softmax.settings import ROLE, SoftmaxUnit, softmax_unit
from crossloom.engine.softmax.unit import Unit
from crossloom.errors import MachineError
from crossloom.machines import ActionKey, Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import Operand, evaluate
from crossloom.network.integer.arithmetic import rescaled
from crossloom.network.operators import Softmax
from crossloom.program.placement import NO_ARRAYS, WholeArrays
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing


@dataclass(frozen=True, slots=True)
class SoftmaxEngine:
    """Takes softmax on machines that have a unit for it."""

    name: str = "softmax"

    def on(self, machine: Machine) -> MappedSoftmax:
        """Return the engine on a machine's softmax unit, if it has one. Raises MachineError."""
        return MappedSoftmax(machine, softmax_unit(machine))


@dataclass(frozen=True, slots=True)
class MappedSoftmax:
    """The engine on the softmax unit of one machine; one that takes no node where there is none."""

    machine: Machine
    unit: SoftmaxUnit | None
    name: str = "softmax"

    @property
    def paced_parts(self) -> frozenset[str]:
        """The unit's parts."""
        return frozenset(part.name for part in self.machine.parts.values() if part.unit.rpartition(".")[2] == ROLE)

    def adapt(self, graph: Graph, holder: Holder) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with scores and weights in the formats of the unit, where nothing else reads them."""
        if self.unit is None or not self.unit.formatted:
            return graph, ()
        unit = self.unit.arithmetic
        taken = [node for node in graph.nodes if self.unsupported(node, graph) is None]
        notes: tuple[str, ...] = ()
        longest = max((node.type.sizes()[node.op.axis] for node in graph.nodes if isinstance(node.op, Softmax) and not node.op.log), default=0)
        if longest > 1 / unit.output.scale[0]:
            least = f"{unit.output.scale[0]:.2g}"
            notes = (
                f"softmax over {longest} scores in weights of steps of {least}: an even share is less than one step and is lost; more softmax.quotient_bits keep it",
            )
        return in_formats(graph, taken, unit), notes

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None."""
        if not isinstance(node.op, Softmax) or node.op.log:
            return "not a softmax"
        if self.unit is None:
            return f"{self.machine.name} has no unit for softmax"
        if any(name not in graph.quantization for name in (node.inputs[0], node.name)):
            return "its scores are not integers"
        return None

    def place(self, stage: Stage, graph: Graph) -> WholeArrays:
        """Return that a softmax lies in no array."""
        return NO_ARRAYS

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the time of a position (the rows of all heads), when the stage's units share its rows, and until its last result."""
        node, (unit, clock) = graph.node(stage.nodes[0]), self._arithmetic
        assert isinstance(node.op, Softmax)
        cycle_s, units = self.machine.action(clock).latency_s.value, self._units(stage)
        length = node.type.sizes()[node.op.axis]
        rows = node.type.count(1) // (length * stage.positions)
        cycles, until = unit.cycles(length)
        busy, slowest = self._busiest(length)
        between = max(cycles * cycle_s, busy)
        latency = until * cycle_s + between - cycles * cycle_s
        waiting = -(-rows // units) - 1
        return Timing(rows * between / units, waiting * between + latency, slowest if busy > cycles * cycle_s else clock)

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions of one inference."""
        node = graph.node(stage.nodes[0])
        return Cost(dict(_actions(self._arithmetic[0], node, graph, node.type.sizes())))

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a softmax in the unit's arithmetic."""
        assert self.unit is not None
        return SoftmaxExecutor(node, program, self.unit.arithmetic, self.unit.formatted)

    @property
    def _arithmetic(self) -> tuple[Unit, str]:
        assert self.unit is not None
        return self.unit.arithmetic, self.unit.clock

    def _busiest(self, length: int) -> tuple[float, str]:
        """Return for how long a row occupies the busiest part of a unit, and what that does."""
        assert self.unit is not None
        count = self.machine.units[self.unit.path]
        seconds: dict[str, float] = {}
        for name, times in self.unit.arithmetic.actions(length, 1, length).items():
            part = self.machine.part(ActionKey.of(name).part)
            seconds[name] = times * self.machine.action(name).latency_s.value * count / part.total
        slowest = max(seconds, key=lambda name: seconds[name])
        return seconds[slowest], slowest

    def _units(self, stage: Stage) -> int:
        """Return how many units a stage has: those of its tiles, or of the chip. Raises MachineError for less than one."""
        assert self.unit is not None
        path, machine = self.unit.path, self.machine
        part = next(part for part in machine.parts.values() if part.unit == path)
        chip = machine.units[path]
        units = int(chip / machine.tiles * max(1, stage.tiles[1])) if part.in_tile else int(chip)
        if units < 1:
            raise MachineError(f"machine {machine.name}: {path}.count leaves a stage without a unit; give each tile at least one")
        return units


def _actions(unit: Unit, node: Node, graph: Graph, sizes: Sequence[int]) -> Counts:
    """Return the actions for scores of these sizes. A constant mask leaves out what it hides; one that comes with the data leaves out nothing."""
    assert isinstance(node.op, Softmax)
    length = sizes[node.op.axis]
    elements, rows = prod(sizes), prod(sizes) // length
    mask = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if mask is not None:
        seen = mask.reshape(*(1,) * (len(sizes) - mask.dim()), *mask.shape).movedim(node.op.axis, -1)
        seen = seen.expand(*seen.shape[:-1], length)
        repeated = elements // seen.numel()
        elements, rows = repeated * int(seen.sum()), repeated * int(seen.any(-1).sum())
    return Counts(unit.actions(elements, rows, length))


@dataclass(frozen=True, slots=True)
class SoftmaxExecutor:
    """Computes one softmax, integer for integer as the unit does."""

    node: Node
    program: Program
    unit: Unit
    formatted: bool

    @property
    def plan(self) -> str:
        """The unit's arithmetic, or that of the integer reference."""
        return self.unit.name if self.formatted else "digital"

    @property
    def why(self) -> str:
        """What stands behind it."""
        return f"the arithmetic of the unit ({self.unit.name})" if self.formatted else "numbers are left as they are (precision=ideal)"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the weights."""
        graph, node = self.program.graph, self.node
        assert isinstance(node.op, Softmax)
        counts.update(_actions(self.unit, node, graph, tuple(tensors[0].shape)))
        if not self.formatted:
            return evaluate(graph, node, tensors, inferences.count)
        codes = rescaled(Operand(tensors[0], graph.quantization[node.inputs[0]]), self.unit.input).movedim(node.op.axis, -1)
        seen = tensors[1].expand(tensors[0].shape).movedim(node.op.axis, -1) if len(tensors) > 1 else None
        weights = self.unit(codes, seen).movedim(-1, node.op.axis)
        return rescaled(Operand(weights, self.unit.output), graph.quantization[node.name])


SOFTMAX = SoftmaxEngine()
