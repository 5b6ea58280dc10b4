"""What lowering a model for another batch size than its own has to know.

Exporters write a batch of one into shapes, targets and constants. The graph at that size is available, so a dimension
that has grown shows where the batch went; where it could have gone in two ways, both are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crossloom.network.importers.builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Growth:
    """A dimension that has another size than at the fixed batch size."""

    axis: int
    now: int
    before: int


@dataclass
class Choices:
    """Decisions that a file leaves open, each with how many ways there are, in the order in which they came up."""

    made: dict[object, list[int]] = field(default_factory=dict)

    def make(self, question: object, options: Sequence[int]) -> int:
        """Return the option that is to be tried for a question: the same one for the same question."""
        taken = self.made.setdefault(question, [0, len(options)])
        return options[taken[0]]

    def advance(self) -> bool:
        """Take the next option for the last question that has one, and forget those after it; False if none has."""
        while self.made:
            question, (taken, count) = self.made.popitem()
            if taken + 1 < count:
                self.made[question] = [taken + 1, count]
                return True
        return False


@dataclass(frozen=True)
class Original:
    """The graph at the batch size that the file was written for, while it is lowered for another one."""

    builder: GraphBuilder
    choices: Choices
