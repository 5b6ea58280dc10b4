"""Emission of instructions from ordered operations: places of temporaries, in place or not, sign and width.

* **Sign.** A temporary may be stored negated; its readers take that into account. In place, the overwritten operand can therefore always be the
  minuend: for p − q, p becomes p − q, or q becomes −(p − q) = q − p.
* **In place** if an operand is a temporary, is read for the last time, and lies in a column that suits the readers of the result. This takes four
  steps per bit and three for each bit of growth, instead of five and the clearing write.
* **Columns.** Operands of one operation must lie in different columns. A new temporary therefore avoids the columns of its operands, and those of
  the live temporaries that will be read together with it. Of the remaining columns it takes the one with most free slots.
* **Sums** grow with their exact range, so that early channels are added to short sums. The first term is copied.
* **The carry** wears most. It moves to the next domain every few instructions, so that all cells of its column wear equally.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.compile.dataflow import Dataflow, low_high
from crossloom.engine.associative.compile.layout import ColumnLayout
from crossloom.engine.associative.compile.ordering import order, uses_of
from crossloom.engine.associative.compile.widths import width
from crossloom.engine.associative.isa.instructions import INSTRUCTION, Instructions, Op
from crossloom.kernels.jit import compiled

TURN = 16
"""Number of instructions after which the carry moves to the next domain."""
_ADD, _SUBTRACT, _SUM, _DIFFERENCE, _COPY, _NEGATE, _EXTEND = (
    int(op) for op in (Op.ADD, Op.SUBTRACT, Op.SUM, Op.DIFFERENCE, Op.COPY, Op.NEGATE, Op.EXTEND)
)
_FIELDS = len(INSTRUCTION.names or ())
Array = NDArray[Any]


@dataclass
class Sums:
    """Ranges of an array's sums during emission of a stream: lowest and highest value, and the number of stored bits (0: untouched)."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    bits: NDArray[np.int64]
    emitted: int = 0

    @classmethod
    def none(cls, outputs: int) -> Sums:
        """Return untouched sums."""
        return cls(np.zeros(outputs, np.int64), np.zeros(outputs, np.int64), np.zeros(outputs, np.int64))

    @classmethod
    def between(cls, low: NDArray[np.int64], high: NDArray[np.int64]) -> Sums:
        """Return sums that already have the given ranges."""
        bits = [width(least, most)[0] for least, most in zip(low.tolist(), high.tolist(), strict=True)]
        return cls(low.copy(), high.copy(), np.array(bits, np.int64))


def emit(dataflow: Dataflow, scope: int, signed: bool, layout: ColumnLayout, sums: Sums) -> Instructions | None:
    """Return the instructions of a scope, or None if its temporaries do not fit. `scope` is its number in the stream; `sums` is updated.

    Inputs have `layout.input_bits` bits. Every temporary is as wide as its range.
    """
    bits = layout.input_bits
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    lowest, highest = (bound[dataflow.inputs :] for bound in low_high(dataflow, low, high))
    widest = max((width(min(a, -b), max(b, -a))[0] for a, b in zip(lowest.tolist(), highest.tolist(), strict=True)), default=1)
    slots = layout.domains // widest
    columns, domains = layout.sum_places()
    before = sums.low.copy(), sums.high.copy(), sums.bits.copy()
    left, right, first, term = (each.astype(np.int64) for each in (dataflow.left, dataflow.right, dataflow.first, dataflow.term))
    graph = _Graph(dataflow.inputs, left, right, dataflow.minus, first, term, dataflow.negative, lowest, highest)
    places = _Places(bits, signed, low, high, layout.input_domain(scope), layout.inputs, layout.temporary_columns, slots, widest)
    lying = _Sums(columns, domains, sums.low, sums.high, sums.bits)
    found, fits = _emit(order(dataflow), graph, places, lying, _Carry(layout.carry, layout.domains, sums.emitted))
    if not fits:
        sums.low, sums.high, sums.bits = before
        return None
    sums.emitted += len(found)
    return as_instructions(found)


def as_instructions(fields: NDArray[np.int16]) -> Instructions:
    """Return instructions from a table of fields, one row per instruction."""
    found = np.empty(len(fields), INSTRUCTION)
    for place, name in enumerate(INSTRUCTION.names or ()):
        found[name] = fields[:, place]
    return found


class _Graph(NamedTuple):
    """A dataflow with the ranges of its temporaries."""

    inputs: int
    left: Array
    right: Array
    minus: Array
    first: Array
    term: Array
    negative: Array
    lowest: Array
    highest: Array


class _Places(NamedTuple):
    """Places of inputs and temporaries: `at` is the domain of the inputs, `base` the first column for temporaries."""

    bits: int
    signed: bool
    low: int
    high: int
    at: int
    base: int
    columns: int
    slots: int
    widest: int


class _Sums(NamedTuple):
    """Places of the sums, and their ranges."""

    column: Array
    at: Array
    low: Array
    high: Array
    bits: Array


class _Carry(NamedTuple):
    """The carry's column, its number of domains, and the number of preceding instructions."""

    column: int
    domains: int
    before: int


class _State(NamedTuple):
    """Emission state: per temporary its column (-1: dead), slot, negation and completion; free slots; the instructions and their number."""

    column: Array
    slot: Array
    flipped: Array
    done: Array
    uses: Array
    free: Array
    room: Array
    banned: Array
    out: Array
    length: Array


class _Operand(NamedTuple):
    """An operand: its place, stored bits, and range."""

    column: int
    at: int
    bits: int
    signed: bool
    low: int
    high: int


@compiled
def _emit(order: Array, graph: _Graph, places: _Places, sums: _Sums, carry: _Carry) -> tuple[Array, bool]:
    """Return the fields of the instructions, and whether the temporaries fit."""
    temporaries = len(graph.left)
    state = _State(
        np.full(temporaries, -1, np.int64),
        np.zeros(temporaries, np.int64),
        np.zeros(temporaries, np.bool_),
        np.zeros(temporaries, np.bool_),
        uses_of(graph.inputs, graph.left, graph.right, graph.term),
        np.full((places.columns, places.slots), True),
        np.full(places.columns, places.slots),
        np.zeros(places.columns, np.bool_),
        np.zeros((2 * len(order), _FIELDS), np.int16),
        np.zeros(1, np.int64),
    )
    readers = _readers(graph)
    output_of = np.empty(len(graph.term), np.int64)
    for o in range(len(graph.first) - 1):
        output_of[graph.first[o] : graph.first[o + 1]] = o
    for entry in order:
        if entry < 0:
            _accumulate(-1 - entry, output_of[-1 - entry], graph, places, sums, carry, state)
        elif not _define(entry, graph, places, readers, carry, state):
            return state.out[:0], False
    return state.out[: state.length[0]], True


@compiled
def _readers(graph: _Graph) -> tuple[Array, Array, Array]:
    """Return the temporaries that read each temporary (CSR) and, for each reader, its other operand."""
    first = np.zeros(len(graph.left) + 1, np.int64)
    for t in range(len(graph.left)):
        for operand in (graph.left[t], graph.right[t]):
            if operand >= graph.inputs:
                first[operand - graph.inputs + 1] += 1
    first = np.cumsum(first)
    fill, reader, other = first[:-1].copy(), np.empty(first[-1], np.int64), np.empty(first[-1], np.int64)
    for t in range(len(graph.left)):
        for one, two in ((graph.left[t], graph.right[t]), (graph.right[t], graph.left[t])):
            if one >= graph.inputs:
                reader[fill[one - graph.inputs]], other[fill[one - graph.inputs]] = t, two
                fill[one - graph.inputs] += 1
    return first, reader, other


@compiled
def _read(value: int, graph: _Graph, places: _Places, state: _State) -> _Operand:
    """Return a value as it is stored, and count the read."""
    state.uses[value] -= 1
    t = value - graph.inputs
    if t < 0:
        return _Operand(value, places.at, places.bits, places.signed, places.low, places.high)
    low, high = graph.lowest[t], graph.highest[t]
    if state.flipped[t]:
        low, high = -high, -low
    bits, signed = width(low, high)
    return _Operand(places.base + state.column[t], state.slot[t] * places.widest, bits, signed, low, high)


@compiled
def _release(value: int, graph: _Graph, state: _State) -> None:
    """Free the slot of a temporary with no reads left."""
    t = value - graph.inputs
    if t >= 0 and state.uses[value] == 0 and state.column[t] >= 0:
        state.free[state.column[t], state.slot[t]] = True
        state.room[state.column[t]] += 1
        state.column[t] = -1


@compiled
def _put(op: int, bits: int, to: int, at: int, a: _Operand, b: _Operand, carry: _Carry, state: _State) -> None:
    """Append an instruction."""
    n = state.length[0]
    row = state.out[n]
    row[0], row[1], row[2], row[3] = op, bits, to, at
    row[4], row[5], row[6], row[7] = a.column, a.at, a.bits, a.signed
    row[8], row[9], row[10], row[11] = b.column, b.at, b.bits, b.signed
    if op != _COPY and op != _EXTEND:
        row[12], row[13] = carry.column, (carry.before + n) // TURN % carry.domains
    state.length[0] = n + 1


@compiled
def _extend(bits: int, to: int, at: int, before: int, signed: bool, carry: _Carry, state: _State) -> None:
    """Append an instruction that widens a stored value, if necessary."""
    if bits > before:
        _put(_EXTEND, bits, to, at, _Operand(0, 0, before, signed, 0, 0), _Operand(0, 0, 0, False, 0, 0), carry, state)


@compiled
def _accumulate(k: int, o: int, graph: _Graph, places: _Places, sums: _Sums, carry: _Carry, state: _State) -> None:
    """Add the k-th term to a sum."""
    value, minus = graph.term[k], graph.negative[k]
    if value >= graph.inputs and state.flipped[value - graph.inputs]:
        minus = not minus
    a, nothing = _read(value, graph, places, state), _Operand(0, 0, 0, False, 0, 0)
    low, high = (-a.high, -a.low) if minus else (a.low, a.high)
    bits, _ = width(sums.low[o] + low, sums.high[o] + high)
    if sums.bits[o] == 0:
        _put(_NEGATE if minus else _COPY, bits, sums.column[o], sums.at[o], a, nothing, carry, state)
    else:
        bits = max(bits, sums.bits[o])
        _extend(bits, sums.column[o], sums.at[o], sums.bits[o], sums.low[o] < 0, carry, state)
        _put(_SUBTRACT if minus else _ADD, bits, sums.column[o], sums.at[o], a, nothing, carry, state)
    sums.low[o] += low
    sums.high[o] += high
    sums.bits[o] = bits
    _release(value, graph, state)


@compiled
def _define(t: int, graph: _Graph, places: _Places, readers: tuple[Array, Array, Array], carry: _Carry, state: _State) -> bool:
    """Compute a temporary, and return whether it fits. The stored value is p + q or p - q."""
    p, q = graph.left[t], graph.right[t]
    p_minus = p >= graph.inputs and state.flipped[p - graph.inputs]
    q_minus = graph.minus[t] != (q >= graph.inputs and state.flipped[q - graph.inputs])
    differ, flip = p_minus != q_minus, p_minus and q_minus
    if p_minus and not q_minus:
        p, q = q, p
    a, b = _read(q, graph, places, state), _read(p, graph, places, state)
    state.done[t] = True
    _ban(t, graph, readers, state)
    p_over, q_over = _over(p, graph, state), _over(q, graph, state)
    if q_over and (not p_over or a.bits > b.bits):
        p, q, a, b, p_over, flip = q, p, b, a, True, flip != differ
    state.flipped[t] = flip
    bits, _ = width(-graph.highest[t], -graph.lowest[t]) if flip else width(graph.lowest[t], graph.highest[t])
    if p_over:
        _extend(bits, b.column, b.at, b.bits, b.signed, carry, state)
        _put(_SUBTRACT if differ else _ADD, max(bits, b.bits), b.column, b.at, a, _Operand(0, 0, 0, False, 0, 0), carry, state)
        state.column[t], state.slot[t] = state.column[p - graph.inputs], state.slot[p - graph.inputs]
        state.column[p - graph.inputs] = -1
    else:
        for operand in (p, q):
            if operand >= graph.inputs:
                state.banned[state.column[operand - graph.inputs]] = True
        if not _find_room(t, state):
            return False
        _put(_DIFFERENCE if differ else _SUM, bits, places.base + state.column[t], state.slot[t] * places.widest, a, b, carry, state)
        _release(p, graph, state)
    _release(q, graph, state)
    return True


@compiled
def _over(value: int, graph: _Graph, state: _State) -> bool:
    """Return whether a value can be overwritten by the temporary that has just read it."""
    return value >= graph.inputs and state.uses[value] == 0 and not state.banned[state.column[value - graph.inputs]]


@compiled
def _ban(t: int, graph: _Graph, readers: tuple[Array, Array, Array], state: _State) -> None:
    """Ban the columns of live temporaries that will be read together with a temporary."""
    first, reader, other = readers
    state.banned[:] = False
    for k in range(first[t], first[t + 1]):
        partner = other[k] - graph.inputs
        if not state.done[reader[k]] and partner >= 0 and state.column[partner] >= 0:
            state.banned[state.column[partner]] = True


@compiled
def _find_room(t: int, state: _State) -> bool:
    """Assign a temporary a slot in the emptiest column that is not banned, and return whether one exists."""
    best = -1
    for column in range(len(state.room)):
        if state.room[column] and not state.banned[column] and (best < 0 or state.room[column] > state.room[best]):
            best = column
    if best < 0:
        return False
    slot = 0
    while not state.free[best, slot]:
        slot += 1
    state.free[best, slot] = False
    state.room[best] -= 1
    state.column[t], state.slot[t] = best, slot
    return True
