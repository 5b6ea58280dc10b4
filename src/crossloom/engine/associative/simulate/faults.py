"""Shift faults and write faults, drawn sparsely: as many numbers as there are faults, not as there are cells.

* **Shift.** At each step of a column each row's track goes, with a small probability, one domain too far, or one too short. From then on it is displaced: the
  port finds each bit one domain away from where it should be. That is the same as bits that have moved by a domain along a column that moves rightly, and so
  it is simulated. There are `spare` domains at both ends, empty at first; what is pushed off beyond them is lost, and what comes in is 0.
* **Write.** Each cell that is to be written stays, with a small probability, as it was.

Trials are numbered, step after step and row after row, and the distance from one fault to the next is drawn from the geometric distribution, so each
trial has its probability independently of all others. A write fault in a row that is not tagged is drawn too, and changes nothing.
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
"""Distances that are drawn together."""
_SHARES = 1 << 53
"""Steps of a share that is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackFaults:
    """How often steps fail.

    Attributes:
        shift: probability that a track of one row goes wrong in one step of its column.
        too_far: share of these that go too far by one domain; the others stay one short.
        write: probability that a write leaves one cell as it was.
        realign_every: instructions after which tracks are put where they belong; 0: never. Bits that are lost stay so.
        seed: of everything that chance decides.
        inference_rows: rows that belong to one inference, each of which has faults of its own, whatever is executed together with it; 0: all rows.
        first_inference: the number of the first of them.
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
    """All faults of a stream in so many rows, in the order in which they happen.

    Attributes:
        slips: shift faults, int64[slip, 5]: instruction, position of its tracks, row, column, and whether the bits seem to move upwards.
        misses: write faults, int64[miss, 3]: instruction, ordinal of the cell among those that it offers to its writes, row.
        named: the slips once more, by instruction and ordinal of the column-step, and whether the track goes too far.
    """

    slips: Numbers
    misses: Numbers
    named: Numbers


def draw(stream: InstructionStream, rows: int, faults: TrackFaults, ports: int = 1) -> Events:
    """Return the faults of a stream in so many rows, columns having so many ports."""
    period = period_of(stream, ports)
    slips = _of_all(faults.shift, column_steps(stream, period), rows, faults, 0)
    far = slips[:, 3] < faults.too_far * _SHARES
    position, column, upwards = locate(stream, period, slips[:, :3]).T
    # A port that has come to stand too high finds all bits lower than they were.
    found = np.stack([slips[:, 0], position, slips[:, 2], column, upwards != far], axis=1)
    misses = _of_all(faults.write, cells_offered(stream), rows, faults, 1)
    return Events(found, misses[:, :3], np.column_stack([slips[:, :2], far]))


def _of_all(probability: float, counts: Numbers, rows: int, faults: TrackFaults, kind: int) -> Numbers:
    """Return instruction, ordinal and row of the trials that come true in all inferences, and a number that chance draws for each, in order."""
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
    """Return no faults at all."""
    return Events(*(np.zeros((0, width), np.int64) for width in (5, 3, 3)))


def _trials(probability: float, counts: Numbers, ends: Numbers, rows: int, generator: np.random.Generator) -> Numbers:
    """Return instruction, ordinal and row of the trials that come true, of so many in each instruction and row; `ends` are the counts summed up."""
    steps, row = np.divmod(_chosen(probability, int(ends[-1]) * rows if len(ends) else 0, generator), max(1, rows))
    instruction = np.searchsorted(ends, steps, side="right")
    return np.stack([instruction, steps - (ends - counts)[instruction], row], axis=1)


def _chosen(probability: float, trials: int, generator: np.random.Generator) -> Numbers:
    """Return the numbers of those trials that come true, each independently of the others."""
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
