"""Packed bits of many rows of an array, and reading and writing of integers in them.

Rows never interact, so rows of any number of arrays, positions and images can be held together. They are divided into blocks with 64 rows per
word and a few words per cell. A cell's words fill a vector register, and all cells of a block fill a second-level cache (1 MiB for 256 columns
of 64 domains and 8 words).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.errors import InputError
from crossloom.kernels.jit import compiled

WORD = 64
"""Number of rows in a word."""
LANES = (2, 4, 8)
"""Possible numbers of words per cell; the smallest that holds all rows is used. One is slower than two, as LLVM emits better vector code."""
_ALIGNED_BYTES = 64


@dataclass(frozen=True, eq=False)
class State:
    """Bits of `rows` rows, uint64[block, column, domain, word]; row r is bit r mod 64 of its word. Rows beyond the last are meaningless.

    Each column has `spare` more domains before its first and after its last. No instruction addresses them; bits get there through shift faults.
    """

    rows: int
    spare: int
    planes: NDArray[np.uint64]

    @classmethod
    def zeros(cls, rows: int, columns: int, domains: int, *, spare: int = 1, lanes: int | None = None) -> State:
        """Return rows of zeros, `lanes` words to a cell (by default chosen for the number of rows). Raises InputError for a size below 1."""
        if min(rows, columns, domains) < 1 or spare < 0:
            raise InputError(
                f"state: {rows} rows of {columns} columns of {domains} domains, {spare} spare; give at least one of each, and spare >= 0"
            )
        lanes = lanes or next((each for each in LANES if each * WORD >= rows), LANES[-1])
        shape = -(-rows // (lanes * WORD)), columns, domains + 2 * spare, lanes
        room = np.zeros(int(np.prod(shape)) + _ALIGNED_BYTES // 8, np.uint64)
        skipped = -room.ctypes.data % _ALIGNED_BYTES // 8
        return cls(rows, spare, room[skipped : skipped + int(np.prod(shape))].reshape(shape))

    @property
    def columns(self) -> int:
        """Number of columns in a row."""
        return int(self.planes.shape[1])

    @property
    def height(self) -> int:
        """Number of cells in a column: its domains and the spare ones."""
        return int(self.planes.shape[2])

    @property
    def domains(self) -> int:
        """Number of domains in a column."""
        return self.height - 2 * self.spare

    @property
    def block_rows(self) -> int:
        """Number of rows in a block."""
        return int(self.planes.shape[3]) * WORD

    def cells(self, block: int) -> NDArray[np.uint64]:
        """Return a block as uint64[cell, word], cell `column * height + spare + domain`."""
        found: NDArray[np.uint64] = self.planes[block].reshape(-1, self.planes.shape[3])
        return found

    def used(self, block: int) -> NDArray[np.uint64]:
        """Return the rows of a block that are in use, one bit each: uint64[word]."""
        rows = np.arange(block * self.block_rows, (block + 1) * self.block_rows) < self.rows
        return np.packbits(rows, bitorder="little").view(np.uint64)


Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Columns, and cells of the lowest bits along them."""


def write_values(state: State, values: NDArray[Any], columns: NDArray[Any], domains: NDArray[Any], bits: int) -> None:
    """Write integers [rows, n] into columns [n] from domains [n] upwards, `bits` bits each. Raises InputError if they do not lie in the array."""
    if values.shape != (state.rows, len(columns)):
        raise InputError(f"values: expected {state.rows} rows of {len(columns)}, got {values.shape}")
    _write(state.planes, np.ascontiguousarray(values), _cells(state, columns, domains, bits), bits)


def read_values(state: State, columns: NDArray[Any], domains: NDArray[Any], bits: int, *, signed: bool) -> NDArray[np.int64]:
    """Return the integers [rows, n] in columns [n] from domains [n] upwards, in two's complement if signed. Raises InputError like `write_values`."""
    found = np.zeros((state.rows, len(columns)), np.int64)
    _read(state.planes, found, _cells(state, columns, domains, bits), bits)
    return found << (WORD - bits) >> (WORD - bits) if signed else found


def _cells(state: State, columns: NDArray[Any], domains: NDArray[Any], bits: int) -> Places:
    """Return the columns, and the cells of the lowest bits along them. Raises InputError for a place outside the array."""
    across, along = (np.asarray(each).astype(np.int64).reshape(-1) for each in (columns, domains))
    outside = (across < 0) | (across >= state.columns) | (along < 0) | (along + bits > state.domains)
    if across.shape != along.shape or not 1 <= bits <= WORD or outside.any():
        raise InputError(
            f"values of {bits} bits at {len(across)} columns and {len(along)} domains: some are outside {state.columns} x {state.domains}"
        )
    return across, along + state.spare


@compiled
def _write(planes: Any, values: Any, places: Any, bits: int) -> None:
    """Convert integers to bits of words, 64 rows at a time."""
    (columns, cells), lanes = places, planes.shape[3]
    words = np.empty((bits, len(columns)), np.uint64)
    for first in range(0, len(values), WORD):
        block, lane = first // (lanes * WORD), first // WORD % lanes
        words[:] = 0
        for row in range(min(WORD, len(values) - first)):
            for bit in range(bits):
                for i in range(len(columns)):
                    words[bit, i] |= ((np.int64(values[first + row, i]) >> bit) & 1) << row
        for i in range(len(columns)):
            for bit in range(bits):
                planes[block, columns[i], cells[i] + bit, lane] = words[bit, i]


@compiled
def _read(planes: Any, values: Any, places: Any, bits: int) -> None:
    """Convert bits of words to integers, 64 rows at a time."""
    (columns, cells), lanes = places, planes.shape[3]
    words = np.empty((bits, len(columns)), np.int64)
    for first in range(0, len(values), WORD):
        block, lane = first // (lanes * WORD), first // WORD % lanes
        for i in range(len(columns)):
            for bit in range(bits):
                words[bit, i] = planes[block, columns[i], cells[i] + bit, lane]
        for row in range(min(WORD, len(values) - first)):
            for bit in range(bits):
                for i in range(len(columns)):
                    values[first + row, i] |= ((words[bit, i] >> row) & 1) << bit
