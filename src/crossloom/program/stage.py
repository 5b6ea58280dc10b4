"""A stage: nodes that run together on one engine, and the decisions of the compiler's passes about them.

A stage works through its output *positions* (pixels, tokens) in order. Its `copies` work in parallel, so a *step* computes that many
positions. Related fields form groups: `Timing` is how fast it steps, `ArrayMapping` which arrays it has, `Residency` what is
written into them and when, and `Slots` when it may use arrays that it shares by a floor plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from crossloom.program.dependencies import Rule
from crossloom.program.placement import NO_ARRAYS, Placement


@dataclass(frozen=True, slots=True)
class Dependency:
    """Dependency on results of an earlier stage; `rule` gives the positions of that stage that each position needs."""

    stage: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing of a stage's steps.

    Attributes:
        interval_s: time between the starts of two steps.
        latency_s: time from the start of a step to its result.
        limited_by: the `part.action` that sets the interval.
        in_arrays_s: part of the latency that is spent in arrays; None if it equals the interval.
    """

    interval_s: float = 0.0
    latency_s: float = 0.0
    limited_by: str = ""
    in_arrays_s: float | None = None


@dataclass(frozen=True, slots=True)
class ArrayMapping:
    """The arrays that a stage works in, and where they lie.

    Attributes:
        copies: positions computed in parallel.
        arrays: number of arrays of all copies together.
        shares: name of the stage that owns the arrays, if the contents are equal or nothing stays in them; empty if they are the stage's own.
        tiles: first tile and number of tiles.
        tile_offset: arrays of other stages in the first tile.
        arrays_per_tile: arrays in use in each tile; 0 for a stage without arrays of its own.
        tile_shares: share of the work that each tile does, if set by a floor plan.
        hops: routers that a result passes on its way to the next stage.
    """

    copies: int = 1
    arrays: int = 0
    shares: str = ""
    tiles: tuple[int, int] = (0, 0)
    tile_offset: int = 0
    arrays_per_tile: float = 0.0
    tile_shares: tuple[float, ...] = ()
    hops: int = 1


@dataclass(frozen=True, slots=True)
class Residency:
    """What is written into a stage's arrays, and how long it stays. By default it is written once and stays.

    Attributes:
        segment: index of the segment; stages of one segment are on the chips together, and segments follow each other.
        chunks: number of chunks in which a stage larger than the chips is written and computed, each with some of its results.
        programming_s: time to write the cells of one chunk when the segment begins; 0 if they stay.
        inferences_per_load: inferences per writing of the cells.
        double_buffered: whether cells are written in another plane of the arrays while the segment before is computed.
        buffers: sets of cells for an operand, which successive inferences use alternately.
        writes_per_inference: number of writes per inference to the most-written cell.
        time_shared: whether the arrays pass from stage to stage and keep no contents.
    """

    segment: int = 0
    chunks: int = 1
    programming_s: float = 0.0
    inferences_per_load: int = 1
    double_buffered: bool = False
    buffers: int = 1
    writes_per_inference: float = 0.0
    time_shared: bool = False


@dataclass(frozen=True, slots=True)
class Slots:
    """Time slots of a stage in arrays that it shares by a floor plan: `phase`, `phase + period`, ... of `length_s` seconds each.

    Attributes:
        per_step: slots per step.
        forwards_output: results go directly into the arrays that need them, bypassing the buffer.
        forwarded_input: inputs come directly from other arrays.
    """

    period: int = 1
    phase: int = 0
    length_s: float = 0.0
    per_step: int = 1
    forwards_output: bool = False
    forwarded_input: bool = False

    @property
    def between_s(self) -> float:
        """Time from one of its slots to the next."""
        return self.period * self.length_s

    def meet(self, other: Slots) -> bool:
        """Return whether the two have a common slot. Periods are powers of two, so the shorter one divides the longer."""
        shorter = min(self.period, other.period)
        return self.phase % shorter == other.phase % shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Nodes that run together on one engine.

    Attributes:
        name: name of the last node, whose tensor the stage produces.
        nodes: the graph's nodes in order.
        engine: name of the engine.
        in_array_nodes: number of leading nodes that the engine computes itself; the rest are functions of digital units.
        array_type: type of its arrays and periphery, on a machine with several types; empty on others, and without arrays.
        positions: output positions of one inference.
        placement: where one copy lies.
        timing, mapping, residency: how fast it steps, which arrays it has, what is written into them.
        slots: its time slots in arrays that it shares by a floor plan; None where the arrays are its own.
        sequential: whether it begins only when all stages before it are done, of this inference and of the one before.
        actions: number of each `part.action` for one inference.
        dependencies: what must be ready before a position can be computed.
    """

    name: str
    nodes: tuple[str, ...]
    engine: str
    in_array_nodes: int = 1
    array_type: str = ""
    positions: int = 1
    sequential: bool = False
    placement: Placement = NO_ARRAYS
    timing: Timing = Timing()
    mapping: ArrayMapping = ArrayMapping()
    residency: Residency = Residency()
    slots: Slots | None = None
    actions: Mapping[str, int] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()

    @property
    def interval_s(self) -> float:
        """Time between the starts of two steps."""
        return self.timing.interval_s

    @property
    def latency_s(self) -> float:
        """Time from the start of a step to its result."""
        return self.timing.latency_s

    @property
    def limited_by(self) -> str:
        """The `part.action` that sets the interval."""
        return self.timing.limited_by

    @property
    def copies(self) -> int:
        """Positions computed in parallel."""
        return self.mapping.copies

    @property
    def arrays(self) -> int:
        """Number of arrays that it works in, all copies together."""
        return self.mapping.arrays

    @property
    def shares(self) -> str:
        """Name of the stage that owns the arrays; empty if they are the stage's own."""
        return self.mapping.shares

    @property
    def tiles(self) -> tuple[int, int]:
        """First tile and number of tiles."""
        return self.mapping.tiles

    @property
    def hops(self) -> int:
        """Routers that a result passes on its way to the next stage."""
        return self.mapping.hops

    @property
    def forwards_output(self) -> bool:
        """Whether results go directly into the arrays that need them."""
        return self.slots is not None and self.slots.forwards_output

    @property
    def forwarded_input(self) -> bool:
        """Whether inputs come directly from other arrays."""
        return self.slots is not None and self.slots.forwarded_input

    @property
    def steps(self) -> int:
        """Number of steps per inference, all chunks together."""
        return -(-self.positions // self.copies) * self.residency.chunks

    @property
    def in_tiles(self) -> tuple[float, ...]:
        """Share of the stage's work that each of its tiles does, in proportion to its arrays there."""
        mapping = self.mapping
        if mapping.tile_shares:
            return mapping.tile_shares
        count = max(1, mapping.tiles[1])
        if not mapping.arrays or not mapping.arrays_per_tile:
            return (1 / count,) * count
        end = mapping.tile_offset + mapping.arrays
        edges = [min(max(tile * mapping.arrays_per_tile, mapping.tile_offset), end) for tile in range(count + 1)]
        edges[-1] = end
        return tuple((right - left) / mapping.arrays for left, right in pairwise(edges))

    @property
    def holder(self) -> str:
        """Name of the stage that owns the arrays: this stage, or the one whose arrays it shares."""
        return self.shares or self.name

    @property
    def own_arrays(self) -> int:
        """Number of arrays that are not already counted for another stage."""
        return 0 if self.shares else self.arrays

    @property
    def busy_s(self) -> float:
        """Time for which one inference occupies the stage."""
        return self.steps * self.interval_s

    @property
    def worked_s(self) -> float:
        """Time for which one inference keeps each copy busy on average; the last step may leave some copies idle."""
        return self.positions / self.copies * self.interval_s * self.residency.chunks

    @property
    def active_s(self) -> float:
        """Time for which one inference reads or writes the stage's cells, on average over its copies, without other stages' slots."""
        if self.slots is None:
            return self.worked_s
        return self.positions / self.copies * self.slots.per_step * self.slots.length_s

    @property
    def pause_s(self) -> float:
        """Time that writing adds between two chunks: the whole writing time or, with double buffering, the part not hidden by computing a chunk."""
        load_s = self.residency.programming_s
        return max(0.0, load_s - self.busy_s / self.residency.chunks) if self.residency.double_buffered else load_s
