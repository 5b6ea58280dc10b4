"""Calibration: choice of the range of real values that a tensor's integers cover, from observed values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from crossloom.errors import DataError
from crossloom.network.graph import Graph
from crossloom.network.quantization import Quantization
from crossloom.network.replay import replay

SAMPLE = 1 << 14
"""Number of elements kept per tensor and batch, for calibrators that need the distribution."""


@dataclass
class Observed:
    """Observed values of one tensor: exact extremes, and an evenly spaced sample of its elements."""

    low: float = float("inf")
    high: float = float("-inf")
    parts: list[Tensor] = field(default_factory=list)

    def see(self, tensor: Tensor) -> None:
        """Record one batch."""
        low, high = torch.aminmax(tensor)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        flat = tensor.reshape(-1)
        self.parts.append(flat[:: max(1, flat.numel() // SAMPLE)].clone())

    @property
    def sample(self) -> Tensor:
        """The sampled elements of all batches."""
        return torch.cat(self.parts)


class Calibrator(Protocol):
    """A rule for the range of real values that the integers cover."""

    def __call__(self, observed: Observed, bits: int) -> tuple[float, float]:
        """Return the lowest and highest real value to cover."""
        ...


@dataclass(frozen=True, slots=True)
class MinMax:
    """Full range of the observed values."""

    def __call__(self, observed: Observed, bits: int) -> tuple[float, float]:
        return observed.low, observed.high


@dataclass(frozen=True, slots=True)
class Percentile:
    """Range without outliers: `keep` percent of the values lie within each bound."""

    keep: float = 99.99

    def __post_init__(self) -> None:
        if not 50 < self.keep <= 100:
            raise ValueError(f"Percentile.keep must be above 50 and at most 100, got {self.keep}")

    def __call__(self, observed: Observed, bits: int) -> tuple[float, float]:
        cut = torch.tensor([1 - self.keep / 100, self.keep / 100], dtype=torch.float64)
        low, high = torch.quantile(observed.sample.to(torch.float64), cut)
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Mse:
    """Range of least mean squared quantisation error, found by shrinking the full range in `steps` steps towards the share `smallest`."""

    steps: int = 40
    smallest: float = 0.3

    def __call__(self, observed: Observed, bits: int) -> tuple[float, float]:
        sample, best = observed.sample, (float("inf"), 1.0)
        for step in range(self.steps):
            share = 1 - (1 - self.smallest) * step / self.steps
            q = affine(observed.low * share, observed.high * share, bits)
            error = float((q.dequantize(q.quantize(sample)) - sample).square().mean())
            best = min(best, (error, share))
        return observed.low * best[1], observed.high * best[1]


def symmetric(low: float, high: float, bits: int) -> Quantization:
    """Return the quantisation with zero point 0: unsigned if no value is negative, otherwise signed."""
    if low >= 0:
        return Quantization((_scale(high, (1 << bits) - 1),), 0, bits, signed=False)
    return Quantization((_scale(max(-low, high), (1 << (bits - 1)) - 1),), 0, bits, signed=True)


def affine(low: float, high: float, bits: int) -> Quantization:
    """Return the unsigned quantisation of [low, high], extended to include 0, which is represented exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = _scale(high - low, (1 << bits) - 1)
    return Quantization((scale,), min(max(round(-low / scale), 0), (1 << bits) - 1), bits, signed=False)


def _scale(span: float, steps: int) -> float:
    """Return a float32 step size, or 1 for a tensor that is always zero."""
    scale = float(torch.tensor(span / steps, dtype=torch.float32))
    return scale if scale > 1e-30 else 1.0


def observe(graph: Graph, batches: Iterable[Sequence[Tensor]]) -> dict[str, Observed]:
    """Run the floating-point graph on batches of inputs and return the observed values of each real tensor.

    Raises DataError if there is no batch, or if a value is not finite, in which case it names the tensor.
    """
    seen: dict[str, Observed] = {}

    def watch(name: str, tensor: Tensor) -> None:
        if not tensor.is_floating_point() or tensor.numel() == 0:
            return
        visible = tensor if bool(torch.isfinite(tensor).all()) else _finite(name, tensor)
        seen.setdefault(name, Observed()).see(visible)

    with torch.no_grad():
        for batch in batches:
            replay(graph, batch, watch)
    if not seen:
        raise DataError("calibration got no samples; pass at least one batch of inputs")
    return seen


def _finite(name: str, tensor: Tensor) -> Tensor:
    """Return the finite elements. −∞ marks a masked position; any other non-finite value is an error."""
    if bool((torch.isnan(tensor) | (tensor == torch.inf)).any()):
        kind = "NaN" if bool(torch.isnan(tensor).any()) else "an infinite value"
        raise DataError(f"calibration: tensor {name} contains {kind}; check the data and the model's weights")
    finite = tensor[torch.isfinite(tensor)]
    return finite if finite.numel() else torch.zeros(1)
