"""The digital engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from crossloom.engine.base import Cost, Counts, Executor, Inferences
from crossloom.engine.digital.work import Work, work_of
from crossloom.errors import MachineError
from crossloom.machines import ActionKey, Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import evaluate
from crossloom.program.placement import NO_ARRAYS, WholeArrays
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing

DEFAULTS = {
    "function": "sigmoid.apply",
    "add": "tile_shift_add.add",
    "compare": "max_pool.compare",
    "operate": "vector.operate",
    "multiply_add": "vector.multiply_add",
}
"""Which action of which part does each kind of work, unless the machine says otherwise under `engines: digital:`."""


@dataclass(frozen=True, slots=True)
class Digital:
    """Takes every node that has integer semantics."""

    name: str = "digital"

    def on(self, machine: Machine) -> MappedDigital:
        """Return the engine on a machine's digital units. Raises MachineError for a kind of work, or an action, that does not exist."""
        settings = machine.engines.get(self.name, {})
        for kind, name in settings.items():
            if kind not in DEFAULTS:
                raise MachineError(f"machine {machine.name}: engines.digital.{kind}: no such kind of work; there are {', '.join(DEFAULTS)}")
            part, action = ActionKey.of(str(name))
            if part not in machine.by_role or action not in machine.by_role[part].actions:
                raise _no_action(kind, name, machine)
        return MappedDigital(machine, settings)


@dataclass(frozen=True, slots=True)
class MappedDigital:
    """The engine on the digital units of one machine. `settings` say which action of which part does a kind of work."""

    machine: Machine
    settings: Mapping[str, Any]
    name: str = "digital"

    @property
    def paced_parts(self) -> frozenset[str]:
        """None: the compiler checks all parts."""
        return frozenset()

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None."""
        work = _work(node, graph)
        if work.kind != "move" and self.performer(work.kind) is None:
            return f"no part of {self.machine.name} does this kind of work ({work.kind})"
        return None

    def place(self, stage: Stage, graph: Graph) -> WholeArrays:
        """Return that a digital function lies in no array."""
        return NO_ARRAYS

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return the time between positions when the stage's units share the work evenly, and the latency of one."""
        seconds, latency, performing = 0.0, 0.0, ""
        for name in stage.nodes:
            work = _work(graph.node(name), graph)
            if work.kind == "move" or not work.count:
                continue
            performing = self.performer(work.kind) or ""
            part = self.machine.part(ActionKey.of(performing).part)
            each = self.machine.action(performing).latency_s.value
            units = part.count * max(1, stage.tiles[1]) if part.in_tile else part.total
            seconds += work.count * each / (max(units, 1) * part.parameters.get("lanes", 1))
            latency += each
        interval = seconds / stage.positions
        return Timing(interval, interval + latency, performing)

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return the actions of one inference."""
        counts: Counts = Counts()
        for name in stage.nodes:
            counts.update(self.actions(_work(graph.node(name), graph)))
        return Cost(dict(counts))

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a node by its integer definition."""
        return DigitalExecutor(node, program, self)

    def performer(self, kind: str) -> str | None:
        """Return the `part.action` that does a kind of work: the machine's choice, else the vector unit, else None. Raises MachineError."""
        for name in (self.settings.get(kind, DEFAULTS[kind]), DEFAULTS["operate"]):
            part, action = ActionKey.of(str(name))
            found = self.machine.optional(part)
            if found is not None and action in found.actions:
                return f"{part}.{action}"
            if kind in self.settings and name == self.settings[kind]:
                raise _no_action(kind, name, self.machine)
        return None

    def actions(self, work: Work) -> Counts:
        """Return the actions of some work."""
        performing = self.performer(work.kind) if work.kind != "move" and work.count else None
        return Counts({performing: work.count} if performing else {})


def _no_action(kind: str, name: Any, machine: Machine) -> MachineError:
    return MachineError(f"machine {machine.name}: engines.digital.{kind}: there is no action {name}; name a part and one of its actions")


def _work(node: Node, graph: Graph) -> Work:
    return work_of(node, [graph.types[name].sizes() for name in node.inputs], node.type.sizes())


@dataclass(frozen=True, slots=True)
class DigitalExecutor:
    """Computes one node by the integer reference and counts by the tensors that it meets."""

    node: Node
    program: Program
    engine: MappedDigital
    plan: str = "digital"
    why: str = "the integer definition itself"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the node's integers."""
        result = evaluate(self.program.graph, self.node, tensors, inferences.count)
        shapes = [tuple(t.shape) for t in tensors]
        counts.update(self.engine.actions(work_of(self.node, shapes, tuple(result.shape))))
        return result


DIGITAL = Digital()
