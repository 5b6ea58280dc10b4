"""Real cells and wires in the network: what read noise and wires cost beside the same network without them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.timing import pair, seconds, threads
from crossloom.compiler import compile_network
from crossloom.demo.digits import CALIBRATION, trained_digits
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import quantize
from crossloom.network.zoo import build
from crossloom.read.values import Values

WIRED = {"word_resistance": "1 Ohm", "bit_resistance": "1 Ohm"}


def measure() -> Iterator[str]:
    """Yield ratios of times."""
    graph, training, test = trained_digits()
    digits = quantize(graph, [training.first(CALIBRATION).inputs])
    yield from _ratios("digits, 360 images", digits, test.inputs)
    network = load(*build("resnet18"), name="resnet18")
    inputs = random_inputs(network, 1, 0).inputs
    yield from _ratios("ResNet-18, 1 image", quantize(network, [inputs]), inputs)


def _ratios(what: str, network: Graph, inputs: tuple[torch.Tensor, ...]) -> Iterator[str]:
    with threads(2):
        ideal, plain = _values(network), _values(network, cell="gaussian", effects="programming")
        exact, without = pair(lambda: ideal(inputs), lambda: plain(inputs), 3)
        yield f"{what}: {without:.2f} s with cells as written, {without / exact:.0f} times the integers of ideal ones"
        wired, solved = _first(network, inputs)
        arrays = sum(stage.own_arrays // stage.copies for stage in wired.program.stages if stage.arrays)
        yield f"{what}: {arrays} arrays of 128 x 129 solved in {solved:.1f} s, {solved / arrays * 1e3:.0f} ms each"
        yield f"{what}: the same once more in {_first(network, inputs)[1]:.1f} s, found by content"
        with_wires, without = pair(lambda: wired(inputs), lambda: plain(inputs), 3)
        yield f"{what}: wires cost {with_wires / without:.2f} times the time without, once solved (target 1.5)"
        noisy = _values(network, cell="gaussian", effects="programming,reading")
        fresh, without = pair(lambda: noisy(inputs), lambda: plain(inputs), 3)
        yield f"{what}: fresh read noise costs {fresh / without:.2f} times the time without (target 1.5)"


def _first(network: Graph, inputs: tuple[torch.Tensor, ...]) -> tuple[Values, float]:
    """Return a network on wired arrays, and the seconds that its first inference takes longer than a later one: its tiles are drawn and solved then."""
    wired = _values(network, cell="gaussian", effects="programming,wires", **WIRED)
    first, again = seconds(lambda: wired(inputs)), seconds(lambda: wired(inputs))
    return wired, first - again


def _values(network: Graph, **changes: Any) -> Values:
    return Values.of(compile_network(network, load_machine("isaac-ce").with_(**changes)))
