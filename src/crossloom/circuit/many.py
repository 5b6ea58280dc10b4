"""Output currents of a planar crossbar for many inputs: the conjugate gradients of `solve`, with several inputs in the lanes of a register.

With the word lines eliminated, the solution of H·w = b is the bit-line voltages w of an input; `solve` defines H, b and the preconditioner
M = B + diag(S). Here the word lines and M are in triangular factors, so an iteration is two sweeps over the rows:

* **Up**, from the last row to the first. Backward substitution in M gives z. The direction p = z + β·p follows, and from it the row of H·p: along the
  word line and back (in the first-level cache), plus the bit-line segments' terms from the rows above and below. α = ρ / (p·H·p).
* **Down.** The residual r − α·H·p, and forward substitution in M, giving y. From y and the pivots d of M comes the new ρ = r·M⁻¹·r = Σ y²/d.

The sweeps read and write p, r, and a field that holds y and H·p alternately: nine passes over 8 bytes per cell, input and iteration, and
19 operations. Of w only the values at the feet of the bit lines are kept, where the output current is taken.

An input that has converged is frozen while others in its register go on, so no result depends on its neighbours. (The number of inputs may
decide whether the matrix is used instead, which changes the last bits.)

Lower bound for 128 x 128 cells, 100 inputs and 4 iterations: 0.47 GB at a core's cache bandwidth of 100 GB/s, 5 ms; measured 9 ms
(benchmarks/README.md).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossloom.circuit.solve import MOST, TOLERANCE, Network, Unsolved
from crossloom.circuit.stack import Stack
from crossloom.circuit.transfer import transfer
from crossloom.errors import InputError
from crossloom.kernels.jit import compiled
from crossloom.kernels.lanes import LANES, add, load, multiply, spread, store, subtract

Numbers = NDArray[np.float64]
_EACH_S, _FLOP_S = 1.4e-9, 3e-11
"""Seconds per cell, input and iteration, and per operation of `transfer`, measured on one core. They only decide which of the two is used."""

FINE = 1e-13
"""Tolerance for a matrix: every element, including small ones, is then accurate to twelve digits for typical wires."""


SHORT = 1e3
"""Largest ratio of cell to segment conductance for which inputs are iterated; the rounding error grows with it and is 3e-13 there."""


def matrix(stack: Stack) -> Tensor:
    """Return the transfer matrix of one tile without gradients, (bit planes, columns, word planes, rows) in siemens.

    It is the matrix of `transfer`, computed by iterating with one input per row where that is faster. Raises InputError for a batch of tiles; Unsolved.
    """
    inputs = torch.eye(stack.word_planes * stack.rows, dtype=torch.float64).reshape(stack.word_planes, stack.rows, -1)
    return currents(stack, inputs, FINE).reshape(stack.bit_planes, stack.columns, stack.word_planes, stack.rows)


def currents(stack: Stack, voltages: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Return the amperes out of the bit lines, (bit planes, columns, inputs), for volts on the word lines, (word planes, rows, inputs).

    With one plane of each, the plane axis may be omitted: (rows, inputs) gives (columns, inputs). The error is at most about `tolerance` relative
    to an input's solution, in the norm of dissipated power; if the transfer matrix is used, it is the rounding error of that matrix. Runs on the
    CPU, without gradients, on the threads available to torch.

    Raises InputError for a batch of tiles, or voltages that are not finite or of the wrong shape; Unsolved.
    """
    voltages = torch.as_tensor(voltages, dtype=torch.float64)
    given = _inputs(stack, voltages)
    found = _iterated(stack, given[0].numpy(), tolerance) if _fits(stack) and given.shape[-1] else None
    answer = _by_matrix(stack, given) if found is None else torch.from_numpy(found).unsqueeze(0)
    return answer[0] if voltages.dim() == 2 else answer


def _fits(stack: Stack) -> bool:
    """Return whether inputs can be iterated: one layer, on the CPU, all wires resistive, and no cell too conductive, relative to them, for precision."""
    wires = stack.wires
    if stack.layers > 1 or not wires.word_ohm or not wires.bit_ohm or stack.conductance_s.device.type != "cpu":
        return False
    return float(stack.cells_s.max()) * max(wires.word_ohm, wires.bit_ohm) <= SHORT


def _inputs(stack: Stack, voltages: Tensor) -> Tensor:
    """Return the voltages with all three axes. Raises InputError."""
    if stack.conductance_s.dim() != 3:
        raise InputError("currents takes one tile at a time; for batches of tiles use transfer")
    given = voltages.detach().cpu()
    want = (stack.word_planes, stack.rows)
    given = given.unsqueeze(0) if given.dim() == 2 else given
    if given.dim() != 3 or tuple(given.shape[:2]) != want or not bool(torch.isfinite(given).all()):
        raise InputError(f"input voltages must be finite and of shape {want} (word planes, rows) and an axis of inputs, got {list(voltages.shape)}")
    return given


def _by_matrix(stack: Stack, given: Tensor) -> Tensor:
    with torch.no_grad():
        whole = transfer(stack).flatten(-2).cpu()
    return whole @ given.flatten(0, 1)


def _iterated(stack: Stack, given: Numbers, tolerance: float) -> Numbers | None:
    """Return the currents (columns, inputs), or None if the first group of inputs shows that the whole matrix is faster."""
    tile, threads = _tile(stack), torch.get_num_threads()
    groups = [given[:, first : first + LANES] for first in range(0, given.shape[1], LANES)]
    idle: SimpleQueue[_Work] = SimpleQueue()
    idle.put(_work(tile))

    def solved(group: Numbers) -> tuple[Numbers, int]:
        try:
            work = idle.get_nowait()
        except Empty:
            work = _work(tile)
        answer = _group(tile, work, group, tolerance)
        idle.put(work)
        return answer

    first, count = solved(groups[0])
    if (given.shape[1] - LANES) * count * tile.rows * tile.columns * _EACH_S > _whole_s(tile):
        return None
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate([first, *(each for each, _ in pool.map(solved, groups[1:]))], axis=1)


def _whole_s(tile: _Tile) -> float:
    """Return the estimated run time (s) of `transfer`."""
    return 4 * min(tile.rows, tile.columns) ** 3 * max(tile.rows, tile.columns) * _FLOP_S


def _group(tile: _Tile, work: _Work, given: Numbers, tolerance: float) -> tuple[Numbers, int]:
    """Return the currents of at most LANES inputs, and the number of iterations. Raises Unsolved."""
    inputs = np.zeros((tile.rows, LANES))
    inputs[:, : given.shape[1]] = given
    out = np.zeros((tile.columns, LANES))
    count = _gradients(tile, work, inputs.reshape(-1), out.reshape(-1), tolerance)
    if count > MOST:
        raise Unsolved(f"no solution of a {tile.rows} x {tile.columns} crossbar after {MOST} iterations; check its conductances and wires")
    return out[:, : given.shape[1]], count


class _Tile(NamedTuple):
    """A factorised crossbar; fields are flat, (rows · columns), row by row.

    `word_ratio` and `word_share` are the ratios and inverse pivots along the word lines, `bit_ratio` and `bit_share` those of M along the bit lines.
    `driven` are the cell currents for 1 V on the word line. `bare` (rows) is the conductance of the wires at a bit-line node, `segment` the
    conductance of one wire segment, `feet` (rows) the conductance out of the bit lines.
    """

    rows: int
    columns: int
    cells: Numbers
    word_ratio: Numbers
    word_share: Numbers
    bit_ratio: Numbers
    bit_share: Numbers
    driven: Numbers
    bare: Numbers
    feet: Numbers
    segment: float


class _Work(NamedTuple):
    """Working storage: step, residual, and the field of y and H·p (rows · columns each); one row of word-line voltages and of z; scalars per input."""

    step: Numbers
    rest: Numbers
    field: Numbers
    word: Numbers
    toward: Numbers
    dot: Numbers
    now: Numbers
    goal: Numbers
    along: Numbers
    beside: Numbers


def _tile(stack: Stack) -> _Tile:
    cells = stack.cells_s.detach().numpy()[0]
    linear = Network(stack).linear(cells[None])
    words, bits = linear.words[0], linear.bits[0]
    assert words.factors is not None and bits.factors is not None
    driven = cells * words.solve(np.broadcast_to(words.lead, cells.shape).copy())

    def flat(field: Numbers) -> Numbers:
        return np.ascontiguousarray(field).reshape(-1)

    along, across = words.factors, bits.factors
    word, bit = (flat(along.ratio), flat(along.share)), (flat(across.ratio.T), flat(across.share.T))
    return _Tile(stack.rows, stack.columns, flat(cells), *word, *bit, flat(driven), across.bare, bits.lead, 1 / stack.wires.bit_ohm)


def _work(tile: _Tile) -> _Work:
    fields = (np.empty(tile.rows * tile.columns * LANES) for _ in range(3))
    rows = (np.zeros(tile.columns * LANES) for _ in range(2))
    return _Work(*fields, *rows, *(np.zeros(LANES) for _ in range(5)))


@compiled
def _gradients(tile: _Tile, work: _Work, inputs: Numbers, out: Numbers, tolerance: float) -> int:
    """Fill in the currents, and return the number of iterations; MOST + 1 if they did not suffice."""
    work.dot[:] = 0.0
    work.beside[:] = 0.0
    for row in range(tile.rows):
        _begin(tile, work, row, inputs)
    work.now[:] = work.dot
    work.goal[:] = tolerance * tolerance * work.dot
    for count in range(MOST + 1):
        if np.all(work.now <= work.goal):
            return count
        work.dot[:] = 0.0
        for row in range(tile.rows - 1, -1, -1):
            _direct(tile, work, row)
            _apply(tile, work, row)
        for lane in range(LANES):
            moving = work.now[lane] > work.goal[lane] and work.dot[lane] > 0.0
            work.along[lane] = work.now[lane] / work.dot[lane] if moving else 0.0
        _flow(tile, work, out)
        work.dot[:] = 0.0
        for row in range(tile.rows):
            _reduce(tile, work, row)
        for lane in range(LANES):
            work.beside[lane] = work.dot[lane] / work.now[lane] if work.now[lane] > work.goal[lane] else 0.0
            work.now[lane] = work.dot[lane]
    return MOST + 1


@compiled
def _begin(tile: _Tile, work: _Work, row: int, inputs: Numbers) -> None:
    """Fill in a row of the residual at zero voltages and of its forward substitution; the step is zero."""
    sums, given, nothing = load(work.dot, 0), load(inputs, row), spread(0.0)
    for place in range(row * tile.columns, (row + 1) * tile.columns):
        rest = multiply(spread(tile.driven[place]), given)
        store(work.step, place, nothing)
        sums = add(sums, _substituted(tile, work, row, place, rest))
    store(work.dot, 0, sums)


@compiled
def _substituted(tile: _Tile, work: _Work, row: int, place: int, rest: Any) -> Any:
    """Fill in the residual and its forward substitution at one place, and return its term of r·M⁻¹·r."""
    store(work.rest, place, rest)
    if row > 0:
        rest = add(rest, multiply(spread(tile.bit_ratio[place]), load(work.field, place - tile.columns)))
    store(work.field, place, rest)
    return multiply(rest, multiply(rest, spread(tile.bit_share[place])))


@compiled
def _direct(tile: _Tile, work: _Work, row: int) -> None:
    """Fill in a row of the step, by backward substitution, and make the forward pass along its word line."""
    beside, word = load(work.beside, 0), spread(0.0)
    for column in range(tile.columns):
        place = row * tile.columns + column
        toward = multiply(load(work.field, place), spread(tile.bit_share[place]))
        if row < tile.rows - 1:
            toward = add(toward, multiply(spread(tile.bit_ratio[place + tile.columns]), load(work.toward, column)))
        store(work.toward, column, toward)
        step = add(toward, multiply(beside, load(work.step, place)))
        store(work.step, place, step)
        word = add(multiply(spread(tile.cells[place]), step), multiply(spread(tile.word_ratio[place]), word))
        store(work.word, column, word)


@compiled
def _apply(tile: _Tile, work: _Work, row: int) -> None:
    """Make the backward pass along the word line, and fill in a row of H·p; add this row's terms to the row below."""
    sums, word, ratio, wire, two = load(work.dot, 0), spread(0.0), 0.0, spread(tile.segment), spread(2.0)
    for column in range(tile.columns - 1, -1, -1):
        place = row * tile.columns + column
        below = place + tile.columns
        cell, step = tile.cells[place], load(work.step, place)
        word = add(multiply(load(work.word, column), spread(tile.word_share[place])), multiply(spread(ratio), word))
        ratio = tile.word_ratio[place]
        drawn = subtract(multiply(spread(tile.bare[row] + cell), step), multiply(spread(cell), word))
        if row < tile.rows - 1:
            sent = multiply(wire, load(work.step, below))
            sums = add(sums, multiply(step, subtract(drawn, multiply(two, sent))))
            drawn = subtract(drawn, sent)
            store(work.field, below, subtract(load(work.field, below), multiply(wire, step)))
        else:
            sums = add(sums, multiply(step, drawn))
        store(work.field, place, drawn)
    store(work.dot, 0, sums)


@compiled
def _reduce(tile: _Tile, work: _Work, row: int) -> None:
    """Fill in a row of the residual and of its forward substitution."""
    sums, along = load(work.dot, 0), load(work.along, 0)
    for place in range(row * tile.columns, (row + 1) * tile.columns):
        rest = subtract(load(work.rest, place), multiply(along, load(work.field, place)))
        sums = add(sums, _substituted(tile, work, row, place, rest))
    store(work.dot, 0, sums)


@compiled
def _flow(tile: _Tile, work: _Work, out: Numbers) -> None:
    """Add a step's contribution to the currents out of the bit lines."""
    along = load(work.along, 0)
    for row in range(tile.rows):
        if tile.feet[row] != 0.0:
            share = multiply(along, spread(tile.feet[row]))
            for column in range(tile.columns):
                store(out, column, add(load(out, column), multiply(share, load(work.step, row * tile.columns + column))))
