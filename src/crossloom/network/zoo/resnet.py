"""Residual networks (He et al., CVPR 2016, Table 1), with the stride in the 3×3 convolution of a bottleneck."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, or a bottleneck (1×1, 3×3, 1×1), in parallel with a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            self.body = nn.Sequential(_conv(inputs, width, 1), nn.ReLU(), _conv(width, width, 3, stride), nn.ReLU(), _conv(width, outputs, 1))
        else:
            self.body = nn.Sequential(_conv(inputs, width, 3, stride), nn.ReLU(), _conv(width, width, 3))
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else _conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, four stages of blocks, global average and a 1000-class classifier; if `small`, a 3×3 stem for 32×32 images, and 10 classes."""

    def __init__(self, depths: tuple[int, ...], bottleneck: bool, small: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 64, 3), nn.ReLU()) if small else nn.Sequential(_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        stages, inputs = [], 64
        for stage, depth in enumerate(depths):
            width = 64 << stage
            for block in range(depth):
                stages.append(ResidualBlock(inputs, width, 2 if stage and not block else 1, bottleneck))
                inputs = 4 * width if bottleneck else width
        self.stages = nn.Sequential(*stages)
        self.classify = nn.Linear(inputs, 10 if small else 1000)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classify(self.stages(self.stem(x)).mean((2, 3)))
        return y


def resnet18() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ResNet-18 and an example image."""
    return ResNet((2, 2, 2, 2), bottleneck=False), (torch.zeros(1, 3, 224, 224),)


def resnet18_cifar() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ResNet-18 for 32×32 images and 10 classes, and an example image."""
    return ResNet((2, 2, 2, 2), bottleneck=False, small=True), (torch.zeros(1, 3, 32, 32),)


def resnet34() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ResNet-34 and an example image."""
    return ResNet((3, 4, 6, 3), bottleneck=False), (torch.zeros(1, 3, 224, 224),)


def resnet50() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ResNet-50 and an example image."""
    return ResNet((3, 4, 6, 3), bottleneck=True), (torch.zeros(1, 3, 224, 224),)


def resnet101() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ResNet-101 and an example image."""
    return ResNet((3, 4, 23, 3), bottleneck=True), (torch.zeros(1, 3, 224, 224),)


def resnet152() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return ResNet-152 and an example image."""
    return ResNet((3, 8, 36, 3), bottleneck=True), (torch.zeros(1, 3, 224, 224),)
