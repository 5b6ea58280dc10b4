"""Noise tolerance of a network: accuracy with noise of a given strength added to the output of each layer (cao2022, Section 5.3, Equation 13)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossloom.job.data import Data
from crossloom.job.metrics import Metrics, measure
from crossloom.network.graph import Graph, bound
from crossloom.network.operators import Conv, ConvTranspose, Linear
from crossloom.network.replay import batch_of, last_uses


def accuracy_at(network: Graph, data: Data, sinad_db: float, seed: int = 0, batch: int = 256) -> float:
    """Return the accuracy of a floating-point network with normal noise of σ = max|x| / 10^(SINAD/20) added to the output of each layer.

    max|x| is the largest magnitude of a layer's output over a batch. `data` needs labels.
    """
    assert data.labels is not None, "an accuracy needs labels"
    generator = torch.Generator().manual_seed(seed)
    found = Metrics()
    for inputs, labels in data.batches(batch):
        assert labels is not None
        found += measure(_noisy(network, inputs, 10 ** (-sinad_db / 20), generator), labels)
    return found.share


def _noisy(network: Graph, inputs: Sequence[Tensor], share: float, generator: torch.Generator) -> Tensor:
    tensors = {name: given for (name, _), given in zip(network.inputs, inputs, strict=True)} | dict(network.constants)
    size = batch_of(network, inputs)
    with torch.no_grad():
        for node, unused in zip(network.nodes, last_uses(network), strict=True):
            found = bound(node.op, size)(*(tensors[name] for name in node.inputs))
            if isinstance(node.op, Conv | ConvTranspose | Linear):
                found = found + share * found.abs().max() * torch.randn(found.shape, generator=generator)
            tensors[node.name] = found
            for name in unused:
                del tensors[name]
    return tensors[network.outputs[0]]


def needed_db(network: Graph, data: Data, levels_db: Sequence[float], loss: float = 0.005, seeds: int = 5) -> tuple[float, dict[float, float]]:
    """Return the lowest level from which the mean accuracy stays within `loss` of the noise-free accuracy, and the mean accuracy at each level."""
    clean = accuracy_at(network, data, 300.0)
    found = {level: sum(accuracy_at(network, data, level, seed) for seed in range(seeds)) / seeds for level in levels_db}
    enough = [level for level in levels_db if all(found[other] >= clean - loss for other in levels_db if other >= level)]
    return min(enough, default=float("inf")), found
