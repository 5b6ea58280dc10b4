"""What every operator is: a frozen description that can be called on tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from crossloom.errors import ModelError


@dataclass(frozen=True, slots=True)
class Operator(ABC):
    """One computation of a graph. Its fields are its attributes; calling it computes in floating point.

    A subclass is final: it adds fields and says what `__call__` returns. The same call on tensors of the
    `meta` device gives the shape and type of the result, so no operator needs a shape rule of its own.
    """

    @abstractmethod
    def __call__(self, *tensors: Tensor) -> Tensor:
        """Return the result for floating-point operands in the order of the node's inputs."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The fields by name, in the order of their definition."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.attributes.items())
        return f"{type(self).__name__}({inside})"


@dataclass(frozen=True, slots=True)
class Unary(Operator):
    """A function of one tensor, element by element: a quantised graph may turn it into a look-up table."""


@dataclass(frozen=True, slots=True)
class Move(Operator):
    """Rearranges elements of its first input and changes none of them."""


@dataclass(frozen=True, slots=True)
class Unsupported(Operator):
    """Stands for an operator of the source model that has no counterpart, so that a check can name all of them."""

    kind: str
    reason: str

    def __call__(self, *tensors: Tensor) -> Tensor:
        raise ModelError(f"{self.kind} has no counterpart ({self.reason}); run 'crossloom check' on the model")
