"""Small convolutional network for the 8×8 handwritten digits bundled with scikit-learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DigitsCnn(nn.Module):
    """Two convolutions with batch norm, a residual block, pooling and a classifier: 26 thousand weights for 8×8 images."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.widen = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2))
        self.block = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
        )
        self.pool = nn.MaxPool2d(2)
        self.classify = nn.Linear(32 * (size // 4) ** 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(self.stem(x))
        x = self.pool(torch.relu(x + self.block(x)))
        y: Tensor = self.classify(x.flatten(1))
        return y


def digits_cnn() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network and an example image."""
    return DigitsCnn(), (torch.zeros(1, 1, 8, 8),)
