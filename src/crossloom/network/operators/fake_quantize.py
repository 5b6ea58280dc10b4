"""Rounding to a grid of integers, as specified by quantise-dequantise pairs in a model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from crossloom.network.operators.base import Unary
from crossloom.network.quantization import Quantization


@dataclass(frozen=True, slots=True)
class FakeQuantize(Unary):
    """The real number that the nearest integer of `quantization` represents. On a constant, it preserves the grid of the weights."""

    quantization: Quantization

    def __call__(self, *tensors: Tensor) -> Tensor:
        return self.quantization.dequantize(self.quantization.quantize(tensors[0]))
