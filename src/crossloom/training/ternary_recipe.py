"""Settings of ternary training: zeros, bits of layer inputs, training length and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import index
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from crossloom.errors import InputError
from crossloom.job.metrics import UNLABELLED
from crossloom.network.quantize.ternary import Method, Sparse, is_number

_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Distillation:
    """Distillation from the outputs of the floating-point network, as a share of the loss (Hinton et al., arXiv 1503.02531).

    With a share of 1, no labels are needed.
    """

    share: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not is_number(self.share) or not 0 < self.share <= 1:
            raise InputError(f"Distillation.share must be above 0 and at most 1, got {self.share!r}; omit distil to train without it")
        if not is_number(self.temperature) or not 0 < self.temperature < float("inf"):
            raise InputError(f"Distillation.temperature must be positive, got {self.temperature!r}; 2 is usual")

    def __call__(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Return T² times the divergence of softened scores from softened target scores, averaged over outputs."""
        softened, aim = (F.log_softmax(each.flatten(0, -2) / self.temperature, 1) for each in (scores, wanted))
        return self.temperature**2 * F.kl_div(softened, aim, log_target=True, reduction="batchmean")


@dataclass(frozen=True, slots=True)
class TernaryRecipe:
    """Settings of ternary training.

    Attributes:
        method: rule for the number of zeros: `Sparse` or `Twn`.
        activations: bits of layer inputs, 2 to 8; unsigned if no value is negative.
        first: bits of the inputs of first layers.
        epochs: passes over the training data.
        batch: samples per step; a loader uses its own.
        rate: peak learning rate of Adam; for weights, it is multiplied by 20 and by the mean magnitude of their layer.
        seed: random seed of the sample order and of everything random in the network.
        loss: function of scores and labels (with a loss, labels may be of any kind); cross-entropy if None.
        distil: distillation from the floating-point network, or None.
    """

    method: Method = field(default_factory=Sparse)
    activations: int = 4
    first: int = 8
    epochs: int = 20
    batch: int = 64
    rate: float = 0.01
    seed: int = 0
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    distil: Distillation | None = None

    def __post_init__(self) -> None:
        for what in ("activations", "first", "epochs", "batch", "seed"):
            object.__setattr__(self, what, _whole(what, getattr(self, what)))
        for what, bits in (("activations", self.activations), ("first", self.first)):
            if not 2 <= bits <= 8:
                raise InputError(f"ternarize: {what} must have 2 to 8 bits, got {bits}")
        for what, count in (("epochs", self.epochs), ("batch", self.batch)):
            if count < 1:
                raise InputError(f"ternarize: {what} must be at least 1, got {count}")
        if abs(self.seed) > _LARGEST:
            raise InputError(f"ternarize: seed must have at most 63 bits, got {self.seed}; 0 is usual")
        if not is_number(self.rate) or not 0 < self.rate < float("inf"):
            raise InputError(f"ternarize: rate must be positive, got {self.rate!r}; 0.01 is usual")
        self._check_kinds()

    def _check_kinds(self) -> None:
        if isinstance(self.method, type) or not callable(getattr(self.method, "zeros", None)):
            raise InputError(f"ternarize: method must set the number of zeros, got {self.method!r}; give for example Sparse(0.85) or Twn()")
        if self.loss is not None and not callable(self.loss):
            raise InputError(
                f"ternarize: loss must be a function of scores and labels, got {self.loss!r}; give for example torch.nn.functional.mse_loss"
            )
        if self.distil is not None and not isinstance(self.distil, Distillation):
            raise InputError(f"ternarize: distil must be a share from 0 to 1 or a Distillation, got {self.distil!r}; 0.5 is usual")


def _whole(what: str, value: Any) -> int:
    """Return an integer of any type as a Python int. Raises InputError."""
    try:
        return index(value)
    except TypeError as problem:
        raise InputError(f"ternarize: {what} must be a whole number, got {value!r}; write it without a fraction or quotes") from problem


def recipe_of(
    *,
    sparsity: float | None = None,
    method: Method | None = None,
    distil: Distillation | float | None = None,
    activations: int = 4,
    first: int = 8,
    epochs: int = 20,
    batch: int = 64,
    rate: float = 0.01,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> TernaryRecipe:
    """Return the recipe for the arguments of `ternarize`, where sparsity and distil may be plain shares. Raises InputError."""
    if sparsity is not None and method is not None:
        raise InputError(
            "ternarize: sparsity and method both specify how many weights become zero; give only one, such as method=Sparse(0.9, scope='network')"
        )
    chosen = method if method is not None else Sparse() if sparsity is None else Sparse(sparsity)
    taught = distil if isinstance(distil, Distillation) or not is_number(distil) else Distillation(float(distil)) if distil else None
    return TernaryRecipe(chosen, activations, first, epochs, batch, rate, seed, loss, taught)  # type: ignore[arg-type]


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of scores (..., classes) and labels (...), without unlabelled tokens."""
    return F.cross_entropy(scores.flatten(0, -2), labels.flatten(), ignore_index=UNLABELLED)
