"""MobileNet v2 (Sandler et al., CVPR 2018, Table 2): inverted residuals with depthwise convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, output channels, repetitions, and stride of the first repetition."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, limit: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU6()] if limit else []))


class InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depthwise convolution, and 1×1 projection without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        widen = [_conv(inputs, width, 1)] if expansion > 1 else []
        self.body = nn.Sequential(*widen, _conv(width, width, 3, stride, width), _conv(width, outputs, 1, limit=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x) if self.residual else self.body(x)
        return y


class MobileNetV2(nn.Module):
    """MobileNet v2 at width 1.0 for 1000 classes."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 32, 3, 2)]
        inputs = 32
        for expansion, outputs, times, stride in _STAGES:
            for i in range(times):
                layers.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers, _conv(inputs, 1280, 1))
        self.classify = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classify(self.features(x).mean((2, 3)))
        return y


def mobilenet_v2() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return MobileNet v2 and an example image."""
    return MobileNetV2(), (torch.zeros(1, 3, 224, 224),)
