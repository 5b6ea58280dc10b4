"""Base classes of the operators: frozen descriptions that can be called on tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from crossloom.errors import ModelError


@dataclass(frozen=True, slots=True)
class Operator(ABC):
    """One operation of a graph. Its fields are its attributes; calling it computes the result in floating point.

    Subclasses are final: they add fields and define `__call__`. The same call on tensors of the `meta` device
    returns the shape and type of the result, so operators need no separate shape rules.
    """

    @abstractmethod
    def __call__(self, *tensors: Tensor) -> Tensor:
        """Return the result for floating-point operands in the order of the node's inputs."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The fields by name, in order of definition."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.attributes.items())
        return f"{type(self).__name__}({inside})"


@dataclass(frozen=True, slots=True)
class Unary(Operator):
    """An element-wise function of one tensor, which a quantised graph may turn into a look-up table."""


@dataclass(frozen=True, slots=True)
class Move(Operator):
    """An operator that rearranges elements of its first input without changing them."""


@dataclass(frozen=True, slots=True)
class Unsupported(Operator):
    """A placeholder for a source operator without a counterpart, so that a check can list all of them."""

    kind: str
    reason: str

    def __call__(self, *tensors: Tensor) -> Tensor:
        raise ModelError(f"{self.kind} has no counterpart ({self.reason}); run 'crossloom check' on the model")
