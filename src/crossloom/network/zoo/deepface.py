"""DeepFace (Taigman et al., CVPR 2014, Figure 2): two convolutions, three locally connected layers, two fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LocallyConnected(nn.Module):
    """A convolution without padding and with different kernels at each position, built as a 1×1 convolution with one group per window."""

    def __init__(self, inputs: int, outputs: int, size: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.size = (size - kernel) // stride + 1
        positions = self.size * self.size
        self.windows = nn.Unfold(kernel, stride=stride)
        self.kernels = nn.Conv2d(positions * inputs * kernel * kernel, positions * outputs, 1, groups=positions)

    def forward(self, x: Tensor) -> Tensor:
        windows = self.windows(x).transpose(1, 2).flatten(1)[:, :, None, None]
        y: Tensor = self.kernels(windows).unflatten(1, (self.size, self.size, -1)).flatten(3)
        return y.permute(0, 3, 1, 2)


def deepface() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return DeepFace for 4030 identities, and an example input of the size of an aligned face."""
    network = nn.Sequential(
        nn.Conv2d(3, 32, 11), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(32, 16, 9), nn.ReLU(),
        LocallyConnected(16, 16, 63, 9), nn.ReLU(), LocallyConnected(16, 16, 55, 7, 2), nn.ReLU(), LocallyConnected(16, 16, 25, 5), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 21 * 21, 4096), nn.ReLU(), nn.Linear(4096, 4030),
    )  # fmt: skip
    return network, (torch.zeros(1, 3, 152, 152),)
