"""Effort of a stream: searches, writes, and shift steps of the tracks.

The number of written cells depends on the bits. The averages here are over random bits, in eighths so that they are exact. A load is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa.codes import CLEAR, COPY, COSTS, OP_CLEAR, OP_COPY, OP_EXTEND, OP_LOAD, TABLE_NUMBERS, place, unpack
from crossloom.engine.associative.isa.instructions import InstructionStream, Op
from crossloom.engine.associative.isa.tracks import move, period_of, tracks_of
from crossloom.kernels.jit import compiled

Numbers = NDArray[np.int64]
_ALL = 8
"""Wear of a cell that is written in every row, in eighths."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Effort:
    """Effort of a stream in one array.

    Attributes:
        searches, writes: steps that compare, and steps that write.
        compared: number of cells compared in each row.
        shift_steps: serial steps of the tracks. Tracks of one instruction move in parallel, and the longest path counts.
        shift_steps_ahead: the same if columns unused by the previous instruction are aligned during it, assuming that it always lasts long enough.
        column_steps: steps summed over all columns.
        instructions, bits: number of instructions of each operation, and of their bit positions, in the order of `Op`. An extend counts
            its new bits, a clear the bits of all its columns.
        wear_eighths: mean number of writes to each cell of a row, in eighths, [columns, domains].
    """

    searches: int
    writes: int
    compared: int
    shift_steps: int
    shift_steps_ahead: int
    column_steps: int
    instructions: Numbers
    bits: Numbers
    wear_eighths: Numbers

    @property
    def written_eighths(self) -> int:
        """Mean number of cells written in each row, in eighths."""
        return int(self.wear_eighths.sum())

    @classmethod
    def none(cls, columns: int, domains: int) -> Effort:
        """Return the effort of an empty stream."""
        by_op, cells = np.zeros((2, len(Op)), np.int64), np.zeros((columns, domains), np.int64)
        return cls(**dict.fromkeys(_COUNTED, 0), instructions=by_op[0], bits=by_op[1], wear_eighths=cells)

    def __add__(self, other: Effort) -> Effort:
        return Effort(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    def __mul__(self, times: int) -> Effort:
        return Effort(**{one.name: getattr(self, one.name) * times for one in fields(self)})

    __rmul__ = __mul__


_COUNTED = ("searches", "writes", "compared", "shift_steps", "shift_steps_ahead", "column_steps")


def effort_of(stream: InstructionStream, ports: int = 1) -> Effort:
    """Return the effort of a stream; each column has `ports` ports and starts at domain 0. Raises InputError for unevenly spaced ports."""
    counts, by_op = np.zeros(len(_COUNTED), np.int64), np.zeros((2, len(Op)), np.int64)
    wear, period = np.zeros((stream.columns, stream.domains), np.int64), period_of(stream, ports)
    _count_steps(stream.instructions, TABLE_NUMBERS, COSTS, (counts[:3], *by_op, wear))
    _count_shifts(stream.instructions, period, np.zeros(stream.columns, np.int64), counts[3:])
    return Effort(**dict(zip(_COUNTED, counts.tolist(), strict=True)), instructions=by_op[0], bits=by_op[1], wear_eighths=wear)


@compiled
def _count_steps(instructions: Any, numbers: Any, costs: Any, out: tuple[Any, Any, Any, Any]) -> None:
    """Add up searches, writes and cells compared, instructions and bits of each operation, and the wear."""
    steps, instructions_of, bits_of, wear = out
    for k in range(len(instructions)):
        op = np.int64(instructions[k].op)
        instructions_of[op] += 1
        if op in (OP_CLEAR, OP_EXTEND):
            bits_of[op] += _count_zeros(instructions[k], costs, steps, wear)
        elif op != OP_LOAD:
            bits_of[op] += _count_sum(instructions[k], numbers, costs, (steps, wear))


@compiled
def _count_zeros(one: Any, costs: Any, steps: Any, wear: Any) -> Any:
    """Add the effort of a clear, which writes its columns in parallel, or an extend, which searches the sign once. Return its bits."""
    (op, bits), (to, to_at), (a, _, a_bits, a_signed), _, _ = unpack(one)
    first, last, table = (to_at, a, CLEAR) if op == OP_CLEAR else (to_at + a_bits, to, COPY if a_signed else CLEAR)
    for column in range(to, last + 1):
        for domain in range(first, to_at + bits):
            wear[column, domain] += costs[table, 5]
    new = to_at + bits - first
    steps[1] += new * costs[table, 1]
    if table == COPY and new > 0:
        steps[0] += 1
        steps[2] += 1
    return new * (last - to + 1)


@compiled
def _count_sum(one: Any, numbers: Any, costs: Any, out: tuple[Any, Any]) -> Any:
    """Add the effort of any other instruction, bit by bit, and return its bits."""
    (op, bits), (to, to_at), (_, _, a_bits, a_signed), (_, _, b_bits, b_signed), (carry, carry_at) = unpack(one)
    steps, wear = out
    if op != OP_COPY:
        steps[1] += 1
        wear[carry, carry_at] += _ALL
    for bit in range(bits):
        table = numbers[op, place(bit, a_bits, a_signed), place(bit, b_bits, b_signed)]
        for kind in range(3):
            steps[kind] += costs[table, kind]
        if op != OP_COPY:
            wear[carry, carry_at] += costs[table, 4]
        wear[to, to_at + bit] += costs[table, 5]
    return bits


@compiled
def _count_shifts(instructions: Any, period: int, standing: Any, out: Any) -> None:
    """Add up the steps of tracks: serial, serial with alignment ahead, and summed over all columns."""
    tracks, used_by = np.empty((len(standing), 3), np.int64), np.zeros(len(standing), np.int64)
    turn = 0
    for k in range(len(instructions)):
        count = tracks_of(instructions[k], tracks)
        if count == 0:
            continue
        alignment = late = longest = 0
        for i in range(count):
            column, domain, domains = tracks[i, 0], tracks[i, 1], tracks[i, 2]
            steps = abs(domain % period - standing[column])
            out[2] += steps
            alignment = max(alignment, steps)
            if used_by[column] == turn:
                late = max(late, steps)
            longest = max(longest, domains)
        turn += 1
        for i in range(count):
            standing[tracks[i, 0]] = (tracks[i, 1] + tracks[i, 2] - 1) % period
            used_by[tracks[i, 0]] = turn
        out[0] += alignment
        out[1] += late
        for bit in range(1, longest):
            farthest = 0
            for i in range(count):
                if bit < tracks[i, 2]:
                    steps = abs(move(tracks[i, 1] + bit, period))
                    out[2] += steps
                    farthest = max(farthest, steps)
            out[0] += farthest
            out[1] += farthest
