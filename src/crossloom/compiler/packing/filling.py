"""Filling of arrays with all blocks according to one plan: an order, a direction, and phases."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from crossloom.compiler.packing.array import ArrayCells, PlacedBlock
from crossloom.compiler.packing.kinds import BlockKind, Owner, Pattern, Placed

_PHASES_TRIED = 8
"""Number of phases compared when an owner's first block is placed."""

_LEAST_PACE = 480
"""A paced plan halves repeats down to (largest need · number of kinds) / _LEAST_PACE: the fewer kinds, the finer."""


@dataclass(frozen=True, slots=True)
class FillingTask:
    """A packing task: the blocks, the size of the arrays, and which owners' blocks should lie near each other."""

    kinds: tuple[BlockKind, ...]
    rows: int
    columns: int
    near: Mapping[Owner, Owner] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FillingPlan:
    """How arrays are filled: everything that the search varies.

    Attributes:
        weights: weights of the kinds; the heaviest is placed first.
        scarce: a kind's weight is multiplied by the arrays that its owner still needs (its blocks can only lie diagonally).
        paced: an array is repeated half as often as possible, so that scarcity is assessed again.
        phases: owners' phases that are fixed beforehand instead of being chosen during filling.
        mirrored: blocks go to the first bit line, and there to the first word line.
        together: blocks that should lie near another owner's wait for an array that holds such a block, as long as one is still to come.
    """

    weights: tuple[float, ...]
    scarce: bool = False
    paced: bool = False
    phases: Mapping[Owner, int] = field(default_factory=dict)
    mirrored: bool = False
    together: bool = False


@dataclass(slots=True)
class Filling:
    """One packing in progress: blocks left, phases chosen, cells active in each phase. `patterns` uses it up.

    `steps` measures the work done: kinds tried and strips inspected.
    """

    task: FillingTask
    plan: FillingPlan
    blocks: list[PlacedBlock] = field(init=False)
    left: list[int] = field(init=False)
    phases: dict[Owner, int] = field(init=False)
    pace: int = field(init=False)
    load: dict[tuple[int, int], int] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.blocks = [self._seen(kind) for kind in self.task.kinds]
        self.left = [kind.count for kind in self.task.kinds]
        self.phases = dict(self.plan.phases)
        most = max(self._need(range(len(self.left))).values(), default=0)
        self.pace = max(1, int(most * len(self.left) / _LEAST_PACE))

    def patterns(self) -> Iterator[Pattern]:
        """Yield patterns until no block is left. Kinds as large as an array come first because nothing can lie beside them."""
        for index, kind in enumerate(self.task.kinds):
            if self.left[index] and kind.rows == self.task.rows and kind.columns == self.task.columns:
                yield self._repeated(self._copies(index, self._empty(), 1))
        while any(self.left):
            yield self._repeated(self._one_array())

    def _empty(self) -> ArrayCells:
        return ArrayCells(self.task.columns, self.task.rows) if self.plan.mirrored else ArrayCells(self.task.rows, self.task.columns)

    def _repeated(self, blocks: Sequence[Placed]) -> Pattern:
        """Return an array as a pattern, repeated as often as there are blocks for it, and subtract these blocks."""
        used: dict[int, int] = {}
        for block in blocks:
            used[block.kind] = used.get(block.kind, 0) + 1
        times = min(self.left[kind] // count for kind, count in used.items())
        if self.plan.paced and len(used) > 1:
            times = min(times, max(self.pace, times // 2))
        for kind, count in used.items():
            self.left[kind] -= times * count
        return Pattern(tuple(blocks), times)

    def _one_array(self) -> list[Placed]:
        """Return the blocks of one array: kinds in the plan's order, and after each those that wait for its owner."""
        array = self._empty()
        order = self._order()
        followers = self._followers(order) if self.plan.together else {}
        waiting = {kind for kinds in followers.values() for kind in kinds}
        todo = deque([kind for kind in order if kind not in waiting] or order)
        blocks: list[Placed] = []
        while todo:
            index = todo.popleft()
            found = self._copies(index, array, self.left[index])
            blocks += found
            if found:
                todo.extendleft(reversed(followers.pop(found[0].owner, [])))
        self.steps += array.probes
        return blocks

    def _order(self) -> list[int]:
        """Return the kinds with blocks left, in the order of placement."""
        kinds, weights = self.task.kinds, self.plan.weights
        order = [index for index, left in enumerate(self.left) if left]
        if self.plan.scarce:
            need = self._need(order)
            return sorted(order, key=lambda index: (-weights[index] * need[kinds[index].owner], -kinds[index].cells))
        return sorted(order, key=lambda index: -weights[index])

    def _need(self, order: Sequence[int]) -> dict[Owner, float]:
        """Return a lower bound on the arrays that each owner's blocks need: by word lines, by bit lines, by writing."""
        sums: dict[Owner, tuple[float, float, int]] = {}
        for index in order:
            kind, left = self.task.kinds[index], self.left[index]
            rows, columns, writing = sums.get(kind.owner, (0.0, 0.0, 0))
            sums[kind.owner] = (
                rows + left * kind.rows / self.task.rows,
                columns + left * kind.columns / self.task.columns,
                writing + left * kind.writes,
            )
        return {owner: max(need) for owner, need in sums.items()}

    def _followers(self, order: Sequence[int]) -> dict[Owner, list[int]]:
        """Return the kinds that wait for an owner with blocks left."""
        owners = {self.task.kinds[kind].owner for kind in order}
        followers: dict[Owner, list[int]] = {}
        for kind in order:
            owner = self.task.kinds[kind].owner
            target = self.task.near.get(owner, owner)
            if target in owners and target != owner:
                followers.setdefault(target, []).append(kind)
        return followers

    def _copies(self, index: int, array: ArrayCells, limit: int) -> list[Placed]:
        """Put as many blocks of a kind into an array as fit, up to the limit, and return them."""
        owner, block = self.task.kinds[index].owner, self.blocks[index]
        phase = self._phase(index, array)
        found: list[Placed] = []
        if phase is None:
            return found
        for row, column in array.spots(block, phase):
            array.put(block, phase, row, column)
            found.append(Placed(owner, index, *((column, row) if self.plan.mirrored else (row, column))))
            if len(found) == limit:
                break
        return found

    def _seen(self, kind: BlockKind) -> PlacedBlock:
        """Return a block as the array sees it, with word lines and bit lines exchanged in a mirrored plan."""
        rows, columns = (kind.columns, kind.rows) if self.plan.mirrored else (kind.rows, kind.columns)
        return PlacedBlock(rows, columns, kind.period, kind.writes)

    def _phase(self, index: int, array: ArrayCells) -> int | None:
        """Return the phase of a kind's owner. If it has none yet, choose the phase with the first location for the block; None if it fits in none."""
        kind = self.task.kinds[index]
        if kind.owner in self.phases:
            return self.phases[kind.owner]
        best: tuple[tuple[int, int], int] | None = None
        for phase in self._quiet_phases(kind.period):
            spot = next(array.spots(self.blocks[index], phase), None)
            if spot is not None and (best is None or spot < best[0]):
                best = spot, phase
        if best is None:
            return None
        self.phases[kind.owner] = best[1]
        self._burden(kind, best[1])
        return best[1]

    def _burden(self, kind: BlockKind, phase: int) -> None:
        """Add the cells of an owner's blocks to its node in the tree of phases and to all nodes above."""
        cells = sum(other.cells * other.count for other in self.task.kinds if other.owner == kind.owner)
        period = 1
        while period <= kind.period:
            node = (period, phase & (period - 1))
            self.load[node] = self.load.get(node, 0) + cells
            period *= 2

    def _quiet_phases(self, period: int) -> list[int]:
        """Return phases with distinct lowest bits, the least loaded first; for a longer period, the least loaded phase below each."""
        phases = list(range(min(period, _PHASES_TRIED)))
        bit = len(phases)
        while bit < period:
            level, bit = bit, 2 * bit
            phases = [p if self.load.get((bit, p), 0) <= self.load.get((bit, p + level), 0) else p + level for p in phases]
        return sorted(phases, key=lambda p: self.load.get((period, p), 0))
