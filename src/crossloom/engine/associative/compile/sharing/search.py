"""Complete sharing search: distinct rows, shared sums by one of two methods, and operations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossloom.engine.associative.compile.dataflow import Dataflow
from crossloom.engine.associative.compile.sharing.distinct import distinct
from crossloom.engine.associative.compile.sharing.one_step import reach
from crossloom.engine.associative.compile.sharing.pairs import TERMS, USES, eliminate, exchange, lists, network
from crossloom.engine.associative.compile.sharing.weave import Sums, woven

Rows = NDArray[np.int8]

FEW_INPUTS = 18
"""Largest number of inputs for the search from the wanted values: two input channels of a 3x3 kernel."""

FEW_ROWS = 1024
"""Largest number of distinct rows for that search with more inputs than one 3x3 kernel; beyond it, sums of two values are too many to keep."""

ROUNDS = 1 / 3
"""Number of exchanges per non-zero at an effort of 1."""


def share(matrix: ArrayLike, roots: bool = True, effort: float = 1.0) -> Dataflow:
    """Return a dataflow that computes a ternary matrix (outputs, inputs) with few additions. The result is deterministic.

    Args:
        matrix: entries -1, 0 and 1.
        roots: whether each output accumulates one value. If not, a sum needed by only one output is not formed; the output accumulates its
            terms instead. The number of operations is the same, with fewer temporaries and more of the wider accumulations.
        effort: relative time spent improving the first sums found for many inputs; 0 for none. Below 1, few inputs with many outputs
            are treated as many inputs.
    Raises ValueError if the matrix is not ternary.
    """
    number, negative, rows = distinct(_ternary(matrix))
    return woven(nearest(rows) if _few(rows, effort) else exchanged(rows, effort), number, negative, roots)


def lower_bound(matrix: ArrayLike) -> int:
    """Return the minimum number of temporaries of a ternary matrix (outputs, inputs) if each output accumulates one value."""
    return int((np.count_nonzero(distinct(_ternary(matrix))[2], axis=1) > 1).sum())


def nearest(rows: Rows) -> Sums:
    """Return the sums that distinct rows (rows, inputs) share, searched from the wanted values: each is the sum of two values."""
    inputs = rows.shape[1]
    digits = np.uint64(1) << np.arange(inputs, dtype=np.uint64)
    vectors = ((rows > 0) @ digits) | ((rows < 0) @ digits) << np.uint64(32)
    held, parts = reach(vectors, inputs)
    places = np.argsort(held)
    terms = np.concatenate((2 * places[np.searchsorted(held, vectors, sorter=places)], parts[inputs:].ravel()))
    first = np.concatenate((np.arange(len(rows)), np.arange(len(rows), len(terms) + 1, 2)))
    return Sums(len(rows), inputs, first.astype(np.int32), terms.astype(np.int32))


def exchanged(rows: Rows, effort: float) -> Sums:
    """Return the sums that distinct rows (rows, inputs) share, extracted pair by pair and then exchanged."""
    wide = rows.shape[1] > len(rows)
    net = network(np.ascontiguousarray(rows.T) if wide else rows)
    eliminate(net)
    exchange(net, round(effort * ROUNDS * np.count_nonzero(rows)))
    return Sums(len(rows), rows.shape[1], *lists(net, USES if wide else TERMS))


def _few(rows: Rows, effort: float) -> bool:
    """Return whether the search from the wanted values is used."""
    return rows.shape[1] <= 9 or (rows.shape[1] <= FEW_INPUTS and len(rows) <= FEW_ROWS * min(1.0, effort))


def _ternary(matrix: ArrayLike) -> Rows:
    """Return a matrix as int8. Raises ValueError naming an entry if it is not ternary."""
    dense = np.asarray(matrix)
    if dense.ndim != 2:
        raise ValueError(f"ternary matrix: expected outputs by inputs, got {dense.ndim} dimensions")
    wrong = (dense != 0) & (np.abs(dense) != 1)
    if wrong.any():
        output, column = np.argwhere(wrong)[0]
        raise ValueError(f"ternary matrix, output {output}, input {column}: expected -1, 0 or 1, got {dense[output, column]}")
    return np.ascontiguousarray(dense, np.int8)
