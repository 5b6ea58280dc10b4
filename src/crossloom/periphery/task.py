"""Training task of a pair network: a weighted sum of its signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.periphery.pairs import REST, PairNetwork

Sampler = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class FitTask:
    """A weighted sum to be learned.

    Attributes:
        target: weight of each signal (signals,).
        counts: number of rows of each signal.
        inputs: draws `count` sets of signals from their distribution in use, (signals, count).
        noise_v: noise (V) of each signal's sample; the last signal is a supply and has none.
        reach_v: output swing of a hidden neuron over which its curve must be known.
    """

    target: Tensor
    counts: tuple[int, ...]
    inputs: Sampler
    noise_v: float
    reach_v: float = 0.45

    def fitted(self, network: PairNetwork) -> PairNetwork:
        """Return the network with the neurons' gain set so that its slope is right on average."""
        points = self.inputs(4000, torch.Generator().manual_seed(5))
        wanted = self.target @ points
        for _ in range(4):
            found = network.nominal(points)[0]
            slope = float(((found - found.mean()) @ (wanted - wanted.mean())) / (wanted - wanted.mean()).square().sum())
            network = network.with_strength(network.neuron.strength / slope)
        return network

    def guess(self, rows: tuple[int, ...], hidden: int, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        """Return initial weights (−1 to 1) of both layers, proportional to the target and slightly perturbed, and the neuron gain they need.

        The slope of signal j is a·r²/(R·H) · Σ_h w2_h Σ_rows w1. With the whole second layer at −1, Σ_rows w1 = n_j for the signal with the
        least headroom.
        """
        wanted = self.target.tolist()
        room = min(count / abs(w) for count, w in zip(self.counts, wanted, strict=True) if w)
        each = torch.tensor([wanted[signal] * room / self.counts[signal] for signal in rows], dtype=torch.float64)
        first = (each.expand(hidden, -1) + 0.15 * torch.randn(hidden, len(rows), generator=generator, dtype=torch.float64)).clamp(-1, 1)
        second = -torch.ones(hidden, dtype=torch.float64) + 0.3 * torch.rand(hidden, generator=generator, dtype=torch.float64)
        return first, second, len(rows) / (REST**2 * room) / 0.85
