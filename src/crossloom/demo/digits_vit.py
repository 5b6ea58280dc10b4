"""Small vision transformer, trained on the same digit images as the convolutional network of `digits.py`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.job.data import Data
from crossloom.job.progress import Progress
from crossloom.network.zoo.digits_vit import DigitsVit
from crossloom.training.descent import Descent, one_thread, seeded

EPOCHS = 100


def train_vit(data: Data, seed: int, progress: Progress, epochs: int = EPOCHS) -> nn.Module:
    """Return the zoo's vision transformer, by default after 100 epochs. Each image is shifted by up to one pixel."""
    assert data.labels is not None
    network = seeded(DigitsVit, seed).train()
    generator = torch.Generator().manual_seed(seed)
    descent = Descent.of(network, epochs * -(-len(data) // 64), rate=4e-3, decay=0.05)
    with one_thread():
        for _ in progress(range(epochs), "training", epochs):
            for chosen in torch.split(torch.randperm(len(data), generator=generator), 64):
                scores = network(_jittered(data.inputs[0][chosen], generator))
                descent.step(nn.functional.cross_entropy(scores, data.labels[chosen], label_smoothing=0.05))
    return network.eval()


def _jittered(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images, each shifted independently by up to one pixel in each direction."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images[:, 0], (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, count), generator=generator)
    rows, columns = down[:, None] + torch.arange(height), right[:, None] + torch.arange(width)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]
