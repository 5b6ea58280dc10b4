"""Operations from sums of many terms: shared sums become additions of two values, and outputs accumulate the rest.

A shared sum is defined when the first row needs it, close to its use. Of several terms, the two narrowest are always added first. Width is measured
by the number of inputs below a term, so that the order of a list does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.compile.dataflow import Dataflow
from crossloom.kernels.jit import compiled

Integers = NDArray[np.int32]
Flags = NDArray[np.bool_]

_LEFT, _RIGHT, _MINUS = range(3)
_APART = -1


class Sums(NamedTuple):
    """Rows wanted by outputs, and the sums that they share.

    Attributes:
        rows: number of rows.
        inputs: number of inputs; shared sums are numbered from there on.
        first: where the terms of each sum start, rows first, then shared sums (sums + 1,).
        terms: terms sum by sum, as 2 · value, + 1 if negative.
    """

    rows: int
    inputs: int
    first: Integers
    terms: Integers


def woven(sums: Sums, row: Integers, negative: Flags, roots: bool) -> Dataflow:
    """Return the operations that accumulate the wanted row in each output.

    Args:
        sums: the rows and their shared sums.
        row: row wanted by each output, -1 for none (outputs,).
        negative: whether each output wants the row's negative (outputs,).
        roots: whether a row wanted by only one output also becomes one value. If not, and if nothing else needs it, its terms are accumulated.
    """
    wanted = np.bincount(row[row >= 0], minlength=sums.rows).astype(np.int32)
    needed = _order(sums)
    results = _divided(sums, needed, wanted, roots)
    left, right, minus = _defined(sums, needed, results)
    first, terms = _accumulated(sums, results, row, negative)
    return Dataflow(sums.inputs, len(row), left, right, minus.astype(bool), first, terms >> 1, (terms & 1).astype(bool))


@compiled
def _order(sums: Sums) -> Integers:
    """Return the rows and the shared sums that they need, in dependency order."""
    shift = sums.rows - sums.inputs
    found, stack = np.zeros(len(sums.first), np.int32), np.zeros(len(sums.first), np.int32)
    done = np.zeros(len(sums.first), np.bool_)
    count = 0
    for row in range(sums.rows):
        stack[0], depth = row, 1
        while depth:
            node = stack[depth - 1]
            below = len(done)
            for place in range(sums.first[node], sums.first[node + 1]):
                value = sums.terms[place] >> 1
                if value >= sums.inputs and not done[value + shift]:
                    below = min(below, value + shift)
            if below < len(done):
                stack[depth], depth = below, depth + 1
            else:
                found[count], count, depth = node, count + 1, depth - 1
                done[node] = True
    return found[:count]


@compiled
def _divided(sums: Sums, needed: Integers, wanted: Integers, roots: bool) -> Integers:
    """Return, for each sum, 0 if it becomes one value, or _APART if its only user takes its terms directly."""
    shift = sums.rows - sums.inputs
    uses, user = np.zeros(len(sums.first), np.int32), np.zeros(len(sums.first), np.int32)
    for node in needed:
        for place in range(sums.first[node], sums.first[node + 1]):
            value = sums.terms[place] >> 1
            if value >= sums.inputs:
                uses[value + shift] += 1
                user[value + shift] = node
    results = np.zeros(len(sums.first), np.int32)
    for node in needed[::-1]:
        if node < sums.rows:
            results[node] = _APART if wanted[node] == 1 and not roots else 0
        elif uses[node] == 1 and results[user[node]] == _APART:
            results[node] = _APART
    return results


@compiled
def _gathered(sums: Sums, results: Integers, node: int, space: Integers) -> Integers:
    """Return the terms of a sum in order, with sums marked _APART expanded. They lie in `space` (2, terms + 1) until the next call."""
    shift = sums.rows - sums.inputs
    stack: Integers = space[0]
    found: Integers = space[1]
    stack[0], depth, count = 2 * node, 1, 0
    while depth:
        depth -= 1
        node, sign = stack[depth] >> 1, stack[depth] & 1
        for place in range(sums.first[node], sums.first[node + 1]):
            term = sums.terms[place] ^ sign
            below = (term >> 1) + shift
            if term >> 1 < sums.inputs:
                found[count], count = term, count + 1
            elif results[below] == _APART:
                stack[depth], depth = 2 * below + (term & 1), depth + 1
            else:
                found[count], count = results[below] ^ (term & 1), count + 1
    for place in range(1, count):
        term = found[place]
        while place and found[place - 1] > term:
            found[place], place = found[place - 1], place - 1
        found[place] = term
    return found[:count]


@compiled
def _defined(sums: Sums, needed: Integers, results: Integers) -> Integers:
    """Return operands, and whether the right one is subtracted (3, temporaries); fill in the value of each sum not marked _APART, as a term."""
    operations = np.zeros((3, len(sums.terms)), np.int32)
    width = np.ones(sums.inputs + len(sums.terms), np.int32)
    space = np.zeros((2, len(sums.terms) + 1), np.int32)
    count = 0
    for node in needed:
        if results[node] == _APART:
            continue
        terms = _gathered(sums, results, node, space)
        for size in range(len(terms), 1, -1):
            _narrowest_last(terms[:size], width)
            left, right = terms[size - 1], terms[size - 2]
            if left & 1:
                left, right = right, left
            operations[_LEFT, count], operations[_RIGHT, count], operations[_MINUS, count] = left >> 1, right >> 1, (left ^ right) & 1
            width[sums.inputs + count] = width[left >> 1] + width[right >> 1]
            terms[size - 2] = 2 * (sums.inputs + count) + (left & 1)
            count += 1
        if len(terms):
            results[node] = terms[0]
    return operations[:, :count].copy()


@compiled
def _narrowest_last(terms: Integers, width: Integers) -> None:
    """Move the two terms with the fewest inputs below them to the end; ties go to the lowest values."""
    for last in (len(terms) - 1, len(terms) - 2):
        best = last
        for place in range(last):
            order = width[terms[place] >> 1] - width[terms[best] >> 1]
            if order < 0 or (order == 0 and terms[place] < terms[best]):
                best = place
        terms[last], terms[best] = terms[best], terms[last]


@compiled
def _accumulated(sums: Sums, results: Integers, row: Integers, negative: Flags) -> tuple[Integers, Integers]:
    """Return where the terms of each output start, and the terms."""
    first = np.zeros(len(row) + 1, np.int32)
    terms = np.zeros(len(row) + len(sums.terms), np.int32)
    space = np.zeros((2, len(sums.terms) + 1), np.int32)
    count = 0
    for output in range(len(row)):
        if row[output] >= 0:
            result = results[row[output] : row[output] + 1]
            for term in _gathered(sums, results, row[output], space) if result[0] == _APART else result:
                terms[count], count = term ^ negative[output], count + 1
        first[output + 1] = count
    return first, terms[:count].copy()
