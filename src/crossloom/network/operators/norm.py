"""Normalisations and softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.operators.base import Operator


@dataclass(frozen=True, slots=True)
class BatchNorm(Operator):
    """(x − mean) / √(var + eps) · weight + bias per channel (dimension 1); inputs x, weight, bias, mean, var."""

    eps: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, weight, bias, mean, var = tensors
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=self.eps)


@dataclass(frozen=True, slots=True)
class LayerNorm(Operator):
    """Normalisation over the last `dims` dimensions; inputs x[, weight[, bias]]."""

    dims: int
    eps: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, *affine = tensors
        weight, bias = (*affine, None, None)[:2]
        return F.layer_norm(x, x.shape[x.dim() - self.dims :], weight, bias, self.eps)


@dataclass(frozen=True, slots=True)
class GroupNorm(Operator):
    """Normalisation over each group of channels and all spatial dimensions; inputs x, weight, bias. Instance norm has one group per channel."""

    groups: int
    eps: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, *affine = tensors
        weight, bias = (*affine, None, None)[:2]
        return F.group_norm(x, self.groups, weight, bias, self.eps)


@dataclass(frozen=True, slots=True)
class RmsNorm(Operator):
    """x / √(mean(x²) + eps) · weight over the last `dims` dimensions; inputs x[, weight]."""

    dims: int
    eps: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, *weight = tensors
        return F.rms_norm(x, x.shape[x.dim() - self.dims :], weight[0] if weight else None, self.eps)


HIDDEN = -1e30
"""Far below any score, so that its exponential next to a score is 0. It is finite, so that a fully masked row does not give 0 / 0."""


@dataclass(frozen=True, slots=True)
class Softmax(Operator):
    """eˣ / Σ eˣ along one axis, or its logarithm; inputs x[, mask].

    Positions where the mask is false are excluded. A row without any included position is 0 (log: −∞), as in torch's attention.
    """

    axis: int
    log: bool = False

    def __call__(self, *tensors: Tensor) -> Tensor:
        x, *mask = tensors
        function = torch.log_softmax if self.log else torch.softmax
        if not mask:
            return function(x, self.axis)
        return torch.where(mask[0], function(torch.where(mask[0], x, HIDDEN), self.axis), -torch.inf if self.log else 0.0)


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Operator):
    """x / (k + alpha/size · Σ x²)^beta over `size` neighbouring channels, as in AlexNet (2012)."""

    size: int
    alpha: float
    beta: float
    k: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        return F.local_response_norm(tensors[0], self.size, self.alpha, self.beta, self.k)
