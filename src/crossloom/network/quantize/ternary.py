"""Ternary weights: −1, 0 or 1 times one scale for each output channel.

A product with ternary weights needs only additions and subtractions, and zero weights cost nothing. A scale per channel instead of one per
layer costs nothing either: it scales the channel's sums and is folded into the requantisation multiplier, which differs per channel anyway
because of batch norms.
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
    """A rule for the number of each layer's smallest weights that become zero."""

    def zeros(self, weights: Sequence[Tensor], done: float) -> list[int]:
        """Return the number of zeros in each layer after a share `done` of the training; each layer keeps at least one non-zero weight."""
        ...


def is_number(value: Any) -> bool:
    """Whether a value is a real number and not a Boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Twn:
    """Zeros by threshold: weights up to `factor` · E|W| of their layer (Li et al., arXiv 1605.04711). Their 0.7 makes 42 % of normal weights zero."""

    factor: float = 0.7

    def __post_init__(self) -> None:
        if not is_number(self.factor) or not 0 <= self.factor < float("inf"):
            raise InputError(f"Twn.factor must be a finite number of at least 0, got {self.factor!r}; the paper uses 0.7")

    def zeros(self, weights: Sequence[Tensor], done: float) -> list[int]:
        """Return the number of weights in each layer that do not exceed the threshold."""
        return [_but_one(int((w.abs() <= self.factor * w.abs().mean()).sum()), w) for w in weights]


@dataclass(frozen=True, slots=True)
class Sparse:
    """Zeros by share: the smallest weights of each layer, or of the network relative to each layer's E|W|; exact to one weight.

    Over the first `ramp` of the training, the share rises from `start` to `sparsity` along a cubic, steeply at first (Zhu and Gupta,
    arXiv 1710.01878, equation 1). A `start` of 0.42 is the share that `Twn` gives for normal weights.
    """

    sparsity: float = 0.85
    scope: Literal["layer", "network"] = "layer"
    ramp: float = 0.25
    start: float = 0.42

    def __post_init__(self) -> None:
        if not is_number(self.sparsity) or not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity must be at least 0 and below 1, got {self.sparsity!r}; 0.85 keeps 15 % of the weights")
        if self.scope not in ("layer", "network"):
            raise InputError(f"Sparse.scope must be layer or network, got {self.scope!r}")
        for what, share in (("ramp", self.ramp), ("start", self.start)):
            if not is_number(share) or not 0 <= share <= 1:
                raise InputError(f"Sparse.{what} must be from 0 to 1, got {share!r}")

    def share(self, done: float) -> float:
        """Return the share of zeros after a share `done` of the training."""
        left = max(0.0, 1 - done / self.ramp) if self.ramp else 0.0
        return self.sparsity - max(0.0, self.sparsity - self.start) * left**3

    def zeros(self, weights: Sequence[Tensor], done: float) -> list[int]:
        """Return the number of zeros in each layer. With scope "network", a layer's number depends on the weights of the others."""
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

    The smallest weights become zero. Each other weight becomes its sign times the mean magnitude of the remaining weights in its channel, an
    index of `axis` (in the whole tensor if it is None). This scale minimises the squared distance (arXiv 1605.04711, equation 5).
    """
    magnitude = weight.abs()
    kept = torch.zeros_like(magnitude).flatten()
    kept[torch.topk(magnitude.flatten(), weight.numel() - zeros, sorted=False).indices] = 1
    kept = kept.reshape(weight.shape)
    within = tuple(i for i in range(weight.dim()) if i != axis)
    scale = (magnitude * kept).sum(within, keepdim=True) / kept.sum(within, keepdim=True).clamp(min=1)
    return torch.sign(weight) * kept * scale


def output_axis(op: Operator) -> int | None:
    """Return the output-channel axis of a layer's weights, or None if there is none (grouped transposed convolution)."""
    if isinstance(op, ConvTranspose):
        return 1 if op.groups == 1 else None
    return 0


def ternary_quantization(weight: Tensor, axis: int | None) -> Quantization | None:
    """Return the quantisation to −1, 0, 1 (two bits) if it represents a layer's real weights exactly, otherwise None.

    Each channel may have one magnitude besides zero. A single weight always meets this condition, so a layer with one weight per channel
    counts as ternary only if at least one weight is zero.
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
    """Return the quantisation at the same scale, reduced to two bits if all integers are −1, 0 or 1."""
    if q.zero or q.bits <= 2 or not bool((integers.abs() <= 1).all()):
        return q
    return replace(q, bits=2, signed=True, narrow=True)


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weight statistics of one layer: number, share of zeros, and whether all are −1, 0 or 1 times their channel's scale."""

    name: str
    weights: int
    zeros: float
    ternary: bool


def ternary_layers(graph: Graph) -> tuple[LayerWeights, ...]:
    """Return the weight statistics of each convolution and linear layer of a network in floating point or in integers."""
    layers = (node for node in graph.nodes if isinstance(product_of(node.op), Conv | ConvTranspose | Linear))
    return tuple(_layer(node, graph) for node in layers if node.inputs[1] in graph.constants)


def _layer(node: Node, graph: Graph) -> LayerWeights:
    weight, q = graph.constants[node.inputs[1]], graph.quantization.get(node.inputs[1])
    if q is None:
        ternary = ternary_quantization(weight, output_axis(product_of(node.op))) is not None
    else:
        ternary = q.zero == 0 and bool((weight.abs() <= 1).all())
    return LayerWeights(node.name, weight.numel(), float((weight == (q.zero if q else 0)).to(torch.float64).mean()), ternary)
