"""VGG networks (Simonyan and Zisserman, ICLR 2015, Table 1: A, B, D, E), and smaller ones for 32×32 images, including the VGG-8 of DNN+NeuroSim."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_DEPTHS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}


def _vgg(configuration: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    layers: list[nn.Module] = []
    inputs = 3
    for stage, depth in enumerate(_DEPTHS[configuration]):
        outputs = min(64 << stage, 512)
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    classifier = [nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, *classifier), (torch.zeros(1, 3, 224, 224),)


def vgg11() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return VGG configuration A and an example image."""
    return _vgg("A")


def vgg13() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return VGG configuration B and an example image."""
    return _vgg("B")


def vgg16() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return VGG configuration D and an example image."""
    return _vgg("D")


def vgg19() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return VGG configuration E and an example image."""
    return _vgg("E")


def vgg16_cifar() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return VGG configuration D for 32×32 images and 10 classes, with a classifier of width 512, and an example image."""
    features = list(_vgg("D")[0].children())[:31]
    classifier = [nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*features, *classifier), (torch.zeros(1, 3, 32, 32),)


def vgg11_cifar() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return VGG configuration A for 32×32 images and 10 classes, with one linear layer, and an example image."""
    features = list(_vgg("A")[0].children())[:21]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(512, 10)), (torch.zeros(1, 3, 32, 32),)


def vgg9_cifar() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a VGG of seven convolutions (2 of 64, 2 of 128, 3 of 256 channels) and two linear layers for 32×32 images, and an example image."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs, depth in ((64, 2), (128, 2), (256, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    classifier = [nn.Flatten(), nn.Linear(256 * 4 * 4, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*layers, *classifier), (torch.zeros(1, 3, 32, 32),)


def vgg8() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the VGG-8 of DNN+NeuroSim V1.3 (`models/VGG.py`): six convolutions and two linear layers for 32×32 images, and an example image."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in (128, 256, 512):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    classifier = [nn.Flatten(), nn.Linear(8192, 1024), nn.ReLU(), nn.Linear(1024, 10)]
    return nn.Sequential(*layers, *classifier), (torch.zeros(1, 3, 32, 32),)
