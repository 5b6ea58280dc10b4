"""The compiled program of a network: stages that define what runs where, how often, and after what.

The values, the timeline and the ledger read only this.
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
    """Return the interval between batches (s) of a network written phase by phase, given the write and compute times of each phase.

    It is Σ (write + compute). With `double_buffered`, the next phase is written while the current one is computed: Σ max(write of the next, compute).
    """
    if not double_buffered:
        return sum(write + compute for write, compute in phases)
    following = (*phases[1:], phases[0])
    return sum(max(write, compute) for (write, _), (_, compute) in zip(following, phases, strict=True))


@dataclass(frozen=True)
class Program:
    """A network compiled for a machine.

    `graph` is the network as adapted to the machine's engines, `chips` the number of chips in use, and `notes` are notes for the reader.
    `floor` is the floor plan of arrays that stages share, or None if each array belongs to one stage. `array_types` maps the name of weights to
    the array type that holds them, on a machine with several.
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
        """Return the machine as a stage sees it, with the arrays and the periphery of its array type."""
        return self.machine.view(stage.array_type) if stage.array_type else self.machine

    def array_type_of(self, node: Node) -> str:
        """Return the array type that holds a node's weights; empty if it has none."""
        return self.array_types.get(node.inputs[1], "") if len(node.inputs) > 1 else ""

    @property
    def network(self) -> Graph:
        """The quantised network as given, before adaptation to the machine's engines."""
        return self.source_graph or self.graph

    @property
    def arrays(self) -> int:
        """Number of arrays in use."""
        return self.floor.arrays if self.floor else sum(stage.own_arrays for stage in self.stages)

    @cached_property
    def cells(self) -> dict[str, float]:
        """Number of cells in use by each stage with arrays; stages that share weights use the same cells."""
        if self.floor is None:
            return {stage.name: stage.arrays * _size(self.machine_of(stage)) * stage.placement.utilization for stage in self.stages if stage.arrays}
        held: dict[str, float] = {}
        for layout in self.floor.layouts:
            for laid in layout.blocks:
                held[laid.stage] = held.get(laid.stage, 0.0) + layout.count * laid.block.cells
        return {stage.name: held[stage.holder] for stage in self.stages if stage.arrays}

    @property
    def available_cells(self) -> float:
        """Number of cells of the arrays in use."""
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
        """Stages that are on the chips together, in order; one segment unless the network is written segment by segment."""
        found: dict[int, list[Stage]] = {}
        for stage in self.stages:
            found.setdefault(stage.residency.segment, []).append(stage)
        return found

    def __str__(self) -> str:
        from crossloom.program.text import print_program

        return print_program(self)


def _size(machine: Machine) -> float:
    """Return the number of cells of an array; 0 for a machine without arrays."""
    side = machine.optional("array")
    return side.parameters["rows"] * side.parameters["columns"] if side is not None else 0.0
