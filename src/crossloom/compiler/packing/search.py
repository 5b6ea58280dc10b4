"""Search for a good packing over orders, directions and phases; the package's docstring states the problem."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType

from crossloom.compiler.packing.bounds import fewest_arrays
from crossloom.compiler.packing.filling import Filling, FillingPlan, FillingTask
from crossloom.compiler.packing.kinds import BlockKind, Owner, Packing, Pattern, Placed
from crossloom.errors import CapacityError

BUDGET = 20_000
"""Steps of a search (kinds tried, strips of an array inspected); some microseconds each."""

_NOTHING_NEAR: Mapping[Owner, Owner] = MappingProxyType({})

_WEIGHTS: tuple[Callable[[BlockKind], float], ...] = (
    lambda kind: kind.cells,
    lambda kind: max(kind.rows, kind.columns),
    lambda kind: kind.rows,
    lambda kind: kind.columns,
    lambda kind: kind.cells / kind.period,
    lambda kind: (kind.rows + kind.columns) / kind.period,
)


def pack(kinds: Sequence[BlockKind], rows: int, columns: int, near: Mapping[Owner, Owner] = _NOTHING_NEAR, budget: int = BUDGET) -> Packing:
    """Return a packing of all blocks into few arrays of rows x columns cells.

    `near` maps an owner to another in whose arrays its blocks should lie; it never costs an array. `budget` limits the search; a second search
    for nearness has half of it. At least one packing is made in any case.
    Raises CapacityError for a block larger than an array, ValueError for an owner with two periods.
    """
    _verify(kinds, rows, columns)
    task = FillingTask(tuple(kinds), rows, columns)
    best = _search(task, _starts(task), budget)
    if near:
        # The second search starts from the best packing so far, so that nearness never costs an array.
        plans = chain((best.plan, replace(best.plan, together=True)), (replace(plan, together=True) for plan in _starts(task)))
        best = _search(replace(task, near=near), plans, budget // 2)
    return best.packing


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
class _Made:
    """A plan, the resulting packing, its score (to be minimised), and the steps that it took.

    The score is: arrays; minus the blocks near the owner that they should be near; minus the sum of squared cells, because of two packings with
    equally many arrays, the less even one is closer to emptying an array.
    """

    plan: FillingPlan
    packing: Packing
    score: tuple[int, int, int]
    steps: int


def _make(task: FillingTask, plan: FillingPlan) -> _Made:
    """Return the packing that results from a plan."""
    filling = Filling(task, plan)
    times: dict[tuple[Placed, ...], int] = {}
    for pattern in filling.patterns():
        times[pattern.blocks] = times.get(pattern.blocks, 0) + pattern.times
    patterns = tuple(Pattern(blocks, count) for blocks, count in times.items())
    phases = {kind.owner: filling.phases.get(kind.owner, 0) for kind in task.kinds}
    packing = Packing(rows=task.rows, columns=task.columns, kinds=task.kinds, patterns=patterns, phases=phases)
    squares = sum(pattern.times * sum(task.kinds[block.kind].cells for block in pattern.blocks) ** 2 for pattern in patterns)
    return _Made(plan, packing, (packing.arrays, -packing.near_hits(task.near), -squares), filling.steps + len(task.kinds))


def _search(task: FillingTask, plans: Iterator[FillingPlan], budget: int) -> _Made:
    """Return the best packing from these plans and then from small changes of the best plan, within the budget."""
    goal = fewest_arrays(task.kinds, task.rows, task.columns), -sum(kind.count for kind in task.kinds if kind.owner in task.near)
    rng = random.Random(0)  # its own generator: the result depends only on the arguments
    best = _make(task, next(plans))
    budget -= best.steps
    while budget > 0 and best.score[:2] > goal:
        made = _make(task, next(plans, None) or _changed(best, rng))
        budget -= made.steps
        best = made if made.score <= best.score else best
    return best


def _starts(task: FillingTask) -> Iterator[FillingPlan]:
    """Yield plans that place the owners with the greatest need first, then every fixed order; each with word lines first and with bit lines first."""
    even = (1.0,) * len(task.kinds)
    fixed = [FillingPlan(tuple(map(weight, task.kinds))) for weight in _WEIGHTS]
    for plan in (FillingPlan(even, scarce=True, paced=True), FillingPlan(even, scarce=True), *fixed):
        yield plan
        yield replace(plan, mirrored=True)


def _changed(best: _Made, rng: random.Random) -> FillingPlan:
    """Return the best plan with one thing changed: the weight of a kind, the phase of an owner, or the direction."""
    plan, choice = best.plan, rng.random()
    index = rng.randrange(len(plan.weights))
    if choice < 0.5:
        weights = list(plan.weights)
        weights[index] *= 2 ** rng.uniform(-3, 3)
        return replace(plan, weights=tuple(weights))
    if choice < 0.9:
        kind = best.packing.kinds[index]
        phases = dict(plan.phases)
        if phases.pop(kind.owner, None) is None:
            phases[kind.owner] = rng.randrange(kind.period)
        return replace(plan, phases=phases)
    return replace(plan, mirrored=not plan.mirrored)
