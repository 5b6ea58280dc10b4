"""Networks with one hidden layer whose weights are pairs of RRAM cells between the two sides of differential signals.

Each signal x is a pair of lines at mid-supply ± x. A cell gU connects a node to the line of its own side, a cell gL to the other line. The node
settles at

    h = Σ_k (gU_k − gL_k) x_k / Σ_k (gU_k + gL_k)          (cao2022, Equation 9),

so the magnitudes of a node's weights sum to less than one for any cells (its Equation 11). Cells have eight levels, from g_min to
g_max = 10 g_min. Here the two cells of a pair are complementary, at levels l and 7 − l. The sum over a node is then the same for any weights, and
a weight is w·r/(7n) for one of n rows, with w = 2l − 7 odd and r = 9/11. The paper clips to this interval, ±1/n. A signal may have
several rows. Cells of both sides deviate independently by factors exp(θ), θ ~ N(0, σ), and each of the 2H inverters has its own transistors.

The second layer connects the outputs f of hidden neurons and their mirrored twins in the same way. Its cells load the neurons. With output
conductance G of a neuron and conductances a, b of its two cells to the output nodes p, q, f becomes (G f + a p + b q)/(G + a + b). This is
linear, so the load is included in the second layer's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from crossloom.periphery.neuron import Neuron, evaluate

LEVELS = 8
RATIO = 10.0
"""g_max over g_min (assumed: cao2022 prints neither)."""
SIGMA = 0.025
"""Standard deviation of the logarithm of a cell's conductance (cao2022, Section 4.1)."""
REST = (RATIO - 1) / (RATIO + 1)
"""r: the weight for w = ±7 in a node with one row, (g_max − g_min)/(g_max + g_min)."""
HIGHEST_S = 2e-6
"""g_max (assumed): small compared with the neurons' output conductance."""


@dataclass(frozen=True)
class PairNetwork:
    """A network as built.

    Attributes:
        rows: index of the signal on each row of the first layer.
        first: levels (H, rows) of the first layer's cells gU.
        second: levels (H,) of the second layer's cells gU.
        neuron: the hidden neuron.
    """

    rows: tuple[int, ...]
    first: Tensor
    second: Tensor
    neuron: Neuron

    @property
    def signals(self) -> int:
        """Number of input signals."""
        return max(self.rows) + 1

    @property
    def hidden(self) -> int:
        """Number of hidden neurons per side."""
        return len(self.second)

    @property
    def cells(self) -> int:
        """Number of RRAM cells on both sides."""
        return 4 * (self.first.numel() + self.second.numel())

    @cached_property
    def nominal(self) -> Instances:
        """The network without deviations, as one instance."""
        return self.built(self.parts(1, torch.Generator(), 0.0, 0.0))

    def drawn(self, count: int, generator: torch.Generator, sigma: float = SIGMA, mismatch: float = 1.0) -> Instances:
        """Return `count` instances, each with its own cells and transistors."""
        return self.built(self.parts(count, generator, sigma, mismatch))

    def parts(self, count: int, generator: torch.Generator, sigma: float = SIGMA, mismatch: float = 1.0) -> Parts:
        """Return the cells and transistors of `count` instances."""
        deviations = mismatch * self.neuron.drawn((count, 2, self.hidden), generator)
        return Parts(cells_of(self.first, count, generator, sigma), cells_of(self.second, count, generator, sigma), deviations)

    def built(self, parts: Parts) -> Instances:
        """Return the instances built from these cells and transistors."""
        joined = torch.zeros(len(self.rows), self.signals, dtype=torch.float64)
        joined[torch.arange(len(self.rows)), torch.tensor(self.rows)] = 1.0
        upper, lower = parts.first
        inner = ((upper - lower) @ joined) / (upper + lower).sum(-1, keepdim=True)
        inner = torch.stack((inner[:, 0], -inner[:, 1]), 1)
        return Instances(inner, self.neuron.of(parts.deviations), _outer(*parts.second, self.neuron.conductance_s), self.neuron.reach_v)

    def with_strength(self, strength: float) -> PairNetwork:
        """Return the network with another neuron gain."""
        return replace(self, neuron=replace(self.neuron, strength=strength))


@dataclass(frozen=True)
class Parts:
    """Parts of networks: cells gU and gL of both layers (B, 2, H, rows) and (B, 2, H) in units of g_min, deviations (B, 2, H, 8)."""

    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    deviations: Tensor


@dataclass(frozen=True)
class Instances:
    """Networks with cells and transistors of their own: weights (B, 2, H, signals), curves (B, 2, H, 10), weights (B, 2, H)."""

    inner: Tensor
    curves: Tensor
    outer: Tensor
    reach_v: float

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, chosen: slice) -> Instances:
        return Instances(self.inner[chosen], self.curves[chosen], self.outer[chosen], self.reach_v)

    def __call__(self, signals: Tensor) -> Tensor:
        """Return the outputs (B, points) for signals (signals, points) common to all instances, or (B, signals, points)."""
        hidden = torch.einsum("bshk,kp->bshp" if signals.dim() == 2 else "bshk,bkp->bshp", self.inner, signals)
        hidden = hidden.clamp_(-self.reach_v, self.reach_v)
        return torch.einsum("bsh,bshp->bp", self.outer, evaluate(self.curves[..., None, :], hidden))

    def linear(self) -> Tensor:
        """Return the slopes (B, signals) at mid-supply."""
        return torch.einsum("bsh,bshk->bk", self.outer * self.curves[..., 1], self.inner)


def cells_of(levels: Tensor, count: int, generator: torch.Generator, sigma: float) -> tuple[Tensor, Tensor]:
    """Return conductances gU and gL (count, 2, *levels) in units of g_min."""
    step = (RATIO - 1) / (LEVELS - 1)
    both = []
    for level in (levels, LEVELS - 1 - levels):
        meant = (1 + step * level.to(torch.float64)).expand(count, 2, *levels.shape)
        both.append(meant * torch.exp(sigma * torch.randn(meant.shape, generator=generator, dtype=torch.float64)))
    return both[0], both[1]


def _outer(upper: Tensor, lower: Tensor, neuron_s: float) -> Tensor:
    """Return the weights (B, 2, H) of the neurons of both sides in the differential output, including the load of the cells.

    Node p is connected to the cells upper[:, 0] of its own side and lower[:, 0] of the other; node q to upper[:, 1] and lower[:, 1].
    """
    scale = HIGHEST_S / RATIO
    to_p = torch.stack((upper[:, 0], lower[:, 0]), 1)
    to_q = torch.stack((lower[:, 1], upper[:, 1]), 1)
    total_p, total_q = to_p.sum((1, 2)), to_q.sum((1, 2))
    share = neuron_s / (neuron_s + scale * (to_p + to_q))
    drop_p, drop_q = scale * to_p / (neuron_s + scale * (to_p + to_q)), scale * to_q / (neuron_s + scale * (to_p + to_q))
    system = torch.stack((
        torch.stack((1 - (to_p * drop_p).sum((1, 2)) / total_p, -(to_p * drop_q).sum((1, 2)) / total_p), 1),
        torch.stack((-(to_q * drop_p).sum((1, 2)) / total_q, 1 - (to_q * drop_q).sum((1, 2)) / total_q), 1),
    ), 1)  # fmt: skip
    heard = torch.stack(((to_p * share / total_p[:, None, None]).flatten(1), (to_q * share / total_q[:, None, None]).flatten(1)), 1)
    nodes: Tensor = torch.linalg.solve(system, heard)
    return (0.5 * (nodes[:, 0] - nodes[:, 1])).reshape(to_p.shape)


def levels_of(odd: Tensor) -> Tensor:
    """Return the levels of odd weights −7, −5, ..., 7."""
    return (odd + LEVELS - 1) // 2


def rows_of(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the signal index of each row, for `counts` rows of each signal."""
    return tuple(signal for signal, count in enumerate(counts) for _ in range(count))
