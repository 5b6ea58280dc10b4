"""Assignment of nodes to engines, and grouping of nodes that run together into stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crossloom.engine.base import Fuses, MappedEngine
from crossloom.engine.registry import DIGITAL, engine_of, engines_of
from crossloom.errors import ModelError
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Unary
from crossloom.program.program import Program
from crossloom.program.stage import Stage


@dataclass(frozen=True, slots=True)
class Assign:
    """Assign each node to the first engine of the machine that supports it.

    A node that is the only reader of a stage's result joins the stage if the stage's engine fuses it, or if it is a function that digital
    units compute as results arrive.
    """

    def __call__(self, program: Program) -> Program:
        graph, machine = program.graph, program.machine
        stages: list[Stage] = []
        home: dict[str, int] = {}
        for node in graph.nodes:
            array_type = program.array_type_of(node)
            engine, why = taker(node, graph, engines_of(machine.view(array_type) if array_type else machine.views[0]))
            if engine is None:
                raise ModelError(f"{node.name} ({type(node.op).__name__}) runs on no engine of {machine.name} ({why}); choose another machine")
            place = self._read_alone(node, graph, home)
            if place is not None and (joined := _joined(stages[place], node, engine, program)) is not None:
                stages[place] = joined
            else:
                place = len(stages)
                stages.append(Stage(name=node.name, nodes=(node.name,), engine=engine, array_type=array_type))
            home[node.name] = place
        return replace(program, stages=tuple(stages))

    @staticmethod
    def _read_alone(node: Node, graph: Graph, home: dict[str, int]) -> int | None:
        """Return the index of the stage whose result only this node reads, or None."""
        source = node.inputs[0] if node.inputs else ""
        return home[source] if source in home and len(graph.users[source]) == 1 and source not in graph.outputs else None


def _joined(stage: Stage, node: Node, engine: str, program: Program) -> Stage | None:
    """Return a stage extended by the node after it, or None if the node needs a stage of its own."""
    grown = replace(stage, name=node.name, nodes=(*stage.nodes, node.name))
    if engine == stage.engine and stage.in_array_nodes == len(stage.nodes):
        mapped = engine_of(stage, program)
        if isinstance(mapped, Fuses) and mapped.fuses(stage, node, program.graph):
            return replace(grown, in_array_nodes=len(grown.nodes))
    return grown if isinstance(node.op, Unary) and engine == DIGITAL != stage.engine else None


def taker(node: Node, graph: Graph, engines: Sequence[MappedEngine]) -> tuple[str | None, str]:
    """Return the name of the first engine that supports a node, or None and the reason of each engine."""
    reasons = []
    for engine in engines:
        reason = engine.unsupported(node, graph)
        if reason is None:
            return engine.name, ""
        reasons.append(f"{engine.name}: {reason}")
    return None, "; ".join(reasons)
