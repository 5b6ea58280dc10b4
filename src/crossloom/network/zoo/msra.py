"""Networks A, B and C of "Delving deep into rectifiers" (He et al., ICCV 2015, Table 3), here with ReLU; the paper also trains PReLU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pyramid(nn.Module):
    """Spatial pyramid pooling: the maximum of each bin on grids of several sizes, as one vector."""

    def __init__(self, *grids: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveMaxPool2d(grid) for grid in grids)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([pool(x).flatten(1) for pool in self.pools], 1)


def _msra(depth: int, *widths: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    layers: list[nn.Module] = [nn.Conv2d(3, 96, 7, 2, 3), nn.ReLU()]
    inputs = 96
    for outputs in widths:
        layers.append(nn.MaxPool2d(2))
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
    bins = 7 * 7 + 3 * 3 + 2 * 2 + 1
    classifier = [nn.Linear(bins * inputs, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, Pyramid(7, 3, 2, 1), *classifier), (torch.zeros(1, 3, 224, 224),)


def msra_a() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return model A (19 layers) and an example image."""
    return _msra(5, 256, 512, 512)


def msra_b() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return model B (22 layers) and an example image."""
    return _msra(6, 256, 512, 512)


def msra_c() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return model C (22 wider layers) and an example image."""
    return _msra(6, 384, 768, 896)
