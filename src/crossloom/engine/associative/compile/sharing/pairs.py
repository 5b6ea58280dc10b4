"""Sharing with many inputs: greedy extraction of terms common to two sums, followed by exchange for better ones.

Sums and values
    A *sum* is a list of signed values; a *value* is an input, or a sum extracted from others. Two sums that have two or more terms in
    common, up to a common sign, share a new sum instead: k common terms save k - 1 additions. This is elimination of pairs in the
    transposed matrix, where the two sums are the pair and k the number of its occurrences. A matrix and its transpose need equally many
    additions except for outputs minus inputs, since any network of additions can be read backwards. Either side can therefore be used.

Extraction (`eliminate`)
    Terms are always extracted from the two sums with the most terms in common; ties go to the newest sum and its newest partner. The overlap of
    a sum with any other never grows: terms only leave, and a new sum has no more in common with a third than its parents had. An earlier count
    is therefore an upper bound, and sums are recounted only when they are due. No table of pairs is kept: memory is linear in the non-zeros.

Exchange (`exchange`)
    Some neighbouring shared sums are put back into their users, and common terms of the affected sums are extracted again. The result is kept
    if it costs no more. Of equal partners the oldest is taken, since the newest are those just put back.

The network is one array with a row for each kind of list. Each array passed from function to function costs a compiled program two
atomic counts, which would take most of the time. A term of a sum is a *link* in two lists, the terms of the sum and the uses of the value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossloom.kernels.jit import compiled

Net = NDArray[np.int32]
Lists = tuple[NDArray[np.int32], NDArray[np.int32]]

STRENGTH = 8
"""Largest number of sums put back together, in addition to the first."""

USES, TERMS = 0, 1  # the two lists of a link; the first five kinds of row come in pairs, one per list
_ITEM, _NEXT, _BEFORE, _HEAD, _LENGTH = 0, 2, 4, 6, 8
_LOG, _FREE, _SPARE, _COUNT, _TOUCHED, _AFFECTED, _MARK, _BOUND, _PARTNER, _STATE = range(10, 20)
_SUMS, _INPUTS, _LOGGED, _UNUSED, _SPARES, _COST, _SEED, _AFFECTS, _PEAK = range(9)  # columns of the row _STATE
_LINKED, _CUT, _TAKEN, _GIVEN = range(4)  # kinds of log entry
_ENDLESS = 1 << 30


@compiled
def network(matrix: NDArray[np.int8]) -> Net:
    """Return the network of a ternary matrix (sums, inputs) before any extraction."""
    sums, inputs = matrix.shape
    links = np.count_nonzero(matrix)
    width = 8 * links + 2 * (sums + inputs) + 1024
    net = np.zeros((_STATE + 1, width), np.int32)
    net[_HEAD : _HEAD + 2] = -1
    net[_STATE, _SUMS], net[_STATE, _INPUTS], net[_STATE, _SEED] = sums, inputs, 1
    net[_STATE, _UNUSED], net[_STATE, _SPARES] = links, 2 * links  # each extracted sum saves an addition
    net[_FREE, :links] = np.arange(links)[::-1]
    net[_SPARE, : 2 * links] = np.arange(2 * links)[::-1]
    for column in range(inputs):
        for row in range(sums):
            if matrix[row, column]:
                _link(net, row, 2 * column + (1 if matrix[row, column] < 0 else 0))
                net[_STATE, _LOGGED] = 0
    return net


@compiled
def eliminate(net: Net) -> None:
    """Extract the common terms of two sums, most terms first, until no two sums have two terms in common."""
    for row in range(net[_STATE, _SUMS]):
        net[_BOUND, row] = net[_LENGTH + TERMS, row]
    level = net[_BOUND, : net[_STATE, _SUMS]].max() if net[_STATE, _SUMS] else 0
    while level > 1:
        below = 0
        for row in range(net[_STATE, _SUMS] + net[_STATE, _PEAK] - 1, -1, -1):
            below = max(below, _eliminate_from(net, row, level) if net[_BOUND, row] == level else net[_BOUND, row])
        level = below


@compiled
def _eliminate_from(net: Net, row: int, level: int) -> int:
    """Extract `level` or more common terms of a sum, or of sums extracted from it, with others; return the largest overlap below `level`."""
    size, below = 1, 0
    net[_AFFECTED, 0] = row
    while size:
        row = net[_AFFECTED, size - 1]
        partner, count = _partner(net, row, True)
        if count < level:
            net[_BOUND, row] = count
            size, below = size - 1, max(below, count)
        else:
            own = _extract(net, row, partner)
            net[_STATE, _LOGGED] = 0
            net[_AFFECTED, size] = own
            size += 1
    return below


@compiled
def exchange(net: Net, rounds: int) -> int:
    """Put shared sums back and extract better ones, `rounds` times, and return the number of additions saved."""
    before = net[_STATE, _COST]
    for _ in range(rounds if net[_STATE, _PEAK] else 0):
        cost = net[_STATE, _COST]
        net[_STATE, _LOGGED], net[_STATE, _AFFECTS] = 0, 0
        _ruin(net)
        _rebuild(net)
        if net[_STATE, _COST] > cost:
            _undo(net)
        else:
            _settle(net)
        for index in range(net[_STATE, _AFFECTS]):
            net[_MARK, net[_AFFECTED, index]] = 0
    return int(before - net[_STATE, _COST])


@compiled
def lists(net: Net, side: int) -> Lists:
    """Return where each list starts, and the concatenated lists: 2 · number, + 1 if negative.

    For the side TERMS these are the terms of the sums, original sums first. For USES they are the uses of the values, inputs first, which
    are the terms of the sums of the transposed matrix.
    """
    outer = net[_STATE, _SUMS] if side == TERMS else net[_STATE, _INPUTS]
    first = np.zeros(outer + net[_STATE, _PEAK] + 1, np.int32)
    for index in range(len(first) - 1):
        first[index + 1] = first[index] + net[_LENGTH + side, index]
    items = np.zeros(first[-1], np.int32)
    for index in range(len(first) - 1):
        place, link = first[index], net[_HEAD + side, index]
        while link >= 0:
            items[place] = net[_ITEM + side, link]
            place, link = place + 1, net[_NEXT + side, link]
    return first, items


@compiled
def _random(net: Net, limit: int) -> int:
    """Return a pseudo-random number below a limit."""
    state = (np.int64(net[_STATE, _SEED]) * 1103515245 + 12345) & 0x7FFFFFFF
    net[_STATE, _SEED] = state
    return int(((state >> 8) * limit) >> 23)


@compiled
def _push(net: Net, side: int, index: int, link: int) -> None:
    head = net[_HEAD + side, index]
    net[_NEXT + side, link], net[_BEFORE + side, link] = head, -1
    if head >= 0:
        net[_BEFORE + side, head] = link
    net[_HEAD + side, index] = link
    net[_LENGTH + side, index] += 1


@compiled
def _pull(net: Net, side: int, index: int, link: int) -> None:
    before, after = net[_BEFORE + side, link], net[_NEXT + side, link]
    if before >= 0:
        net[_NEXT + side, before] = after
    else:
        net[_HEAD + side, index] = after
    if after >= 0:
        net[_BEFORE + side, after] = before
    net[_LENGTH + side, index] -= 1


@compiled
def _log(net: Net, what: int, row: int, item: int) -> None:
    place = net[_STATE, _LOGGED]
    net[_LOG, place], net[_LOG, place + 1] = 4 * row + what, item
    net[_STATE, _LOGGED] = place + 2


@compiled
def _link(net: Net, row: int, item: int) -> None:
    """Add a term to a sum: 2 · value, + 1 if negative."""
    spares = net[_STATE, _SPARES] - 1
    link = net[_SPARE, spares]
    net[_STATE, _SPARES] = spares
    net[_ITEM + TERMS, link], net[_ITEM + USES, link] = item, 2 * row + (item & 1)
    _push(net, TERMS, row, link)
    _push(net, USES, item >> 1, link)
    net[_STATE, _COST] += 1
    _log(net, _LINKED, row, item)


@compiled
def _cut(net: Net, link: int) -> None:
    """Remove a term from its sum."""
    item, row = net[_ITEM + TERMS, link], net[_ITEM + USES, link] >> 1
    _pull(net, TERMS, row, link)
    _pull(net, USES, item >> 1, link)
    net[_SPARE, net[_STATE, _SPARES]] = link
    net[_STATE, _SPARES] += 1
    net[_STATE, _COST] -= 1
    _log(net, _CUT, row, item)


@compiled
def _find(net: Net, row: int, value: int) -> int:
    """Return the link between a sum and a value, or -1 if there is none."""
    link = net[_HEAD + TERMS, row]
    while link >= 0 and net[_ITEM + TERMS, link] >> 1 != value:
        link = net[_NEXT + TERMS, link]
    return int(link)


@compiled
def _take(net: Net) -> int:
    """Return the number of a new shared sum. A sum costs one addition less than its number of terms."""
    unused = net[_STATE, _UNUSED] - 1
    shared = net[_FREE, unused]
    net[_STATE, _UNUSED] = unused
    net[_STATE, _PEAK] = max(net[_STATE, _PEAK], shared + 1)
    net[_STATE, _COST] -= 1
    _log(net, _TAKEN, shared, 0)
    return int(shared)


@compiled
def _give(net: Net, shared: int) -> None:
    """Release the number of a shared sum."""
    net[_FREE, net[_STATE, _UNUSED]] = shared
    net[_STATE, _UNUSED] += 1
    net[_STATE, _COST] += 1
    _log(net, _GIVEN, shared, 0)


@compiled
def _undo(net: Net) -> None:
    """Undo the logged changes."""
    while net[_STATE, _LOGGED]:
        place = net[_STATE, _LOGGED] - 2
        row, what, item = net[_LOG, place] >> 2, net[_LOG, place] & 3, net[_LOG, place + 1]
        if what == _LINKED:
            _cut(net, _find(net, row, item >> 1))
        elif what == _CUT:
            _link(net, row, item)
        elif what == _TAKEN:
            _give(net, row)
        else:
            _take(net)
        net[_STATE, _LOGGED] = place


@compiled
def _partner(net: Net, row: int, newest: bool) -> tuple[int, int]:
    """Return the sum with most terms in common (2 · number, + 1 if all signs differ) and their number; (-1, 1) if there are fewer than two.

    Ties go to the newest by number if `newest`, otherwise to the sum whose first common term has been in use longest.
    """
    size = 0
    term = net[_HEAD + TERMS, row]
    while term >= 0:
        item = net[_ITEM + TERMS, term]
        use = net[_HEAD + USES, item >> 1]
        while use >= 0:
            other = net[_ITEM + USES, use] ^ (item & 1)
            if net[_COUNT, other] == 0:
                net[_TOUCHED, size] = other
                size += 1
            net[_COUNT, other] += 1
            use = net[_NEXT + USES, use]
        term = net[_NEXT + TERMS, term]
    net[_COUNT, 2 * row] = 0
    best, most = -1, 1
    for index in range(size):
        other = net[_TOUCHED, index]
        count = net[_COUNT, other]
        net[_COUNT, other] = 0
        if count > most or (count == most > 1 and (other > best or not newest)):
            best, most = other, count
    return best, most


@compiled
def _extract(net: Net, row: int, partner: int) -> int:
    """Move the common terms of a sum and its partner into a new sum, and return its row."""
    shared = _take(net)
    own, value = net[_STATE, _SUMS] + shared, net[_STATE, _INPUTS] + shared
    term = net[_HEAD + TERMS, row]
    while term >= 0:
        after, item = net[_NEXT + TERMS, term], net[_ITEM + TERMS, term]
        other = _find(net, partner >> 1, item >> 1)
        if other >= 0 and net[_ITEM + TERMS, other] == item ^ (partner & 1):
            _cut(net, term)
            _cut(net, other)
            _link(net, own, item)
        term = after
    _link(net, row, 2 * value)
    _link(net, partner >> 1, 2 * value + (partner & 1))
    return int(own)


@compiled
def _affect(net: Net, row: int, bound: int) -> None:
    """Mark a sum as changed, with an upper bound of its overlap with any other."""
    net[_BOUND, row], net[_PARTNER, row] = bound, -1
    if not net[_MARK, row]:
        net[_MARK, row] = 1
        net[_AFFECTED, net[_STATE, _AFFECTS]] = row
        net[_STATE, _AFFECTS] += 1


@compiled
def _dissolve(net: Net, shared: int) -> None:
    """Put a shared sum back into its users, unless that would fill the log or need too many links.

    No user already has one of its terms, because all functions of this file keep each input unique below a sum.
    """
    own, value = net[_STATE, _SUMS] + shared, net[_STATE, _INPUTS] + shared
    steps = (net[_LENGTH + USES, value] + 1) * (net[_LENGTH + TERMS, own] + 1)
    if net[_STATE, _LOGGED] + 2 * steps > net.shape[1] // 4 or steps > net[_STATE, _SPARES]:
        return
    while net[_HEAD + USES, value] >= 0:
        use = net[_HEAD + USES, value]
        row = net[_ITEM + USES, use] >> 1
        sign = net[_ITEM + USES, use] & 1
        _cut(net, use)
        term = net[_HEAD + TERMS, own]
        while term >= 0:
            _link(net, row, net[_ITEM + TERMS, term] ^ sign)
            term = net[_NEXT + TERMS, term]
        _affect(net, row, _ENDLESS)
    while net[_HEAD + TERMS, own] >= 0:
        _cut(net, net[_HEAD + TERMS, own])
    _give(net, shared)


@compiled
def _ruin(net: Net) -> None:
    """Put back a random shared sum and some near it: terms of affected sums, or other sums that use the same input."""
    sums, inputs = net[_STATE, _SUMS], net[_STATE, _INPUTS]
    shared = _random(net, net[_STATE, _PEAK])
    while net[_LENGTH + TERMS, sums + shared] == 0:
        shared = _random(net, net[_STATE, _PEAK])
    _dissolve(net, shared)
    for _ in range(1 + _random(net, STRENGTH)):
        if net[_STATE, _AFFECTS] == 0:
            return
        row = net[_AFFECTED, _random(net, net[_STATE, _AFFECTS])]
        if net[_LENGTH + TERMS, row]:
            shared = (_any(net, TERMS, row) >> 1) - inputs
            if shared < 0:
                shared = (_any(net, USES, shared + inputs) >> 1) - sums
            if shared >= 0:
                _dissolve(net, shared)


@compiled
def _any(net: Net, side: int, index: int) -> int:
    """Return a random item of a list."""
    link = net[_HEAD + side, index]
    for _ in range(_random(net, net[_LENGTH + side, index])):
        link = net[_NEXT + side, link]
    return int(net[_ITEM + side, link])


@compiled
def _rebuild(net: Net) -> None:
    """Extract the terms that affected sums have in common with others, most terms first, while the log and free numbers last."""
    while net[_STATE, _LOGGED] < net.shape[1] // 2 and net[_STATE, _UNUSED]:
        row, bound = -1, 1
        affected = net[_STATE, _AFFECTS]
        start = _random(net, affected)
        for index in range(start, start + affected):
            candidate = net[_AFFECTED, index if index < affected else index - affected]
            if net[_BOUND, candidate] > bound:
                row, bound = candidate, net[_BOUND, candidate]
        if row < 0:
            return
        partner = net[_PARTNER, row]
        if partner < 0:
            net[_PARTNER, row], net[_BOUND, row] = _partner(net, row, False)
        else:
            own = _extract(net, row, partner)
            for index in range(affected):
                candidate = net[_AFFECTED, index]
                if net[_PARTNER, candidate] >> 1 in (row, partner >> 1):
                    net[_PARTNER, candidate] = -1
            for changed in (row, partner >> 1, own):
                _affect(net, changed, bound)


@compiled
def _settle(net: Net) -> None:
    """Put back shared sums with a single use or term: they save nothing, and hide their terms."""
    sums, inputs = net[_STATE, _SUMS], net[_STATE, _INPUTS]
    for index in range(net[_STATE, _AFFECTS]):
        shared = net[_AFFECTED, index] - sums
        there = shared >= 0 and net[_LENGTH + TERMS, sums + shared] > 0
        if there and (net[_LENGTH + TERMS, sums + shared] == 1 or net[_LENGTH + USES, inputs + shared] == 1):
            net[_STATE, _LOGGED] = 0
            _dissolve(net, shared)
