"""Execution of a stream: every search and every write of every instruction, in all rows.

A block of rows goes through many instructions at a time, so that its cells stay in the cache. Blocks are independent and are distributed
over threads. Instructions run in `simd`, where tables are machine code. Those hit by a fault run in `watched`, as do all instructions if
activity is to be counted. Tests compare both with `reference/execute`, which executes one row bit by bit.

Lower bound on the cost: an in-place addition reads A and B and writes B, 24 bytes for a bit in 64 rows, while the carry stays in a register.
Its four steps are four searches of three cells and six writes. With three-operand vector instructions each takes one instruction: ten in all.
Eight of them form a dependency chain, because a step sees what the previous step has written. A cell of 8 words fills a 512-bit register.
`python -m benchmarks associative` measures both.
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
"""Callback that writes the inputs of a round into the columns assigned by the layout."""
_AT_ONCE = 1 << 15
"""Number of instructions a block executes before the next starts: about a millisecond, so fetching the block's cells costs little."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Executed steps: searches and writes in each array and, if observed, the numbers of matching rows and written cells, summed over all rows."""

    searches: int
    writes: int
    tagged: int | None = None
    written: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A half-open range of instructions, executed after the load of a round (None: before any load)."""

    round: int | None
    start: int
    stop: int


def segments(stream: InstructionStream) -> Iterator[Segment]:
    """Yield a stream's instructions between loads: first those before any load, then those after each load. A segment may be empty."""
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
    """Execute a stream in all rows of a state, which is modified in place, and return the activity.

    `load` is called at each load. Faults depend on their seed and the number of rows, not on the threads or on how rows are divided
    into blocks. Raises InputError for a stream that cannot be executed in this state.
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
            f"stream: for {stream.columns} columns of {stream.domains} domains, the state has {state.columns} of {state.domains}; make them equal"
        )
    if load is None and (stream.instructions["op"] == OP_LOAD).any():
        raise InputError("stream: has loads; pass `load`, which writes the inputs of a round into the state")
