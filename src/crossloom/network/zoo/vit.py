"""ViT-Base with 16×16 patches (Dosovitskiy et al., ICLR 2021, Table 1): 12 layers, width 768, feed-forward 3072, 12 heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.zoo.prenorm import Layer


class Vit(nn.Module):
    """Patches and a class token with learned positions, transformer layers, and 1000 classes computed from the class token."""

    def __init__(self, size: int = 224, patch: int = 16, layers: int = 12, width: int = 768, heads: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn((size // patch) ** 2 + 1, width))
        self.layers = nn.Sequential(*(Layer(width, heads, 4 * width, eps=1e-6) for _ in range(layers)))
        self.norm, self.classify = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.positions
        y: Tensor = self.classify(self.norm(self.layers(x))[:, 0])
        return y


def vit_base() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ViT-B/16 and an example image."""
    return Vit(), (torch.zeros(1, 3, 224, 224),)
