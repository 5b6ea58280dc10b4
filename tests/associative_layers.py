"""Layers with ternary weights, a small network of them, and what they compute."""

from __future__ import annotations

import numpy as np
import torch

from crossloom.engine.associative.compile.compile import CompiledLayer
from crossloom.engine.associative.compile.layer import TernaryLayer
from crossloom.engine.associative.settings import processors
from crossloom.engine.associative.simulate.executors import executed
from crossloom.machines import load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Conv, Linear
from crossloom.network.quantize.post_training import Recipe, quantize
from tests.layers import chain, seeded

CHIP = processors(load_machine("rtm-ap"))


def ternary(shape: tuple[int, ...], sparsity: float, seed: int) -> np.ndarray:
    """Return weights -1, 0 and 1 with a share of zeros."""
    share = (1 - sparsity) / 2
    return np.random.default_rng(seed).choice([-1, 0, 1], p=[share, sparsity, share], size=shape).astype(np.int8)


def layer_of(groups: int, channels: int, taps: int, outputs: int, *, bits: int, signed: bool, sparsity: float, seed: int) -> TernaryLayer:
    matrices = ternary((groups, channels * taps, outputs), sparsity, seed)
    return TernaryLayer((Linear(), f"{seed}"), bits, signed, groups, channels, taps, outputs, matrices)


def product(layer: TernaryLayer, rows: np.ndarray) -> np.ndarray:
    """Return the integer sums of products (rows, all outputs)."""
    inputs = rows.reshape(len(rows), layer.groups, -1).astype(np.int64)
    return np.concatenate([inputs[:, g] @ layer.matrices[g].astype(np.int64) for g in range(layer.groups)], axis=1)


def executed_whole(whole: CompiledLayer, rows: np.ndarray) -> np.ndarray:
    """Return the sums that all streams of a layer leave."""
    found = np.zeros((len(rows), whole.layer.all_outputs), np.int64)
    for compiled in whole.streams:
        found[:, compiled.outputs.start : compiled.outputs.stop] += executed(compiled, whole, rows)
    return found


def inputs_of(layer: TernaryLayer, count: int, seed: int) -> np.ndarray:
    """Return rows of inputs, the first two at the ends of what an input can be."""
    low, high = layer.low_high
    rows = np.random.default_rng(seed).integers(low, high + 1, size=(count, layer.groups * layer.channels * layer.taps)).astype(np.int32)
    rows[0], rows[1] = low, high
    return rows


def digits_like(seed: int = 0, activations: int = 4) -> tuple[Graph, torch.Tensor]:
    """Return a small quantised network with ternary weights, and inputs for it."""
    weights = [torch.tensor(ternary(shape, 0.7, seed + i)).float() * (0.2 + i) for i, shape in enumerate(((6, 2, 3, 3), (4, 6, 3, 3)))]
    graph = chain(
        (Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), (weights[0], seeded(1, 6))), (Conv((2, 2), (0, 0, 0, 0), (1, 1), 1), (weights[1],)), shape=(2, 9, 9)
    )
    x = torch.rand(5, 2, 9, 9, generator=torch.Generator().manual_seed(seed))
    return quantize(graph, [x], Recipe(weights=2, activations=activations)), x
