"""Write and read disturbance: cell voltages at the levels of `biasing` with wire resistance (IR drop).

Currents make line voltages deviate from their drivers: selected cells see less than V, and others may see more than V/3. For ohmic cells
all voltages are proportional to V. Results are therefore fractions of V, and only conductances matter.

Compatible reads do not disturb each other if cells are ohmic, on any wires: in the same rows they hold all lines at the voltages of
each by itself, and in the same columns their currents add up. Reads rejected by the rule do show in the currents: diagonal blocks add to a bit
line every cell that is on where it meets the other block's driven word lines, and the off current of the other cells.

**The bound**, as fractions of V. All drivers are between 0 and 1, hence all nodes are. Consider one line by itself, driven at v, with all its
cells on and their far ends at voltages within x of v. Its nodes are weighted averages of v and these far ends. The weight of the far ends is at
most ρ, the drop at the worst node of a line driven at 1 with the far ends at 0; it grows with each conductance. So nodes stay within ρ·x of v.
With ρ and σ for word lines and bit lines, and δ and ε for those at levels 1 and 2, whose far ends are a third away or are selected lines:

    selected lines deviate from their levels by ≤ ρ, σ
    δ ≤ ρ · max(1/3 + ε, σ − 1/3),   ε ≤ σ · max(1/3 + δ, ρ − 1/3)
    selected cells see ≥ 1 − ρ − σ
    other cells see ≤ max(1/3 + δ + ε, ρ + ε − 1/3, σ + δ − 1/3)

This holds for every pattern of conductances up to that of a cell that is on, and for every write. It also holds for non-ohmic cells if their
ratio of current to voltage stays below that conductance up to V. In a read all drivers are between 0 and 1/3, and so is the voltage of any
cell. For many cells and no driver resistance, ρ is nearly 1 − 1/cosh(n·√(r·g)) for n cells of g siemens and segments of r ohms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.circuit import Stack, Wires, planar, solve
from crossloom.engine.in_array.biasing import TOP, Levels
from crossloom.errors import InputError

ROUNDS = 100
"""Number of refinements of the bound, which is valid after each."""


@dataclass(frozen=True, slots=True)
class Stress:
    """Voltages across cells as fractions of V.

    Attributes:
        selected: the smallest across cells to be set or reset, in the direction of the write; 1 if there are none.
        others: the largest magnitude across all other cells; 0 if there are none.
    """

    selected: float
    others: float


def stress(stack: Stack, levels: Levels) -> Stress:
    """Return the stress of the cells of a planar array at these levels."""
    nominal = torch.tensor(levels.rows)[:, None] - torch.tensor(levels.columns)
    seen = _at(stack, levels)[0]
    chosen = nominal.abs() == TOP
    least = float((seen * nominal.sign())[chosen].min()) if bool(chosen.any()) else 1.0
    return Stress(least, float(seen[~chosen].abs().max()) if not bool(chosen.all()) else 0.0)


def worst(rows: int, columns: int, on_s: float, wires: Wires) -> Stress:
    """Return bounds for `stress` over all writes of an array and all conductances up to `on_s`, as derived above.

    An array of 512 x 512 cells on wires of 1 ohm per segment keeps selected cells above 0.97 V and others below 0.35 V with cells of 0.1 µS; with
    1 µS, above 0.76 V and below 0.43 V.
    """
    rho = _fall(columns, on_s, wires)
    sigma = _fall(rows, on_s, planar(torch.ones(1, 1), wires).turned().wires)
    word, bit = 1.0, 1.0  # true of any node; each round tightens the bound, which converges as ρ·σ < 1
    for _ in range(ROUNDS):
        word, bit = rho * max(1 / TOP + bit, sigma - 1 / TOP), sigma * max(1 / TOP + word, rho - 1 / TOP)
    others = max(1 / TOP + word + bit, rho + bit - 1 / TOP, sigma + word - 1 / TOP)
    return Stress(max(0.0, 1 - rho - sigma), min(1.0, others))


def disturbance(stack: Stack, on_s: float, together: Levels, alone: Levels) -> Tensor:
    """Return the difference of bit-line currents between two reads, (columns,), in units of the current of one cell of `on_s` siemens at V/3."""
    return (_at(stack, together)[1] - _at(stack, alone)[1]) / (on_s / TOP)


def _at(stack: Stack, levels: Levels) -> tuple[Tensor, Tensor]:
    """Return the voltages across all cells and the bit lines' currents, at V = 1 volt."""
    if stack.layers != 1:
        raise InputError(f"blocks lie in planar arrays, got a stack of {stack.layers} layers")
    found = solve(stack, torch.tensor(levels.rows, dtype=torch.float64) / TOP, held=torch.tensor(levels.columns, dtype=torch.float64) / TOP)
    return found.cell_v[0], found.output_a[0]


def _fall(cells: int, on_s: float, wires: Wires) -> float:
    """Return the voltage drop at the worst node of a word line driven at 1 V, if all its cells are on and lead to 0 V."""
    alone = planar(torch.full((1, cells), on_s, dtype=torch.float64), replace(wires, bit_ohm=0.0, sense_ohm=0.0))
    return 1 - float(solve(alone, torch.ones(1)).word_v.min())
