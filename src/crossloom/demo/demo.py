"""Demonstration: a small network is trained on real digits and runs on a machine.

Other commands can use its parts, too: `crossloom diagnose crossloom.demo:digits_network --data crossloom.demo:digits_test ...`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from crossloom.demo.characters import LENGTH, characters, train_text
from crossloom.demo.digits import CALIBRATION, digits, harder_digits, train, trained_digits
from crossloom.demo.digits_ternary import ternary_digits
from crossloom.demo.digits_vit import train_vit
from crossloom.job.data import Data
from crossloom.job.result import Result
from crossloom.job.run import run
from crossloom.machines import Machine


def digits_network() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return the trained network and an example input: the factory `crossloom.demo:digits_network`."""
    training, _ = digits()
    return train(training, 0, lambda items, what, total: items), (torch.zeros(1, 1, 8, 8),)


def digits_training() -> Data:
    """Return the digits network's training images: `crossloom.demo:digits_training`."""
    return digits()[0]


def digits_test() -> Data:
    """Return the digits network's test images, not used in training: `crossloom.demo:digits_test`."""
    return digits()[1]


def ternary_network() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return the digits network with ternary weights, 85 % of them zero, and 4-bit activations: `crossloom.demo:ternary_network`."""
    return ternary_digits(), (torch.zeros(1, 1, 8, 8),)


def harder_network() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return a network trained on noisy digits at random positions of a larger image: the factory `crossloom.demo:harder_network`."""
    training, _ = harder_digits()
    return train(training, 0, lambda items, what, total: items), (torch.zeros(1, 1, 12, 12),)


def harder_training() -> Data:
    """Return the training images of the harder task: `crossloom.demo:harder_training`."""
    return harder_digits()[0]


def harder_test() -> Data:
    """Return the test images of the harder task, not used in training: `crossloom.demo:harder_test`."""
    return harder_digits()[1]


def vit_network() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return a small vision transformer trained on the digits: the factory `crossloom.demo:vit_network`."""
    training, _ = digits()
    return train_vit(training, 0, lambda items, what, total: items), (torch.zeros(1, 1, 8, 8),)


def vit_training() -> Data:
    """Return the vision transformer's training images: `crossloom.demo:vit_training`."""
    return digits()[0]


def vit_test() -> Data:
    """Return the vision transformer's test images, not used in training: `crossloom.demo:vit_test`."""
    return digits()[1]


def text_network() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return a small language model trained on Python's help texts, character by character: the factory `crossloom.demo:text_network`."""
    training, _ = characters()
    return train_text(training, 0, lambda items, what, total: items), (torch.zeros(1, LENGTH, dtype=torch.int64),)


def text_training() -> Data:
    """Return the language model's training windows, with the next characters as labels: `crossloom.demo:text_training`."""
    return characters()[0]


def text_test() -> Data:
    """Return the language model's test windows, not used in training: `crossloom.demo:text_test`."""
    return characters()[1]


def demo(machine: Machine, seed: int = 0, progress: Callable[[Iterable[Any], str, int], Iterable[Any]] | None = None) -> Result:
    """Train the digits network, quantise it with 256 training images, and run the test images on a machine."""
    show = progress or (lambda items, what, total: items)
    graph, training, test = trained_digits(seed, show)
    return run(graph, machine, test, calibration=training.first(CALIBRATION), seed=seed, progress=show)
