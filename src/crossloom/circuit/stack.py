"""Geometry of crossbars as circuits: planes of parallel wires, with a cell at each crossing of two neighbouring planes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from crossloom.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """Resistances in ohms; all wires of a kind are equal.

    There is one segment between any two neighbouring cells, one before the first cell and one after the last (as in badcrossbar and in the
    layout of a tile that abuts its drivers).

    Attributes:
        word_ohm, bit_ohm: resistance of one segment of a word line, of a bit line.
        source_ohm: output resistance of a driver, in front of a word line's first segment.
        sense_ohm: input resistance of the circuit that holds a bit line at ground (or at another voltage), behind its last segment.
        access_ohm: resistance in series with each cell.
        word_ends: whether word lines are driven only at the first column, or at both ends.
        bit_ends: whether bit lines are sensed only behind the last row, or at both ends; the two currents are then added.
    """

    word_ohm: float = 0.0
    bit_ohm: float = 0.0
    source_ohm: float = 0.0
    sense_ohm: float = 0.0
    access_ohm: float = 0.0
    word_ends: Literal["one", "both"] = "one"
    bit_ends: Literal["one", "both"] = "one"

    def __post_init__(self) -> None:
        for name in ("word_ohm", "bit_ohm", "source_ohm", "sense_ohm", "access_ohm"):
            value = getattr(self, name)
            if not 0 <= value < 1e12:
                raise InputError(
                    f"wires: {name} must be at least 0 and below 1e12 ohms, got {value:g}; model an open wire by cells without conductance"
                )
        for name in ("word_ends", "bit_ends"):
            if getattr(self, name) not in ("one", "both"):
                raise InputError(f"wires: {name} must be one or both, got {getattr(self, name)!r}")

    @property
    def lead_ohm(self) -> float:
        """Resistance from a driver to the first cell of its word line."""
        return self.source_ohm + self.word_ohm

    @property
    def foot_ohm(self) -> float:
        """Resistance from the last cell of a bit line to ground."""
        return self.sense_ohm + self.bit_ohm


@dataclass(frozen=True)
class Stack:
    """Stacked crossbars: electrode planes alternate between word lines and bit lines, starting with word lines.

    Layer l of cells lies between plane l and plane l + 1, so neighbouring layers share a plane. One layer is the planar crossbar,
    two layers are the stack with a common middle electrode (bit lines), and so on.

    Attributes:
        conductance_s: (..., layers, rows, columns) siemens of the cells, without access resistances; leading dimensions are tiles.
        wires: resistances.
    """

    conductance_s: Tensor
    wires: Wires = field(default_factory=Wires)

    def __post_init__(self) -> None:
        g = self.conductance_s
        if g.dim() < 3 or 0 in g.shape:
            raise InputError(f"conductances of a stack must have shape (..., layers, rows, columns), got {list(g.shape)}")
        if not bool((torch.isfinite(g) & (g >= 0)).all()):
            raise InputError("conductances must be finite and not negative; give an open cell 0 S, a shorted one a large value")

    @property
    def layers(self) -> int:
        """Number of cell layers."""
        return int(self.conductance_s.shape[-3])

    @property
    def rows(self) -> int:
        """Number of word lines per plane."""
        return int(self.conductance_s.shape[-2])

    @property
    def columns(self) -> int:
        """Number of bit lines per plane."""
        return int(self.conductance_s.shape[-1])

    @property
    def word_planes(self) -> int:
        """Number of word-line planes."""
        return self.layers // 2 + 1

    @property
    def bit_planes(self) -> int:
        """Number of bit-line planes."""
        return (self.layers + 1) // 2

    @property
    def cells_s(self) -> Tensor:
        """Cell conductances (S, float64) including the access resistance in series."""
        g = self.conductance_s.to(torch.float64)
        return g / (1 + g * self.wires.access_ohm) if self.wires.access_ohm else g

    def at(self, conductance_s: Tensor) -> Stack:
        """Return a stack with the same wires and other cells."""
        return replace(self, conductance_s=conductance_s)

    def turned(self) -> Stack:
        """Return the planar crossbar with word lines and bit lines exchanged, and both numbered from the other end.

        By reciprocity its transfer matrix is the transpose, numbered the same way: drivers are where the sense amplifiers were.
        """
        w = self.wires
        wires = Wires(
            word_ohm=w.bit_ohm,
            bit_ohm=w.word_ohm,
            source_ohm=w.sense_ohm,
            sense_ohm=w.source_ohm,
            access_ohm=w.access_ohm,
            word_ends=w.bit_ends,
            bit_ends=w.word_ends,
        )
        return Stack(self.conductance_s.mT.flip(-1, -2), wires)


def word_plane(layer: int) -> int:
    """Return the index of the word-line plane adjacent to a layer."""
    return (layer + 1) // 2


def bit_plane(layer: int) -> int:
    """Return the index of the bit-line plane adjacent to a layer."""
    return layer // 2


def planar(conductance_s: Tensor, wires: Wires | None = None) -> Stack:
    """Return one layer of cells, (..., rows, columns) siemens, as a stack of one layer."""
    return Stack(conductance_s.unsqueeze(-3), wires or Wires())
