"""State for lowering a model at a batch size other than its own.

Exporters write a batch of one into shapes, targets and constants. The graph at that size is available, so a dimension
that has grown shows where the batch went. Where there are two possibilities, both are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crossloom.network.importers.builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Growth:
    """A dimension whose size differs from its size at the fixed batch size."""

    axis: int
    now: int
    before: int


@dataclass
class Choices:
    """Decisions that a file leaves open, in the order in which they arose: for each, the option taken and the number of options."""

    made: dict[object, list[int]] = field(default_factory=dict)

    def make(self, question: object, options: Sequence[int]) -> int:
        """Return the option to try for a question; the same question gets the same option."""
        taken = self.made.setdefault(question, [0, len(options)])
        return options[taken[0]]

    def advance(self) -> bool:
        """Take the next option for the last question that has one, and forget later questions. Return False if none has one."""
        while self.made:
            question, (taken, count) = self.made.popitem()
            if taken + 1 < count:
                self.made[question] = [taken + 1, count]
                return True
        return False


@dataclass(frozen=True)
class Original:
    """The graph at the file's own batch size, for use while the model is lowered at another one."""

    builder: GraphBuilder
    choices: Choices
