"""Placement of one copy of a stage: the interface between any engine, the compiler and the readings.

An engine describes a placement in a frozen dataclass of its own and marks it with `@placement`, so that a program's text can be parsed
again. `WholeArrays` is ready-made for engines whose stages fill arrays of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from crossloom.program.floorplan import CellBlock


class Placement(Protocol):
    """Where one copy of a stage lies, with the consequences for its timing and its arrays."""

    @property
    def arrays(self) -> int:
        """Arrays that one copy takes."""
        ...

    @property
    def weights(self) -> int:
        """Weights of one copy: the multiply-accumulates of one position."""
        ...

    @property
    def utilization(self) -> float:
        """Share of its arrays' cells that are in use."""
        ...

    @property
    def contents(self) -> Hashable:
        """Key of the arrays' contents: stages with equal keys can share arrays. None if no other stage can use the contents."""
        ...

    @property
    def blocks(self) -> tuple[CellBlock, ...]:
        """Blocks of cells of one copy, for arrays that stages share; empty if it takes whole arrays."""
        ...

    @property
    def positions_per_step(self) -> int:
        """Positions that one copy computes in one step."""
        ...

    @property
    def input_vectors(self) -> int | None:
        """Input vectors of one inference; None if any number of positions is possible."""
        ...

    @property
    def streams_input(self) -> bool:
        """Whether each input value goes into the cells once, as it arrives, so that it needs no buffer."""
        ...

    @property
    def releases_arrays(self) -> bool:
        """Whether the arrays hold nothing of use once the stage is done, so that the next stage can use them."""
        ...

    @property
    def written_rows(self) -> int:
        """Word lines of one array that are programmed one after the other before the stage can compute; 0 if nothing is programmed."""
        ...

    @property
    def smallest_chunk(self) -> int:
        """Arrays whose partial sums make up one result: a stage larger than the chips is cut into multiples of them."""
        ...

    @property
    def summary(self) -> Mapping[str, int]:
        """Figures for the reader, by names short enough for a table's columns."""
        ...


KINDS: dict[str, type] = {}
"""The classes that describe placements, by name."""

Kind = TypeVar("Kind", bound=type)


def placement(kind: Kind) -> Kind:
    """Register a frozen dataclass as a placement, so that `parse_program` can read it. Raises ValueError for a name that is taken."""
    other = KINDS.setdefault(kind.__name__, kind)
    if other is not kind and (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(f"there are two placements named {kind.__name__}, in {other.__module__} and {kind.__module__}; rename one")
    KINDS[kind.__name__] = kind
    return kind


@placement
@dataclass(frozen=True, slots=True, kw_only=True)
class WholeArrays:
    """Arrays that one stage has to itself. With `arrays=0`, a stage without arrays.

    Attributes:
        arrays: number of arrays of one copy.
        weights: number of weights of one copy.
        contents: name of the contents, such as the name of the weights; None for contents that are not shared.
        utilization: share of the cells in use.
        input_vectors: input vectors of one inference; None if any number of positions is possible.
        written_rows: word lines of an array that are programmed one after the other.
        smallest_chunk: arrays that make up one result; all of them by default.
        releases_arrays: whether the arrays hold nothing of use once the stage is done.
        summary: figures for the reader.
    """

    arrays: int = 0
    weights: int = 0
    contents: str | None = None
    utilization: float = 1.0
    input_vectors: int | None = None
    written_rows: int = 0
    smallest_chunk: int = 0
    releases_arrays: bool = False
    summary: Mapping[str, int] = field(default_factory=dict)
    blocks: tuple[CellBlock, ...] = ()
    positions_per_step: int = 1
    streams_input: bool = False

    def __post_init__(self) -> None:
        if not self.smallest_chunk:
            object.__setattr__(self, "smallest_chunk", self.arrays)


NO_ARRAYS = WholeArrays()
"""The placement of a stage without arrays."""
