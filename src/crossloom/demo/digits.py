"""Small network trained on real digits, used by the demonstration, the tests and some claims.

The data are the 1,797 images of handwritten digits (8×8, 16 grey levels) bundled with scikit-learn, from the test set of
Alpaydin and Kaynak's optical recognition data. Every fifth image is a test image and is not used in training or calibration.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from crossloom.errors import InputError
from crossloom.job.data import Data
from crossloom.job.progress import Progress
from crossloom.job.source import load
from crossloom.network.graph import Graph
from crossloom.network.zoo.digits import DigitsCnn
from crossloom.training.descent import one_thread, seeded

EPOCHS = 40
CALIBRATION = 256


def digits() -> tuple[Data, Data]:
    """Return training and test images (N, 1, 8, 8) with values from 0 to 1, and labels; every fifth image is a test image."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise InputError("the digits need scikit-learn: pip install 'crossloom[data]'") from problem
    bunch = load_digits()
    x = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    y = torch.as_tensor(bunch.target, dtype=torch.int64)
    test = torch.as_tensor(np.arange(len(y)) % 5 == 0)
    return Data((x[~test],), y[~test]), Data((x[test],), y[test])


def harder_digits(seed: int = 0) -> tuple[Data, Data]:
    """Return training and test images (N, 1, 12, 12) of a harder task: digits at random positions, with noise of a quarter of their range.

    Each training image occurs in four versions, each test image in one.
    """
    training, test = digits()
    generator = torch.Generator().manual_seed(seed)
    assert training.labels is not None and test.labels is not None
    many = training.inputs[0].repeat(4, 1, 1, 1)
    return Data((_scattered(many, generator),), training.labels.repeat(4)), Data((_scattered(test.inputs[0], generator),), test.labels)


def _scattered(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the images at random positions of images four pixels larger, with noise added, clipped to 0 to 1."""
    count, size = len(images), images.shape[2] + 4
    ground = torch.zeros(count, 1, size, size)
    down, right = torch.randint(0, 5, (2, count), generator=generator)
    for place, (image, y, x) in enumerate(zip(images, down.tolist(), right.tolist(), strict=True)):
        ground[place, :, y : y + images.shape[2], x : x + images.shape[3]] = image
    return (ground + 0.25 * torch.randn(ground.shape, generator=generator)).clamp(0, 1)


def train(data: Data, seed: int, progress: Progress) -> nn.Module:
    """Return the zoo's digits network after 40 epochs of Adam with a cosine schedule. Each batch is shifted by up to one pixel."""
    assert data.labels is not None
    network = seeded(lambda: DigitsCnn(data.inputs[0].shape[2]), seed).train()
    generator = torch.Generator().manual_seed(seed)
    steps = EPOCHS * -(-len(data) // 64)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with one_thread():
        for _ in progress(range(EPOCHS), "training", EPOCHS):
            order = torch.randperm(len(data), generator=generator)
            for chosen in torch.split(order, 64):
                moved = _shifted(data.inputs[0][chosen], generator)
                loss = nn.functional.cross_entropy(network(moved), data.labels[chosen], label_smoothing=0.05)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    return network.eval()


def _shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the images shifted by up to one pixel in each direction, all by the same amount."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2,), generator=generator).tolist()
    return padded[:, :, down : down + images.shape[2], right : right + images.shape[3]]


def trained_digits(seed: int = 0, progress: Progress | None = None) -> tuple[Graph, Data, Data]:
    """Return the trained network as a graph, the training data and the test data."""
    training, test = digits()
    return _as_graph(training, "digits", seed, progress), training, test


def trained_harder_digits(seed: int = 0, progress: Progress | None = None) -> tuple[Graph, Data, Data]:
    """Return the network trained on the harder task as a graph, the training data and the test data."""
    training, test = harder_digits(seed)
    return _as_graph(training, "harder-digits", seed, progress), training, test


def _as_graph(training: Data, name: str, seed: int, progress: Progress | None) -> Graph:
    module = train(training, seed, progress or (lambda items, what, total: items))
    return load(module, (torch.zeros_like(training.inputs[0][:1]),), name=name)
