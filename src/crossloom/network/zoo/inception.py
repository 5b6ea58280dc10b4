"""Inception networks: GoogLeNet (Szegedy et al., CVPR 2015) and Inception v3 (Szegedy et al., CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_GOOGLENET = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""Table 1, modules 3a to 5b: 1×1; 3×3 reduce, 3×3; 5×5 reduce, 5×5; projection after the pool."""


class Branches(nn.Module):
    """Parallel branches on one input, with their channels concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _plain(inputs: int, *layers: tuple[int, int]) -> nn.Sequential:
    """Return convolutions given as (outputs, kernel), each followed by a ReLU."""
    made: list[nn.Module] = []
    for outputs, kernel in layers:
        made += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*made)


def googlenet() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return GoogLeNet (Table 1, without local response normalisation, dropout and the two auxiliary classifiers) and an example image."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    layers += [_plain(64, (64, 1), (192, 3)), nn.MaxPool2d(3, 2, ceil_mode=True)]
    inputs = 192
    for stage, modules in enumerate(_GOOGLENET):
        if stage:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for one, reduce3, three, reduce5, five, pool in modules:
            pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), *_plain(inputs, (pool, 1)))
            convolved = _plain(inputs, (one, 1)), _plain(inputs, (reduce3, 1), (three, 3)), _plain(inputs, (reduce5, 1), (five, 5))
            layers.append(Branches(*convolved, pooled))
            inputs = one + three + five + pool
    return nn.Sequential(*layers, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(inputs, 1000)), (torch.zeros(1, 3, 224, 224),)


def _conv(inputs: int, outputs: int, rows: int = 1, columns: int = 0, stride: int = 1, padded: bool = True) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU. Without `columns` the kernel is square; if `padded`, the image keeps its size (at stride 1)."""
    kernel = rows, columns or rows
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU())


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return _conv(inputs, outputs, 3, stride=2, padded=False)


def _pooled(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _conv(inputs, outputs))


def _square(inputs: int, pool: int) -> Branches:
    """Return the module of Figure 5, a 5×5 convolution as two 3×3 convolutions. As in the published model, a 5×5 branch runs in parallel."""
    five = nn.Sequential(_conv(inputs, 48), _conv(48, 64, 5))
    threes = nn.Sequential(_conv(inputs, 64), _conv(64, 96, 3), _conv(96, 96, 3))
    return Branches(_conv(inputs, 64), five, threes, _pooled(inputs, pool))


def _factorised(width: int) -> Branches:
    """Return the module of Figure 6 with n = 7: 7×7 convolutions factorised into 1×7 and 7×1."""
    once = nn.Sequential(_conv(768, width), _conv(width, width, 1, 7), _conv(width, 192, 7, 1))
    twice = nn.Sequential(_conv(768, width), _conv(width, width, 7, 1), _conv(width, width, 1, 7), _conv(width, width, 7, 1), _conv(width, 192, 1, 7))
    return Branches(_conv(768, 192), once, twice, _pooled(768, 192))


def _expanded(inputs: int) -> Branches:
    """Return the module of Figure 7: 1×3 and 3×1 convolutions in parallel."""
    once = nn.Sequential(_conv(inputs, 384), Branches(_conv(384, 384, 1, 3), _conv(384, 384, 3, 1)))
    twice = nn.Sequential(_conv(inputs, 448), _conv(448, 384, 3), Branches(_conv(384, 384, 1, 3), _conv(384, 384, 3, 1)))
    return Branches(_conv(inputs, 320), once, twice, _pooled(inputs, 192))


def inception_v3() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return Inception v3 (the model published by its authors, without dropout and the auxiliary classifier) and an example image."""
    stem = nn.Sequential(
        _conv(3, 32, 3, stride=2, padded=False), _conv(32, 32, 3, padded=False), _conv(32, 64, 3), nn.MaxPool2d(3, 2),
        _conv(64, 80), _conv(80, 192, 3, padded=False), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    grid17 = Branches(_halve(288, 384), nn.Sequential(_conv(288, 64), _conv(64, 96, 3), _halve(96, 96)), nn.MaxPool2d(3, 2))
    sevens = nn.Sequential(_conv(768, 192), _conv(192, 192, 1, 7), _conv(192, 192, 7, 1), _halve(192, 192))
    grid8 = Branches(nn.Sequential(_conv(768, 192), _halve(192, 320)), sevens, nn.MaxPool2d(3, 2))
    network = nn.Sequential(
        stem, _square(192, 32), _square(256, 64), _square(288, 64),
        grid17, _factorised(128), _factorised(160), _factorised(160), _factorised(192),
        grid8, _expanded(1280), _expanded(2048), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(2048, 1000),
    )  # fmt: skip
    return network, (torch.zeros(1, 3, 299, 299),)
