"""Distinct rows of a matrix; rows that are equal, or negatives of each other, need the same value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossloom.kernels.jit import compiled

Distinct = tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int8]]


@compiled
def distinct(matrix: NDArray[np.int8]) -> Distinct:
    """Return, for each row of a ternary matrix, its number among the distinct rows (-1 for an empty row) (outputs,), and whether it is
    that row's negative (outputs,); and the distinct rows in order of occurrence, with a positive first non-zero (rows, inputs).
    """
    outputs, inputs = matrix.shape
    number, negative = np.full(outputs, -1, np.int32), np.zeros(outputs, np.bool_)
    found = np.zeros((outputs, inputs), np.int8)
    size = 2
    while size < 2 * outputs:
        size *= 2
    table = np.full(size, -1, np.int32)
    count = 0
    for output in range(outputs):
        sign = _first_sign(matrix[output])
        if sign == 0:
            continue
        negative[output] = sign < 0
        for column in range(inputs):
            found[count, column] = sign * matrix[output, column]
        place = _hash(found[count]) & (size - 1)
        while table[place] >= 0 and not np.array_equal(found[table[place]], found[count]):
            place = (place + 1) & (size - 1)
        if table[place] < 0:
            table[place], count = count, count + 1
        number[output] = table[place]
    return number, negative, found[:count].copy()


@compiled
def _first_sign(row: NDArray[np.int8]) -> int:
    """Return the first non-zero of a row, or 0 for an empty row."""
    for value in row:
        if value:
            return int(value)
    return 0


@compiled
def _hash(row: NDArray[np.int8]) -> np.int64:
    """Return a 31-bit hash that depends on every digit."""
    mixed = np.int64(1)
    for digit in row:
        mixed = (mixed * 16777619 + digit + 2) & 0x7FFFFFFF
    return mixed ^ (mixed >> 15)
