"""The digits network of `digits.py` with ternary weights, by further training."""

from __future__ import annotations

from functools import cache

from torch import nn

from crossloom.demo.digits import digits, train
from crossloom.training.descent import one_thread
from crossloom.training.ternarize import ternary_module
from crossloom.training.ternary_recipe import Distillation


@cache
def ternary_digits(sparsity: float = 0.85, activations: int = 4, seed: int = 0) -> nn.Module:
    """Return the network after 40 epochs in floating point and 20 with a share `sparsity` of zeros, trained once per process.

    In these 20 epochs, distillation from the floating-point network is half of the loss.
    """
    training, _ = digits()
    plain = train(training, seed, lambda items, what, total: items)
    with one_thread():
        return ternary_module(plain, training, sparsity, activations, seed=seed, distil=Distillation())
