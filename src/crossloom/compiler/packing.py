"""Blocks packed into as few arrays as possible: rectangles in two dimensions, and in time.

The problem
    Turns are counted t = 0, 1, 2, ... A stage ("owner") of period n = 2^k and phase p is active where t mod n = p. Owners of periods n and m
    and phases p and q meet in some turn exactly if p mod min(n, m) = q mod min(n, m): the shorter period is repeated within the longer. Phases
    are the nodes of a binary tree whose levels are the bits of p, lowest first, and two owners meet if one is the other's ancestor or
    equal: the buddy system of memory allocators, with 1/n of the time as the size.

    Blocks are rectangles of cells, not rotated. Cells are owned for good, so blocks of one array do not overlap. Lines are borrowed for the
    turns of activity: blocks that meet share neither word lines nor bit lines, and do not both write. Those of one owner always meet, so they
    lie diagonally to each other; blocks that never meet may share lines as they like.

What no packing can beat
    Area: Σ rows · columns <= R · C · arrays.
    Time: the blocks that cross a line are active in turn, so Σ 1/period <= 1 for every line (Kraft's inequality for the phases as a
    prefix code; conversely, phases exist for any one line on which it holds). Summed over an array's word lines: Σ rows / period <= R · arrays, and
    likewise for columns. With period 1, an array holds one diagonal, and k equal blocks fill 1/k of it
    at most.
    Owner: Σ rows <= R · arrays over the blocks of one owner, whatever its period, and likewise for columns.
    Writing: Σ 1/period <= arrays over the blocks that write, and an owner's writing blocks lie in as many arrays.

How it is searched
    An array is filled greedily: kinds in some order, each as often as it fits, on the first word line that takes it and there on the first bit
    line. An owner's phase is chosen when its first block is placed: that which lets it lie first (sharing the lines already used), of equal
    ones the least loaded. The array found is repeated as often as there are blocks for it; at least one kind then runs short, so there
    are few patterns however many the blocks. Several orders are tried, then small changes of the best, until the bound is met or the
    budget is used up. The budget is counted in steps, not seconds, so the result is the same everywhere.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from crossloom.compiler.block_array import Filling
from crossloom.compiler.block_bounds import fewest_arrays
from crossloom.compiler.blocks import BlockKind, Owner, Packing, Pattern, Placed
from crossloom.errors import CapacityError

BUDGET = 30_000
"""Strips that a search may look at before it takes the best packing so far; about 2 µs each."""

_PHASES_TRIED = 8
"""Phases that are compared when an owner's first block is placed."""

_NOTHING_NEAR: Mapping[Owner, Owner] = MappingProxyType({})

_ORDERS: tuple[Callable[[BlockKind], tuple[float, ...]], ...] = (
    lambda kind: (-kind.cells, kind.period),
    lambda kind: (-kind.rows, -kind.columns),
    lambda kind: (-max(kind.rows, kind.columns), -kind.cells),
    lambda kind: (-kind.columns, -kind.rows),
    lambda kind: (kind.period, -kind.cells),
    lambda kind: (-(kind.rows + kind.columns) / kind.period, -kind.cells),
)


def pack(kinds: Sequence[BlockKind], rows: int, columns: int, near: Mapping[Owner, Owner] = _NOTHING_NEAR, budget: int = BUDGET) -> Packing:
    """Return all blocks in arrays of rows x columns cells; few arrays, and of equal numbers more blocks `near` those they belong to.

    `near` names for an owner another in whose arrays its blocks would best lie. `budget` limits the search; one packing is made in
    any case. Raises CapacityError for a block larger than an array, ValueError for an owner with two periods.
    """
    _verify(kinds, rows, columns)
    task = _Task(tuple(kinds), rows, columns, near)
    return _search(task, budget)


def _verify(kinds: Sequence[BlockKind], rows: int, columns: int) -> None:
    """Raise CapacityError for a block larger than an array, ValueError for an owner with two periods."""
    periods: dict[Owner, int] = {}
    for kind in kinds:
        if periods.setdefault(kind.owner, kind.period) != kind.period:
            raise ValueError(f"blocks of {kind.owner}: one owner has one period, got {periods[kind.owner]} and {kind.period}")
        for what, need, have in (("word lines", kind.rows, rows), ("bit lines", kind.columns, columns)):
            if need > have:
                raise CapacityError(f"{what} for a block of {kind.owner}", need, have, "cut it into blocks that an array can hold")


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be packed, into what."""

    kinds: tuple[BlockKind, ...]
    rows: int
    columns: int
    near: Mapping[Owner, Owner]

    def mirrored(self) -> _Task:
        """Return the same with word lines and bit lines exchanged."""
        kinds = tuple(replace(kind, rows=kind.columns, columns=kind.rows) for kind in self.kinds)
        return _Task(kinds, self.columns, self.rows, self.near)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How arrays are filled: everything that the search changes.

    Attributes:
        order: of the kinds.
        phases: of owners for which the phase is not chosen on the way.
        mirrored: blocks go to the first bit line, and there to the first word line.
        together: blocks with something to be near wait for an array that holds it, while there is one to come.
    """

    order: tuple[int, ...]
    phases: Mapping[Owner, int] = field(default_factory=dict)
    mirrored: bool = False
    together: bool = False


@dataclass(slots=True)
class _Fill:
    """One packing being made: blocks left, phases chosen, cells that are active in each phase."""

    task: _Task
    plan: _Plan
    left: list[int]
    phases: dict[Owner, int]
    load: dict[tuple[int, int], int] = field(default_factory=dict)
    probes: int = 0

    def patterns(self) -> Iterator[Pattern]:
        """Yield patterns until no block is left."""
        for kind, is_full in enumerate(map(self._is_full, self.task.kinds)):
            if is_full and self.left[kind]:
                self._settle(kind, Filling(self.task.rows, self.task.columns))
                yield Pattern((Placed(self.task.kinds[kind].owner, kind, 0, 0),), self.left[kind])
                self.left[kind] = 0
        while any(self.left):
            blocks = self._one_array()
            used: dict[int, int] = {}
            for block in blocks:
                used[block.kind] = used.get(block.kind, 0) + 1
            times = min(self.left[kind] // count for kind, count in used.items())
            for kind, count in used.items():
                self.left[kind] -= times * count
            yield Pattern(tuple(blocks), times)

    def _is_full(self, kind: BlockKind) -> bool:
        return kind.rows == self.task.rows and kind.columns == self.task.columns

    def _one_array(self) -> list[Placed]:
        """Return the blocks of one array: kinds in the plan's order, and after each those that wait for its owner."""
        array = Filling(self.task.rows, self.task.columns)
        order = [kind for kind in self.plan.order if self.left[kind]]
        followers = self._followers(order) if self.plan.together else {}
        waiting = {kind for kinds in followers.values() for kind in kinds}
        todo = deque([kind for kind in order if kind not in waiting] or order)
        blocks: list[Placed] = []
        while todo:
            found = self._copies(todo.popleft(), array)
            blocks += found
            if found:
                todo.extendleft(reversed(followers.pop(found[0].owner, [])))
        self.probes += array.probes
        return blocks

    def _followers(self, order: Sequence[int]) -> dict[Owner, list[int]]:
        """Return which kinds wait for an owner of which there are blocks left."""
        owners = {self.task.kinds[kind].owner for kind in order}
        followers: dict[Owner, list[int]] = {}
        for kind in order:
            owner = self.task.kinds[kind].owner
            target = self.task.near.get(owner, owner)
            if target in owners and target != owner:
                followers.setdefault(target, []).append(kind)
        return followers

    def _copies(self, index: int, array: Filling) -> list[Placed]:
        """Put blocks of a kind into an array, as many as fit, and return them."""
        kind = self.task.kinds[index]
        phase = self._settle(index, array)
        found: list[Placed] = []
        for row, column in array.spots(kind.rows, kind.columns, kind.period, phase, kind.writes):
            array.put(row, column, kind.rows, kind.columns, kind.period, phase, kind.writes)
            found.append(Placed(kind.owner, index, row, column))
            if len(found) == self.left[index]:
                break
        return found

    def _settle(self, index: int, array: Filling) -> int:
        """Return the phase of a kind's owner; the one in which it lies first in this array, if it had none."""
        kind = self.task.kinds[index]
        if kind.owner in self.phases:
            return self.phases[kind.owner]
        best: tuple[tuple[int, int], int] | None = None
        for phase in self._quiet_phases(kind.period):
            spot = next(array.spots(kind.rows, kind.columns, kind.period, phase, kind.writes), None)
            if spot is not None and (best is None or spot < best[0]):
                best = spot, phase
        if best is None:
            return self._quiet_phases(kind.period)[0]
        self.phases[kind.owner] = best[1]
        self._burden(kind, best[1])
        return best[1]

    def _burden(self, kind: BlockKind, phase: int) -> None:
        """Count the cells of an owner's blocks at each node of the tree of phases above its own."""
        cells = sum(other.cells * other.count for other in self.task.kinds if other.owner == kind.owner)
        period = 1
        while period <= kind.period:
            node = (period, phase & (period - 1))
            self.load[node] = self.load.get(node, 0) + cells
            period *= 2

    def _quiet_phases(self, period: int) -> list[int]:
        """Return some phases with different lowest bits, the least loaded first; where there are more, the least loaded below each."""
        phases = list(range(min(period, _PHASES_TRIED)))
        bit = len(phases)
        while bit < period:
            phases = [min((p, p + bit), key=lambda q: self.load.get((2 * bit, q), 0)) for p in phases]
            bit *= 2
        return sorted(phases, key=lambda p: self.load.get((period, p), 0))


Score = tuple[int, int, int]


def _make(task: _Task, mirrored: _Task, plan: _Plan) -> tuple[Packing, int]:
    """Return the packing that a plan leads to, and the probes that it took."""
    seen = mirrored if plan.mirrored else task
    fill = _Fill(seen, plan, [kind.count for kind in task.kinds], dict(plan.phases))
    patterns = tuple(fill.patterns())
    if plan.mirrored:
        patterns = tuple(Pattern(tuple(Placed(b.owner, b.kind, b.column, b.row) for b in pattern.blocks), pattern.times) for pattern in patterns)
    phases = {kind.owner: fill.phases.get(kind.owner, 0) for kind in task.kinds}
    return Packing(rows=task.rows, columns=task.columns, kinds=task.kinds, patterns=patterns, phases=phases), fill.probes


def _score(packing: Packing, near: Mapping[Owner, Owner]) -> Score:
    """Return what is to be small: arrays; blocks not near what they belong to; how evenly the cells lie, for a change of uneven ones empties one."""
    squares = sum(p.times * sum(packing.kinds[block.kind].cells for block in p.blocks) ** 2 for p in packing.patterns)
    return packing.arrays, -packing.near_hits(near), -squares


def _search(task: _Task, budget: int) -> Packing:
    """Return the best packing found: first of the given orders, then of small changes to the best."""
    bound = fewest_arrays(task.kinds, task.rows, task.columns)
    wanted = sum(kind.count for kind in task.kinds if kind.owner in task.near)
    mirrored = task.mirrored()
    rng = random.Random(0)  # its own generator: the result depends on the arguments alone
    best: tuple[Score, _Plan, Packing] | None = None
    plans = _first_plans(task)
    while best is None or (budget > 0 and (best[0][0] > bound or -best[0][1] < wanted)):
        plan = next(plans, None) or _changed(best[1], best[2], rng)
        packing, probes = _make(task, mirrored, plan)
        budget -= probes + 10
        score = _score(packing, task.near)
        if best is None or score <= best[0]:
            best = score, plan, packing
    return best[2]


def _first_plans(task: _Task) -> Iterator[_Plan]:
    """Yield every order, with word lines first and with bit lines first."""
    for key in _ORDERS:
        order = tuple(sorted(range(len(task.kinds)), key=lambda index: key(task.kinds[index])))
        for mirrored in (False, True):
            if task.near:
                yield _Plan(order, mirrored=mirrored, together=True)
            yield _Plan(order, mirrored=mirrored)


def _changed(plan: _Plan, packing: Packing, rng: random.Random) -> _Plan:
    """Return a plan with one thing changed: a kind moved, a phase fixed or freed, the direction."""
    choice = rng.random()
    if choice < 0.5:
        order = list(plan.order)
        order.insert(rng.randrange(len(order)), order.pop(rng.randrange(len(order))))
        return replace(plan, order=tuple(order))
    if choice < 0.9:
        kind = rng.choice(packing.kinds)
        phases = dict(plan.phases)
        if phases.pop(kind.owner, None) is None:
            phases[kind.owner] = rng.randrange(kind.period)
        return replace(plan, phases=phases)
    return replace(plan, mirrored=not plan.mirrored)
