"""Trained circuits: what they cost in the values reading, and what other stages and hidden sizes of the converter would give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.timing import pair, threads
from crossloom.compiler import compile_network
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.quantize.post_training import quantize
from crossloom.network.zoo import build
from crossloom.periphery.converter import Converter, Stage
from crossloom.periphery.linearity import Linearity
from crossloom.periphery.training import TrainingSchedule, train
from crossloom.read.values import Values

DESIGNS = {
    "3 x 2 bits with a spare half, flash of 15 (shipped)": (((0.0625, 7, 4.0),) * 3, (0.03125, 15), 8),
    "the same, 24 hidden neurons": (((0.0625, 7, 4.0),) * 3, (0.03125, 15), 24),
    "3 x 2 bits without a spare half, flash of 3": (((0.125, 3, 4.0),) * 3, (0.125, 3), 8),
    "2 x 3 bits without a spare half, flash of 3": (((0.0625, 7, 8.0),) * 2, (0.125, 3), 8),
    "7 x 1 bit without a spare half, one comparator": (((0.25, 1, 2.0),) * 7, (0.25, 1), 8),
}
"""Stages (width, comparators, gain), the last stage, and hidden neurons."""


def measure() -> Iterator[str]:
    """Yield a line for each figure."""
    for name, samples in (("digits", 256), ("resnet18", 2)):
        yield _cost(name, samples)
    for name, (stages, last, hidden) in DESIGNS.items():
        yield _design(name, stages, last, hidden)


def _cost(name: str, samples: int) -> str:
    """Return what trained circuits take over ideal ones, in one run, turn by turn."""
    network = load(*build(name), name=name)
    data = random_inputs(network, samples, 0)
    quantized = quantize(network, [data.first(min(samples, 16)).inputs])
    machine = load_machine("neural-pim")
    ways = [Values.of(compile_network(quantized, each)) for each in (machine.with_(adder="ideal", converter="ideal"), machine)]
    with threads(2):
        plain, trained = pair(lambda: ways[0](data.inputs), lambda: ways[1](data.inputs), 5)
    return f"{name}, {samples} samples: trained circuits {1e3 * trained:.0f} ms, strategy C with ideal ones {1e3 * plain:.0f} ms, ratio {trained / plain:.2f} (target 4)"


def _design(name: str, stages: tuple[tuple[float, int, float], ...], last: tuple[float, int], hidden: int) -> str:
    """Return what a pipeline gives on drawn converters, calibrated and not."""
    kinds = {shape: _trained(Stage(*shape), hidden) for shape in dict.fromkeys(stages)}
    design = Converter(0.5, (*(kinds[shape] for shape in stages), Stage(*last)))
    found = []
    for calibrate in (1024, 0):
        measured = Linearity.of(design.drawn(50, torch.Generator().manual_seed(1), calibrate=calibrate))
        share = float(measured.within(0.55, 0.62, 7.85).double().mean())
        found.append(
            f"{float(measured.enob.median()):.2f} bits, INL {float(measured.inl.abs().amax(1).median()):.2f}, within the figures {share:.0%}"
        )
    return f"{name}: calibrated {found[0]}; not calibrated {found[1]}"


def _trained(stage: Stage, hidden: int) -> Stage:
    return replace(stage, rest=train(stage.task(), TrainingSchedule(hidden=hidden, steps=1500)))
