"""Blocks active at once: the rule against exhaustive search and against concrete arrays, and its levels in circuits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from shutil import which

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.circuit import Stack, Wires, ngspice, planar, solve, solve_curved
from crossloom.device.iv import Sinh
from crossloom.engine.in_array.biasing import Activity, Levels, Read, Write, conflict, levels
from crossloom.engine.in_array.derivation import derive
from crossloom.engine.in_array.disturbance import disturbance, stress, worst
from crossloom.errors import InputError

Data = dict[str, list[int]]

SMALL = [range(0, 2), range(2, 4), range(0, 4), range(1, 3), range(4, 5)]


def kinds(rows: range, columns: range) -> list[Activity]:
    """Return every activity in these lines, with two names for each of operand, sum and mask."""
    reads: list[Activity] = [Read(rows, columns, operand, total) for operand, total in product("xy", "st")]
    return reads + [Write(rows, columns, mask, bit) for mask in "mn" for bit in (0, 1)]


lines = st.sampled_from(SMALL)
anything = st.builds(kinds, lines, lines).flatmap(st.sampled_from)
reads = st.builds(Read, lines, lines, st.sampled_from("xy"), st.sampled_from("st"))
sets = st.builds(Write, lines, lines, st.sampled_from("mn"), st.just(1))
resets = st.builds(Write, lines, lines, st.sampled_from("mn"), st.just(0))


@st.composite
def grids(draw: st.DrawFn) -> list[Activity]:
    """Draw activities that fill a product, less one perhaps, with names that fit mostly: half of what random rectangles never give."""
    words, bits = draw(st.sampled_from([[range(0, 2), range(2, 3)], [range(0, 1), range(2, 4)], [range(1, 3)]])), [range(0, 1), range(1, 4)]
    kind = draw(st.sampled_from(["read", "set", "reset"]))
    found: list[Activity] = []
    for (i, rows), (j, columns) in product(enumerate(words), enumerate(bits)):
        i, j = draw(st.sampled_from([i, i, i, i, 1 - i])), draw(st.sampled_from([j, j, j, j, 1 - j]))
        found.append(Read(rows, columns, "xy"[i], "st"[j]) if kind == "read" else Write(rows, columns, "mn"[j], 1 if kind == "set" else 0))
    if draw(st.booleans()):
        found.pop(draw(st.integers(0, len(found) - 1)))
    return found


several = st.one_of(*(st.lists(each, max_size=4) for each in (anything, reads, sets, resets)), grids())


@settings(max_examples=1500, deadline=None)
@given(several, st.booleans())
def test_the_rule_is_what_exhaustive_search_finds(activities: list[Activity], erased: bool) -> None:
    assert (conflict(*activities, erased=erased) is None) == (derive(activities, erased=erased) is not None)


def test_the_rule_for_all_pairs() -> None:
    """Two ranges lie to each other in thirteen ways: these, for rows and for columns, with all kinds and names, are all pairs there are."""
    fixed = range(2, 5)
    ways = [range(a, b) for a, b in [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (4, 5), (2, 5), (1, 6), (2, 6), (1, 5), (4, 6), (5, 6), (6, 7)]]
    found = {True: 0, False: 0}
    for first, rows, columns in product((Read(fixed, fixed, "x", "s"), Write(fixed, fixed, "m", 1), Write(fixed, fixed, "m", 0)), ways, ways):
        for second in kinds(rows, columns):
            agreed = conflict(first, second) is None
            assert agreed == (derive((first, second)) is not None), (first, second)
            assert (conflict(second, first) is None) == agreed
            apart = conflict(first, second, erased=True) is None
            assert apart == (derive((first, second), erased=True) is not None)
            assert apart == agreed or (isinstance(first, Read) and isinstance(second, Read))
            found[agreed] += 1
    assert found[True] == 16 + 12 + 12  # four ways are apart; a read has two sums or two operands to choose from, a write two masks or one


@settings(max_examples=300, deadline=None)
@given(several)
def test_pairs_that_go_together_go_together(activities: list[Activity]) -> None:
    if all(conflict(a, b) is None for k, a in enumerate(activities) for b in activities[:k]):
        assert conflict(*activities) is None


def halves(activities: Sequence[Activity]) -> bool:
    """Tell whether levels exist if cells withstand V/2: sets and resets then bind only each other's lines."""
    by_kind = [[each for each in activities if isinstance(each, Write) and each.bit == bit] for bit in (1, 0)]
    if any(isinstance(each, Read) for each in activities) or not all(by_kind):
        return conflict(*activities) is None
    apart = all(not set(a.rows) & set(b.rows) and not set(a.columns) & set(b.columns) for a in by_kind[0] for b in by_kind[1])
    return apart and all(conflict(*each) is None for each in by_kind)


@settings(max_examples=700, deadline=None)
@given(st.one_of(several, st.lists(st.one_of(sets, resets), max_size=3)))
def test_halves_allow_a_set_beside_a_reset_and_nothing_else(activities: list[Activity]) -> None:
    assert halves(activities) == (derive(activities, top=2) is not None)


# Concrete arrays, without classes of lines: what each cell may see is written down from the data, and levels are a system of differences.


def demands(activities: Sequence[Activity], shape: tuple[int, int], bits: Data, sign: dict[str, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the least and the most that each cell may see, or None where two activities want one cell."""
    least, most, owner = -np.ones(shape, int), np.ones(shape, int), -np.ones(shape, int)
    for k, each in enumerate(activities):
        for i, j in product(each.rows, each.columns):
            if owner[i, j] >= 0:
                return None
            owner[i, j] = k
            if isinstance(each, Read):
                least[i, j] = most[i, j] = sign[each.sum] * bits[each.operand][i - each.rows.start]
            elif bits[each.mask][j - each.columns.start]:
                least[i, j] = most[i, j] = 3 if each.bit else -3
    for each in activities:
        for i, j in product(range(shape[0]), each.columns):
            owned = activities[owner[i, j]] if owner[i, j] >= 0 else None
            if isinstance(each, Read) and not (isinstance(owned, Read) and owned.sum == each.sum):
                least[i, j], most[i, j] = max(least[i, j], 0), min(most[i, j], 0)
    return least, most


def solvable(least: np.ndarray, most: np.ndarray) -> bool:
    """Tell whether levels 0 to 3 exist: no cycle of differences is negative (the first node is level 0)."""
    rows, columns = least.shape
    ways = np.full((rows + columns + 1,) * 2, 1000)
    ways[0, 1:], ways[1:, 0] = 3, 0
    ways[1 + rows :, 1 : 1 + rows] = most.T
    ways[1 : 1 + rows, 1 + rows :] = -least
    np.fill_diagonal(ways, 0)
    for k in range(len(ways)):
        ways = np.minimum(ways, ways[:, k, None] + ways[k])
    return bool((np.diag(ways) >= 0).all())


def signs(activities: Sequence[Activity]) -> Iterator[dict[str, int]]:
    names = sorted({each.sum for each in activities if isinstance(each, Read)})
    for values in product((1, -1), repeat=len(names)):
        yield dict(zip(names, values, strict=True))


def key_of(each: Activity) -> str:
    return each.operand if isinstance(each, Read) else each.mask


def widened(activities: Sequence[Activity], times: int) -> list[Activity]:
    """Return the activities with every line `times` times and names that hold for one range only."""
    found: list[Activity] = []
    for each in activities:
        rows, columns = (range(r.start * times, r.stop * times) for r in (each.rows, each.columns))
        if isinstance(each, Read):
            found.append(Read(rows, columns, f"{each.operand} {rows}", each.sum))
        else:
            found.append(Write(rows, columns, f"{each.mask} {columns}", each.bit))
    return found


@settings(max_examples=250, deadline=None)
@given(st.one_of(st.lists(anything, max_size=3), st.lists(reads, max_size=3), st.lists(sets, max_size=3), grids()))
def test_no_driver_that_knows_all_data_does_better(activities: list[Activity]) -> None:
    """One pattern of data is enough: each line comes eight times, with all bits that three names give it. Drivers may know all of it.

    The same in an array that ends where the blocks do.
    """
    wide = widened(activities, 8)
    names = sorted({key_of(each) for each in wide})
    lengths = {key_of(each): len(each.rows if isinstance(each, Read) else each.columns) for each in wide}
    bits = {name: [i >> (k % 3) & 1 for i in range(lengths[name])] for k, name in enumerate(names)}
    ends = max((each.rows.stop for each in wide), default=1), max((each.columns.stop for each in wide), default=1)
    for shape in ((48, 48), ends):
        wanted = [demands(wide, shape, bits, sign) for sign in signs(wide)]
        assert (conflict(*activities) is None) == any(each is not None and solvable(*each) for each in wanted)


@settings(max_examples=400, deadline=None)
@given(several, st.integers(0, 10**6))
def test_levels_do_what_is_asked(activities: list[Activity], seed: int) -> None:
    """For random data, from the definition: each cell of a concrete array sees what it may see."""
    rng = np.random.default_rng(seed)
    wide = widened(activities, 1)
    bits = {key_of(each): rng.integers(0, 2, len(each.rows if isinstance(each, Read) else each.columns)).tolist() for each in wide}
    found = levels(wide, 6, 7, bits)
    assert (found is None) == (conflict(*wide) is not None)
    if found is None:
        return
    assert (len(found.rows), len(found.columns)) == (6, 7) and set(found.rows + found.columns) <= {0, 1, 2, 3}
    seen = np.subtract.outer(found.rows, found.columns)
    wanted = demands(wide, (6, 7), bits, {each.sum: 1 for each in wide if isinstance(each, Read)})
    assert wanted is not None and (wanted[0] <= seen).all() and (seen <= wanted[1]).all()


# What follows from the rule.

A, B = range(0, 4), range(4, 8)


def test_levels_of_each_operation() -> None:
    bits = {"x": [1, 0, 1, 1], "m": [0, 1, 1, 0]}
    assert levels([Read(A, B, "x", "s")], 6, 9, bits) == Levels((1, 0, 1, 1, 0, 0), (0,) * 9)
    assert levels([Write(A, B, "m", 1)], 6, 9, bits) == Levels((3, 3, 3, 3, 1, 1), (2, 2, 2, 2, 2, 0, 0, 2, 2))
    assert levels([Write(A, B, "m", 0)], 6, 9, bits) == Levels((0, 0, 0, 0, 2, 2), (1, 1, 1, 1, 1, 3, 3, 1, 1))
    assert levels([], 2, 3, {}) == Levels((0, 0), (0, 0, 0))


def test_reads_go_together_in_the_same_rows_or_the_same_columns() -> None:
    here = Read(A, A, "x", "s")
    assert conflict(here, Read(A, B, "x", "t")) is None
    assert conflict(here, Read(B, A, "y", "s")) is None
    assert "different bits" in str(conflict(here, Read(A, B, "y", "t")))
    assert "different bits" in str(conflict(here, Read(range(0, 3), B, "x", "t")))
    assert "not their sum" in str(conflict(here, Read(B, A, "y", "t")))
    assert "bit lines being read" in str(conflict(here, Read(B, range(0, 3), "y", "s")))


def test_diagonal_reads_disturb_each_other_unless_their_crossings_are_read_too() -> None:
    first, second = Read(A, A, "x", "s"), Read(B, B, "y", "t")
    assert "rows 0-3, columns 0-3 and the read of rows 4-7, columns 4-7: cells where" in str(conflict(first, second))
    assert derive((first, second)) is None
    filled = (first, second, Read(A, B, "x", "t"), Read(B, A, "y", "s"))
    assert conflict(*filled) is None and derive(filled) is not None
    assert conflict(*filled[:3]) is not None and derive(filled[:3]) is None


def test_blocks_that_fill_a_product_like_bricks() -> None:
    """Of unequal size beside each other: sums may meet so, bits and masks may not, as one line would carry two of them."""
    long, short, rest = range(0, 4), range(0, 2), range(2, 4)
    sums = Read(A, long, "x", "s"), Read(B, short, "y", "s"), Read(B, rest, "y", "s")
    operands = Read(long, A, "x", "s"), Read(short, B, "x", "t"), Read(rest, B, "x", "t")
    masks = Write(A, long, "m", 1), Write(B, short, "m", 1), Write(B, rest, "m", 1)
    rows = Write(long, A, "m", 1), Write(short, B, "n", 1), Write(rest, B, "n", 1)
    for bricks, good in ((sums, True), (operands, False), (masks, False), (rows, True)):
        assert (conflict(*bricks) is None) == (derive(bricks) is not None) == good


@pytest.mark.parametrize("bit", [0, 1])
def test_one_write_in_the_same_rows_or_with_the_same_columns(bit: int) -> None:
    here = Write(A, A, "m", bit)  # type: ignore[arg-type]
    assert conflict(here, Write(A, B, "n", bit)) is None  # type: ignore[arg-type]
    assert conflict(here, Write(B, A, "m", bit)) is None  # type: ignore[arg-type]
    assert "different masks" in str(conflict(here, Write(B, A, "n", bit)))  # type: ignore[arg-type]
    assert "be written" in str(conflict(here, Write(B, B, "m", bit)))  # type: ignore[arg-type]
    assert "would write" in str(conflict(here, Write(B, B, "n", 1 - bit)))  # type: ignore[arg-type]
    assert "share cells" in str(conflict(here, Write(range(3, 5), A, "m", bit)))  # type: ignore[arg-type]


def test_no_read_beside_a_write() -> None:
    for rows, columns, bit in product((A, B), (A, B), (0, 1)):
        both = Read(A, A, "x", "s"), Write(rows, columns, "m", bit)
        assert "writes would feed" in str(conflict(*both)) and derive(both) is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Read(range(3, 3), A, "x", "s"), "at least one line"),
        (lambda: Write(A, range(0, 8, 2), "m", 1), "step 1"),
        (lambda: levels([Read(A, B, "x", "s")], 4, 7, {"x": [1, 1, 1, 1]}), "does not fit into an array of 4 x 7"),
        (lambda: levels([Read(A, B, "x", "s")], 4, 8, {}), "'x' must have 4 bits"),
        (lambda: levels([Write(A, B, "m", 1)], 4, 8, {"m": [0, 1, 2, 1]}), "'m' must have 4 bits, one for each of lines 4-7"),
        (lambda: stress(Stack(torch.ones(2, 2, 2)), Levels((0, 0), (0, 0))), "planar arrays"),
    ],
)
def test_wrong_blocks(make, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make()


# The same in circuits.


def array(rows: int, columns: int, seed: int, on_s: float, ratio: float, wires: Wires) -> Stack:
    """Return an array whose cells are on or off at random, or all on for an even seed."""
    bits = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < 0.5
    return planar(torch.where(bits | (seed % 2 == 0), on_s, on_s / ratio).double(), wires)


@st.composite
def written(draw: st.DrawFn) -> tuple[Stack, Levels, float]:
    """Draw an array, the levels of one or two sets or resets in it, and the conductance of a cell that is on."""
    rows, columns = draw(st.sampled_from([(8, 8), (64, 64), (33, 20), (12, 50)]))
    ohm = st.sampled_from([0.0, 0.5, 2.0, 10.0])
    ends = st.sampled_from(["one", "both"])
    wires = Wires(
        word_ohm=draw(ohm), bit_ohm=draw(ohm), source_ohm=draw(ohm) * 10, sense_ohm=draw(ohm) * 10, word_ends=draw(ends), bit_ends=draw(ends)
    )
    on_s, half, bit = draw(st.sampled_from([1e-6, 1e-5, 1e-4])), draw(st.integers(1, columns - 1)), draw(st.sampled_from([0, 1]))
    selected = range(draw(st.integers(0, rows // 2)), draw(st.integers(rows // 2 + 1, rows)))
    blocks = [Write(selected, range(0, half), "m", bit), Write(selected, range(half, columns), "n", bit)][: draw(st.integers(1, 2))]
    mask = st.one_of(st.just([1] * columns), st.lists(st.integers(0, 1), min_size=columns, max_size=columns))
    bits = draw(mask)
    found = levels(blocks, rows, columns, {"m": bits[:half], "n": bits[half:]})
    assert found is not None
    return array(rows, columns, draw(st.integers(0, 99)), on_s, draw(st.sampled_from([1.5, 10.0, 1000.0])), wires), found, on_s


@settings(max_examples=150, deadline=None)
@given(written())
def test_no_write_stresses_cells_more_than_the_bound(drawn: tuple[Stack, Levels, float]) -> None:
    stack, found, on_s = drawn
    seen, bound = stress(stack, found), worst(stack.rows, stack.columns, on_s, stack.wires)
    assert seen.selected >= bound.selected - 1e-9
    assert seen.others <= bound.others + 1e-9


@pytest.mark.parametrize(("size", "ohm", "share"), [(64, 1.0, 0.9), (64, 10.0, 0.85), (96, 2.0, 0.9)])
def test_the_bound_is_reached_nearly(size: int, ohm: float, share: float) -> None:
    """All cells on: reset all of them, or all but the lines that are far from their drivers, whose common cell sees the most then."""
    wires = Wires(word_ohm=ohm, bit_ohm=ohm)
    stack, bound, bits = array(size, size, 0, 1e-6, 10.0, wires), worst(size, size, 1e-6, wires), {"m": [1] * size, "n": [1] * (size - 1)}
    whole = levels([Write(range(size), range(size), "m", 0)], size, size, bits)
    most = levels([Write(range(1, size), range(size - 1), "n", 0)], size, size, bits)
    assert whole and most
    assert 1 - stress(stack, whole).selected >= 0.95 * (1 - bound.selected) > 0.003
    assert stress(stack, most).others - 1 / 3 >= share * (bound.others - 1 / 3) > 0.001


def test_ideal_wires_give_the_levels_themselves() -> None:
    found = levels([Write(A, B, "m", 0)], 9, 9, {"m": [1, 0, 1, 1]})
    assert found is not None
    for wires in (Wires(), Wires(access_ohm=1e3)):
        seen = stress(array(9, 9, 1, 1e-5, 10.0, wires), found)
        assert seen.selected == pytest.approx(1, abs=1e-12) and seen.others == pytest.approx(1 / 3, abs=1e-12)
        assert worst(9, 9, 1e-5, wires).selected == 1 and worst(9, 9, 1e-5, wires).others == pytest.approx(1 / 3, abs=1e-12)


@pytest.mark.parametrize("on_s", [1e-6, 2e-5])
def test_the_bound_holds_for_curved_cells(on_s: float) -> None:
    """With what a cell draws at V in place of its conductance: it draws less in proportion at less."""
    law, wires = Sinh(0.4), Wires(word_ohm=2.0, bit_ohm=2.0, source_ohm=50.0)
    found = levels([Write(range(0, 16), range(0, 24), "m", 1)], 24, 30, {"m": [1] * 24})
    assert found is not None
    rows, columns = (torch.tensor(each, dtype=torch.float64) / 3 for each in (found.rows, found.columns))
    seen = solve_curved(array(24, 30, 0, on_s, 10.0, wires), law, rows, held=columns).cell_v[0]
    bound = worst(24, 30, float(law.current_a(torch.tensor(on_s), torch.tensor(1.0))), wires)
    chosen = rows[:, None] - columns > 0.9
    assert float(seen[chosen].min()) >= bound.selected and float(seen[~chosen].abs().max()) <= bound.others
    assert bound.selected > 0.3


@pytest.mark.parametrize("ohm", [0.0, 5.0])
def test_reads_that_go_together_do_not_disturb_each_other(ohm: float) -> None:
    """Blocks in the same rows change nothing for each other; those of one sum add up, with what wires do to each of them."""
    stack = array(24, 20, 1, 1e-5, 10.0, Wires(word_ohm=ohm, bit_ohm=ohm, source_ohm=ohm))
    bits = {"x": torch.randint(0, 2, (10,)).tolist(), "y": torch.randint(0, 2, (12,)).tolist()}
    upper, beside = Read(range(0, 10), range(2, 9), "x", "s"), Read(range(0, 10), range(9, 20), "x", "t")
    lower = Read(range(10, 22), range(2, 9), "y", "s")
    one, two, three, sum_ = (levels(each, 24, 20, bits) for each in ([upper], [upper, beside], [lower], [upper, lower]))
    assert one and two and three and sum_
    nothing = Levels((0,) * 24, (0,) * 20)
    assert float(disturbance(stack, 1e-5, two, one).abs().max()) < 1e-9
    added = disturbance(stack, 1e-5, one, nothing) + disturbance(stack, 1e-5, three, nothing)
    assert float((disturbance(stack, 1e-5, sum_, nothing) - added)[2:9].abs().max()) < 1e-9
    assert float(added[2:9].min()) > 1


def test_diagonal_reads_add_the_cells_on_their_crossing() -> None:
    """What the rule refuses: every cell that is on where a driven word line of the other block crosses is one more in the sum."""
    stack = array(32, 32, 1, 1e-5, 1e9, Wires())
    alone = levels([Read(range(0, 16), range(0, 16), "x", "s")], 32, 32, {"x": [1] * 16})
    assert alone is not None
    together = Levels((1,) * 32, (0,) * 32)  # the lower half drives bit lines 16 to 31 as well
    found = disturbance(stack, 1e-5, together, alone)[:16]
    torch.testing.assert_close(found, (stack.conductance_s[0, 16:, :16] > 5e-6).sum(0).double(), rtol=0, atol=1e-6)
    assert float(found.min()) >= 3


@pytest.mark.parametrize("ohm", [0.0, 1.0])
def test_erased_crossings_fall_out_beside_a_bit_line_of_erased_cells(ohm: float) -> None:
    """The current of an erased cell for each driven word line of the other block, the same in each bit line; wires leave a small part of it."""
    stack = array(33, 33, 1, 1e-6, 1e9, Wires(word_ohm=ohm, bit_ohm=ohm))
    cells = stack.conductance_s.clone()
    off = 1e-8
    cells[0, :16, 16:], cells[0, 16:32, :16], cells[0, :, 32] = off, off, off
    stack = stack.at(cells)
    alone = Levels((*(1,) * 16, *(0,) * 17), (0,) * 33)
    found = disturbance(stack, 1e-6, Levels((*(1,) * 32, 0), (0,) * 33), alone)
    torch.testing.assert_close(found[:16], torch.full((16,), 16 * off / 1e-6, dtype=torch.float64), rtol=0.01, atol=0)
    left = (found[:16] - found[32]).abs().max()
    assert float(left) < (1e-9 if ohm == 0 else 16 * off / 1e-6 * 33 * 33 * ohm * 1e-6)


@pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("bit", [0, 1])
def test_ngspice_agrees_on_a_written_array(bit: int) -> None:
    stack = array(16, 12, 1, 1e-5, 10.0, Wires(word_ohm=5.0, bit_ohm=5.0, source_ohm=100.0, sense_ohm=50.0))
    found = levels([Write(range(3, 6), range(2, 10), "m", bit)], 16, 12, {"m": [1, 1, 0, 1, 0, 1, 1, 0]})  # type: ignore[arg-type]
    assert found is not None
    rows, columns = (torch.tensor(each, dtype=torch.float64) / 3 for each in (found.rows, found.columns))
    want = ngspice(stack, rows, held=columns)
    torch.testing.assert_close(solve(stack, rows, held=columns).output_a, want, rtol=0, atol=1e-6 * float(want.abs().max()))
