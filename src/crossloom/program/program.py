"""What a network becomes on a machine: stages that say what runs where, how often, and after what.

The values, the timeline and the ledger all read this and nothing else. A stage works through its output *positions* (pixels,
tokens) in order; `copies` of it work side by side, so a *step* computes that many positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.program.dependencies import Rule
from crossloom.program.floorplan import FloorPlan, Turns
from crossloom.program.placement import NO_ARRAYS, Placement


@dataclass(frozen=True, slots=True)
class Wait:
    """A stage needs results of an earlier one; `rule` says which positions each of its own positions needs."""

    stage: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Timing:
    """Time between the starts of two steps (s), time from the start of a step to its result (s), and the `part.action` that sets the interval.

    `in_arrays_s` of the latency are spent in arrays: as long as the interval, unless a step goes on while the next one has begun.
    """

    interval_s: float
    latency_s: float
    limited_by: str = ""
    in_arrays_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Nodes that run together on one engine.

    Attributes:
        name: that of the last node, whose tensor the stage produces.
        nodes: the graph's nodes in order.
        engine: name of the engine.
        own: of the nodes, so many are computed by the engine itself; those after them are functions of digital units.
        placement: the engine's own description of what lies where.
        positions: output positions of one inference.
        copies: positions computed side by side.
        interval_s: time between the starts of two steps.
        latency_s: time from the start of a step to its result.
        limited_by: the `part.action` that sets the interval.
        actions: number of each `part.action` for one inference.
        arrays: arrays that it works in, all copies together.
        shares: name of the stage whose arrays these are, because the weights are the same or nothing stays in them; empty if they are its own.
        tiles: first tile and number of tiles.
        before: arrays of other stages in its first tile.
        per_tile: arrays in use in each tile; 0 for a stage without arrays of its own.
        hops: routers that a result passes on its way to the next stage.
        waits: what must be ready before a position can be computed.
        segment: stages of one segment are on the chips together; segments follow each other.
        load_s: time to write the stage's cells (of one part) when its segment begins; 0 if they stay.
        inferences_per_load: inferences that share one writing.
        parts: it is larger than the chips, and is written and computed in so many parts, each with some of its results.
        ahead: its cells are written while the segment before is computed, in a layer of the arrays that is free.
        rewrites: how often one inference writes each of its cells.
        sets: of cells for what it holds, which inferences take in turn.
        turns: when it may use its arrays, where it shares them with others by a floor plan; None where they are its own.
        per_step: such turns that a step takes.
        passed_on: its arrays go from stage to stage, and nothing in them stays.
        stays: its results go straight into the arrays that need them, past the buffer.
        fed: what it reads comes straight from other arrays, likewise.
        in_tile: where a floor plan says so, the share of its work that each of its tiles does.
        kit: of arrays and periphery that it works in, on a machine that has several; empty on others, and for a stage without arrays.
        alone: it begins when all stages before it are through, of this inference and of the one before.
    """

    name: str
    nodes: tuple[str, ...]
    engine: str
    own: int = 1
    placement: Placement = NO_ARRAYS
    positions: int = 1
    copies: int = 1
    interval_s: float = 0.0
    latency_s: float = 0.0
    limited_by: str = ""
    actions: Mapping[str, int] = field(default_factory=dict)
    arrays: int = 0
    shares: str = ""
    tiles: tuple[int, int] = (0, 0)
    before: int = 0
    per_tile: float = 0.0
    hops: int = 1
    waits: tuple[Wait, ...] = ()
    segment: int = 0
    load_s: float = 0.0
    inferences_per_load: int = 1
    parts: int = 1
    ahead: bool = False
    rewrites: float = 0.0
    sets: int = 1
    turns: Turns | None = None
    per_step: int = 1
    passed_on: bool = False
    stays: bool = False
    fed: bool = False
    in_tile: tuple[float, ...] = ()
    kit: str = ""
    alone: bool = False

    @property
    def steps(self) -> int:
        """Steps of one inference, all parts together."""
        return -(-self.positions // self.copies) * self.parts

    @property
    def in_tiles(self) -> tuple[float, ...]:
        """The share of the stage's work that each of its tiles does: as many of its arrays as lie there."""
        if self.in_tile:
            return self.in_tile
        count = max(1, self.tiles[1])
        if not self.arrays or not self.per_tile:
            return (1 / count,) * count
        end = self.before + self.arrays
        edges = [min(max(tile * self.per_tile, self.before), end) for tile in range(count + 1)]
        edges[-1] = end
        return tuple((right - left) / self.arrays for left, right in pairwise(edges))

    @property
    def holder(self) -> str:
        """Name of the stage that holds the arrays: its own, or the one that it shares them with."""
        return self.shares or self.name

    @property
    def own_arrays(self) -> int:
        """Arrays that no other stage has been counted for."""
        return 0 if self.shares else self.arrays

    @property
    def busy_s(self) -> float:
        """Time for which one inference occupies the stage."""
        return self.steps * self.interval_s

    @property
    def worked_s(self) -> float:
        """Time for which one inference keeps each copy at work on average; the last step may leave some idle."""
        return self.positions / self.copies * self.interval_s * self.parts

    @property
    def active_s(self) -> float:
        """Time for which cells of the stage are read or written for one inference, on average over its copies; turns of others are not counted."""
        if self.turns is None:
            return self.worked_s
        return self.positions / self.copies * self.per_step * self.turns.length_s

    @property
    def pause_s(self) -> float:
        """Time that writing the next part adds between two parts: all of it, or what the computing of a part does not hide."""
        return max(0.0, self.load_s - self.busy_s / self.parts) if self.ahead else self.load_s


def streamed_s(phases: Sequence[tuple[float, float]], ahead: bool) -> float:
    """Return the time from one batch to the next for a network written part by part, of the times to write and to compute each part.

    Σ (write + compute); with `ahead` the next part is written while one is computed, Σ max(write of the next, compute).
    """
    if not ahead:
        return sum(write + compute for write, compute in phases)
    following = (*phases[1:], phases[0])
    return sum(max(write, compute) for (write, _), (_, compute) in zip(following, phases, strict=True))


@dataclass(frozen=True)
class Program:
    """A network compiled for a machine.

    `graph` is the network as the machine's engines have it; `chips` is how many the placement uses; `notes` say what a reader should know;
    `floor` is what lies where in arrays that stages share, None where each array is one stage's; `kits` says which kit of a machine with
    several holds which weights, by their name.
    """

    graph: Graph
    machine: Machine
    stages: tuple[Stage, ...]
    chips: int = 1
    notes: tuple[str, ...] = ()
    given: Graph | None = field(default=None, compare=False)
    floor: FloorPlan | None = None
    kits: Mapping[str, str] = field(default_factory=dict)

    def machine_of(self, stage: Stage) -> Machine:
        """Return the machine as a stage sees it: with the arrays and the periphery of its kit."""
        return self.machine.view(stage.kit) if stage.kit else self.machine

    def kit_of(self, node: Node) -> str:
        """Return the kit that holds a node's weights; empty if it has none."""
        return self.kits.get(node.inputs[1], "") if len(node.inputs) > 1 else ""

    @property
    def network(self) -> Graph:
        """The quantised network as it was given, before the machine's engines adapted it."""
        return self.given or self.graph

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
        if self.kits:
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
            found.setdefault(stage.segment, []).append(stage)
        return found

    def __str__(self) -> str:
        from crossloom.program.text import print_program

        return print_program(self)


def _size(machine: Machine) -> float:
    """Return the cells of an array; 0 for a machine without."""
    side = machine.optional("array")
    return side.parameters["rows"] * side.parameters["columns"] if side is not None else 0.0
