"""Accuracy, and perplexity for per-token outputs.

An answer is a row of scores, one per class, along the last dimension of a network's first output; its label is the index of the correct class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import cross_entropy

from crossloom.errors import DataError
from crossloom.job.progress import Progress, silent

if TYPE_CHECKING:
    from crossloom.job.data import Data

UNLABELLED = -100
"""The label of a token that is ignored, as in torch's losses."""
Outputs = Tensor | tuple[Tensor, ...]
Answer = Callable[[Sequence[Tensor], int], Outputs]
"""Computes the outputs of a batch, given its inputs and the index of its first sample."""
_MOST = 709.0
"""Natural logarithm of about the largest float, so that no perplexity is infinite."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Correct answers, labelled answers, and the sum of their cross-entropies (nats; only for per-token answers)."""

    right: int = 0
    answers: int = 0
    nats: float = 0.0

    def __add__(self, other: Metrics) -> Metrics:
        return Metrics(self.right + other.right, self.answers + other.answers, self.nats + other.nats)

    @property
    def share(self) -> float:
        """The share of correct answers."""
        return self.right / self.answers if self.answers else 0.0

    @property
    def perplexity(self) -> float:
        """exp of the mean cross-entropy."""
        return math.exp(min(self.nats / self.answers, _MOST)) if self.answers else 1.0


def measure(output: Tensor, labels: Tensor) -> Metrics:
    """Return the metrics of a batch of answers. Raises DataError if the shapes are not those of scores and labels, or if scores are NaN."""
    if output.dim() < 2:
        raise DataError(f"accuracy needs an output with one score per class, got shape {list(output.shape)}; give data without labels")
    if labels.shape != output.shape[:-1]:
        raise DataError(
            f"accuracy needs one row of scores per label, got shape {list(output.shape)} for labels of shape {list(labels.shape)}; "
            "give data without labels"
        )
    right = int((output.argmax(-1) == labels).sum())
    if output.dim() == 2:
        return Metrics(right, len(labels))
    each = cross_entropy(output.flatten(0, -2).float(), labels.flatten(), ignore_index=UNLABELLED, reduction="none")
    nats = float(each.double().sum())
    if math.isnan(nats):
        raise DataError("perplexity needs scores that are numbers, got NaN; check the network's weights and the data")
    return Metrics(right, int((labels != UNLABELLED).sum()), nats)


def judge(answers: Mapping[str, Answer], samples: Data, batch: int, device: str = "cpu", progress: Progress = silent) -> dict[str, Metrics]:
    """Return the metrics of several answer functions on the same samples. Without labels, all are still computed, and the metrics are empty."""
    found = dict.fromkeys(answers, Metrics())
    batches = samples.batches(batch, device)
    for place, (inputs, labels) in enumerate(progress(batches, "computing", -(-len(samples) // batch))):
        for name, answer in answers.items():
            outputs = answer(inputs, place * batch)
            if labels is not None:
                found[name] += measure(outputs[0] if isinstance(outputs, tuple) else outputs, labels.to(device))
    return found


def accuracy(answer: Answer, samples: Data, batch: int, device: str = "cpu") -> Metrics:
    """Return the metrics of one answer function on some samples."""
    return judge({"": answer}, samples, batch, device)[""]
