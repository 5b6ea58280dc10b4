"""Our network, for `zoo:our-net`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def our_net() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a small convolutional network and an example input."""
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 4 * 4, 10))
    return network, (torch.zeros(1, 1, 8, 8),)
