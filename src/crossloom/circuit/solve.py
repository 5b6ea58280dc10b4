"""Node voltages of a stack for one set of input voltages: conjugate gradients on the bit lines.

Eliminating the word lines exactly (each is tridiagonal) leaves, for the bit-line voltages w,

    H·w = b,   H = B + S,   S = G − G·A⁻¹·G,   b = G·A⁻¹·(lead·v − i) + i + foot·h,

with B the bit-line wires (tridiagonal along each bit line), A the word lines with their cells, i the current of a linearised cell at 0 V
(zero for ohmic cells), and h the voltages at which bit lines are held (zero for a read). H is never formed: S·w is one tridiagonal solve over
all word lines together. The preconditioner is B + diag(S), one tridiagonal solve over all bit lines together. diag(S) is each cell in series
with its word line as seen from the cell, so shorted cells are as harmless to the preconditioner as to the circuit. It leaves out the coupling
of cells on one word line, which matters only for smooth patterns, so a few iterations suffice: their number grows with
√(conductance · wire) and the length of the lines, not with the number of lines.

The lines of a plane are contiguous in memory and uncoupled, so LAPACK's `pttrs` solves all of them in one call. A line without
resistance is one node (or, with an ideal driver, none): its voltages are equal, and sums over it replace the solve.

Cost: about 40 flops per cell and iteration, and memory for only a few planes. For more than a few dozen inputs, `transfer` is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from torch import Tensor

from crossloom.circuit.stack import Stack, bit_plane, word_plane
from crossloom.errors import CrossloomError, InputError

Plane = NDArray[np.float64]
Solve = Callable[[Plane], Plane]

TOLERANCE = 1e-11
"""Relative error of the solution, in the norm of dissipated power."""
MOST = 2000
"""Maximum number of iterations; no realistic crossbar needs more."""


class Unsolved(CrossloomError):
    """The iteration did not converge."""


@dataclass(frozen=True)
class Solution:
    """The state of a stack.

    Attributes:
        word_v: (word planes, rows, columns) volts at the word-line nodes.
        bit_v: (bit planes, rows, columns) volts at the bit-line nodes.
        cell_v: (layers, rows, columns) volts across the cells (and their access resistances), from word line to bit line.
        cell_a: (layers, rows, columns) amperes through the cells.
        output_a: (bit planes, columns) amperes out of the bit lines.
        iterations: number of solver iterations, summed over all linear solves.
    """

    word_v: Tensor
    bit_v: Tensor
    cell_v: Tensor
    cell_a: Tensor
    output_a: Tensor
    iterations: int


def solve(stack: Stack, voltages: Tensor, tolerance: float = TOLERANCE, held: Tensor | None = None) -> Solution:
    """Return all voltages and currents for inputs of shape (word planes, rows) in volts, or (rows,) for one plane.

    `held` are the volts behind the feet of the bit lines, (bit planes, columns), or (columns,) for one plane; None is ground, as in a read.

    Raises InputError for a batch of tiles or voltages of the wrong shape.
    """
    network = Network(stack)
    cells = stack.cells_s.detach().cpu().numpy()
    linear = network.linear(cells)
    given, feet = inputs_of(stack, voltages), held_of(stack, held)
    word, bit, iterations = linear.solve(given, feet, np.zeros_like(cells), None, tolerance)
    return network.solution(word, bit, lambda drop: cells * drop, iterations)


def inputs_of(stack: Stack, voltages: Tensor) -> Plane:
    """Return the input voltages as (word planes, rows). Raises InputError."""
    if stack.conductance_s.dim() != 3:
        raise InputError("solve takes one tile at a time; for batches of tiles use transfer")
    return _volts(voltages, "input voltages", (stack.word_planes, stack.rows), "(word planes, rows)")


def held_of(stack: Stack, held: Tensor | None) -> Plane:
    """Return the voltages at which the bit lines are held as (bit planes, columns), zero for None. Raises InputError."""
    want = (stack.bit_planes, stack.columns)
    return np.zeros(want) if held is None else _volts(held, "voltages that hold bit lines", want, "(bit planes, columns)")


def _volts(voltages: Tensor, what: str, want: tuple[int, int], axes: str) -> Plane:
    given = torch.as_tensor(voltages, dtype=torch.float64).detach().cpu()
    given = given.unsqueeze(0) if given.dim() == 1 else given
    if tuple(given.shape) != want or not bool(torch.isfinite(given).all()):
        raise InputError(f"{what} must be finite and of shape {want} {axes}, got {list(given.shape)}")
    return given.numpy()


@dataclass(frozen=True)
class Network:
    """The wires of a stack, for use with any cells."""

    stack: Stack

    def linear(self, cells: Plane) -> LinearCells:
        """Return the linear system for cells of these conductances, (layers, rows, columns)."""
        stack, wires = self.stack, self.stack.wires
        load = np.zeros((stack.word_planes, *cells.shape[1:]))
        for layer in range(stack.layers):
            load[word_plane(layer)] += cells[layer]
        words = [_Lines.along(each, wires.word_ohm, wires.lead_ohm, wires.word_ends == "both", True) for each in load]
        alone = np.zeros((stack.bit_planes, *cells.shape[1:]))
        for layer in range(stack.layers):
            alone[bit_plane(layer)] += cells[layer] * (1 - np.minimum(1.0, cells[layer] * words[word_plane(layer)].own))
        bits = [_Lines.along(each.T, wires.bit_ohm, wires.foot_ohm, wires.bit_ends == "both", False) for each in alone]
        return LinearCells(stack, cells, words, bits)

    def solution(self, word: Plane, bit: Plane, current: Callable[[Plane], Plane], iterations: int) -> Solution:
        """Return voltages and currents as tensors; `current` computes the cells' currents from the voltages across them."""
        stack = self.stack
        drop = np.stack([word[word_plane(layer)] - bit[bit_plane(layer)] for layer in range(stack.layers)])
        cell = current(drop)
        output = np.zeros((stack.bit_planes, stack.columns))
        for layer in range(stack.layers):
            output[bit_plane(layer)] += cell[layer].sum(0)
        word_v, bit_v, cell_v, cell_a, output_a = (torch.from_numpy(np.array(each)) for each in (word, bit, drop, cell, output))
        return Solution(word_v, bit_v, cell_v, cell_a, output_a, iterations)


@dataclass(frozen=True, eq=False)
class Factors:
    """Triangular factors of parallel lines: y_j = x_j + ratio_j · y_{j−1} going forward, voltages v_j = y_j · share_j + ratio_{j+1} · v_{j+1} going back.

    `ratio` and `share` are (lines, nodes); `bare` (nodes) is the conductance of only the wires at each node.
    """

    ratio: Plane
    share: Plane
    bare: Plane


@dataclass(frozen=True)
class _Lines:
    """Parallel lines of one plane, each node with a load conductance to elsewhere.

    Attributes:
        solve: maps currents into the nodes, (lines, nodes), to voltages with the far ends of the loads at 0 V.
        wire: maps voltages to the currents drawn by only the wires.
        own: (lines, nodes) diagonal of the inverse.
        lead: conductance from a driver (or to ground) into the nodes of a line.
        single: whether a line is one node.
        factors: triangular factors of lines with wires.
    """

    solve: Solve
    wire: Solve
    own: Plane
    lead: Plane
    single: bool
    factors: Factors | None = None

    @classmethod
    def along(cls, load: Plane, segment_ohm: float, lead_ohm: float, both: bool, first: bool) -> _Lines:
        """Return the lines for loads of shape (lines, nodes); the lead is at the first or the last node, or at both ends."""
        nodes = load.shape[1]
        if not lead_ohm:
            return cls(np.zeros_like, np.zeros_like, np.zeros_like(load), np.zeros(nodes), True)
        ends = (2 if both else 1) / lead_ohm
        if not segment_ohm:
            total = 1 / (load.sum(1, keepdims=True) + ends)
            share = np.full(nodes, ends / nodes)
            return cls(
                lambda x: np.broadcast_to(x.sum(1, keepdims=True) * total, x.shape),
                lambda x: x * share,
                np.broadcast_to(total, load.shape),
                share,
                True,
            )
        lead = np.zeros(nodes)
        lead[0 if first else -1] += 1 / lead_ohm
        if both:
            lead[-1 if first else 0] += 1 / lead_ohm
        return cls._wired(load, 1 / segment_ohm, lead)

    @classmethod
    def _wired(cls, load: Plane, wire: float, lead: Plane) -> _Lines:
        lines, nodes = load.shape
        bare = np.full(nodes, 2 * wire)
        bare[0] -= wire
        bare[-1] -= wire
        bare += lead
        diagonal = (load + bare).reshape(-1)
        beside = np.full((lines, nodes), -wire)
        beside[:, -1] = 0.0
        off = beside.reshape(-1)[: max(1, diagonal.size - 1)]  # LAPACK wants one element even where there is none
        pivots, ratios, _ = lapack.dpttrf(diagonal, off)
        back, _, _ = lapack.dpttrf(diagonal[::-1], off[::-1])
        own = 1 / (pivots + back[::-1] - diagonal).reshape(lines, nodes)

        def solve(x: Plane) -> Plane:
            solved: Plane = lapack.dpttrs(pivots, ratios, x.reshape(-1))[0].reshape(lines, nodes)
            return solved

        def drawn(x: Plane) -> Plane:
            flow = wire * (x[:, :-1] - x[:, 1:])
            y = lead * x
            y[:, :-1] += flow
            y[:, 1:] -= flow
            return y

        ratio = np.append(0.0, -ratios[: diagonal.size - 1]).reshape(lines, nodes)
        return cls(solve, drawn, own, lead, False, Factors(ratio, 1 / pivots.reshape(lines, nodes), bare))


@dataclass(frozen=True)
class LinearCells:
    """Stack with ohmic (or linearised) cells: H, its preconditioner and the solver. Bit-line fields are (bit planes, columns, rows)."""

    stack: Stack
    cells: Plane
    words: list[_Lines]
    bits: list[_Lines]

    def solve(self, inputs: Plane, held: Plane, carried: Plane, start: Plane | None, tolerance: float) -> tuple[Plane, Plane, int]:
        """Return word-line and bit-line voltages and the number of iterations.

        `held` (bit planes, columns) are the voltages behind the feet, `carried` (layers, rows, columns) the cell currents at 0 V,
        `start` the initial bit-line voltages.
        """
        driven = self._driven(inputs, carried)
        fixed = self._by_words(None, driven)
        target = self._into_bits(self.cells * self._beside(fixed) + carried)
        target += np.stack([volts[:, None] * lines.lead for volts, lines in zip(held, self.bits, strict=True)])
        if not self.stack.wires.foot_ohm:
            bit, count = np.broadcast_to(held[..., None], target.shape), 0
        else:
            bit, count = self._gradients(target, np.zeros_like(target) if start is None else start.transpose(0, 2, 1), tolerance)
        word = self._by_words(bit, driven)
        return word, bit.transpose(0, 2, 1), count

    def _driven(self, inputs: Plane, carried: Plane) -> Plane:
        """Return the current into each word-line node from its drivers less that of its cells at 0 V; the voltages themselves if lines are ideal."""
        driven = np.stack([inputs[plane][:, None] * lines.lead for plane, lines in enumerate(self.words)])
        for layer in range(self.stack.layers):
            driven[word_plane(layer)] -= carried[layer]
        return driven if self.stack.wires.lead_ohm else np.broadcast_to(inputs[..., None], driven.shape)

    def _by_words(self, bit: Plane | None, driven: Plane) -> Plane:
        """Return the word-line voltages for bit-line voltages (None: 0 V) and driven currents."""
        if not self.stack.wires.lead_ohm:
            return driven
        into = driven.copy()
        if bit is not None:
            for layer in range(self.stack.layers):
                into[word_plane(layer)] += self.cells[layer] * bit[bit_plane(layer)].T
        return np.stack([lines.solve(plane) for lines, plane in zip(self.words, into, strict=True)])

    def _beside(self, word: Plane) -> Plane:
        return np.stack([word[word_plane(layer)] for layer in range(self.stack.layers)])

    def _into_bits(self, current: Plane) -> Plane:
        """Return the sum of the cells' currents into each bit-line node."""
        found = np.zeros((self.stack.bit_planes, self.stack.columns, self.stack.rows))
        for layer in range(self.stack.layers):
            found[bit_plane(layer)] += current[layer].T
        return found

    def _applied(self, bit: Plane) -> Plane:
        """Return H·w."""
        if self.stack.wires.lead_ohm:
            word = self._by_words(bit, np.zeros((len(self.words), *self.cells.shape[1:])))
            drop = [bit[bit_plane(layer)].T - word[word_plane(layer)] for layer in range(self.stack.layers)]
        else:
            drop = [bit[bit_plane(layer)].T for layer in range(self.stack.layers)]
        drawn = self._into_bits(self.cells * np.stack(drop))
        return drawn + np.stack([lines.wire(plane) for lines, plane in zip(self.bits, bit, strict=True)])

    def _gradients(self, target: Plane, bit: Plane, tolerance: float) -> tuple[Plane, int]:
        """Return the bit-line voltages and the number of iterations. Raises Unsolved."""
        rest = target - self._applied(bit) if bit.any() else target.copy()
        toward = self._preconditioned(rest)
        step = toward.copy()
        now = float(np.vdot(rest, toward))
        goal = tolerance**2 * float(np.vdot(target, self._preconditioned(target)))
        for count in range(MOST):
            if now <= goal:
                return bit, count
            drawn = self._applied(step)
            along = now / float(np.vdot(step, drawn))
            bit = bit + along * step
            rest -= along * drawn
            toward = self._preconditioned(rest)
            before, now = now, float(np.vdot(rest, toward))
            step = toward + (now / before) * step
        raise Unsolved(
            f"no solution of a {self.stack.rows} x {self.stack.columns} crossbar after {MOST} iterations; check its conductances and wires"
        )

    def _preconditioned(self, rest: Plane) -> Plane:
        return np.stack([lines.solve(plane) for lines, plane in zip(self.bits, rest, strict=True)])
