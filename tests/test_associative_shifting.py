"""What a stream takes: counted fast, it is what is counted slowly; and a few streams by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossloom.engine.associative.isa.effort import Effort, effort_of
from crossloom.engine.associative.isa.instructions import InstructionStream, Op
from crossloom.engine.associative.reference.effort import plain_effort
from crossloom.errors import InputError
from tests.associative_streams import stream_of, streams

ADD = {"op": Op.ADD, "bits": 6, "to": 0, "to_at": 8, "a": 1, "a_at": 4, "a_bits": 4, "carry": 2, "carry_at": 3}


def _same(one: Effort, other: Effort) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(Effort))


@given(streams(loads=True, longest=20), st.data())
def test_the_fast_count_is_the_plain_one(stream: InstructionStream, data: st.DataObject) -> None:
    ports = data.draw(st.sampled_from([ports for ports in (1, 2, 3, 4, 6) if stream.domains % ports == 0]))
    effort = effort_of(stream, ports)
    assert _same(effort, plain_effort(stream, ports))
    assert effort.shift_steps_ahead <= effort.shift_steps <= effort.column_steps


def test_an_addition_by_hand() -> None:
    effort = effort_of(stream_of(3, 16, ADD))
    assert (effort.searches, effort.writes) == (4 * 4 + 2 * 2, 4 * 4 + 2 * 2 + 1)
    assert effort.compared == 4 * 12 + 2 * 4
    assert effort.written_eighths == 8 + 4 * 6 + 2 * (2 * 2 + 2)
    # To domains 8, 4 and 3 side by side; then A moves through 4 domains and the sum through 6.
    assert (effort.shift_steps, effort.column_steps) == (8 + 5, 8 + 4 + 3 + 3 + 5)
    assert effort.instructions[Op.ADD] == 1 and effort.bits[Op.ADD] == 6
    assert effort.wear_eighths[2, 3] == 8 + 4 * 2 + 2 * 2
    assert (effort.wear_eighths[1] == 0).all()


def test_columns_stay_where_they_are() -> None:
    again = effort_of(stream_of(3, 16, ADD, ADD)) + -1 * effort_of(stream_of(3, 16, ADD))
    assert (again.shift_steps, again.column_steps) == (5 + 5, 5 + 3 + 0 + 3 + 5)


def test_columns_that_were_not_used_are_aligned_ahead() -> None:
    other = ADD | {"to": 3, "a": 4}
    once, twice = effort_of(stream_of(5, 16, ADD)), effort_of(stream_of(5, 16, ADD, other))
    assert twice.shift_steps - once.shift_steps == 8 + 5
    assert twice.shift_steps_ahead - once.shift_steps_ahead == 0 + 5


def test_ports_shorten_the_way_and_cost_steps_between_them() -> None:
    clear = {"op": Op.CLEAR, "bits": 2, "to": 0, "to_at": 8, "a": 0}
    assert effort_of(stream_of(1, 16, clear)).shift_steps == 8 + 1
    assert effort_of(stream_of(1, 16, clear), 2).shift_steps == 0 + 1
    assert effort_of(stream_of(1, 16, clear | {"to_at": 7}), 2).shift_steps == 7 + 7
    with pytest.raises(InputError, match="divisor of 16"):
        effort_of(stream_of(1, 16, clear), 3)


@given(streams(), streams())
def test_efforts_add_and_scale(one: InstructionStream, other: InstructionStream) -> None:
    effort = effort_of(one)
    assert _same(effort + effort, 2 * effort)
    assert _same(effort + Effort.none(one.columns, one.domains), effort)
    if (one.columns, one.domains) == (other.columns, other.domains):
        assert (effort + effort_of(other)).searches == effort.searches + effort_of(other).searches
