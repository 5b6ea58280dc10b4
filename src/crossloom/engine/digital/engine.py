"""The digital engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from crossloom.engine.base import Counts, Engine, Executor, Inferences, Pace
from crossloom.engine.digital.work import Work, work_of
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.network.integer import evaluate
from crossloom.program.program import Program, Stage

DEFAULTS = {
    "function": "sigmoid.apply",
    "add": "tile_shift_add.add",
    "compare": "max_pool.compare",
    "operate": "vector.operate",
    "multiply_add": "vector.multiply_add",
}
"""Which action of which part does each kind of work, unless the machine says otherwise under `engines: digital:`."""


def performer(kind: str, machine: Machine) -> str | None:
    """Return the `part.action` that does a kind of work: the machine's choice, else the vector unit, else None."""
    settings = machine.engines.get("digital", {})
    if unknown := [key for key in settings if key not in DEFAULTS]:
        raise MachineError(f"machine {machine.name}: engines.digital.{unknown[0]}: no such kind of work; there are {', '.join(DEFAULTS)}")
    for name in (settings.get(kind, DEFAULTS[kind]), DEFAULTS["operate"]):
        part, _, action = str(name).partition(".")
        found = machine.optional(part)
        if found is not None and action in found.actions:
            return f"{part}.{action}"
        if kind in settings and name == settings[kind]:
            raise MachineError(f"machine {machine.name}: engines.digital.{kind}: there is no action {name}; name a part and one of its actions")
    return None


@dataclass(frozen=True, slots=True)
class Digital(Engine):
    """Takes every node that has integer semantics."""

    name: str = "digital"

    def refuses(self, node: Node, graph: Graph, machine: Machine) -> str | None:
        """Return why the engine cannot run a node, or None."""
        work = _work(node, graph)
        if work.kind != "move" and performer(work.kind, machine) is None:
            return f"no part of {machine.name} does this kind of work ({work.kind})"
        return None

    def price(self, stage: Stage, graph: Graph, machine: Machine) -> Mapping[str, int]:
        """Return the actions of one inference."""
        counts: Counts = Counts()
        for name in stage.nodes:
            counts.update(actions(graph.node(name), graph, machine))
        return dict(counts)

    def pace(self, stage: Stage, graph: Graph, machine: Machine) -> Pace:
        """Return the time between positions when the stage's units share the work evenly, and the latency of one."""
        seconds, latency, performing = 0.0, 0.0, ""
        for name in stage.nodes:
            work = _work(graph.node(name), graph)
            if work.kind == "move" or not work.count:
                continue
            performing = performer(work.kind, machine) or ""
            part_name, _, action = performing.partition(".")
            part = machine.part(part_name)
            each = part.actions[action].latency_s.value
            in_tile = ".tile." in part.path
            units = part.count * max(1, stage.tiles[1]) if in_tile else part.total
            seconds += work.count * each / (max(units, 1) * part.parameters.get("lanes", 1))
            latency += each
        interval = seconds / stage.positions
        return Pace(interval, interval + latency, performing)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a node by its integer definition."""
        return DigitalExecutor(node, program)


def _work(node: Node, graph: Graph) -> Work:
    return work_of(node, [graph.types[name].sizes() for name in node.inputs], node.type.sizes())


def actions(
    node: Node, graph: Graph, machine: Machine, shapes: Sequence[tuple[int, ...]] | None = None, result: tuple[int, ...] | None = None
) -> Counts:
    """Return the actions of one node: for one inference, or for tensors of the given shapes."""
    work = _work(node, graph) if shapes is None or result is None else work_of(node, shapes, result)
    counts: Counts = Counts()
    if work.kind != "move" and work.count and (performing := performer(work.kind, machine)):
        counts[performing] += work.count
    return counts


@dataclass(frozen=True, slots=True)
class DigitalExecutor:
    """Computes one node by the integer reference and counts by the tensors that it meets."""

    node: Node
    program: Program
    plan: str = "digital"
    why: str = "the integer definition itself"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the node's integers."""
        result = evaluate(self.program.graph, self.node, tensors, inferences.count)
        shapes = [tuple(t.shape) for t in tensors]
        counts.update(actions(self.node, self.program.graph, self.program.machine, shapes, tuple(result.shape)))
        return result


DIGITAL = Digital()
