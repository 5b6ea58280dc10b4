"""Look-up tables of the associative processor: they compute what they say, with as few steps as there can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from crossloom.engine.associative.isa.truth_tables import (
    ADD,
    BORROW,
    CARRY,
    COPY,
    DIFFERENCE,
    LAST,
    MINUEND,
    NEGATIVE,
    SUBTRACT,
    SUM,
    SUM_OF_A,
    SUM_OF_B,
    TABLES,
    TruthTable,
    outcomes,
)

States = NDArray[np.uint32]
C, B, A, R = (1 << cell for cell in range(4))
IN_PLACE, OUT_OF_PLACE = (ADD, SUBTRACT, CARRY, BORROW), (SUM, DIFFERENCE, SUM_OF_B, SUM_OF_A, MINUEND, NEGATIVE, LAST, COPY)
EACH = np.uint32(0x11111111)
"""The lowest bit of each of eight rows, of four cells each."""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_tables_compute_what_they_mean_in_all_states(table: TruthTable) -> None:
    for before, after in outcomes(table):
        carry, target = table.means(before["C"], before["B"], before["A"])
        assert after == before | {table.target: target, "C": carry}
        assert set(table.reads) >= {cell for step in table.steps for cell in step.key}


def _choices(cells: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield every choice of some cells with a bit for each: the cells, and those with a 1."""
    for choice in product((None, 0, 1), repeat=len(cells)):
        chosen = [(cell, bit) for cell, bit in zip(cells, choice, strict=True) if bit is not None]
        yield sum(cell for cell, _ in chosen), sum(cell * bit for cell, bit in chosen)


def _after(states: States, step: NDArray[np.uint32]) -> States:
    """Return what a step makes of states, each of eight rows of four bits."""
    compared, key, written, bits = step
    differs = (states ^ key) & compared
    differs |= differs >> np.uint32(2)
    differs |= differs >> np.uint32(1)
    match = (~differs & EACH) * np.uint32(15)
    return states & ~(match & written) | match & bits


def _packed(rows: Sequence[int]) -> np.uint64:
    return np.uint32(sum(row << 4 * number for number, row in enumerate(rows)))


def fewest_steps(means: Callable[[int, int, int], tuple[int, int]], target: int, writable: Sequence[int], most: int, preset: int = 0) -> int | None:
    """Return the least number of steps that take every row (R is preset) to what an operation means, keys of any cells; None if more than `most`."""
    bits = list(product((0, 1), repeat=3))
    before = [c * C | b * B | a * A | preset * R for c, b, a in bits]
    wanted = _packed([row & ~(C | target) | means(*each)[0] * C | means(*each)[1] * target for row, each in zip(before, bits, strict=True)])
    keys = _choices((C, B, A) if target == B else (C, B, A, R))
    steps = np.array([(*key, *write) for key, write in product(keys, list(_choices(writable))) if write[0]], np.uint32) * EACH
    seen = states = np.array([_packed(before)])
    for count in range(1, most + 1):
        found = [_after(states, step) for step in steps]
        if any((each == wanted).any() for each in found):
            return count
        if count < most:
            states = np.setdiff1d(np.concatenate([np.unique(each) for each in found]), seen)
            seen = np.concatenate([seen, states])
    return None


@pytest.mark.parametrize("table", IN_PLACE, ids=lambda table: table.name)
def test_no_table_in_place_can_do_with_fewer_steps_whatever_it_writes(table: TruthTable) -> None:
    assert fewest_steps(table.means, B, (C, B, A), len(table.steps) - 1) is None


@pytest.mark.parametrize("table", OUT_OF_PLACE, ids=lambda table: table.name)
def test_no_table_out_of_place_can_do_with_fewer_steps_once_the_target_is_preset_to_either_bit(table: TruthTable) -> None:
    assert table.steps[0].key == {} and set(table.steps[0].write) == {"R"}
    preset = table.steps[0].write["R"]
    assert fewest_steps(table.means, R, (C, R), len(table.steps) - 1, preset) == len(table.steps) - 1
    assert fewest_steps(table.means, R, (C, R), len(table.steps) - 2, 1 - preset) is None


def test_subtracting_from_the_operand_in_place_takes_six_steps() -> None:
    assert fewest_steps(lambda c, b, a: (int(a - b - c < 0), (a - b - c) & 1), B, (C, B), 6) == 6


def test_the_search_finds_the_tables_of_the_literature() -> None:
    assert [fewest_steps(table.means, B, (C, B), 4) for table in (ADD, SUBTRACT, CARRY, BORROW)] == [4, 4, 2, 2]


def test_costs_are_those_of_the_literature() -> None:
    for table in (ADD, SUBTRACT):
        assert (table.searches, table.writes, table.compared, table.written_eighths) == (4, 4, 12, 6)
        assert sum(step.chance for step in table.steps) == 0.5
    for table in (SUM, DIFFERENCE):
        assert (table.searches, table.writes - 1, table.compared, table.written_eighths - 8) == (5, 5, 15, 6)
        assert sum(step.chance for step in table.steps if step.key) == 0.625
