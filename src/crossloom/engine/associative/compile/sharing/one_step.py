"""Sharing with few inputs: values chosen such that each wanted value is the sum or difference of two others.

A *vector* has a digit -1, 0 or 1 for each input, packed into 64 bits: the positive digits in the lower half, the negative ones in the
upper half. A vector and its negative are the same value, represented by the one whose first digit is positive. Values that need only
one addition are taken first (`_close`). When none is left within reach, one more value is chosen. Candidates are the sums and differences
of two held values. Each candidate scores for the wanted values that it brings nearer:

    4  for each way in which a near wanted t gets within one addition: t ± candidate is held,
    1  for each pair of values with this sum in the cover of a far wanted t.

A wanted value is near if it was found to be a newly held value plus or minus a candidate. (Trying old values with new candidates takes
longer, and finds hardly anything more.) A cover takes the held values with the most digits first, without cancellation. Of equal scores, the
candidate that brings most far values within two additions wins, and then the smallest number.

Digits may cancel everywhere: t = u - v counts even if u and v have inputs in common, which counting pairs of terms never finds. Measuring
progress by distances is the idea of Boyar and Peralta (SEA 2010), who go through all pairs of values at each step. Here scores are kept in
a table, and only entries affected by a new value are updated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossloom.kernels.jit import compiled

Vectors = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Aims = tuple[Vectors, Numbers, Vectors]
"""Wanted vectors, the distance level of each, and the cover of each far one (wanted, inputs + 1), terminated by a zero."""

_MET, _UNSEEN, _NEAR, _FAR = 0, 1, 2, 3
_FOR_NEAR = 4
_WITHIN, _HELD, _LISTED, _SCORE = 1, 2, 4, 8  # flags of a table record: sum of two held values, held, on the list; the score is stored times eight
_LENGTH, _USED, _FIRST = 0, 1, 2  # fields of the list: its length, the number of records in use, then the places of its records

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_NONE = np.uint64(0)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@compiled
def _negated(vector: np.uint64) -> np.uint64:
    return (vector << _HALF) | (vector >> _HALF)


@compiled
def _positive(vector: np.uint64) -> np.uint64:
    """Return the vector or its negative, whichever has a positive first digit."""
    used = (vector | (vector >> _HALF)) & _LOW
    return vector if vector & used & (~used + _ONE) else _negated(vector)


@compiled
def _sum(one: np.uint64, other: np.uint64) -> np.uint64:
    """Return one + other, or 0 if that is zero or has a digit beyond ±1."""
    union = one | other
    return _NONE if one & other else union & ~_negated(union)


@compiled
def _slot(table: Vectors, vector: np.uint64) -> np.int64:
    """Return the record of a vector, or the empty record where it belongs."""
    mask = np.uint64(len(table) - 1)
    mixed = vector * _SPREAD
    place = (mixed ^ (mixed >> _HALF)) & mask
    while table[place, 0] != vector and table[place, 0] != 0:
        place = (place + _ONE) & mask
    return np.int64(place)


@compiled
def reach(wanted: Vectors, inputs: int) -> tuple[Vectors, Numbers]:
    """Return the held values in definition order, inputs first (n,), and their two summands, 2 · number + sign (n, 2).

    Args:
        wanted: different vectors with a positive first digit (t,).
        inputs: number of digits used, at most 32.
    """
    first = _ONE << np.arange(inputs).astype(np.uint64)
    held, parts, names = _longer(first, np.zeros((inputs, 2), np.int64), wanted, len(wanted))
    count = _close(names, held, parts, inputs, 0)
    aims = (wanted, np.full(len(wanted), _UNSEEN), np.zeros((len(wanted), inputs + 1), np.uint64))
    table, listed = np.zeros((1, 2), np.uint64), np.zeros(3, np.int64)
    old, more = 0, _missing(names, wanted)
    while more:
        table, listed = _grown(table, listed, 2 * count * (count - old), inputs)
        _note(table, listed, held[:count], old)
        table, listed = _appraise(table, listed, held[:count], old, aims)
        if count + more >= len(held):
            held, parts, names = _longer(held[:count], parts, wanted, count + more)
        held[count] = _chosen(table, listed, aims)
        _split(names, held, parts, count)
        old, count = count, _close(names, held, parts, count + 1, count)
        more = _missing(names, wanted)
    return held[:count], parts[:count]


@compiled
def _longer(held: Vectors, parts: Numbers, wanted: Vectors, more: int) -> tuple[Vectors, Numbers, Vectors]:
    """Return held vectors and summands with room for `more` more, and a table with 0 for each wanted vector and number + 1 for each held one."""
    longer, their_parts = np.zeros(len(held) + more, np.uint64), np.zeros((len(held) + more, 2), np.int64)
    longer[: len(held)], their_parts[: len(held)] = held, parts[: len(held)]
    names = np.zeros((_power(8 * (len(longer) + len(wanted))), 2), np.uint64)
    for vector in wanted:
        names[_slot(names, vector), 0] = vector
    for number in range(len(held)):
        _hold(names, longer, number)
    return longer, their_parts, names


@compiled
def _missing(names: Vectors, wanted: Vectors) -> int:
    """Return the number of wanted vectors that are not held."""
    count = 0
    for vector in wanted:
        count += names[_slot(names, vector), 1] == 0
    return count


@compiled
def _hold(names: Vectors, held: Vectors, number: int) -> None:
    """Enter a held vector's number."""
    place = _slot(names, held[number])
    names[place, 0] = held[number]
    names[place, 1] = number + 1


@compiled
def _close(names: Vectors, held: Vectors, parts: Numbers, count: int, done: int) -> int:
    """Hold every wanted vector within one addition of held ones, and return the new number of held vectors.

    The first `done` of the `count` held vectors have been tried with each other.
    """
    while done < count:
        for other in range(done):
            for sign in range(2):
                total = _sum(held[done], _negated(held[other]) if sign else held[other])
                vector = _positive(total)
                place = _slot(names, vector)
                if total and names[place, 0] and names[place, 1] == 0:
                    flip = np.int64(vector != total)
                    held[count] = vector
                    names[place, 1] = count + 1
                    parts[count, 0], parts[count, 1] = 2 * done + flip, 2 * other + (sign ^ flip)
                    count += 1
        done += 1
    return count


@compiled
def _split(names: Vectors, held: Vectors, parts: Numbers, number: int) -> None:
    """Find the summands of a held vector among the earlier ones, and enter its number."""
    for other in range(number):
        for sign in range(2):
            rest = _sum(held[number], held[other] if sign else _negated(held[other]))
            vector = _positive(rest)
            named = np.int64(names[_slot(names, vector), 1])
            if rest and named:
                parts[number, 0], parts[number, 1] = 2 * other + sign, 2 * (named - 1) + np.int64(vector != rest)
                _hold(names, held, number)
                return


@compiled
def _grown(table: Vectors, listed: Numbers, fresh: int, inputs: int) -> tuple[Vectors, Numbers]:
    """Return the table of vector records and the list of candidates, with room for `fresh` more entries."""
    entries = min(listed[_USED] + fresh, 3**inputs // 2)
    size = _power(entries + entries // 3)
    if size <= len(table):
        return table, listed
    larger, places = np.zeros((size, 2), np.uint64), np.zeros(size + _FIRST, np.int64)
    places[_USED] = listed[_USED]
    for record in range(len(table)):
        if table[record, 0]:
            place = _slot(larger, table[record, 0])
            larger[place] = table[record]
            if table[record, 1] & np.uint64(_LISTED):
                places[_FIRST + places[_LENGTH]] = place
                places[_LENGTH] += 1
    return larger, places


@compiled
def _power(least: int) -> int:
    """Return the smallest power of two greater than a number."""
    size = 2
    while size <= least:
        size *= 2
    return size


@compiled
def _record(table: Vectors, listed: Numbers, vector: np.uint64) -> np.int64:
    """Return the record of a vector, creating it if necessary."""
    place = _slot(table, vector)
    if table[place, 0] == 0:
        table[place, 0] = vector
        listed[_USED] += 1
    return place


@compiled
def _list(table: Vectors, listed: Numbers, place: np.int64) -> None:
    """Put a record on the list of candidates if it is a sum of two held values with a score."""
    known = np.int64(table[place, 1])
    if known >= _SCORE and known & (_WITHIN | _LISTED) == _WITHIN:
        table[place, 1] = known | _LISTED
        listed[_FIRST + listed[_LENGTH]] = place
        listed[_LENGTH] += 1


@compiled
def _note(table: Vectors, listed: Numbers, held: Vectors, old: int) -> None:
    """Enter the held vectors from number `old` on, and their sums and differences with earlier ones."""
    for number in range(old, len(held)):
        place = _record(table, listed, held[number])
        table[place, 1] |= np.uint64(_HELD)
        for other in range(number):
            for sign in range(2):
                total = _sum(held[number], _negated(held[other]) if sign else held[other])
                if total:
                    place = _record(table, listed, _positive(total))
                    table[place, 1] |= np.uint64(_WITHIN)
                    _list(table, listed, place)


@compiled
def _around(table: Vectors, listed: Numbers, held: Vectors, vector: np.uint64, change: int) -> None:
    """Change the score of every vector that would bring this one within one addition: its sums with held vectors."""
    for other in range(len(held)):
        for sign in range(2):
            total = _sum(vector, _negated(held[other]) if sign else held[other])
            if total:
                place = _record(table, listed, _positive(total))
                table[place, 1] += np.uint64(change * _SCORE)
                _list(table, listed, place)


@compiled
def _pairs(table: Vectors, listed: Numbers, cover: Vectors, change: int) -> None:
    """Change the score of the sum of each pair in a cover."""
    one = 0
    while cover[one]:
        for other in range(one):
            place = _record(table, listed, _positive(_sum(cover[one], cover[other])))
            table[place, 1] += np.uint64(change * _SCORE)
            _list(table, listed, place)
        one += 1


@compiled
def _appraise(table: Vectors, listed: Numbers, held: Vectors, old: int, aims: Aims) -> tuple[Vectors, Numbers]:
    """Bring the scores up to date with the held vectors from number `old` on, and return the table and the list."""
    wanted, level, cover = aims
    inputs = cover.shape[1] - 1
    for index in range(len(wanted)):
        if level[index] == _MET:
            continue
        table, listed = _grown(table, listed, 2 * len(held) + inputs * inputs, inputs)
        before, now = level[index], _level(table, held[old:], wanted[index], level[index])
        stale = before == _FAR and (now != _FAR or _inside(held[old:], wanted[index]))
        if stale:
            _pairs(table, listed, cover[index], -1)
        if now == _FAR and (stale or before == _UNSEEN):
            _cover(held, wanted[index], cover[index])
            _pairs(table, listed, cover[index], 1)
        elif now == _NEAR:
            _around(table, listed, held[old:] if before == _NEAR else held, wanted[index], _FOR_NEAR)
        elif before == _NEAR:
            _around(table, listed, held[:old], wanted[index], -_FOR_NEAR)
        level[index] = now
    return table, listed


@compiled
def _level(table: Vectors, fresh: Vectors, vector: np.uint64, before: int) -> int:
    """Return the distance level of a wanted vector, given the vectors held since its last evaluation."""
    if _flags(table, vector) & _HELD:
        return _MET
    return _NEAR if before == _NEAR or _within_two(table, fresh, vector) else _FAR


@compiled
def _inside(held: Vectors, vector: np.uint64) -> bool:
    """Return whether one of the given held vectors could be in the cover of a vector."""
    found = False
    for value in held:
        found |= value & ~vector == 0 or _negated(value) & ~vector == 0
    return found


@compiled
def _flags(table: Vectors, vector: np.uint64) -> np.int64:
    """Return the flags in the record of a vector, or 0 if it has no record."""
    place = _slot(table, vector)
    return np.int64(table[place, 1]) & (_SCORE - 1)


@compiled
def _within_two(table: Vectors, held: Vectors, vector: np.uint64) -> bool:
    """Return whether a vector is one of the given held vectors plus or minus a sum of two."""
    for other in range(len(held)):
        for sign in range(2):
            total = _sum(vector, _negated(held[other]) if sign else held[other])
            if total and _flags(table, _positive(total)) & _WITHIN:
                return True
    return False


@compiled
def _cover(held: Vectors, vector: np.uint64, cover: Vectors) -> None:
    """Fill in held vectors that add up to this one without overlapping digits: that with the most digits first, then the same for the rest."""
    within = np.zeros(2 * len(held), np.uint64)
    count = size = 0
    for value in held:
        for summand in (value, _negated(value)):
            if summand & ~vector == 0:
                within[count], count = summand, count + 1
    while vector:
        best, most = _NONE, 0
        for summand in within[:count]:
            if summand & ~vector == 0 and _digits(summand) > most:
                best, most = summand, _digits(summand)
        cover[size] = best
        vector &= ~best
        size += 1
    cover[size] = _NONE


@compiled
def _digits(vector: np.uint64) -> int:
    """Return the number of non-zero digits."""
    count = 0
    while vector:
        vector &= vector - _ONE
        count += 1
    return count


@compiled
def _chosen(table: Vectors, listed: Numbers, aims: Aims) -> np.uint64:
    """Return the best candidate, and remove entries that are no longer candidates from the list."""
    length, most = 0, np.int64(0)
    for index in range(_FIRST, _FIRST + listed[_LENGTH]):
        known = np.int64(table[listed[index], 1])
        if known < _SCORE or known & _HELD:
            table[listed[index], 1] = known & ~_LISTED
            continue
        listed[_FIRST + length] = listed[index]
        length += 1
        most = max(most, known // _SCORE)
    listed[_LENGTH] = length
    best, helped = _NONE, -1
    for index in range(_FIRST, _FIRST + length):
        vector = table[listed[index], 0]
        if np.int64(table[listed[index], 1]) // _SCORE == most:
            helps = _helps(table, vector, aims)
            if helps > helped or (helps == helped and vector < best):
                best, helped = vector, helps
    return best


@compiled
def _helps(table: Vectors, vector: np.uint64, aims: Aims) -> int:
    """Return the number of far vectors that a candidate brings within two additions."""
    wanted, level, _ = aims
    count = 0
    for index in range(len(wanted)):
        if level[index] == _FAR:
            more, less = _sum(wanted[index], vector), _sum(wanted[index], _negated(vector))
            count += bool((_flags(table, _positive(more)) | _flags(table, _positive(less))) & _WITHIN)
    return count
