"""Lowering of instructions to runs: consecutive bits that use the same table, with the places of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa.codes import (
    CLEAR,
    COPY,
    COSTS,
    OP_CLEAR,
    OP_COPY,
    OP_DIFFERENCE,
    OP_EXTEND,
    OP_SUM,
    TABLE_NUMBERS,
    place,
    unpack,
)
from crossloom.engine.associative.isa.instructions import Instructions
from crossloom.kernels.jit import compiled

RUN_FIELDS = 11
"""Number of fields: table and bits; the places of carry, target, A with its step per bit (0 or 1), and B with its step; the position of the
instruction's tracks at the first bit; and the ordinals of the cells offered to the run's writes: the first, and the number per bit."""
MOST_RUNS = 6
"""Largest number of runs of an instruction other than a clear: one for the carry, and five for the ranges between the ends of A and B."""


@dataclass(frozen=True)
class Runs:
    """Runs [run, RUN_FIELDS] of some instructions, where the runs of each instruction begin, and the total searches and writes."""

    fields: NDArray[np.int32]
    first: NDArray[np.int64]
    searches: int
    writes: int


def lower(instructions: Instructions, height: int, spare: int) -> Runs:
    """Return instructions as runs for columns of `height` cells, with `spare` cells before domain 0. The instructions must not contain a load."""
    cleared = instructions[instructions["op"] == OP_CLEAR]
    room = MOST_RUNS * len(instructions) + int((cleared["a"].astype(np.int64) - cleared["to"] + 1).sum())
    fields, first = np.empty((room, RUN_FIELDS), np.int32), np.zeros(len(instructions) + 1, np.int64)
    steps = np.zeros(2, np.int64)
    _lower(instructions, (height, spare), (TABLE_NUMBERS, COSTS), (fields, first, steps))
    return Runs(fields[: first[-1]], first, *steps.tolist())


@compiled
def _lower(instructions: Any, shape: tuple[int, int], tables: Any, out: Any) -> None:
    """Fill in the runs, where the runs of each instruction begin, and the total searches and writes."""
    fields, first, steps = out
    n = 0
    for k in range(len(instructions)):
        first[k] = n
        op = instructions[k].op
        if op in (OP_CLEAR, OP_EXTEND):
            n = _lower_zeros(instructions[k], shape, (fields, n, steps))
        else:
            n = _lower_sum(instructions[k], shape, tables, (fields, n, steps))
    first[len(instructions)] = n


@compiled
def _lower_zeros(one: Any, shape: tuple[int, int], out: Any) -> Any:
    """Add the runs of a clear, which writes its columns in parallel, or an extend, which searches the sign once. Return the number of runs so far."""
    (op, bits), (to, to_at), (a, _, a_bits, a_signed), _, _ = unpack(one)
    (height, spare), (fields, n, steps) = shape, out
    target = to * height + spare + to_at
    if op == OP_CLEAR:
        steps[1] += bits
        for column in range(a - to + 1):
            _put(fields, n + column, (CLEAR, bits, target, target + column * height), (target, 0, target, 0), (0, column, a - to + 1))
        return n + a - to + 1
    if bits == a_bits:
        return n
    steps[0] += a_signed
    steps[1] += (bits - a_bits) * (1 + a_signed)
    _put(
        fields,
        n,
        (COPY if a_signed else CLEAR, bits - a_bits, target, target + a_bits),
        (target + a_bits - 1, 0, target, 0),
        (a_signed, 0, 1 + a_signed),
    )
    return n + 1


@compiled
def _lower_sum(one: Any, shape: tuple[int, int], tables: Any, out: Any) -> Any:
    """Add the runs of any other instruction, one for each range of bits between the ends of A and B. Return the number of runs so far."""
    (op, bits), (to, to_at), (a, a_at, a_bits, a_signed), (b, b_at, b_bits, b_signed), (carry, carry_at) = unpack(one)
    (height, spare), (numbers, costs), (fields, n, steps) = shape, tables, out
    at, target = carry * height + spare + carry_at, to * height + spare + to_at
    if op != OP_COPY:
        _put(fields, n, (CLEAR, 1, at, at), (at, 0, at, 0), (0, 0, 1))
        n += 1
        steps[1] += 1
    if op not in (OP_SUM, OP_DIFFERENCE):
        b_bits = a_bits
    bit, offered = 0, np.int64(op != OP_COPY)
    while bit < bits:
        end = bits
        for edge in (a_bits, a_bits + 1, b_bits, b_bits + 1):
            if bit < edge and edge < end:
                end = edge
        table = numbers[op, place(bit, a_bits, a_signed), place(bit, b_bits, b_signed)]
        steps[0] += (end - bit) * costs[table, 0]
        steps[1] += (end - bit) * costs[table, 1]
        from_a, from_b = a_at + max(0, min(bit, a_bits - 1)), b_at + max(0, min(bit, b_bits - 1))
        ends = (a * height + spare + from_a, np.int64(bit < a_bits), b * height + spare + from_b, np.int64(bit < b_bits))
        if bit > 0 and fields[n - 1, 0] == table and fields[n - 1, 5] == ends[1] and fields[n - 1, 7] == ends[3]:
            fields[n - 1, 1] += end - bit
        else:
            _put(fields, n, (table, end - bit, at, target + bit), ends, (bit, offered, costs[table, 3]))
            n += 1
        offered += (end - bit) * costs[table, 3]
        bit = end
    return n


@compiled
def _put(fields: Any, n: int, what: tuple[Any, ...], ends: tuple[Any, ...], order: tuple[Any, ...]) -> None:
    """Fill in a run."""
    fields[n, 0], fields[n, 1], fields[n, 2], fields[n, 3] = what
    fields[n, 4], fields[n, 5], fields[n, 6], fields[n, 7] = ends
    fields[n, 8], fields[n, 9], fields[n, 10] = order
