"""Faults of the associative processor: drawn sparsely, they are those that a draw for each cell would make."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from crossloom.engine.associative.isa.effort import effort_of
from crossloom.engine.associative.isa.instructions import InstructionStream, Op
from crossloom.engine.associative.reference.execute import RowState
from crossloom.engine.associative.simulate.execute import execute
from crossloom.engine.associative.simulate.faults import Events, TrackFaults, draw
from crossloom.engine.associative.simulate.state import read_values
from crossloom.errors import InputError
from tests.associative_streams import bits_of, filled, random_bits, stream_of, streams

Bits = NDArray[np.int64]
ADD = {"op": Op.ADD, "bits": 5, "to": 0, "to_at": 2, "a": 1, "a_at": 1, "a_bits": 3, "carry": 3}
SUM = {"op": Op.SUM, "bits": 4, "to": 2, "to_at": 4, "a": 1, "a_bits": 3, "a_signed": True, "b": 0, "b_bits": 2, "carry": 3, "carry_at": 1}
EXTEND = {"op": Op.EXTEND, "bits": 6, "to": 2, "to_at": 2, "a_bits": 4, "a_signed": True}
CLEAR = {"op": Op.CLEAR, "bits": 1, "to": 0, "to_at": 1, "a": 0}
BITS = np.array([[[1, 1, 0, 0, 1, 0]]])
MIXED = stream_of(4, 8, ADD, SUM, EXTEND, ADD | {"a": 2, "op": Op.SUBTRACT})


def _row(bits: Bits, number: int, events: Events, spare: int, realign_every: int) -> RowState:
    """Return a row to which the faults happen that have been drawn for it."""
    slips = {(instruction, ordinal): bool(far) for instruction, ordinal, far in events.named[events.slips[:, 2] == number].tolist()}
    misses = {(instruction, ordinal) for instruction, ordinal, row in events.misses.tolist() if row == number}
    tracks = [[0] * spare + track + [0] * spare for track in bits[number].tolist()]
    return RowState(
        tracks,
        spare=spare,
        slip=lambda instruction, ordinal: slips.get((instruction, ordinal)),
        miss=lambda instruction, ordinal: (instruction, ordinal) in misses,
        realign_every=realign_every,
    )


@given(streams(), st.integers(0, 2), st.integers(0, 4), st.booleans(), st.data())
def test_each_row_ends_as_its_faults_would_have_it(
    stream: InstructionStream, spare: int, realign_every: int, observed: bool, data: st.DataObject
) -> None:
    ports = data.draw(st.sampled_from([ports for ports in (1, 2, 3) if stream.domains % ports == 0]))
    faults = TrackFaults(shift=0.03, write=0.03, too_far=0.3, realign_every=realign_every, seed=data.draw(st.integers(0, 99)))
    bits, events = random_bits(stream, 40), draw(stream, 40, faults, ports)
    state = filled(bits, spare=spare)
    activity = execute(stream, state, faults=faults, ports=ports, observed=observed)
    rows = [_row(bits, number, events, spare, realign_every) for number in range(40)]
    for row in rows:
        row.ports = ports
        row.execute(stream)
    assert (bits_of(state) == np.array([row.tracks for row in rows])).all()
    assert (activity.searches, activity.writes) == (rows[0].searches, rows[0].writes)
    assert not observed or (activity.tagged, activity.written) == (sum(row.tagged for row in rows), sum(row.written for row in rows))


def test_there_are_as_many_trials_as_steps_and_cells() -> None:
    events, offered = draw(MIXED, 3, TrackFaults(shift=1, write=1)), Counter[int]()

    def miss(instruction: int, ordinal: int) -> bool:
        offered[instruction] += 1
        return False

    RowState([[0] * 8 for _ in range(4)], miss=miss).execute(MIXED)
    assert len(events.slips) == 3 * effort_of(MIXED).column_steps
    assert Counter(events.misses[:, 0].tolist()) == {instruction: 3 * count for instruction, count in offered.items()}


@given(streams(loads=False))
def test_without_rates_there_are_no_faults(stream: InstructionStream) -> None:
    bits = random_bits(stream, 70)
    plain, faulty = filled(bits), filled(bits)
    assert execute(stream, plain) == execute(stream, faulty, faults=TrackFaults(realign_every=2))
    assert (bits_of(plain) == bits_of(faulty)).all()


def test_faults_depend_on_the_seed_alone() -> None:
    bits = random_bits(MIXED, 600)
    faults = TrackFaults(shift=0.01, write=0.01, seed=1)
    one, narrow, threaded, other = (filled(bits, lanes=lanes) for lanes in (4, 2, 2, 4))
    execute(MIXED, one, faults=faults)
    execute(MIXED, narrow, faults=faults)
    execute(MIXED, threaded, faults=faults, threads=2)
    execute(MIXED, other, faults=TrackFaults(shift=0.01, write=0.01, seed=2))
    assert (bits_of(one) == bits_of(narrow)).all() and (bits_of(one) == bits_of(threaded)).all()
    assert (bits_of(one) != bits_of(other)).any()


def test_faults_are_as_many_as_their_probability_says_and_anywhere() -> None:
    rows, probability, stream = 1000, 0.002, stream_of(4, 8, *(ADD,) * 300)
    events = draw(stream, rows, TrackFaults(shift=probability, too_far=0.2))
    count, trials = len(events.slips), rows * effort_of(stream).column_steps
    assert abs(count - trials * probability) < 4 * (trials * probability) ** 0.5
    assert len(np.unique(np.column_stack([events.named, events.slips[:, 2]]), axis=0)) == count
    assert abs(events.named[:, 2].mean() - 0.2) < 4 * (0.16 / count) ** 0.5
    for kept, ends in ((events.slips[:, 0], 300), (events.slips[:, 2], rows)):
        quarters = np.bincount(kept * 4 // ends, minlength=4)
        assert abs(quarters - count / 4).max() < 4 * (count * 3 / 16) ** 0.5


def test_a_write_that_always_fails_changes_nothing() -> None:
    bits = random_bits(MIXED, 50)
    state = filled(bits)
    execute(MIXED, state, faults=TrackFaults(write=1))
    assert (bits_of(state)[:, :, 1:-1] == bits).all()


@pytest.mark.parametrize(("too_far", "wanted"), ((1, [1, 0, 0, 1, 0, 0]), (0, [0, 0, 1, 0, 0, 1])))
def test_a_track_that_goes_too_far_or_too_short_finds_its_neighbours(too_far: float, wanted: list[int]) -> None:
    state = filled(BITS, spare=1)
    execute(stream_of(1, 6, CLEAR), state, faults=TrackFaults(shift=1, too_far=too_far))
    assert bits_of(state)[0, 0, 1:-1].tolist() == wanted


@pytest.mark.parametrize(("spare", "wanted"), ((1, [1, 0, 0, 0, 1, 0]), (0, [0, 0, 0, 0, 1, 0])))
def test_realignment_brings_back_what_spare_domains_have_kept(spare: int, wanted: list[int]) -> None:
    state = filled(BITS, spare=spare)
    execute(stream_of(1, 6, CLEAR, CLEAR), state, faults=TrackFaults(shift=1, too_far=1, realign_every=1))
    assert bits_of(state)[0, 0, spare : spare + 6].tolist() == wanted


def _wrong(faulty: Bits, bits: Bits) -> Bits:
    """Return by how much the sum of each row is wrong after `MIXED`, and 100 more if the extended number is."""
    right = filled(bits)
    execute(MIXED, right)
    off = [[read_values(state, np.array([column]), np.array([2]), 5, signed=False)[:, 0] for column in (0, 2)] for state in (filled(faulty), right)]
    return off[0][0] - off[1][0] + 100 * (off[0][1] != off[1][1])


def _at_once(rows: int, faults: TrackFaults) -> Bits:
    """Return how wrong rows are if faults are drawn as they are."""
    bits = random_bits(MIXED, rows, seed=1)
    state = filled(bits, lanes=2)
    execute(MIXED, state, faults=faults)
    return _wrong(bits_of(state)[:, :, 1:-1], bits)


def _one_by_one(rows: int, faults: TrackFaults) -> Bits:
    """Return how wrong rows are if chance is asked at each step of each track and for each cell that is offered to a write."""
    chance, bits = random.Random(2), random_bits(MIXED, rows, seed=3)
    each = [
        RowState(
            [[0, *track, 0] for track in row],
            spare=1,
            slip=lambda instruction, ordinal: chance.random() < faults.too_far if chance.random() < faults.shift else None,
            miss=lambda instruction, ordinal: chance.random() < faults.write,
        )
        for row in bits.tolist()
    ]
    for row in each:
        row.execute(MIXED)
    return _wrong(np.array([row.tracks for row in each])[:, :, 1:-1], bits)


def _likeness(one: Bits, other: Bits) -> float:
    """Return how probable two samples at least so different are, if they come from one distribution: chi-square over all values that are not rare."""
    values, counts = np.unique(np.concatenate([one, other]), return_counts=True)
    common = values[counts >= 40]
    table = np.array([[*((sample == value).sum() for value in common), (~np.isin(sample, common)).sum()] for sample in (one, other)])
    return float(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)


@pytest.mark.parametrize(
    "faults", (TrackFaults(shift=0.02, too_far=0.3, seed=4), TrackFaults(write=0.03, seed=4), TrackFaults(shift=0.01, write=0.01, seed=4))
)
def test_errors_are_distributed_as_if_drawn_for_each_cell(faults: TrackFaults) -> None:
    slow = _one_by_one(3000, faults)
    assert _likeness(_at_once(60_000, faults), slow) > 0.01
    more = TrackFaults(shift=faults.shift * 1.4, write=faults.write * 1.4, too_far=faults.too_far, seed=4)
    assert _likeness(_at_once(60_000, more), slow) < 0.01


def test_realignment_leaves_fewer_errors() -> None:
    stream = stream_of(4, 8, *(ADD, SUM) * 20)
    bits = random_bits(stream, 2000)
    plain, never, often = (filled(bits, lanes=2) for _ in range(3))
    execute(stream, plain)
    execute(stream, never, faults=TrackFaults(shift=0.0005))
    execute(stream, often, faults=TrackFaults(shift=0.0005, realign_every=2))
    errors = [(bits_of(state) != bits_of(plain)).sum() for state in (never, often)]
    assert 0 < errors[1] < errors[0] / 2


@pytest.mark.parametrize("wrong", ({"shift": -0.1}, {"write": 1.1}, {"too_far": 2.0}, {"realign_every": -1}, {"seed": -1}))
def test_faults_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrackFaults(**wrong)  # type: ignore[arg-type]
