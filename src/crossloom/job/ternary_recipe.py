"""How a network is made ternary: which weights become zero, how many bits layers read, how long and by which loss it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

from crossloom.errors import InputError
from crossloom.job.scores import UNLABELLED
from crossloom.network.ternary import Method, Sparse


@dataclass(frozen=True, slots=True)
class Distillation:
    """Learn, for a share of the loss, from the answers that the network gave in floating point (Hinton et al., arXiv 1503.02531).

    With a share of 1 no labels are needed.
    """

    share: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"Distillation.share must be above 0 and at most 1, got {self.share}; leave distil out for none")
        if not 0 < self.temperature < float("inf"):
            raise InputError(f"Distillation.temperature must be positive, got {self.temperature}")

    def __call__(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Return T² times the divergence of softened scores from softened wanted ones, the mean over answers."""
        softened, aim = (F.log_softmax(each.flatten(0, -2) / self.temperature, 1) for each in (scores, wanted))
        return self.temperature**2 * F.kl_div(softened, aim, log_target=True, reduction="batchmean")


@dataclass(frozen=True, slots=True)
class TernaryRecipe:
    """How a network is made ternary.

    Attributes:
        method: how many weights become zero: `Sparse` or `Twn`.
        activations: bits of what layers read, 2 to 8; unsigned where nothing is negative.
        first: bits of what first layers read.
        epochs: times that the training data are gone through.
        batch: samples in a step; a loader has its own.
        rate: highest rate of Adam; weights have 20 times this times the mean magnitude of their layer.
        seed: of the order of samples, and everything random in the network.
        loss: of scores and labels (or of whatever stands beside the samples, then); cross-entropy if None.
        distil: whether to learn from the network's answers in floating point, too.
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
        for what, bits in (("activations", self.activations), ("first", self.first)):
            if not 2 <= bits <= 8:
                raise InputError(f"ternarize: {what} must have 2 to 8 bits, got {bits}")
        for what, count in (("epochs", self.epochs), ("batch", self.batch)):
            if count < 1:
                raise InputError(f"ternarize: {what} must be at least 1, got {count}")
        if not 0 < self.rate < float("inf"):
            raise InputError(f"ternarize: rate must be positive, got {self.rate}; 0.01 is usual")


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of scores (..., classes) and labels (...), tokens without a label left out."""
    return F.cross_entropy(scores.flatten(0, -2), labels.flatten(), ignore_index=UNLABELLED)
