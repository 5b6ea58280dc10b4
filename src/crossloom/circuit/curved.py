"""Stacks whose cells are not ohmic: Newton's method, one linear solve an iteration.

At voltages x across the cells, each is replaced by its tangent, I = I(x₀) + I'(x₀)·(x − x₀): an ohmic cell of I'(x₀) siemens that carries
I(x₀) − I'(x₀)·x₀ besides. Laws that rise everywhere have one solution, and from the ohmic one Newton's method finds it in a few steps; a
step that leaves the currents further from their tangents than before is halved.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from crossloom.circuit.solve import TOLERANCE, Network, Plane, Solution, Unsolved, held_of, inputs_of
from crossloom.circuit.stack import Stack, bit_plane, word_plane

MOST = 60
"""Newton steps."""


class CellLaw(Protocol):
    """A current-voltage law; those of `crossloom.device.iv` are of this kind."""

    def current_a(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return the current of cells, which must rise with the voltage."""
        ...

    def slope_s(self, conductance_s: Tensor, volts: Tensor) -> Tensor:
        """Return its derivative."""
        ...

    def spice(self, conductance_s: float, across: str) -> str:
        """Return the current as an expression of SPICE."""
        ...


def solve_curved(stack: Stack, law: CellLaw, voltages: Tensor, tolerance: float = 1e-10, held: Tensor | None = None) -> Solution:
    """Return all voltages and currents where cells follow a law; `conductance_s` is what the law calls a cell's conductance.

    Args:
        stack: one tile.
        law: current and slope of a cell.
        voltages: (word planes, rows) volts, or (rows,) for one plane.
        tolerance: of the currents, relative to the largest.
        held: (bit planes, columns) volts behind the feet of the bit lines; none is ground.

    Raises InputError for voltages of another shape, Unsolved if there is no convergence.
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
        f"no solution of a {stack.rows} x {stack.columns} crossbar with curved cells after {MOST} steps; check that the I-V law is monotonic"
    )


def _drop(stack: Stack, word: Plane, bit: Plane) -> Plane:
    return np.stack([word[word_plane(layer)] - bit[bit_plane(layer)] for layer in range(stack.layers)])


def _at(stack: Stack, law: CellLaw, drop: Plane) -> tuple[Plane, Plane]:
    """Return current and slope for voltages across the cells and their access resistances."""
    g, across, ohm = stack.conductance_s.detach().cpu().to(torch.float64), torch.from_numpy(drop), stack.wires.access_ohm
    inner = across if not ohm else across / (1 + ohm * law.slope_s(g, torch.zeros_like(across)))
    for _ in range(MOST if ohm else 0):
        change = (across - inner - ohm * law.current_a(g, inner)) / (1 + ohm * law.slope_s(g, inner))
        inner = inner + change
        if float(change.abs().max()) <= 1e-14 * float(across.abs().max()):
            break
    slope = law.slope_s(g, inner)
    return law.current_a(g, inner).numpy(), (slope / (1 + ohm * slope)).numpy()
