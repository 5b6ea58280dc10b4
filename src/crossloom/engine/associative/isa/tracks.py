"""Track movement: the tracks that an instruction moves, and their positions.

Each column has `ports` ports, spaced `period = domains / ports` apart. Domain d is under a port when the column's offset is d mod period, so moving
from d to e takes |d mod period − e mod period| steps. All rows of a column move together, and stay in place until they are moved again. The tracks
of an instruction move in parallel: each goes from its position to its first domain, then from bit to bit as long as it has bits. An operand with
fewer bits than are computed stays at its highest bit. Loads are not counted here; the layout determines what they move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa.codes import COSTS, OP_CLEAR, OP_COPY, OP_DIFFERENCE, OP_EXTEND, OP_LOAD, OP_SUM, TABLE_NUMBERS, place, unpack
from crossloom.engine.associative.isa.instructions import InstructionStream
from crossloom.errors import InputError
from crossloom.kernels.jit import compiled

_OFFERED = 3
"""Index in `COSTS` of the cells offered to a table's writes."""


def period_of(stream: InstructionStream, ports: int) -> int:
    """Return the distance in domains between two ports of a column. Raises InputError if they cannot be spaced evenly."""
    if ports < 1 or stream.domains % ports:
        raise InputError(f"ports: {ports} cannot be spaced evenly along {stream.domains} domains; choose a divisor of {stream.domains}")
    return stream.domains // ports


@compiled
def tracks_of(one: Any, tracks: Any) -> int:
    """Fill in column, first domain and number of domains of each track that an instruction moves (carry, target, A, B); return their number."""
    (op, bits), (to, to_at), (a, a_at, a_bits, a_signed), (b, b_at, b_bits, _), (carry, carry_at) = unpack(one)
    count = 0
    if op == OP_LOAD:
        return count
    if op == OP_CLEAR:
        for column in range(to, a + 1):
            count = _put(tracks, count, column, to_at, bits)
        return count
    if op == OP_EXTEND:
        return _put(tracks, count, to, to_at + a_bits - a_signed, bits - a_bits + a_signed) if bits > a_bits else count
    if op != OP_COPY:
        count = _put(tracks, count, carry, carry_at, 1)
    count = _put(tracks, count, to, to_at, bits)
    if a_bits > 0:
        count = _put(tracks, count, a, a_at, min(bits, a_bits))
    if b_bits > 0 and op in (OP_SUM, OP_DIFFERENCE):
        count = _put(tracks, count, b, b_at, min(bits, b_bits))
    return count


@compiled
def _put(tracks: Any, count: int, column: int, domain: int, domains: int) -> int:
    tracks[count, 0], tracks[count, 1], tracks[count, 2] = column, domain, domains
    return count + 1


@compiled
def move(domain: int, period: int) -> int:
    """Return the number of steps by which a track moves from the previous domain to this one; positive is upwards."""
    return 1 if domain % period else 1 - period


@compiled
def _travel(instructions: Any, period: int, standing: Any, steps: Any) -> None:
    """Fill in the total steps of each instruction's tracks."""
    tracks = np.empty((len(standing), 3), np.int64)
    for k in range(len(instructions)):
        for i in range(tracks_of(instructions[k], tracks)):
            column, domain, domains = tracks[i, 0], tracks[i, 1], tracks[i, 2]
            steps[k] += abs(domain % period - standing[column])
            for later in range(domain + 1, domain + domains):
                steps[k] += abs(move(later, period))
            standing[column] = (domain + domains - 1) % period


def column_steps(stream: InstructionStream, period: int) -> NDArray[np.int64]:
    """Return the total steps of each instruction's tracks; `period` is the distance between ports in domains."""
    steps = np.zeros(len(stream), np.int64)
    _travel(stream.instructions, period, np.zeros(stream.columns, np.int64), steps)
    return steps


@compiled
def _locate(instructions: Any, period: int, standing: Any, named: Any, found: Any) -> None:
    """Fill in position, column and direction of the column-steps identified by instruction and ordinal, in that order."""
    tracks, n = np.empty((len(standing), 3), np.int64), 0
    for k in range(len(instructions)):
        count, longest, shifted = tracks_of(instructions[k], tracks), 0, 0
        for i in range(count):
            longest = max(longest, tracks[i, 2])
        for position in range(longest if n < len(named) and named[n, 0] == k else 0):
            for i in range(count):
                if position < tracks[i, 2]:
                    domain = tracks[i, 1] + position
                    steps = move(domain, period) if position else domain % period - standing[tracks[i, 0]]
                    shifted += abs(steps)
                    while n < len(named) and named[n, 0] == k and named[n, 1] < shifted:
                        found[n, 0], found[n, 1], found[n, 2] = position, tracks[i, 0], steps > 0
                        n += 1
        for i in range(count):
            standing[tracks[i, 0]] = (tracks[i, 1] + tracks[i, 2] - 1) % period


def locate(stream: InstructionStream, period: int, named: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for column-steps [step, instruction and ordinal] in order, the position of the tracks, the column, and whether it moves upwards."""
    found = np.zeros((len(named), 3), np.int64)
    _locate(stream.instructions, period, np.zeros(stream.columns, np.int64), named, found)
    return found


@compiled
def _offers(instructions: Any, numbers: Any, offered: Any, found: Any) -> None:
    """Fill in the number of cells that each instruction offers to its writes in sequence."""
    for k in range(len(instructions)):
        (op, bits), (to, _), (a, _, a_bits, a_signed), (_, _, b_bits, b_signed), _ = unpack(instructions[k])
        if op == OP_LOAD:
            continue
        if op == OP_CLEAR:
            found[k] = bits * (a - to + 1)
        elif op == OP_EXTEND:
            found[k] = (bits - a_bits) * (1 + a_signed)
        else:
            found[k] = np.int64(op != OP_COPY)
            for bit in range(bits):
                found[k] += offered[numbers[op, place(bit, a_bits, a_signed), place(bit, b_bits, b_signed)]]


def cells_offered(stream: InstructionStream) -> NDArray[np.int64]:
    """Return the number of cells of a row that each instruction offers to its writes in sequence, whether or not the row matches."""
    found = np.zeros(len(stream), np.int64)
    _offers(stream.instructions, TABLE_NUMBERS, np.ascontiguousarray(COSTS[:, _OFFERED]), found)
    return found
