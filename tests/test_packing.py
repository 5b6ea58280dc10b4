"""Blocks in arrays: the rules are kept, every block has a place, and few arrays are used; next to proved optima."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossloom.compiler.packing import BlockKind, Packing, Pattern, Placed, check, fewest_arrays, pack
from crossloom.errors import CapacityError

ROWS, COLUMNS = 24, 16
CASES = 63


@st.composite
def problems(draw: st.DrawFn) -> list[BlockKind]:
    """Up to eight owners with some kinds each, from cells to whole arrays."""
    kinds = []
    for owner in range(draw(st.integers(1, 8))):
        period = 2 ** draw(st.integers(0, 4))
        for _ in range(draw(st.integers(1, 3))):
            rows, columns, count = draw(st.integers(1, ROWS)), draw(st.integers(1, COLUMNS)), draw(st.integers(0, 30))
            kinds.append(BlockKind(owner=owner, rows=rows, columns=columns, count=count, period=period, writes=draw(st.booleans())))
    return kinds


@given(problems())
def test_every_packing_keeps_the_rules(kinds: list[BlockKind]) -> None:
    packing = pack(kinds, ROWS, COLUMNS, budget=2000)
    assert check(packing, kinds) == ()
    placed = Counter(block.kind for pattern in packing.patterns for block in pattern.blocks * pattern.times)
    assert [placed[index] for index in range(len(kinds))] == [kind.count for kind in kinds]
    assert packing.arrays >= fewest_arrays(kinds, ROWS, COLUMNS)
    assert packing.cells == sum(kind.cells * kind.count for kind in kinds)


@given(problems())
def test_the_same_blocks_are_packed_the_same_way(kinds: list[BlockKind]) -> None:
    assert pack(kinds, ROWS, COLUMNS, budget=500) == pack(kinds, ROWS, COLUMNS, budget=500)


@given(problems(), st.dictionaries(st.integers(0, 7), st.integers(0, 9)))
def test_nearness_keeps_the_rules_and_costs_no_array(kinds: list[BlockKind], near: dict[int, int]) -> None:
    packing, plain = pack(kinds, ROWS, COLUMNS, near, budget=1000), pack(kinds, ROWS, COLUMNS, budget=1000)
    assert check(packing, kinds) == ()
    assert packing.arrays <= plain.arrays
    assert packing.near_hits(near) >= plain.near_hits(near) or packing.arrays < plain.arrays


def test_blocks_lie_near_those_they_belong_to() -> None:
    stages = [BlockKind(owner=f"conv{stage}", rows=12, columns=12, period=2) for stage in range(4)]
    pools = [BlockKind(owner=f"pool{stage}", rows=4, columns=4, period=2, writes=True) for stage in (2, 0, 3, 1)]
    near = {f"pool{stage}": f"conv{stage}" for stage in range(4)}
    packing = pack([*stages, *pools], 16, 16, near)
    assert packing.arrays == 4
    assert packing.near_hits(near) == 4


def test_period_one_is_a_diagonal() -> None:
    packing = pack([BlockKind(owner=owner, rows=4, columns=4, count=3) for owner in "abc"], 16, 16)
    assert packing.arrays == 3
    assert all(len({block.row for block in pattern.blocks}) == len(pattern.blocks) for pattern in packing.patterns)


def test_blocks_that_take_turns_fill_an_array() -> None:
    packing = pack([BlockKind(owner=owner, rows=8, columns=8, period=4) for owner in range(4)], 16, 16)
    assert packing.arrays == 1
    assert packing.utilisation == 1.0
    assert sorted(packing.phases.values()) == [0, 1, 2, 3]


def test_blocks_active_together_leave_their_crossings_erased() -> None:
    """Two of them on a diagonal take an array, however much of it is free: a third would lie where they cross, or share a line with one."""
    packing = pack([BlockKind(owner=owner, rows=8, columns=8, period=2) for owner in range(4)], 16, 16)
    assert packing.arrays == 2
    (first, second), *_ = (pattern.blocks for pattern in pack([BlockKind(owner=0, rows=8, columns=8, count=2)], 16, 16).patterns)
    assert abs(first.row - second.row) == abs(first.column - second.column) == 8


def test_one_writes_at_a_time() -> None:
    kinds = [BlockKind(owner=owner, rows=1, columns=1, period=4, writes=True) for owner in range(8)]
    packing = pack(kinds, 16, 16)
    assert packing.arrays == 2
    assert {len(pattern.blocks) for pattern in packing.patterns} == {4}


def test_a_stage_writes_one_block_of_an_array() -> None:
    assert pack([BlockKind(owner=0, rows=1, columns=1, count=7, period=8, writes=True)], 16, 16).arrays == 7


def test_nothing_needs_no_array() -> None:
    assert pack([], 16, 16).arrays == 0
    assert pack([BlockKind(owner=0, rows=1, columns=1, count=0)], 16, 16).utilisation == 1.0


def test_many_blocks_make_few_patterns() -> None:
    rng = random.Random(1)
    kinds = [BlockKind(owner=o, rows=rng.randint(1, 64), columns=rng.randint(1, 64), count=333, period=2 ** (o % 5)) for o in range(60)]
    packing = pack([*kinds, BlockKind(owner=60, rows=64, columns=64, count=20000)], 64, 64, budget=0)
    assert packing.arrays > 20000
    assert len(packing.patterns) < 3 * len(kinds)
    assert check(packing, packing.kinds) == ()


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(CapacityError, match="17 word lines for a block of relu"):
        pack([BlockKind(owner="relu", rows=17, columns=1)], 16, 16)
    with pytest.raises(ValueError, match="one owner has one period"):
        pack([BlockKind(owner=0, rows=1, columns=1, period=2), BlockKind(owner=0, rows=1, columns=1)], 16, 16)
    with pytest.raises(ValueError, match="power of two"):
        BlockKind(owner=0, rows=1, columns=1, period=3)
    with pytest.raises(ValueError, match="rows and columns >= 1"):
        BlockKind(owner=0, rows=0, columns=1)


GOOD = Packing(
    rows=16,
    columns=16,
    kinds=(
        BlockKind(owner="a", rows=8, columns=8, count=2, period=2),
        BlockKind(owner="b", rows=8, columns=8, period=2, writes=True),
        BlockKind(owner="c", rows=8, columns=8, period=4, writes=True),
    ),
    patterns=(Pattern((Placed("a", 0, 0, 0), Placed("b", 1, 0, 8)), 1), Pattern((Placed("a", 0, 8, 8), Placed("c", 2, 0, 0)), 1)),
    phases={"a": 0, "b": 1, "c": 3},
)


def of(*blocks: Placed, times: int = 1) -> Callable[[Packing], Packing]:
    """Return a change: all of it in one array, with these blocks."""
    return lambda packing: replace(packing, patterns=(Pattern(blocks, times),))


A1, A2, B, C = Placed("a", 0, 0, 0), Placed("a", 0, 8, 8), Placed("b", 1, 0, 8), Placed("c", 2, 8, 0)
BROKEN: dict[str, tuple[Callable[[Packing], Packing], str]] = {
    "one too few": (of(A1, A2, B), "kind 2: placed 0 times, not 1"),
    "twice": (of(A1, A2, B, C, times=2), "kind 0: placed 4 times, not 2"),
    "somebody else's": (of(A1, A2, B, Placed("a", 2, 8, 0)), "no kind 2 of owner a"),
    "empty": (lambda packing: replace(packing, patterns=(*packing.patterns, Pattern((), 1))), "empty"),
    "never": (lambda packing: replace(packing, patterns=(*packing.patterns, Pattern((C,), 0))), "less than once"),
    "no phase": (lambda packing: replace(packing, phases={"a": 0, "b": 1}), "owner c: no phase below 4"),
    "phase too late": (lambda packing: replace(packing, phases={"a": 0, "b": 2, "c": 3}), "owner b: no phase below 2"),
    "below the array": (of(A1, A2._replace(row=9), B, C), "outside"),
    "left of the array": (of(A1._replace(column=-1), A2, B, C), "outside"),
    "same cells": (of(A1, A2, B._replace(column=7), C), "cells of another block"),
    "same word lines": (lambda packing: replace(packing, phases={"a": 0, "b": 0, "c": 3}), "word line"),
    "one owner's blocks": (of(A1, A2._replace(row=0), B._replace(row=8), C), "word line"),
    "same bit lines": (of(A1, A2._replace(column=0), B, C._replace(column=8)), "bit line"),
    "crossed": (lambda p: replace(p, patterns=(Pattern((A1, A2, B), 1), Pattern((C,), 1))), "crosses"),
    "two writers": (of(A1, A2, B, C), "second writer"),
}


def test_the_good_packing_is_good() -> None:
    assert check(GOOD, GOOD.kinds) == ()
    assert (GOOD.arrays, GOOD.cells, GOOD.utilisation) == (2, 256, 0.5)


@pytest.mark.parametrize("name", BROKEN)
def test_check_finds(name: str) -> None:
    change, words = BROKEN[name]
    broken = change(GOOD)
    assert words in " ".join(check(broken, broken.kinds))


def test_check_wants_the_same_kinds() -> None:
    assert check(GOOD, GOOD.kinds[:2]) == ("the packing is of other kinds",)


@pytest.mark.parametrize(
    ("kinds", "arrays"),
    [
        ([BlockKind(owner=0, rows=8, columns=8, count=4)], 2),
        ([BlockKind(owner=o, rows=8, columns=8, period=4) for o in range(4)], 1),
        ([BlockKind(owner=o, rows=8, columns=8, period=2) for o in range(4)], 2),
        ([BlockKind(owner=o, rows=8, columns=8, period=2) for o in range(5)], 3),
        ([BlockKind(owner=0, rows=4, columns=4, count=4)], 1),
        ([BlockKind(owner=o, rows=16, columns=4, period=4) for o in range(4)], 1),
        ([BlockKind(owner=o, rows=16, columns=1, period=4) for o in range(5)], 2),
        ([BlockKind(owner=o, rows=1, columns=1, period=2, writes=True) for o in range(3)], 2),
        ([BlockKind(owner=0, rows=9, columns=1), BlockKind(owner=1, rows=8, columns=1, period=8)], 2),
    ],
)
def test_proved_optima_are_those_found_by_hand(kinds: list[BlockKind], arrays: int) -> None:
    pytest.importorskip("ortools")
    from tests.exact_packing import SIDE, exact_arrays

    assert exact_arrays(kinds, SIDE, SIDE, at_most=4) == arrays


def test_few_more_arrays_than_the_proved_optimum() -> None:
    pytest.importorskip("ortools")
    from tests.exact_packing import SIDE, exact_arrays, small_case

    cases = [small_case(seed, blocks=5 + seed % 7) for seed in range(CASES)]
    packed = [pack(kinds, SIDE, SIDE).arrays for kinds in cases]
    exact = [exact_arrays(kinds, SIDE, SIDE, arrays) for kinds, arrays in zip(cases, packed, strict=True)]
    assert None not in exact
    assert all(fewest_arrays(kinds, SIDE, SIDE) <= best for kinds, best in zip(cases, exact, strict=True))
    assert all(best <= arrays <= best + 1 for arrays, best in zip(packed, exact, strict=True))
    assert sum(packed) <= 1.1 * sum(exact)
