"""Sums of several values in a block of cells, as average pooling takes them: closed forms, a program that runs cell by cell, the integers.

A value lies along a row, its b bits in as many neighbouring bit lines, and the values to be added lie in the same bit lines. One read with
all rows driven gives, on each bit line, how many values have this bit; the shift-and-add unit weighs what the ADCs hand it with 2^i, the sign
of two's complement with -2^(b-1). Its register begins with -z for each value that there is, so that the zero point z is taken out for nothing.

With k values in m groups side by side there are g = ceil(k / m) rows of m·b bit lines for each sum. A row holds one value of each group, and
one pulse writes all of it:

- Load: a set pulse for each row.                                                                                             g cycles
- Read: the ADCs must tell g + 1 counts apart. Where they cannot, at most `driven` rows are read at once. A block can be read
  in the cycles that load its next rows, so that only the last read has a cycle of its own.                                   1 cycle
- Erase: the write phase of that last cycle.                                                                                  0 cycles

    cycles = g + 1        conversions = m·b·ceil(g / driven) for each sum        ADC: ceil(log2(driven + 1)) bits

More groups take fewer cycles in as many cells, and more conversions. They are needed where the values exceed the rows of an array.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.in_array.cells import Controller, Plane, digits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SumBlock:
    """`width` sums at once of `values` values of `bits` bits and a zero point; `driven` rows are read at once, 0 stands for all."""

    values: int
    bits: int
    width: int = 1
    signed: bool = False
    zero: int = 0
    groups: int = 1
    driven: int = 0

    def __post_init__(self) -> None:
        if min(self.values, self.bits, self.width) < 1 or self.driven < 0:
            raise ValueError(
                f"{self.width} sums of {self.values} values of {self.bits} bits, {self.driven} rows read at once: give at least 1 of each, "
                "and 0 rows for all"
            )
        if not 1 <= self.groups <= self.values:
            raise ValueError(f"{self.groups} groups for {self.values} values: give 1 to {self.values}")

    @property
    def rows(self) -> int:
        """Rows of cells, g."""
        return -(-self.values // self.groups)

    @property
    def columns(self) -> int:
        """Bit lines."""
        return self.groups * self.width * self.bits

    @property
    def together(self) -> int:
        """Rows that are read at once, at most."""
        return min(self.driven or self.rows, self.rows)

    @property
    def adc_bits(self) -> int:
        """Bits that an ADC needs to lose nothing."""
        return self.together.bit_length()

    @property
    def reads(self) -> int:
        """Reads of the block for one result."""
        return -(-self.rows // self.together)

    @property
    def cycles(self) -> int:
        """Cycles from the first load to the erased block."""
        return self.rows + 1

    @property
    def writes(self) -> int:
        """How often a cell is set for one result, at most."""
        return 1

    def actions(self, windows: int = 1) -> Counts:
        """Return what is done for a number of windows, each with `width` sums."""
        converted = self.reads * self.columns
        counts = dict.fromkeys(("sample_hold.sample", "adc.convert", "shift_add.add", "output_register.access"), converted) | {
            "array.bias": self.rows + 1,
            "array.write_cell": self.values * self.width * self.bits,
            "array.read_row": self.rows,
            "dac.drive": self.rows,
        }
        return Counts({name: windows * count for name, count in counts.items()})


def sum_block(values: int, bits: int, *, width: int, rows: int, adc_bits: int, signed: bool = False, zero: int = 0) -> SumBlock:
    """Return the block of fewest conversions that fits into a number of rows, read by ADCs of a number of bits without a loss."""
    groups = -(-values // rows)
    high = (1 << adc_bits) - 1
    driven = high if -(-values // groups) > high else 0
    return SumBlock(values=values, bits=bits, width=width, signed=signed, zero=zero, groups=groups, driven=driven)


def total(values: Tensor, zero: int) -> Tensor:
    """Return the sums (..., channels), int64, of values (..., k, channels) without their zero point."""
    return (values.to(torch.int64) - zero).sum(-2)


def add_up(plane: Plane, values: Tensor, block: SumBlock, present: Tensor | None = None) -> Tensor:
    """Return the sums (N, width), int64, of values (N, k, width), found in an erased plane of batch (N,), which is left erased.

    `present` (N, k, width), bool, says which values there are: the others are written as 0, and have no zero point.
    Raises ValueError for values that the bits cannot hold.
    """
    low = -(1 << block.bits - 1) if block.signed else 0
    if values.numel() and not (low <= int(values.min()) and int(values.max()) < low + (1 << block.bits)):
        raise ValueError(
            f"values from {values.min()} to {values.max()} in {block.bits} {'signed' if block.signed else 'unsigned'} bits: give more bits"
        )
    words = _rows(values, block)
    filled = block.columns - (block.rows * block.groups - block.values) * block.width * block.bits
    where = torch.arange(block.columns, device=values.device) < filled
    there = torch.full((len(values), block.width), block.values, device=values.device) if present is None else present.sum(1)
    result = -block.zero * there
    read = 0
    for row in range(block.rows):
        with plane.controller.cycle():
            if row - read == block.together:
                result += _read(plane, range(read, row), block)
                read = row
            plane.load(row, words[:, row], where if row == block.rows - 1 else None)
    with plane.controller.cycle():
        result += _read(plane, range(read, block.rows), block)
        plane.erase()
    return result


def _rows(values: Tensor, block: SumBlock) -> Tensor:
    """Return the bits (N, rows, columns) of values (N, k, width): value i is in row i // m, group i % m."""
    padded = F.pad(values, (0, 0, 0, block.rows * block.groups - block.values))
    return digits_of(padded, block.bits).reshape(len(values), block.rows, block.columns)


def _read(plane: Plane, rows: range, block: SumBlock) -> Tensor:
    """Return what some rows add to the sums (N, width), weighed by the shift-and-add unit."""
    codes = plane.convert(rows)
    plane.controller.count(codes.numel(), shift_add__add=1, output_register__access=1)
    weights = 1 << torch.arange(block.bits - 1, -1, -1, device=codes.device)
    if block.signed:
        weights[0] = -weights[0]
    return (codes.reshape(-1, block.groups, block.width, block.bits) * weights).sum((1, 3))


def sum_in_cells(values: Tensor, block: SumBlock) -> tuple[Tensor, Plane]:
    """Return the sums (N, width), int64, of values (N, k, width), and the plane that found them, with counts and cycles at its controller."""
    plane = Plane(Controller(), block.rows, block.columns, (len(values),), values.device)
    return add_up(plane, values, block), plane
