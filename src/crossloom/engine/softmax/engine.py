"""The softmax engine: softmax in units of its own, with the arithmetic that these have.

Scores are requantised straight to the format of the unit where nothing else reads them, weights are handed on in its own: so a format is what
the products around see, without a second rounding. With `precision: ideal` numbers stay what they are in the integer reference, and the unit only
takes its time and its energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from crossloom.engine.base import Counts, Engine, Executor, Inferences, Kits, Pace
from crossloom.engine.parts import in_tile
from crossloom.engine.softmax.formatted import in_formats
from crossloom.engine.softmax.settings import ROLE, softmax_unit, unit_path
from crossloom.engine.softmax.unit import Unit
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import Operand, evaluate
from crossloom.network.integer.arithmetic import rescaled
from crossloom.network.operators import Softmax
from crossloom.program.program import Program, Stage


@dataclass(frozen=True, slots=True)
class SoftmaxEngine(Engine):
    """Takes softmax on machines that have a unit for it."""

    name: str = "softmax"

    def adapt(self, graph: Graph, machine: Machine, kits: Kits) -> tuple[Graph, tuple[str, ...]]:
        """Return the network with scores and weights in the formats of the unit, where nothing else reads them."""
        found = softmax_unit(machine)
        if found is None or not found[2]:
            return graph, ()
        unit = found[0]
        taken = [node for node in graph.nodes if self.refuses(node, graph, machine) is None]
        notes: tuple[str, ...] = ()
        longest = max((node.type.sizes()[node.op.axis] for node in graph.nodes if isinstance(node.op, Softmax) and not node.op.log), default=0)
        if longest > 1 / unit.output.scale[0]:
            least = f"{unit.output.scale[0]:.2g}"
            notes = (
                f"softmax over {longest} scores in weights of steps of {least}: an even share is less than one step and is lost; more softmax.quotient_bits keep it",
            )
        return in_formats(graph, taken, unit), notes

    def refuses(self, node: Node, graph: Graph, machine: Machine) -> str | None:
        """Return why the engine cannot run a node, or None."""
        if not isinstance(node.op, Softmax) or node.op.log:
            return "no softmax"
        if softmax_unit(machine) is None:
            return f"{machine.name} has no unit for softmax"
        if any(name not in graph.quantization for name in (node.inputs[0], node.name)):
            return "its scores are no integers"
        return None

    def price(self, stage: Stage, graph: Graph, machine: Machine) -> Mapping[str, int]:
        """Return the actions of one inference."""
        node = graph.node(stage.nodes[0])
        return dict(_actions(_unit(machine), node, graph, node.type.sizes()))

    def pace(self, stage: Stage, graph: Graph, machine: Machine) -> Pace:
        """Return the time of a position (the rows of all heads), when the stage's units share its rows, and until its last result."""
        node = graph.node(stage.nodes[0])
        assert isinstance(node.op, Softmax)
        unit, clock, _ = softmax_unit(machine) or (None, "", False)
        assert unit is not None
        role, _, action = clock.partition(".")
        cycle_s, units = machine.part(role).actions[action].latency_s.value, _units(stage, machine)
        length = node.type.sizes()[node.op.axis]
        rows = node.type.count(1) // (length * stage.positions)
        cycles, until = unit.cycles(length)
        busy, slowest = _busiest(unit, length, machine)
        between = max(cycles * cycle_s, busy)
        latency = until * cycle_s + between - cycles * cycle_s
        waiting = -(-rows // units) - 1
        return Pace(rows * between / units, waiting * between + latency, slowest if busy > cycles * cycle_s else clock)

    def paced_parts(self, machine: Machine) -> frozenset[str]:
        """Return the unit's parts."""
        return frozenset(part.name for part in machine.parts.values() if part.unit.rpartition(".")[2] == ROLE)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a softmax in the unit's arithmetic."""
        unit, _, formatted = softmax_unit(program.machine) or (None, "", False)
        assert unit is not None
        return SoftmaxExecutor(node, program, unit, formatted)


def _busiest(unit: Unit, length: int, machine: Machine) -> tuple[float, str]:
    """Return for how long a row occupies the busiest part of a unit, and what that does."""
    count = machine.units[unit_path(machine) or ""]
    seconds: dict[str, float] = {}
    for name, times in unit.actions(length, 1, length).items():
        role, _, action = name.partition(".")
        part = machine.part(role)
        seconds[name] = times * part.actions[action].latency_s.value * count / part.total
    slowest = max(seconds, key=lambda name: seconds[name])
    return seconds[slowest], slowest


def _unit(machine: Machine) -> Unit:
    found = softmax_unit(machine)
    assert found is not None
    return found[0]


def _units(stage: Stage, machine: Machine) -> int:
    """Return how many units a stage has: those of its tiles, or of the chip. Raises MachineError for less than one."""
    path = unit_path(machine) or ""
    part = next(part for part in machine.parts.values() if part.unit == path)
    chip = machine.units[path]
    tiles = next((count for other, count in machine.units.items() if other.endswith(".tile")), 1.0)
    units = int(chip / tiles * max(1, stage.tiles[1])) if in_tile(part) else int(chip)
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
