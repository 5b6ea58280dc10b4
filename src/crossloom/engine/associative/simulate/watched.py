"""Instructions that faults meet, or all of them if what happens is to be counted; the others at full speed between them.

A fault is named by the number of its instruction and an ordinal within that: a shift fault by the column-step at which a track slips, a write fault by
the cell offered to a write. Columns follow each other as in `tracks_of`, bits upwards, steps of a table as they stand, the carry before the target. The bits of an
instruction go through `vectors` together, from one shift fault to the next.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from crossloom.engine.associative.isa.codes import OP_EXTEND, unpack
from crossloom.engine.associative.simulate.simd import run_all, watched_run

NEXT_SLIP, NEXT_MISS, NEXT_REALIGNMENT, SINCE = range(4)
"""How far the lists of faults have been gone through: next slip, miss and realignment, and the first slip since the last realignment."""
CURSORS = 4
IN_USE, TAGGED, WRITTEN, SIGN, NOTHING, SUCCEED = range(6)
"""Rows in use; tallies of rows that matched and of cells that were written; rows with the sign that an extend has found; a tally that nobody reads; and from
there on, for each cell that an instruction offers to its writes, the rows in which the write succeeds."""
_WORD_BYTES = 8
_END = 1 << 30


@numba.njit(nogil=True)
def watch(block: Any, shape: tuple[int, int], course: Any, runs: Any, faults: Any) -> None:
    """Perform instructions on a block.

    `block` is (cells uint64[cell, word], masks uint64[SUCCEED and more, word], lanes as in `run_all`); `shape` the cells of a column, and the spare ones before
    domain 0; `course` (instructions, first, one after the last, ranges that are watched); `runs` (fields of runs, where those of each instruction begin, from
    the first one of the course); `faults` (slips int64[slip, 5]: instruction, position of its tracks, row, column, whether bits move upwards; misses int64[miss,
    3]: instruction, ordinal, row; realignments; displacements int16[column, row]; cursor int64[CURSORS]).
    """
    (cells, _, lanes), (instructions, start, stop, watched), (fields, first), (_, _, realignments, _, cursor) = block, course, runs, faults
    position = start
    for n in range(len(watched) + 1):
        low, high = (watched[n, 0], watched[n, 1]) if n < len(watched) else (stop, stop)
        run_all(fields, first[position - start], first[low - start], cells, lanes)
        for k in range(low, high):
            if cursor[NEXT_REALIGNMENT] < len(realignments) and realignments[cursor[NEXT_REALIGNMENT]] == k:
                _realign(cells, shape[0], faults)
            _with_faults(block, shape, (k, instructions[k]), (fields, first[k - start], first[k - start + 1]), faults)
        position = high


@numba.njit(nogil=True, inline="always")
def _with_faults(block: Any, shape: tuple[int, int], what: Any, runs: Any, faults: Any) -> None:
    """Perform an instruction from one shift fault to the next, while some of its writes fail."""
    (cells, masks, _), (k, one), (slips, misses, _, displaced, cursor) = block, what, faults
    first_miss, position = cursor[NEXT_MISS], np.int64(0)
    while cursor[NEXT_MISS] < len(misses) and misses[cursor[NEXT_MISS], 0] == k:
        _flip(masks, misses, cursor[NEXT_MISS])
        cursor[NEXT_MISS] += 1
    while position < _END:
        until = np.int64(_END)
        while until == _END and cursor[NEXT_SLIP] < len(slips) and slips[cursor[NEXT_SLIP], 0] == k:
            if slips[cursor[NEXT_SLIP], 1] > position:
                until = slips[cursor[NEXT_SLIP], 1]
            else:
                _displace(cells, shape[0], displaced, slips[cursor[NEXT_SLIP]], slips[cursor[NEXT_SLIP], 4] == 1)
                cursor[NEXT_SLIP] += 1
        _perform(block, shape, one, runs, (position, until))
        position = until
    for n in range(first_miss, cursor[NEXT_MISS]):
        _flip(masks, misses, n)


@numba.njit(nogil=True, inline="always")
def _perform(block: Any, shape: tuple[int, int], one: Any, runs: Any, positions: tuple[Any, Any]) -> None:
    """Perform an instruction with its tracks at some positions: from one to before another."""
    (cells, masks, lanes), (fields, first, last), (low, high) = block, runs, positions
    (op, _), (to, to_at), (_, _, a_bits, signed), _, _ = unpack(one)
    size, cell_at, mask_at = len(lanes) * _WORD_BYTES, cells.ctypes.data, masks.ctypes.data
    keeps_sign = op == OP_EXTEND and signed > 0
    if keeps_sign and low == 0 and first < last:
        _find_sign(block, to * shape[0] + shape[1] + to_at + a_bits - 1)
    for n in range(first, last):
        table, bits, carry, target, a, a_step, b, b_step, position, offered, offers = fields[n]
        skipped, end = max(low - position, 0), min(high - position, bits)
        if skipped < end:
            a_at = mask_at + SIGN * size if keeps_sign else cell_at + (a + skipped * a_step) * size
            places = (cell_at + carry * size, cell_at + (target + skipped) * size, a_at, cell_at + (b + skipped * b_step) * size)
            tagged = mask_at + (NOTHING if keeps_sign else TAGGED) * size
            succeed = mask_at + (SUCCEED + offered + skipped * offers) * size
            masks_at = (succeed, offers * size, mask_at + IN_USE * size, tagged, mask_at + WRITTEN * size)
            watched_run(lanes, (table, end - skipped), places, (a_step * size, b_step * size), masks_at)


@numba.njit(nogil=True)
def _find_sign(block: Any, cell: int) -> None:
    """Search the sign of an extend, and keep the rows that have it while its tracks move."""
    cells, masks, lanes = block
    for word in range(len(lanes)):
        masks[SIGN, word] = cells[cell, word]
        masks[TAGGED, word] += _ones(cells[cell, word] & masks[IN_USE, word])


@numba.njit(nogil=True)
def _displace(cells: Any, height: int, displaced: Any, slip: Any, up: bool) -> None:
    """Let one row's bits in a column move by one cell, to higher ones or to lower ones; what falls off is lost, and a 0 comes in."""
    row, column, moved = slip[2], slip[3], np.uint64(0)
    word, bit = row >> 6, np.uint64(1) << np.uint64(row & 63)
    displaced[column, row] += 1 if up else -1
    for i in range(height):
        cell = column * height + (i if up else height - 1 - i)
        here = cells[cell, word] & bit
        cells[cell, word] = (cells[cell, word] & ~bit) | moved
        moved = here


@numba.njit(nogil=True)
def _realign(cells: Any, height: int, faults: Any) -> None:
    """Move tracks back that have slipped since the last realignment."""
    slips, _, _, displaced, cursor = faults
    for n in range(cursor[SINCE], cursor[NEXT_SLIP]):
        while displaced[slips[n, 3], slips[n, 2]]:
            _displace(cells, height, displaced, slips[n], displaced[slips[n, 3], slips[n, 2]] < 0)
    cursor[SINCE] = cursor[NEXT_SLIP]
    cursor[NEXT_REALIGNMENT] += 1


@numba.njit(nogil=True)
def _flip(masks: Any, misses: Any, n: int) -> None:
    """Let a write fail, or succeed again."""
    row = misses[n, 2]
    masks[SUCCEED + misses[n, 1], row >> 6] ^= np.uint64(1) << np.uint64(row & 63)


@numba.njit(nogil=True)
def _ones(word: Any) -> Any:
    """Return how many bits of a word are set (Warren, Hacker's Delight, 2nd edition, section 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)
