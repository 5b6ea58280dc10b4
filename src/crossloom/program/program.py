"""A compiled network: stages that say what runs where, how often, and after what.

The values, the timeline and the ledger all read this and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.program.floorplan import FloorPlan
from crossloom.program.stage import Stage


def streamed_s(phases: Sequence[tuple[float, float]], double_buffered: bool) -> float:
    """Return the time from one batch to the next for a network written part by part, of the times to write and to compute each part.

    Σ (write + compute); with `double_buffered` the next part is written while one is computed, Σ max(write of the next, compute).
    """
    if not double_buffered:
        return sum(write + compute for write, compute in phases)
    following = (*phases[1:], phases[0])
    return sum(max(write, compute) for (write, _), (_, compute) in zip(following, phases, strict=True))


@dataclass(frozen=True)
class Program:
    """A network compiled for a machine.

    `graph` is the network as the machine's engines have it; `chips` is the number of chips in use; `notes` are notes for the reader;
    `floor` is what lies where in arrays that stages share, None where each array is one stage's; `array types` says which array type of a machine with
    several holds which weights, by their name.
    """

    graph: Graph
    machine: Machine
    stages: tuple[Stage, ...]
    chips: int = 1
    notes: tuple[str, ...] = ()
    source_graph: Graph | None = field(default=None, compare=False)
    floor: FloorPlan | None = None
    array_types: Mapping[str, str] = field(default_factory=dict)

    def machine_of(self, stage: Stage) -> Machine:
        """Return the machine as a stage sees it: with the arrays and the periphery of its array type."""
        return self.machine.view(stage.array_type) if stage.array_type else self.machine

    def array_type_of(self, node: Node) -> str:
        """Return the array type that holds a node's weights; empty if it has none."""
        return self.array_types.get(node.inputs[1], "") if len(node.inputs) > 1 else ""

    @property
    def network(self) -> Graph:
        """The quantised network as it was given, before the machine's engines adapted it."""
        return self.source_graph or self.graph

    @property
    def arrays(self) -> int:
        """Arrays in use."""
        return self.floor.arrays if self.floor else sum(stage.own_arrays for stage in self.stages)

    @cached_property
    def cells(self) -> dict[str, float]:
        """How many cells of the arrays hold something of each stage that works in arrays; stages that share weights have the same ones."""
        if self.floor is None:
            return {stage.name: stage.arrays * _size(self.machine_of(stage)) * stage.placement.utilization for stage in self.stages if stage.arrays}
        held: dict[str, float] = {}
        for layout in self.floor.layouts:
            for laid in layout.blocks:
                held[laid.stage] = held.get(laid.stage, 0.0) + layout.count * laid.block.cells
        return {stage.name: held[stage.holder] for stage in self.stages if stage.arrays}

    @property
    def available_cells(self) -> float:
        """Cells of the arrays in use."""
        if self.array_types:
            return sum(stage.own_arrays * _size(self.machine_of(stage)) for stage in self.stages)
        return self.arrays * _size(self.machine)

    @cached_property
    def by_name(self) -> dict[str, Stage]:
        """Stages by name."""
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def stage_of(self) -> dict[str, Stage]:
        """The stage that computes each node."""
        return {node: stage for stage in self.stages for node in stage.nodes}

    @cached_property
    def segments(self) -> dict[int, list[Stage]]:
        """Stages that are on the chips together, in order; one segment unless the network is written part by part."""
        found: dict[int, list[Stage]] = {}
        for stage in self.stages:
            found.setdefault(stage.residency.segment, []).append(stage)
        return found

    def __str__(self) -> str:
        from crossloom.program.text import print_program

        return print_program(self)


def _size(machine: Machine) -> float:
    """Return the cells of an array; 0 for a machine without."""
    side = machine.optional("array")
    return side.parameters["rows"] * side.parameters["columns"] if side is not None else 0.0
