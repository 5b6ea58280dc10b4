"""Ternary weights: −1, 0 or 1 times one scale for each output channel.

Products with them are only additions and subtractions, and a zero costs nothing. The scale is one for each channel rather than one for each
layer because it costs nothing either: it is a factor of the channel's sums and joins the multiplier of the requantisation, which batch norms
make a channel's own anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from crossloom.errors import InputError
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv, ConvTranspose, Linear, Operator, product_of
from crossloom.network.quantization import Quantization


class Method(Protocol):
    """Decides how many of a layer's smallest weights become zero."""

    def zeros(self, weights: Sequence[Tensor], done: float) -> list[int]:
        """Return the number of zeros of each layer after a share `done` of the training; one weight of a layer is left at least."""
        ...


def is_number(value: Any) -> bool:
    """Whether something is a real number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Twn:
    """Zero is what does not exceed `factor` · E|W| of its layer (Li et al., arXiv 1605.04711): 42 % of normal weights at their 0.7."""

    factor: float = 0.7

    def __post_init__(self) -> None:
        if not is_number(self.factor) or not 0 <= self.factor < float("inf"):
            raise InputError(f"Twn.factor must be a number from 0 up, got {self.factor!r}; the paper has 0.7")

    def zeros(self, weights: Sequence[Tensor], done: float) -> list[int]:
        """Return how many weights of each layer the threshold does not let through."""
        return [_but_one(int((w.abs() <= self.factor * w.abs().mean()).sum()), w) for w in weights]


@dataclass(frozen=True, slots=True)
class Sparse:
    """Zero is a share of the weights, to one weight: the smallest of each layer, or of the network in units of each layer's E|W|.

    The share rises to `sparsity` over the first `ramp` of the training, from `start` and along a cubic, steeply first (Zhu and Gupta,
    arXiv 1710.01878, equation 1). A `start` of 0.42 is what `Twn` makes of normal weights.
    """

    sparsity: float = 0.85
    scope: Literal["layer", "network"] = "layer"
    ramp: float = 0.25
    start: float = 0.42

    def __post_init__(self) -> None:
        if not is_number(self.sparsity) or not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity must be at least 0 and below 1, got {self.sparsity!r}; 0.85 leaves 15 % of the weights")
        if self.scope not in ("layer", "network"):
            raise InputError(f"Sparse.scope must be layer or network, got {self.scope!r}")
        for what, share in (("ramp", self.ramp), ("start", self.start)):
            if not is_number(share) or not 0 <= share <= 1:
                raise InputError(f"Sparse.{what} must be from 0 to 1, got {share!r}")

    def share(self, done: float) -> float:
        """Return the share of zeros after a share of the training."""
        left = max(0.0, 1 - done / self.ramp) if self.ramp else 0.0
        return self.sparsity - max(0.0, self.sparsity - self.start) * left**3

    def zeros(self, weights: Sequence[Tensor], done: float) -> list[int]:
        """Return the number of zeros of each layer; of the network, where one layer's count depends on the others' weights."""
        share = self.share(done)
        if self.scope == "layer":
            return [_but_one(round(share * w.numel()), w) for w in weights]
        relative = torch.cat([(w.abs() / w.abs().mean()).flatten() for w in weights])
        smallest = torch.zeros(relative.numel(), dtype=torch.int64, device=relative.device)
        smallest[torch.argsort(relative, stable=True)[: round(share * relative.numel())]] = 1
        counts = [int(part.sum()) for part in torch.split(smallest, [w.numel() for w in weights])]
        return [_but_one(count, w) for count, w in zip(counts, weights, strict=True)]


def _but_one(zeros: int, weight: Tensor) -> int:
    return min(zeros, weight.numel() - 1)


def project(weight: Tensor, zeros: int, axis: int | None) -> Tensor:
    """Return ternary weights with `zeros` zeros.

    The smallest become zero, the others their sign times the mean magnitude that they have in their channel, an index of `axis` (in all, if it
    is None): of all scales that one leaves the least squared distance (arXiv 1605.04711, equation 5).
    """
    magnitude = weight.abs()
    kept = torch.zeros_like(magnitude).flatten()
    kept[torch.topk(magnitude.flatten(), weight.numel() - zeros, sorted=False).indices] = 1
    kept = kept.reshape(weight.shape)
    within = tuple(i for i in range(weight.dim()) if i != axis)
    scale = (magnitude * kept).sum(within, keepdim=True) / kept.sum(within, keepdim=True).clamp(min=1)
    return torch.sign(weight) * kept * scale


def output_axis(op: Operator) -> int | None:
    """Return the axis of a layer's weights that counts its output channels, None where groups leave it without one."""
    if isinstance(op, ConvTranspose):
        return 1 if op.groups == 1 else None
    return 0


def ternary_quantization(weight: Tensor, axis: int | None) -> Quantization | None:
    """Return the two-bit integers −1, 0, 1 and their scales if they hold a layer's real weights exactly, else None.

    Each channel may have one magnitude beside zero. A single weight always does; so where a channel has no other weight, some channel's must
    be zero for a layer to count as ternary.
    """
    magnitude = weight.abs().reshape(1, -1) if axis is None else weight.abs().movedim(axis, 0).reshape(weight.shape[axis], -1)
    if not magnitude.numel() or (magnitude.shape[1] == 1 and not bool((magnitude == 0).any())):
        return None
    largest = magnitude.amax(1, keepdim=True)
    if not bool(((magnitude == largest) | (magnitude == 0)).all()) or not bool(torch.isfinite(largest).all()):
        return None
    scale = tuple(step or 1.0 for step in largest.flatten().to(torch.float32).tolist())
    return Quantization(scale, 0, 2, signed=True, axis=axis, narrow=True)


def narrowed(integers: Tensor, q: Quantization) -> Quantization:
    """Return the quantisation of a layer's integers, at the same scale, in two bits if all are −1, 0 or 1."""
    if q.zero or q.bits <= 2 or not bool((integers.abs() <= 1).all()):
        return q
    return replace(q, bits=2, signed=True, narrow=True)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The weights of one layer: how many, which share of them is zero, and whether all are −1, 0 or 1 times their channel's scale."""

    name: str
    weights: int
    zeros: float
    ternary: bool


def ternary_layers(graph: Graph) -> tuple[LayerWeights, ...]:
    """Return what the weights of each convolution and linear layer are like, of a network in floating point or in integers."""
    layers = (node for node in graph.nodes if isinstance(product_of(node.op), Conv | ConvTranspose | Linear))
    return tuple(_layer(node, graph) for node in layers if node.inputs[1] in graph.constants)


def _layer(node: Node, graph: Graph) -> LayerWeights:
    weight, q = graph.constants[node.inputs[1]], graph.quantization.get(node.inputs[1])
    if q is None:
        ternary = ternary_quantization(weight, output_axis(product_of(node.op))) is not None
    else:
        ternary = q.zero == 0 and bool((weight.abs() <= 1).all())
    return LayerWeights(node.name, weight.numel(), float((weight == (q.zero if q else 0)).to(torch.float64).mean()), ternary)
