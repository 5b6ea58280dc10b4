"""Stacks with nonlinear cells: Newton's method with one linear solve per iteration.

At voltages x₀ across the cells, each cell is replaced by its tangent, I = I(x₀) + I'(x₀)·(x − x₀): an ohmic cell of I'(x₀) siemens with an
additional current of I(x₀) − I'(x₀)·x₀. A monotonically increasing law has exactly one solution. Starting from the ohmic one, Newton's method
finds it in a few steps; a step that leaves the currents further from their tangents than before is halved.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from crossloom.circuit.solve import TOLERANCE, Network, Plane, Solution, Unsolved, held_of, inputs_of
from crossloom.circuit.stack import Stack, bit_plane, word_plane

MOST = 60
"""Maximum number of Newton steps."""


class CellLaw(Protocol):
    """A current-voltage law, such as those of `crossloom.device.iv`."""

    def current_a(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return the current of cells, which must increase with the voltage."""
        ...

    def slope_s(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return its derivative."""
        ...

    def spice(self, conductance_s: float, across: str) -> str:
        """Return the current as a SPICE expression."""
        ...


def solve_curved(stack: Stack, law: CellLaw, voltages: Tensor, tolerance: float = 1e-10, held: Tensor | None = None) -> Solution:
    """Return all voltages and currents of a stack whose cells follow a law; `conductance_s` is the cell's conductance in the sense of the law.

    Args:
        stack: one tile.
        law: current and slope of a cell.
        voltages: (word planes, rows) volts, or (rows,) for one plane.
        tolerance: tolerance of the currents, relative to the largest.
        held: (bit planes, columns) volts behind the feet of the bit lines; None is ground.

    Raises InputError for voltages of the wrong shape, Unsolved if the iteration does not converge.
    """
    given, feet, network = inputs_of(stack, voltages), held_of(stack, held), Network(stack)
    cells = stack.cells_s.detach().cpu().numpy()
    word, bit, count = network.linear(cells).solve(given, feet, np.zeros_like(cells), None, TOLERANCE)
    drop, error = _drop(stack, word, bit), np.inf
    for _ in range(MOST):
        current, slope = _at(stack, law, drop)
        word, new, more = network.linear(slope).solve(given, feet, current - slope * drop, bit, TOLERANCE)
        count += more
        step = _drop(stack, word, new) - drop
        share, bit, before = 1.0, new, error
        while True:
            reached, _ = _at(stack, law, drop + share * step)
            error = float(np.abs(reached - (current + slope * share * step)).max())
            if error <= tolerance * float(np.abs(reached).max()) or error < before or share < 1e-3:
                break
            share /= 2
        drop = drop + share * step
        if share == 1.0 and error <= tolerance * max(float(np.abs(reached).max()), 1e-30):
            return network.solution(word, bit, lambda across: _at(stack, law, across)[0], count)
    raise Unsolved(
        f"no solution of a {stack.rows} x {stack.columns} crossbar with nonlinear cells after {MOST} steps; check that the I-V law is monotonic"
    )


def _drop(stack: Stack, word: Plane, bit: Plane) -> Plane:
    return np.stack([word[word_plane(layer)] - bit[bit_plane(layer)] for layer in range(stack.layers)])


def _at(stack: Stack, law: CellLaw, drop: Plane) -> tuple[Plane, Plane]:
    """Return current and slope for the voltages across the cells with their access resistances."""
    g, across, ohm = stack.conductance_s.detach().cpu().to(torch.float64), torch.from_numpy(drop), stack.wires.access_ohm
    inner = across if not ohm else across / (1 + ohm * law.slope_s(g, torch.zeros_like(across)))
    for _ in range(MOST if ohm else 0):
        change = (across - inner - ohm * law.current_a(g, inner)) / (1 + ohm * law.slope_s(g, inner))
        inner = inner + change
        if float(change.abs().max()) <= 1e-14 * float(across.abs().max()):
            break
    slope = law.slope_s(g, inner)
    return law.current_a(g, inner).numpy(), (slope / (1 + ohm * slope)).numpy()
