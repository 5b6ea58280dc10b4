"""The associative processor pass by pass: equal to one row bit by bit from the tables, and to integer arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossloom.engine.associative.isa.effort import effort_of
from crossloom.engine.associative.isa.instructions import CARRIES, InstructionStream, Op
from crossloom.engine.associative.reference.execute import RowState
from crossloom.engine.associative.simulate.execute import Activity, Segment, execute, segments
from crossloom.engine.associative.simulate.state import State, read_values, write_values
from crossloom.errors import InputError
from tests.associative_streams import ROUNDS, bits_of, filled, random_bits, stream_of, streams

ROWS = 70
"""More than a word, and not a whole number of them."""
Bits = NDArray[np.int64]
CLEARED = stream_of(4, 8, {"op": Op.CLEAR, "bits": 3, "to": 1, "to_at": 2, "a": 2})


def _inputs(rows: int) -> Bits:
    """Return what is loaded in each round: two-bit numbers [round, row, column 0 and 2]."""
    return np.random.default_rng(5).integers(0, 4, (ROUNDS, rows, 2))


def _load(round: int, state: State) -> None:
    if state.domains > 1:
        write_values(state, _inputs(state.rows)[round], np.array([0, 2]), np.array([0, 0]), 2)


def _reference(stream: InstructionStream, bits: Bits) -> tuple[Bits, list[RowState]]:
    """Return the bits after a stream, each row on its own, and the rows."""
    rows = [RowState([list(track) for track in row]) for row in bits.tolist()]
    for number, row in enumerate(rows):

        def load(round: int, row: RowState, number: int = number) -> None:
            for column, value in zip((0, 2), _inputs(len(rows))[round, number].tolist(), strict=True):
                if len(row.tracks[column]) > 1:
                    row.tracks[column][:2] = [value & 1, value >> 1]

        row.execute(stream, load)
    return np.array([row.tracks for row in rows]), rows


@given(streams(loads=True), st.integers(1, ROWS))
def test_rows_end_as_bit_by_bit_from_the_tables(stream: InstructionStream, rows: int) -> None:
    bits = random_bits(stream, rows)
    state = filled(bits, spare=0)
    activity = execute(stream, state, load=_load)
    wanted, each = _reference(stream, bits)
    assert (bits_of(state) == wanted).all()
    assert activity == Activity(each[0].searches, each[0].writes)


@given(streams(loads=True), st.integers(1, ROWS))
def test_what_happens_is_counted_as_it_happens(stream: InstructionStream, rows: int) -> None:
    bits = random_bits(stream, rows)
    state = filled(bits, spare=0)
    activity = execute(stream, state, load=_load, observed=True)
    wanted, each = _reference(stream, bits)
    assert (bits_of(state) == wanted).all()
    assert activity == Activity(each[0].searches, each[0].writes, sum(row.tagged for row in each), sum(row.written for row in each))


@given(streams())
def test_what_is_performed_is_what_is_counted_beforehand(stream: InstructionStream) -> None:
    activity, effort = execute(stream, State.zeros(1, stream.columns, stream.domains)), effort_of(stream)
    assert (activity.searches, activity.writes) == (effort.searches, effort.writes)


@given(streams(), st.sampled_from((2, 4)), st.integers(0, 2), st.integers(1, 2))
def test_blocks_spare_domains_and_threads_change_nothing(stream: InstructionStream, lanes: int, spare: int, threads: int) -> None:
    bits = random_bits(stream, 300)
    one, other = filled(bits, spare=0), filled(bits, lanes=lanes, spare=spare)
    execute(stream, one), execute(stream, other, threads=threads)
    after = bits_of(other)[:, :, spare : spare + stream.domains]
    assert (bits_of(one) == after).all()
    assert bits_of(other).sum() == after.sum()


def _operands(op: Op, bits: int, a: tuple[int, bool], b: tuple[int, bool], seed: int) -> tuple[Bits, Bits, Bits, InstructionStream, State]:
    """Return A, B and the target before, and the stream and state of one instruction."""
    rng = np.random.default_rng(seed)
    values = [rng.integers(-(1 << stored - 1) if signed else 0, 1 << stored - signed, (200, 1)) for stored, signed in (a, b)]
    before = rng.integers(0, 1 << bits, (200, 1))
    names = {"a": 1, "a_at": 3, "a_bits": a[0], "a_signed": a[1], "b": 2, "b_at": 1, "b_bits": b[0], "b_signed": b[1]}
    stream = stream_of(4, 16, {"op": op, "bits": bits, "to": 0, "to_at": 2, "carry": 3, "carry_at": 9, **names})
    state = State.zeros(200, 4, 16)
    for value, column, domain, stored in ((before, 0, 2, bits), (values[0], 1, 3, a[0]), (values[1], 2, 1, b[0])):
        write_values(state, value, np.array([column]), np.array([domain]), stored)
    write_values(state, np.ones((200, 1), np.int64), np.array([3]), np.array([9]), 1)
    return values[0], values[1], before, stream, state


OPERANDS = st.tuples(st.integers(1, 12), st.booleans())


@given(st.sampled_from([*CARRIES, Op.COPY]), st.integers(1, 14), OPERANDS, OPERANDS, st.integers(0, 9))
def test_operations_are_integer_arithmetic(op: Op, bits: int, a: tuple[int, bool], b: tuple[int, bool], seed: int) -> None:
    left, right, before, stream, state = _operands(op, bits, a, b, seed)
    execute(stream, state)
    exact = {
        Op.ADD: before + left,
        Op.SUBTRACT: before - left,
        Op.SUM: right + left,
        Op.DIFFERENCE: right - left,
        Op.COPY: left,
        Op.NEGATE: -left,
    }[op]
    target = np.array([0]), np.array([2])
    assert (read_values(state, *target, bits, signed=False) == exact % (1 << bits)).all()
    if exact.min() >= -(1 << bits - 1) and exact.max() < 1 << bits - 1:
        assert (read_values(state, *target, bits, signed=True) == exact).all()
    assert (read_values(state, np.array([1]), np.array([3]), a[0], signed=a[1]) == left).all()
    assert (read_values(state, np.array([2]), np.array([1]), b[0], signed=b[1]) == right).all()


@given(st.integers(1, 10), st.integers(0, 6), st.booleans())
def test_extending_keeps_the_value(stored: int, more: int, signed: bool) -> None:
    values = np.random.default_rng(0).integers(-(1 << stored - 1) if signed else 0, 1 << stored - signed, (100, 1))
    state, place = State.zeros(100, 2, 16), (np.array([1]), np.array([0]))
    write_values(state, np.full((100, 1), -1), *place, 16)
    write_values(state, values, *place, stored)
    execute(stream_of(2, 16, {"op": Op.EXTEND, "bits": stored + more, "to": 1, "a_bits": stored, "a_signed": signed}), state)
    assert (read_values(state, *place, stored + more, signed=signed) == values).all()


def test_a_clear_clears_its_cells_alone() -> None:
    state = filled(np.ones((3, 4, 8), np.int64))
    execute(CLEARED, state)
    wanted = np.ones((4, 8))
    wanted[1:3, 2:5] = 0
    assert (bits_of(state)[:, :, 1:-1] == wanted).all()


def test_half_a_row_matches_and_three_quarters_of_a_cell_are_written_for_each_bit_of_a_sum() -> None:
    rows, bits = 8192, 12
    stream = stream_of(3, bits, {"op": Op.ADD, "bits": bits, "to": 0, "a": 1, "a_bits": bits, "carry": 2})
    activity = execute(stream, filled(random_bits(stream, rows), lanes=2), observed=True)
    assert activity.searches + activity.writes - 1 == 8 * bits
    assert activity.tagged is not None and activity.written is not None
    assert activity.tagged / rows / bits == pytest.approx(0.5, abs=0.01)
    # The carry is 0 before the lowest bit and only tends to 1/2: C = 0 writes 3/4 of a cell, as C = 1 does.
    assert (activity.written / rows - 1) / bits == pytest.approx(0.75, abs=0.01)


@given(st.integers(1, 64), st.integers(1, 150), st.booleans(), st.integers(0, 2))
def test_values_come_back(bits: int, rows: int, signed: bool, spare: int) -> None:
    rng = np.random.default_rng(bits)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << min(bits, 63))
    values = rng.integers(low, high, (rows, 3), endpoint=False)
    state, places = State.zeros(rows, 4, 70, spare=spare), (np.array([2, 0, 3]), np.array([1, 6, 0]))
    write_values(state, values, *places, bits)
    assert (read_values(state, *places, bits, signed=signed) == values).all()
    assert bits_of(state).sum() == sum(int(value % (1 << bits)).bit_count() for value in values.reshape(-1).tolist())


@pytest.mark.parametrize("kind", (np.int8, np.int16, np.int32, np.uint8))
def test_values_of_any_integer_type_are_taken(kind: type[Any]) -> None:
    values = np.arange(90).reshape(30, 3).astype(kind)
    state, places = State.zeros(30, 3, 9), (np.arange(3), np.ones(3, np.int64))
    write_values(state, values, *places, 7)
    assert (read_values(state, *places, 7, signed=False) == values).all()


def test_a_value_outside_of_the_array_is_refused() -> None:
    state = State.zeros(3, 4, 8)
    for column, domain, bits in ((4, 0, 1), (-1, 0, 1), (0, 8, 1), (0, 5, 4), (0, 0, 0)):
        with pytest.raises(InputError, match="outside"):
            read_values(state, np.array([column]), np.array([domain]), bits, signed=False)
    with pytest.raises(InputError, match="3 rows of 1"):
        write_values(state, np.zeros((2, 1), np.int64), np.array([0]), np.array([0]), 1)


def test_segments_are_what_lies_between_loads() -> None:
    load, clear = {"op": Op.LOAD, "a": 7}, {"op": Op.CLEAR, "bits": 1}
    assert list(segments(stream_of(1, 1, clear, load, load, clear, clear))) == [Segment(None, 0, 1), Segment(7, 2, 2), Segment(7, 3, 5)]
    assert list(segments(stream_of(1, 1))) == [Segment(None, 0, 0)]


SUM = {"op": Op.SUM, "bits": 3, "to": 0, "a": 1, "a_bits": 2, "b": 2, "b_bits": 2, "carry": 3}


@pytest.mark.parametrize(
    ("changes", "problem"),
    (
        ({"op": 9}, "operations are numbered"),
        ({"bits": 0}, "computes no bits"),
        ({"to_at": 6}, "reaches beyond"),
        ({"to": 4}, "reaches beyond"),
        ({"to": -1}, "reaches beyond"),
        ({"a_at": 7}, "reaches beyond"),
        ({"b_at": 7}, "reaches beyond"),
        ({"carry": 4}, "reaches beyond"),
        ({"carry_at": 8}, "reaches beyond"),
        ({"a": 0}, "in one column"),
        ({"b": 1}, "in one column"),
        ({"carry": 2}, "in one column"),
        ({"a_bits": 0, "a_signed": True}, "without bits"),
        ({"b_bits": 0, "b_signed": True}, "without bits"),
        ({"op": Op.EXTEND, "a_bits": 4}, "shorter"),
        ({"op": Op.CLEAR, "to": 2, "a": 1}, "clears no column"),
        ({"op": Op.CLEAR, "a": 4}, "reaches beyond"),
    ),
)
def test_a_stream_that_cannot_be_executed_is_refused_with_its_first_wrong_instruction(changes: dict[str, int], problem: str) -> None:
    state = State.zeros(1, 4, 8)
    execute(stream_of(4, 8, SUM), state)
    with pytest.raises(InputError, match=f"instruction 1, .*{problem}"):
        execute(stream_of(4, 8, SUM, SUM | changes), state)


def test_a_state_of_another_size_and_a_load_without_a_loader_are_refused() -> None:
    with pytest.raises(InputError, match="the state has 4 of 9"):
        execute(CLEARED, State.zeros(1, 4, 9))
    with pytest.raises(InputError, match="pass `load`"):
        execute(stream_of(4, 8, {"op": Op.LOAD}), State.zeros(1, 4, 8))
    with pytest.raises(InputError, match="at least one"):
        State.zeros(0, 4, 8)
