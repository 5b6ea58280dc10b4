"""Whole networks at full size on a lossless ISAAC, beside torch's float32 inference of the same module."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.timing import pair, peak_memory_mib, threads
from crossloom.compiler import compile_network
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.quantize.post_training import quantize
from crossloom.network.zoo import build
from crossloom.read.values import Values


def measure() -> Iterator[str]:
    """Yield ratios of times, ours over torch's."""
    for name, batch in (("resnet18", 8), ("mobilenet-v2", 8), ("bert-base", 1)):
        module, example = build(name)
        network = load(module, example, name=name)
        inputs = random_inputs(network, batch, 0).inputs
        values = Values.of(compile_network(quantize(network, [tuple(x[:2] for x in inputs)]), load_machine("isaac-ce")))
        with threads(2), torch.no_grad():
            ours, torchs = pair(lambda v=values, i=inputs: v(i), lambda m=module, i=inputs: m(*i), 5)
        yield (
            f"{name}, batch {batch}, 2 threads: {ours * 1e3:.0f} ms, torch float32 {torchs * 1e3:.0f} ms, "
            f"ratio {ours / torchs:.2f} (target for ResNet-18: 1.0), peak memory so far {peak_memory_mib():.0f} MiB"
        )
