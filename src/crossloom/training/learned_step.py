"""Activations in a few bits whose step is learned: Esser et al., "Learned step size quantization", ICLR 2020.

    v' = round(clamp(v/s, low, high)) · s
    ∂v'/∂s = round(v/s) − v/s within the limits, low or high beyond them        (equation 3)
    ∂v'/∂v = 1 within the limits, 0 beyond them                                 (equation 5)

The gradient of s is scaled by 1/√(N · high), N the features of one sample (section 2.2), so that steps and weights learn at one pace.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.quantization import Quantization


def straight_through(value: Tensor, of: Tensor) -> Tensor:
    """Return a value, to the last bit, whose gradient goes to what it was made of as if that were the value itself."""
    return value.detach() + (of - of.detach())


def on_learned_grid(v: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Return values rounded to whole steps from `low` to `high`, with the paper's gradients; a first dimension counts samples."""
    features = max(1, v[:1].numel())
    paced = straight_through(step, step * (features * high) ** -0.5)
    within = torch.clamp(v / paced, low, high)
    return straight_through(torch.round(within), within) * paced


class LearnedStep(nn.Module):
    """Rounds what it is given to a grid whose step it learns. What is learned is the step's logarithm: a step stays positive at any rate."""

    def __init__(self, start: Quantization) -> None:
        super().__init__()
        self.start = start
        self.log_step = nn.Parameter(torch.tensor(start.scale[0]).log())

    def forward(self, v: Tensor) -> Tensor:
        """Return the values on the grid."""
        return on_learned_grid(v, self.log_step.exp(), self.start.low, self.start.high)

    @property
    def quantization(self) -> Quantization:
        """The grid as it is now."""
        step = float(self.log_step.detach().exp())
        return Quantization((step,), 0, self.start.bits, signed=self.start.signed)


class FixedStep(nn.Module):
    """Rounds what it is given to a grid, as torch's fake quantisation does; importers read the grid from it."""

    def __init__(self, grid: Quantization) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, v: Tensor) -> Tensor:
        """Return the values on the grid."""
        return torch.fake_quantize_per_tensor_affine(v, self.grid.scale[0], self.grid.zero, self.grid.low, self.grid.high)
