"""Blocks packed into arrays: next to proved optima where these can be had, next to a bound where there are too many blocks, and the time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.timing import cpu_seconds, seconds
from crossloom.compiler.packing import BlockKind, fewest_arrays, pack

CASES = 24
EFFORT = 3.0
ARRAY = 512
TARGET_S = 0.2


def measure() -> Iterator[str]:
    """Yield a line for each number of blocks with a proof, and one for each large mixture."""
    for blocks in (6, 10, 14, 20):
        yield _next_to_optimum(blocks)
    for name, largest, whole in (("whole arrays and parts", ARRAY, 0.25), ("parts", ARRAY, 0.0), ("small blocks", 64, 0.0), ("tiny blocks", 16, 0.0)):
        yield _next_to_bound(name, _mixture(largest, whole))


def _next_to_optimum(blocks: int) -> str:
    """Return how many arrays small cases take, of those whose optimum is proved."""
    from tests.exact_packing import SIDE, exact_arrays, small_case  # imported late: the solver is not there for every Python

    ours = best = unknown = worst = 0
    our_s = exact_s = 0.0
    for kinds in (small_case(seed, blocks) for seed in range(CASES)):
        our_s += seconds(lambda kinds=kinds: pack(kinds, SIDE, SIDE))
        arrays, exact = pack(kinds, SIDE, SIDE).arrays, []
        exact_s += seconds(lambda kinds=kinds, exact=exact, arrays=arrays: exact.append(exact_arrays(kinds, SIDE, SIDE, arrays, EFFORT)))
        if exact[0] is None:
            unknown += 1
            continue
        ours, best, worst = ours + arrays, best + exact[0], max(worst, arrays - exact[0])
    return (
        f"{CASES} cases of {blocks} blocks: {ours} arrays, proved optimum {best} (target {1.1 * best:.0f}), worst case {worst} more, "
        f"{unknown} without proof; {our_s / CASES * 1e3:.0f} ms a case, CP-SAT {exact_s / CASES * 1e3:.0f} ms"
    )


def _mixture(largest: int, whole: float) -> list[BlockKind]:
    """Return about 20,000 blocks of 60 kinds, a part of them as large as the array."""
    rng = random.Random(0)
    kinds = []
    for owner in range(60):
        rows, columns = (ARRAY, ARRAY) if rng.random() < whole else (rng.randint(8, largest), rng.randint(8, largest))
        period = rng.choice((1, 1, 2, 4, 8, 16, 64))
        kinds.append(BlockKind(owner=owner, rows=rows, columns=columns, count=rng.randint(167, 500), period=period, writes=rng.random() < 0.2))
    return kinds


def _next_to_bound(name: str, kinds: list[BlockKind]) -> str:
    """Return how many arrays a large mixture takes, the bound, and the time with and without search."""
    packing, bound = pack(kinds, ARRAY, ARRAY), fewest_arrays(kinds, ARRAY, ARRAY)
    search_s, once_s = (cpu_seconds(lambda budget=budget: pack(kinds, ARRAY, ARRAY, **budget), runs=3) for budget in ({}, {"budget": 0}))
    return (
        f"{name}, {sum(kind.count for kind in kinds)} blocks of {len(kinds)} kinds: {packing.arrays} arrays in {len(packing.patterns)} patterns "
        f"(at least {bound}); {search_s * 1e3:.0f} ms (target {TARGET_S * 1e3:.0f} ms), {once_s * 1e3:.0f} ms without search"
    )
