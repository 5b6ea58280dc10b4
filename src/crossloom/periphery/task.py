"""What a network of pairs is trained to do: a weighted sum of its signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.periphery.pairs import REST, PairNetwork

Sampler = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class FitTask:
    """A sum to be formed.

    Attributes:
        target: what each signal should count (signals,).
        counts: rows of each signal.
        inputs: draws `count` signals as they occur, (signals, count).
        noise_v: of each signal's sample; the last signal is a supply and has none.
        reach_v: output swing of a hidden neuron within which its curve has to be known.
    """

    target: Tensor
    counts: tuple[int, ...]
    inputs: Sampler
    noise_v: float
    reach_v: float = 0.45

    def fitted(self, network: PairNetwork) -> PairNetwork:
        """Return the network with the neurons' gain such that its slope is right on average."""
        points = self.inputs(4000, torch.Generator().manual_seed(5))
        wanted = self.target @ points
        for _ in range(4):
            found = network.nominal(points)[0]
            slope = float(((found - found.mean()) @ (wanted - wanted.mean())) / (wanted - wanted.mean()).square().sum())
            network = network.with_strength(network.neuron.strength / slope)
        return network

    def guess(self, rows: tuple[int, ...], hidden: int, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        """Return weights in −1 to 1 of both layers in proportion to the target, a little shuffled, and the gain that they take of the neurons.

        The slope of signal j is a·r²/(R·H) · Σ_h w2_h Σ_rows w1; with all of the second layer at −1, Σ_rows w1 = n_j for the signal with the
        least room.
        """
        wanted = self.target.tolist()
        room = min(count / abs(w) for count, w in zip(self.counts, wanted, strict=True) if w)
        each = torch.tensor([wanted[signal] * room / self.counts[signal] for signal in rows], dtype=torch.float64)
        first = (each.expand(hidden, -1) + 0.15 * torch.randn(hidden, len(rows), generator=generator, dtype=torch.float64)).clamp(-1, 1)
        second = -torch.ones(hidden, dtype=torch.float64) + 0.3 * torch.rand(hidden, generator=generator, dtype=torch.float64)
        return first, second, len(rows) / (REST**2 * room) / 0.85
