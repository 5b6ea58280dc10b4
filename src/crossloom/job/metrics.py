"""How good answers are: the share of right ones, and where each token has one, how much the right ones surprise.

An answer is a row of scores, one for each class, along the last dimension of a network's first output; its label is the number of the right class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from crossloom.errors import DataError

UNLABELLED = -100
"""The label of a token that does not count, as torch's losses have it."""
_MOST = 709.0
"""Natural logarithm of about the largest number: no perplexity is infinite."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Right answers, answers with a label, and the sum of their cross-entropies (nats; only counted for an answer for each token)."""

    right: int = 0
    answers: int = 0
    nats: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.answers + other.answers, self.nats + other.nats)

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.answers if self.answers else 0.0

    @property
    def perplexity(self) -> float:
        """exp of the mean cross-entropy."""
        return math.exp(min(self.nats / self.answers, _MOST)) if self.answers else 1.0


def tally(output: Tensor, labels: Tensor) -> Tally:
    """Return what a batch of answers is worth. Raises DataError for shapes that are no scores and labels, and for scores that are no numbers."""
    if output.dim() < 2:
        raise DataError(f"accuracy needs an output of one score for each class, got shape {list(output.shape)}; give data without labels")
    if labels.shape != output.shape[:-1]:
        raise DataError(
            f"accuracy needs one row of scores for each label, got shape {list(output.shape)} for labels of shape {list(labels.shape)}; "
            "give data without labels"
        )
    right = int((output.argmax(-1) == labels).sum())
    if output.dim() == 2:
        return Tally(right, len(labels))
    each = cross_entropy(output.flatten(0, -2).float(), labels.flatten(), ignore_index=UNLABELLED, reduction="none")
    nats = float(each.double().sum())
    if math.isnan(nats):
        raise DataError("perplexity needs scores that are numbers, got NaN; check the network's weights and the data")
    return Tally(right, int((labels != UNLABELLED).sum()), nats)
