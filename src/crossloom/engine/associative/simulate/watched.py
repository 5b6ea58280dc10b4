"""Watched execution of instructions hit by faults, or of all if activity is counted; the others run at full speed in between.

A fault is identified by the index of its instruction and an ordinal within it: for a shift fault the column-step at which a track slips, for a
write fault the cell offered to a write. Columns are ordered as in `tracks_of`, bits from the lowest up, steps as in the table, and the carry before
the target. The bits of an instruction go through `simd` together, from one shift fault to the next.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from crossloom.engine.associative.isa.codes import OP_EXTEND, unpack
from crossloom.engine.associative.simulate.simd import run_all, watched_run

NEXT_SLIP, NEXT_MISS, NEXT_REALIGNMENT, SINCE = range(4)
"""Cursors into the lists of faults: next slip, miss and realignment, and the first slip since the last realignment."""
CURSORS = 4
IN_USE, TAGGED, WRITTEN, SIGN, NOTHING, SUCCEED = range(6)
"""Rows in use; tallies of matching rows and of written cells; rows in which an extend has found the sign bit set; a tally that is never read.
From SUCCEED on, for each cell offered to an instruction's writes, the rows in which the write succeeds."""
_WORD_BYTES = 8
_END = 1 << 30


@numba.njit(nogil=True)
def watch(block: Any, shape: tuple[int, int], course: Any, runs: Any, faults: Any) -> None:
    """Perform instructions on a block.

    `block` is (cells uint64[cell, word], masks uint64[SUCCEED and more, word], lanes as in `run_all`); `shape` the number of cells in a column, and
    of spare cells before domain 0; `course` (instructions, first, one after the last, watched ranges); `runs` (fields of runs, where the runs of
    each instruction begin, from the first of the course); `faults` (slips int64[slip, 5]: instruction, position of its tracks, row, column, whether
    bits move upwards; misses int64[miss, 3]: instruction, ordinal, row; realignments; displacements int16[column, row]; cursor int64[CURSORS]).
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
    """Perform an instruction from one shift fault to the next, with some of its writes failing."""
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
    """Perform an instruction with its tracks in a half-open range of positions."""
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
    """Search the sign of an extend, and keep the matching rows while its tracks move."""
    cells, masks, lanes = block
    for word in range(len(lanes)):
        masks[SIGN, word] = cells[cell, word]
        masks[TAGGED, word] += _ones(cells[cell, word] & masks[IN_USE, word])


@numba.njit(nogil=True)
def _displace(cells: Any, height: int, displaced: Any, slip: Any, up: bool) -> None:
    """Move one row's bits in a column up or down by one cell. The bit pushed off the end is lost, and a 0 is shifted in."""
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
    """Move back the tracks that have slipped since the last realignment."""
    slips, _, _, displaced, cursor = faults
    for n in range(cursor[SINCE], cursor[NEXT_SLIP]):
        while displaced[slips[n, 3], slips[n, 2]]:
            _displace(cells, height, displaced, slips[n], displaced[slips[n, 3], slips[n, 2]] < 0)
    cursor[SINCE] = cursor[NEXT_SLIP]
    cursor[NEXT_REALIGNMENT] += 1


@numba.njit(nogil=True)
def _flip(masks: Any, misses: Any, n: int) -> None:
    """Toggle whether a write fails."""
    row = misses[n, 2]
    masks[SUCCEED + misses[n, 1], row >> 6] ^= np.uint64(1) << np.uint64(row & 63)


@numba.njit(nogil=True)
def _ones(word: Any) -> Any:
    """Return the number of set bits in a word (Warren, Hacker's Delight, 2nd edition, section 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)
