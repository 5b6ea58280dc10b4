"""The parts of sharing put together: distinct rows, shared sums by one of two methods, operations."""

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
"""Up to so many, values are sought from what is wanted: two input channels of a 3x3 kernel."""

FEW_ROWS = 1024
"""With more distinct rows and more inputs than those of one 3x3 kernel, sums of two values would be too many to keep."""

ROUNDS = 1 / 3
"""Exchanges for each non-zero, at an effort of 1."""


def share(matrix: ArrayLike, roots: bool = True, effort: float = 1.0) -> Dataflow:
    """Return a dataflow that computes a ternary matrix (outputs, inputs) with few additions; the same one whenever it is called.

    Args:
        matrix: entries -1, 0 and 1.
        roots: whether each output accumulates one value. If not, a sum that one output alone needs is not formed: the output accumulates its
            terms. That is as many operations, with fewer temporaries and more of the wider accumulations.
        effort: how long better sums are sought for those first found where there are many inputs, in proportion; 0 for not at all. Below 1 few inputs
            with many outputs count as many.
    Raises ValueError if the matrix is not ternary.
    """
    number, negative, rows = distinct(_ternary(matrix))
    return woven(nearest(rows) if _few(rows, effort) else exchanged(rows, effort), number, negative, roots)


def lower_bound(matrix: ArrayLike) -> int:
    """Return how many temporaries a ternary matrix (outputs, inputs) needs at least if each output accumulates one value."""
    return int((np.count_nonzero(distinct(_ternary(matrix))[2], axis=1) > 1).sum())


def nearest(rows: Rows) -> Sums:
    """Return the sums that distinct rows (rows, inputs) share, sought from what is wanted: each is the sum of two values."""
    inputs = rows.shape[1]
    digits = np.uint64(1) << np.arange(inputs, dtype=np.uint64)
    vectors = ((rows > 0) @ digits) | ((rows < 0) @ digits) << np.uint64(32)
    held, parts = reach(vectors, inputs)
    places = np.argsort(held)
    terms = np.concatenate((2 * places[np.searchsorted(held, vectors, sorter=places)], parts[inputs:].ravel()))
    first = np.concatenate((np.arange(len(rows)), np.arange(len(rows), len(terms) + 1, 2)))
    return Sums(len(rows), inputs, first.astype(np.int32), terms.astype(np.int32))


def exchanged(rows: Rows, effort: float) -> Sums:
    """Return the sums that distinct rows (rows, inputs) share, taken out pair by pair and then exchanged."""
    wide = rows.shape[1] > len(rows)
    net = network(np.ascontiguousarray(rows.T) if wide else rows)
    eliminate(net)
    exchange(net, round(effort * ROUNDS * np.count_nonzero(rows)))
    return Sums(len(rows), rows.shape[1], *lists(net, USES if wide else TERMS))


def _few(rows: Rows, effort: float) -> bool:
    """Return whether values are sought from what is wanted."""
    return rows.shape[1] <= 9 or (rows.shape[1] <= FEW_INPUTS and len(rows) <= FEW_ROWS * min(1.0, effort))


def _ternary(matrix: ArrayLike) -> Rows:
    """Return a matrix as bytes. Raises ValueError if it is not ternary, naming an entry."""
    dense = np.asarray(matrix)
    if dense.ndim != 2:
        raise ValueError(f"ternary matrix: expected outputs by inputs, got {dense.ndim} dimensions")
    wrong = (dense != 0) & (np.abs(dense) != 1)
    if wrong.any():
        output, column = np.argwhere(wrong)[0]
        raise ValueError(f"ternary matrix, output {output}, input {column}: expected -1, 0 or 1, got {dense[output, column]}")
    return np.ascontiguousarray(dense, np.int8)
