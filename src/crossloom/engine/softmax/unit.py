"""What a softmax unit must answer."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from torch import Tensor

from crossloom.network.quantization import Quantization


class Unit(Protocol):
    """A piece of hardware that turns rows of scores into rows of weights. It holds no state: a frozen description that computes."""

    @property
    def name(self) -> str:
        """A few words without spaces, as machines call it."""
        ...

    @property
    def input(self) -> Quantization:
        """What scores are held in: signed, zero 0; the scale is the real value of one step."""
        ...

    @property
    def output(self) -> Quantization:
        """What weights are held in: unsigned, zero 0."""
        ...

    def __call__(self, codes: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return weights (..., n), integers of `output` in its carrier type, for scores (..., n), integers of `input`.

        `seen` (bool, broadcastable to the scores) says which take part. The others give 0, and so does a whole row in which none does.
        """
        ...

    def actions(self, elements: int, rows: int, length: int) -> Counter[str]:
        """Return how often each `part.action` is performed for `rows` rows of `length` scores of which `elements` in all are seen.

        Only rows in which something is seen are counted: the others do nothing.
        """
        ...

    def cycles(self, length: int) -> tuple[int, int]:
        """Return the cycles between the starts of two rows, and from a row's start to its last result."""
        ...
