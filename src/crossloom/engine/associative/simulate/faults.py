"""Shift and write faults, drawn sparsely: the number of random draws scales with the faults, not with the cells.

* **Shift.** At each step of a column, each row's track moves, with a small probability, one domain too far or one too short. From then on it is
  displaced: the port finds each bit one domain away from its correct place. This is equivalent to bits displaced by one domain along a column that
  moves correctly, which is how it is simulated. There are `spare` domains at both ends, initially empty. Bits pushed beyond them are lost, and
  zeros are shifted in.
* **Write.** Each cell to be written keeps its old value with a small probability.

Trials are numbered step by step and row by row. The distance from one fault to the next is drawn from the geometric distribution, so each
trial fails with its probability independently of all others. A write fault in an untagged row is drawn as well, and has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa.instructions import InstructionStream
from crossloom.engine.associative.isa.tracks import cells_offered, column_steps, locate, period_of
from crossloom.errors import InputError

Numbers = NDArray[np.int64]
_AT_ONCE = 1 << 12
"""Number of distances drawn together."""
_SHARES = 1 << 53
"""Resolution of a uniform random fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackFaults:
    """Fault probabilities of steps.

    Attributes:
        shift: probability of a shift fault of one row's track in one step of its column.
        too_far: fraction of these that move one domain too far; the others stop one short.
        write: probability that a write leaves one cell unchanged.
        realign_every: number of instructions after which tracks are realigned; 0: never. Lost bits stay lost.
        seed: random seed of all faults.
        inference_rows: number of rows per inference. Each inference has its own faults, whatever is executed together with it; 0: all rows.
        first_inference: index of the first inference.
    """

    shift: float = 0.0
    too_far: float = 0.5
    write: float = 0.0
    realign_every: int = 0
    seed: int = 0
    inference_rows: int = 0
    first_inference: int = 0

    def __post_init__(self) -> None:
        for name in ("shift", "too_far", "write"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"faults: {name} must be a probability from 0 to 1, got {getattr(self, name):g}")
        for name in ("realign_every", "seed", "inference_rows", "first_inference"):
            if getattr(self, name) < 0:
                raise InputError(f"faults: {name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False, slots=True)
class Events:
    """All faults of a stream in a number of rows, in the order in which they occur.

    Attributes:
        slips: shift faults, int64[slip, 5]: instruction, position of its tracks, row, column, and whether the bits appear to move upwards.
        misses: write faults, int64[miss, 3]: instruction, ordinal of the cell among those offered to its writes, row.
        named: the same slips, by instruction and ordinal of the column-step, and whether the track moves too far.
    """

    slips: Numbers
    misses: Numbers
    named: Numbers


def draw(stream: InstructionStream, rows: int, faults: TrackFaults, ports: int = 1) -> Events:
    """Return the faults of a stream in `rows` rows, for columns with `ports` ports."""
    period = period_of(stream, ports)
    slips = _of_all(faults.shift, column_steps(stream, period), rows, faults, 0)
    far = slips[:, 3] < faults.too_far * _SHARES
    position, column, upwards = locate(stream, period, slips[:, :3]).T
    # A port that stands too high finds all bits lower than they were.
    found = np.stack([slips[:, 0], position, slips[:, 2], column, upwards != far], axis=1)
    misses = _of_all(faults.write, cells_offered(stream), rows, faults, 1)
    return Events(found, misses[:, :3], np.column_stack([slips[:, :2], far]))


def _of_all(probability: float, counts: Numbers, rows: int, faults: TrackFaults, kind: int) -> Numbers:
    """Return, in order, the instruction, ordinal and row of each fault in all inferences, and a random number for each."""
    each = faults.inference_rows or max(1, rows)
    ends = np.cumsum(counts)
    found = []
    for place, start in enumerate(range(0, rows, each)):
        generator = np.random.default_rng((faults.seed, kind, faults.first_inference + place))
        trials = _trials(probability, counts, ends, min(each, rows - start), generator)
        trials[:, 2] += start
        found.append(np.column_stack([trials, generator.integers(0, _SHARES, len(trials))]))
    whole = np.concatenate(found) if found else np.zeros((0, 4), np.int64)
    return whole[np.lexsort((whole[:, 2], whole[:, 1], whole[:, 0]))] if len(found) > 1 else whole


def no_faults() -> Events:
    """Return empty lists of faults."""
    return Events(*(np.zeros((0, width), np.int64) for width in (5, 3, 3)))


def _trials(probability: float, counts: Numbers, ends: Numbers, rows: int, generator: np.random.Generator) -> Numbers:
    """Return the instruction, ordinal and row of each fault, given the number of trials per instruction and row; `ends` are the cumulative counts."""
    steps, row = np.divmod(_chosen(probability, int(ends[-1]) * rows if len(ends) else 0, generator), max(1, rows))
    instruction = np.searchsorted(ends, steps, side="right")
    return np.stack([instruction, steps - (ends - counts)[instruction], row], axis=1)


def _chosen(probability: float, trials: int, generator: np.random.Generator) -> Numbers:
    """Return the indices of the trials that fail, each independently of the others."""
    if probability <= 0 or trials == 0:
        return np.zeros(0, np.int64)
    found: list[Numbers] = []
    last = -1
    while last < trials:
        expected = probability * (trials - last)
        gaps = np.minimum(generator.geometric(probability, min(_AT_ONCE, int(expected + 4 * expected**0.5) + 4)), trials + 1)
        found.append(last + np.cumsum(gaps))
        last = int(found[-1][-1])
    numbers = np.concatenate(found)
    return numbers[numbers < trials]
