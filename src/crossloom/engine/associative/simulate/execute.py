"""A stream executed pass by pass: every search and every write of every instruction, in all rows.

Blocks of rows go through many instructions at a time, so that their cells stay in the cache, and blocks are independent, so that they share out over threads.
Instructions go through `vectors`, where tables are machine code; those that a fault meets, or all if what happens is to be counted, through `watched`. Tests hold
both against `simulate_reference`, which takes one row bit by bit.

What it costs at least: an addition in place reads A and B and writes B, 24 bytes for a bit in 64 rows, while the carry stays in a register. Its four steps are
four searches of three cells and six writes. With vector instructions of three operands each of them takes one: ten, of which eight follow from each
other, because a step sees what the step before has written. A cell of 8 words fills a register of 512 bits. `python -m benchmarks associative` measures both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from crossloom.engine.associative.isa.codes import OP_LOAD
from crossloom.engine.associative.isa.instructions import InstructionStream
from crossloom.engine.associative.isa.validity import check_stream
from crossloom.engine.associative.simulate.faults import TrackFaults, draw, no_faults
from crossloom.engine.associative.simulate.row_block import Course
from crossloom.engine.associative.simulate.state import State
from crossloom.errors import InputError

Load = Callable[[int, State], None]
"""Puts the inputs of a round into the columns in which the layout has them."""
_AT_ONCE = 1 << 15
"""Instructions that a block goes through before the next one does: about a millisecond, so that fetching the block's cells hardly counts."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What was done: steps that compared and steps that wrote, in each array; if observed, in all rows together, how many matched and cells were written."""

    searches: int
    writes: int
    tagged: int | None = None
    written: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Instructions from one to before another, executed after the load of a round (None: before any load)."""

    round: int | None
    start: int
    stop: int


def segments(stream: InstructionStream) -> Iterator[Segment]:
    """Yield a stream's instructions between loads: first those before any load, then for each load those that follow it. Some may be none."""
    loads = np.flatnonzero(stream.instructions["op"] == OP_LOAD).tolist()
    for load, following in pairwise((-1, *loads, len(stream))):
        yield Segment(int(stream.instructions[load]["a"]) if load >= 0 else None, load + 1, following)


def execute(
    stream: InstructionStream,
    state: State,
    *,
    load: Load | None = None,
    faults: TrackFaults | None = None,
    ports: int = 1,
    observed: bool = False,
    threads: int = 1,
) -> Activity:
    """Execute a stream in all rows of a state, which changes, and return what was done.

    `load` is called at each load. Faults depend on their seed and the number of rows, not on threads nor on how rows are cut into blocks. Raises InputError for a
    stream that cannot be executed in this state.
    """
    _check(stream, state, load)
    events = draw(stream, state.rows, faults, ports) if faults else no_faults()
    course = Course(stream, state.height, state.spare, events, faults.realign_every if faults else 0, observed)
    blocks = course.blocks(state)
    steps = np.zeros(2, np.int64)
    with ThreadPoolExecutor(threads) as pool:
        each = map if threads == 1 or len(blocks) == 1 else pool.map
        for segment in segments(stream):
            if segment.round is not None and load is not None:
                load(segment.round, state)
            for start in range(segment.start, segment.stop, _AT_ONCE):
                stop = min(start + _AT_ONCE, segment.stop)
                runs = course.lower(start, stop)
                steps += runs.searches, runs.writes
                list(each(partial(course.perform, runs=runs, start=start, stop=stop), blocks))
    searches, writes = steps.tolist()
    if not observed:
        return Activity(searches, writes)
    return Activity(searches, writes, sum(block.tagged for block in blocks), sum(block.written for block in blocks))


def _check(stream: InstructionStream, state: State, load: Load | None) -> None:
    check_stream(stream)
    if (stream.columns, stream.domains) != (state.columns, state.domains):
        raise InputError(
            f"stream: for {stream.columns} columns of {stream.domains} domains, the state has {state.columns} of {state.domains}; make it alike"
        )
    if load is None and (stream.instructions["op"] == OP_LOAD).any():
        raise InputError("stream: has loads; give `load`, which puts the inputs of a round into the state")
