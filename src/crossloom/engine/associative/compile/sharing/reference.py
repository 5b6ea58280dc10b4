"""Slow reference versions of the sharing methods, as plain as their descriptions; the fast ones must match them operation by operation.

Exchanging is left out, because it has no plainer form. Its result is checked against the matrix, and never costs more than its input.
"""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossloom.engine.associative.compile.dataflow import Dataflow
from crossloom.engine.associative.compile.sharing.weave import Sums, woven

Vector = tuple[int, ...]
Terms = dict[int, int]
"""The sign, 1 or -1, of each value in a sum."""


def share_plainly(matrix: ArrayLike, roots: bool = True, few: bool = True) -> Dataflow:
    """Return the result of `share` at an effort of 0 for a ternary matrix (outputs, inputs), by the method for few inputs or for many."""
    dense = np.asarray(matrix)
    wanted = [_positive(tuple(row)) for row in dense.tolist()]
    rows = [row for row in dict.fromkeys(wanted) if any(row)]
    number = np.array([rows.index(row) if any(row) else -1 for row in wanted], np.int32)
    negative = np.array([list(row) != list(given) for row, given in zip(wanted, dense.tolist(), strict=True)], bool)
    return woven((nearest_plainly if few else eliminated_plainly)(rows, dense.shape[1]), number, negative, roots)


def eliminated_plainly(rows: list[Vector], inputs: int) -> Sums:
    """Return the sums that distinct rows share after elimination of pairs."""
    if inputs <= len(rows):
        found = _eliminated([{place: digit for place, digit in enumerate(row) if digit} for row in rows], inputs)
    else:
        columns = [{number: row[place] for number, row in enumerate(rows) if row[place]} for place in range(inputs)]
        taken = _eliminated(columns, len(rows))
        found = [{user: terms[value] for user, terms in enumerate(taken) if value in terms} for value in range(len(taken) - inputs + len(rows))]
    return _sums([[2 * value + (sign < 0) for value, sign in terms.items()] for terms in found], len(rows), inputs)


def _eliminated(sums: list[Terms], inputs: int) -> list[Terms]:
    """Return sums with the common terms of two extracted, most terms first; ties go to the newest sum and its newest partner."""
    outer = len(sums)
    while True:
        best, common = (1, 0, 0), {}
        for new, old, sign in product(range(len(sums)), range(len(sums)), (0, 1)):
            terms = {value: s for value, s in sums[new].items() if sums[old].get(value) == (-s if sign else s)}
            if old < new and (len(terms), new, 2 * old + sign) > best and len(terms) > 1:
                best, common = (len(terms), new, 2 * old + sign), terms
        if not common:
            return sums
        own = inputs + len(sums) - outer
        for user, sign in ((best[1], 1), (best[2] >> 1, -1 if best[2] & 1 else 1)):
            sums[user] = {value: s for value, s in sums[user].items() if value not in common} | {own: sign}
        sums.append(common)


def nearest_plainly(rows: list[Vector], inputs: int) -> Sums:
    """Return the sums that distinct rows share in the search from the wanted values."""
    held = [tuple(int(place == index) for place in range(inputs)) for index in range(inputs)]
    parts: list[list[int]] = []
    near: set[Vector] = set()
    old = done = 0
    while True:
        done = _closed(held, parts, set(rows) - set(held), done)
        if not set(rows) - set(held):
            terms = [[2 * held.index(row)] for row in rows] + parts
            return _sums(terms, len(rows), inputs)
        within = {_positive(_sum(a, b, sign)) for n, a in enumerate(held) for b in held[:n] for sign in (1, -1)}
        within = {vector for vector in within if _ternary(vector)}
        near |= {row for row in rows if any(_positive(_sum(row, value, sign)) in within for value in held[old:] for sign in (1, -1))}
        old = len(held)
        held.append(_chosen(held, within, [row for row in rows if row not in held], near))
        parts.append(_parts(held))


def _closed(held: list[Vector], parts: list[list[int]], open_rows: set[Vector], done: int) -> int:
    """Hold every open row that is one addition away until none is left, and return the number of values tried with each other."""
    while done < len(held):
        for other, sign in product(range(done), (1, -1)):
            total = _sum(held[done], held[other], sign)
            if _positive(total) in open_rows:
                flip = _positive(total) != total
                open_rows.remove(_positive(total))
                held.append(_positive(total))
                parts.append([2 * done + flip, 2 * other + ((sign < 0) ^ flip)])
        done += 1
    return done


def _chosen(held: list[Vector], within: set[Vector], open_rows: list[Vector], near: set[Vector]) -> Vector:
    """Return the value within one addition that brings the most open rows nearer."""
    score: Counter[Vector] = Counter()
    far = [row for row in open_rows if row not in near]
    for row in near.intersection(open_rows):
        around = Counter(_positive(_sum(row, value, sign)) for value in held for sign in (1, -1))
        score.update({vector: 4 * count for vector, count in around.items()})
    for row in far:
        cover = _cover(held, row)
        score.update(_positive(_sum(a, b, 1)) for n, a in enumerate(cover) for b in cover[:n])
    candidates = [vector for vector in score if vector in within and vector not in held]
    most = max(score[vector] for vector in candidates)
    return min(
        (vector for vector in candidates if score[vector] == most),
        key=lambda vector: (-sum(any(_positive(_sum(row, vector, sign)) in within for sign in (1, -1)) for row in far), _packed(vector)),
    )


def _cover(held: list[Vector], row: Vector) -> list[Vector]:
    """Return held values or their negatives that add up to a row without cancellation, those with the most digits first."""
    cover = []
    while any(row):
        inside = [tuple(s * d for d in value) for value in held for s in (1, -1)]
        inside = [value for value in inside if all(d in (0, r) for d, r in zip(value, row, strict=True))]
        cover.append(max(inside, key=lambda value: sum(map(abs, value))))
        row = _sum(row, cover[-1], -1)
    return cover


def _parts(held: list[Vector]) -> list[int]:
    """Return two values whose sum is the last held value."""
    for other, sign in product(range(len(held) - 1), (1, -1)):
        rest = _sum(held[-1], held[other], -sign)
        if _positive(rest) in held[:-1]:
            return [2 * other + (sign < 0), 2 * held.index(_positive(rest)) + (_positive(rest) != rest)]
    raise ValueError(f"{held[-1]} is not a sum of two held values; choose one that is")


def _sum(one: Vector, other: Vector, sign: int) -> Vector:
    return tuple(a + sign * b for a, b in zip(one, other, strict=True))


def _positive(vector: Vector) -> Vector:
    """Return the vector or its negative, whichever has a positive first non-zero digit."""
    return max(vector, tuple(-digit for digit in vector))


def _ternary(vector: Vector) -> bool:
    """Return whether a vector is non-zero and has no digit beyond ±1."""
    return any(vector) and all(abs(digit) <= 1 for digit in vector)


def _packed(vector: Vector) -> int:
    """Return the sort key of a vector."""
    return sum(1 << (place + 32 * (digit < 0)) for place, digit in enumerate(vector) if digit)


def _sums(terms: list[list[int]], rows: int, inputs: int) -> Sums:
    """Return the sums with these terms."""
    first = np.cumsum([0] + [len(items) for items in terms]).astype(np.int32)
    items: NDArray[np.int32] = np.array([item for items in terms for item in items], np.int32)
    return Sums(rows, inputs, first, items)
