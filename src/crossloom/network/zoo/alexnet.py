"""AlexNet without groups (channels 96-256-384-384-256), as accelerator papers use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def alexnet() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return AlexNet (Krizhevsky et al., NIPS 2012, without its split across two GPUs) and an example image."""
    network = nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    )  # fmt: skip
    return network, (torch.zeros(1, 3, 227, 227),)


def alexnet_cifar() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return AlexNet for 32×32 images and 10 classes, with a 3×3 first convolution and a classifier of width 1024, and an example image."""
    network = nn.Sequential(
        nn.Conv2d(3, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256 * 4 * 4, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10),
    )  # fmt: skip
    return network, (torch.zeros(1, 3, 32, 32),)
