"""Small vision transformer (after Dosovitskiy et al., ICLR 2021) for the 8×8 handwritten digits bundled with scikit-learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.zoo.prenorm import Layer


class DigitsVit(nn.Module):
    """Sixteen patches of 2×2 pixels with learned positions, three layers of four heads, token averaging and a classifier: 58 thousand weights."""

    def __init__(self, width: int = 48, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.positions = nn.Parameter(0.02 * torch.randn(16, width))
        self.layers = nn.Sequential(*(Layer(width, heads, 2 * width) for _ in range(layers)))
        self.norm, self.classify = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.patches(x).flatten(2).transpose(1, 2) + self.positions)
        y: Tensor = self.classify(self.norm(x).mean(1))
        return y


def digits_vit() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network and an example image."""
    return DigitsVit(), (torch.zeros(1, 1, 8, 8),)
