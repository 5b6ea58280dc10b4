"""The associative processor pass by pass: bits of additions in rows a second, beside what moving their bits costs at least, and beside integers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.timing import cpu_seconds, one_core
from crossloom.engine.associative.isa.effort import Effort, effort_of
from crossloom.engine.associative.isa.instructions import INSTRUCTION, InstructionStream, Op
from crossloom.engine.associative.simulate.execute import execute
from crossloom.engine.associative.simulate.faults import TrackFaults
from crossloom.engine.associative.simulate.state import State, read_values, write_values

COLUMNS, DOMAINS, BITS = 256, 64, 13
TARGET_PER_S = 3e9
FETCHED_BYTES = 24
"""Of a bit of an addition in place, for 64 rows: A and B are read and B is written, the carry stays where it is."""
CACHED_WORDS = 1 << 14
"""Of three vectors that fit into a second-level cache together."""


def measure() -> Iterator[str]:
    """Yield a line for each number of rows, and for what else is done with a stream."""
    rng = np.random.default_rng(0)
    with one_core():
        bytes_per_s = _bytes_per_s(rng)
        yield f"floor: {bytes_per_s / 1e9:.0f} GB/s to read two vectors and write one in the second-level cache"
        for rows in (64, 256, 4096, 65536):
            yield _additions(rows, bytes_per_s, rng)
        yield from _beside(4096, rng)
        stream = _stream(1_000_000, BITS, rng)
        yield f"counting what a million instructions take: {cpu_seconds(lambda: effort_of(stream)):.2f} s (target 1 s)"
        yield _values(4096, rng)


def _stream(length: int, a_bits: int, rng: np.random.Generator) -> InstructionStream:
    """Return additions and subtractions of operands with so many bits to sums anywhere in the array."""
    found = np.zeros(length, INSTRUCTION)
    found["op"] = rng.choice((Op.ADD, Op.SUBTRACT), length)
    found["to"], found["a"], found["carry"] = rng.integers(128, 255, length), rng.integers(0, 128, length), 255
    found["to_at"], found["a_at"] = (rng.integers(0, DOMAINS // 16, length) * 16 for _ in range(2))
    found["bits"], found["a_bits"], found["carry_at"] = BITS, a_bits, np.arange(length) // 16 % DOMAINS
    return InstructionStream(COLUMNS, DOMAINS, found)


def _state(rows: int, rng: np.random.Generator) -> State:
    state = State.zeros(rows, COLUMNS, DOMAINS)
    state.planes[:] = rng.integers(0, 1 << 64, state.planes.shape, dtype=np.uint64)
    return state


def _bytes_per_s(rng: np.random.Generator) -> float:
    one, other = (rng.integers(0, 1 << 63, CACHED_WORDS, dtype=np.uint64) for _ in range(2))
    return 200 * 3 * one.nbytes / cpu_seconds(lambda: [np.bitwise_xor(one, other, out=one) for _ in range(200)], 20)


def _integers_s(rows: int, count: int, rng: np.random.Generator) -> float:
    """Return how long as many additions of 16-bit integers take, a vector of all rows at a time."""
    sums, operands = (rng.integers(0, 1 << 12, (128, rows), dtype=np.int16) for _ in range(2))

    def add() -> None:
        for number in range(count):
            np.add(sums[number % 128], operands[number % 101], out=sums[number % 128])

    return cpu_seconds(add, 3)


def _additions(rows: int, bytes_per_s: float, rng: np.random.Generator) -> str:
    length = max(20_000, min(200_000, (1 << 28) // rows))
    stream, state = _stream(length, BITS, rng), _state(rows, rng)
    effort, taken_s = effort_of(stream), cpu_seconds(lambda: execute(stream, state))
    bits = int(effort.bits.sum())
    floor_s = bits * FETCHED_BYTES * -(-rows // 64) / bytes_per_s
    return (
        f"{rows} rows: {bits * rows / taken_s:.2g} bits of additions in place a second (target {TARGET_PER_S:.0e}), "
        f"{taken_s / effort.writes * 1e9:.2f} ns a step; {taken_s / floor_s:.1f} times the floor, "
        f"{taken_s / _integers_s(rows, length, rng):.1f} times {BITS}-bit sums as 16-bit integers in NumPy"
    )


def _beside(rows: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield what short operands, counting what happens, and faults cost."""
    stream, state = _stream(50_000, 4, rng), _state(rows, rng)
    effort, plain_s = effort_of(stream), cpu_seconds(lambda: execute(stream, state))
    yield f"{rows} rows, 4-bit operands: {_rate(effort, rows, plain_s)}"
    few = InstructionStream(COLUMNS, DOMAINS, stream.instructions[:2000])
    observed_s = cpu_seconds(lambda: execute(few, state, observed=True)) * len(stream) / len(few)
    yield f"{rows} rows, matches and cells counted: {_rate(effort, rows, observed_s)}, {observed_s / plain_s:.0f} times the time"
    for rate in (1e-8, 1e-6):
        faults = TrackFaults(shift=rate, write=rate, realign_every=1000)
        faulty_s = cpu_seconds(lambda faults=faults: execute(stream, state, faults=faults))
        yield f"{rows} rows, faults in {rate:.0e} of shifts and writes: {_rate(effort, rows, faulty_s)}, {faulty_s / plain_s:.1f} times the time"


def _rate(effort: Effort, rows: int, taken_s: float) -> str:
    return f"{int(effort.bits.sum()) * rows / taken_s:.2g} bits a second"


def _values(rows: int, rng: np.random.Generator) -> str:
    values, columns = rng.integers(0, 16, (rows, 144), dtype=np.int16), np.arange(144)
    state, domains = State.zeros(rows, COLUMNS, DOMAINS), np.zeros(144, np.int64)
    write_s = cpu_seconds(lambda: write_values(state, values, columns, domains, 4))
    read_s = cpu_seconds(lambda: read_values(state, columns, domains, 4, signed=False))
    return f"4-bit values: {values.size / write_s:.2g} a second written, {values.size / read_s:.2g} read"
