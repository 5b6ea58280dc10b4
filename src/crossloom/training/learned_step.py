"""Low-bit activations with a learned step size: Esser et al., "Learned step size quantization", ICLR 2020.

    v' = round(clamp(v/s, low, high)) · s
    ∂v'/∂s = round(v/s) − v/s within the limits, low or high beyond them        (equation 3)
    ∂v'/∂v = 1 within the limits, 0 beyond them                                 (equation 5)

The gradient of s is scaled by 1/√(N · high), where N is the number of features of one sample (section 2.2).
Steps and weights then learn at a similar rate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.quantization import Quantization


def straight_through(value: Tensor, of: Tensor) -> Tensor:
    """Return `value` exactly, with its gradient passed to `of` unchanged (straight-through estimator)."""
    return value.detach() + (of - of.detach())


def on_learned_grid(v: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Return values rounded to integer steps from `low` to `high`, with the paper's gradients. The first dimension is the batch."""
    features = max(1, v[:1].numel())
    paced = straight_through(step, step * (features * high) ** -0.5)
    within = torch.clamp(v / paced, low, high)
    return straight_through(torch.round(within), within) * paced


class LearnedStep(nn.Module):
    """Rounding to a grid with a learned step. The parameter is the step's logarithm, so the step stays positive at any learning rate."""

    def __init__(self, start: Quantization) -> None:
        super().__init__()
        self.start = start
        self.log_step = nn.Parameter(torch.tensor(start.scale[0]).log())

    def forward(self, v: Tensor) -> Tensor:
        """Return the values on the grid."""
        return on_learned_grid(v, self.log_step.exp(), self.start.low, self.start.high)

    @property
    def quantization(self) -> Quantization:
        """The current grid."""
        step = float(self.log_step.detach().exp())
        return Quantization((step,), 0, self.start.bits, signed=self.start.signed)


class FixedStep(nn.Module):
    """Rounding to a fixed grid with torch's fake quantisation, from which importers read the grid."""

    def __init__(self, grid: Quantization) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, v: Tensor) -> Tensor:
        """Return the values on the grid."""
        return torch.fake_quantize_per_tensor_affine(v, self.grid.scale[0], self.grid.zero, self.grid.low, self.grid.high)
