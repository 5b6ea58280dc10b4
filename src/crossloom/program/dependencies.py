"""Dependencies between positions as index arithmetic.

A stage's positions are numbered in the order in which it computes them, row after row. Each rule returns, for an array of positions, the last
source position that each of them needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """The positions of an earlier stage that a position needs."""

    @abstractmethod
    def last(self, positions: Positions, source: int) -> Positions:
        """Return, for each position, the last of `source` positions that it needs."""


@dataclass(frozen=True, slots=True)
class SamePosition(Rule):
    """Position i needs position i of the source, or the source's last position if it has fewer."""

    def last(self, positions: Positions, source: int) -> Positions:
        return np.minimum(positions, source - 1)


@dataclass(frozen=True, slots=True)
class Chunks(Rule):
    """Position i needs the whole block of `size` positions that contains position i."""

    size: int

    def last(self, positions: Positions, source: int) -> Positions:
        return np.minimum((positions // self.size + 1) * self.size, source) - 1


@dataclass(frozen=True, slots=True)
class Interleaved(Rule):
    """Rows of `width` positions, of which the source computes `times` at a time: position i of a row needs source position i // times of that row."""

    times: int
    width: int

    def last(self, positions: Positions, source: int) -> Positions:
        across = -(-self.width // self.times)
        found: Positions = np.minimum(positions // self.width * across + positions % self.width // self.times, source - 1)
        return found


@dataclass(frozen=True, slots=True)
class All(Rule):
    """Every position needs the whole of the source."""

    def last(self, positions: Positions, source: int) -> Positions:
        return np.full_like(positions, source - 1)


@dataclass(frozen=True, slots=True)
class Window(Rule):
    """A position needs a window of the source, as in convolution and pooling; `shape` is the source's size in positions."""

    shape: tuple[int, ...]
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def last(self, positions: Positions, source: int) -> Positions:
        place = np.unravel_index(positions, self.size)
        flat = np.zeros_like(positions)
        for axis, extent in enumerate(self.shape):
            reach = (self.kernel[axis] - 1) * self.dilation[axis] - self.padding[axis]
            flat = flat * extent + np.clip(place[axis] * self.stride[axis] + reach, 0, extent - 1)
        return flat
