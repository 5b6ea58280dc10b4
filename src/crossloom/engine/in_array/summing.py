"""Sums of several values in a block of cells, as in average pooling: closed forms, a cell-by-cell program, and the integers.

A value lies along a row, its b bits in b neighbouring bit lines, and the values to be added lie in the same bit lines. One read with
all rows driven gives, on each bit line, the number of values with this bit set. The shift-and-add unit weights the ADC outputs with 2^i, and the
sign of two's complement with -2^(b-1). Its register starts at -z for each value present, so the zero point z is subtracted at no cost.

With k values in m groups side by side there are g = ceil(k / m) rows of m·b bit lines for each sum. A row holds one value of each group, and
is written in one pulse:

- Load: one set pulse per row.                                                                                                g cycles
- Read: the ADCs must resolve g + 1 counts. If they cannot, at most `driven` rows are read together. A block can be read
  in the cycles that load its next rows, so that only the last read needs its own cycle.                                      1 cycle
- Erase: the write phase of that last cycle.                                                                                  0 cycles

    cycles = g + 1        conversions = m·b·ceil(g / driven) per sum             ADC: ceil(log2(driven + 1)) bits

More groups take fewer cycles and more conversions, with the same number of cells. They are needed if the values exceed the rows of an array.
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
    """A block of `width` parallel sums of `values` values of `bits` bits and a zero point; `driven` rows are read together (0: all)."""

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
                f"{self.width} sums of {self.values} values of {self.bits} bits, {self.driven} rows read together; give at least 1 of each, "
                "and 0 rows for all"
            )
        if not 1 <= self.groups <= self.values:
            raise ValueError(f"{self.groups} groups for {self.values} values; give 1 to {self.values}")

    @property
    def rows(self) -> int:
        """Number of rows of cells, g."""
        return -(-self.values // self.groups)

    @property
    def columns(self) -> int:
        """Number of bit lines."""
        return self.groups * self.width * self.bits

    @property
    def together(self) -> int:
        """Largest number of rows read together."""
        return min(self.driven or self.rows, self.rows)

    @property
    def adc_bits(self) -> int:
        """ADC bits needed for lossless conversion."""
        return self.together.bit_length()

    @property
    def reads(self) -> int:
        """Number of reads of the block for one result."""
        return -(-self.rows // self.together)

    @property
    def cycles(self) -> int:
        """Number of cycles from the first load to the erased block."""
        return self.rows + 1

    @property
    def writes(self) -> int:
        """Largest number of sets of a cell for one result."""
        return 1

    def actions(self, windows: int = 1) -> Counts:
        """Return the action counts for a number of windows, each with `width` sums."""
        converted = self.reads * self.columns
        counts = dict.fromkeys(("sample_hold.sample", "adc.convert", "shift_add.add", "output_register.access"), converted) | {
            "array.bias": self.rows + 1,
            "array.write_cell": self.values * self.width * self.bits,
            "array.read_row": self.rows,
            "dac.drive": self.rows,
        }
        return Counts({name: windows * count for name, count in counts.items()})


def sum_block(values: int, bits: int, *, width: int, rows: int, adc_bits: int, signed: bool = False, zero: int = 0) -> SumBlock:
    """Return the block with fewest conversions that fits in `rows` rows and is read without loss by ADCs of `adc_bits` bits."""
    groups = -(-values // rows)
    high = (1 << adc_bits) - 1
    driven = high if -(-values // groups) > high else 0
    return SumBlock(values=values, bits=bits, width=width, signed=signed, zero=zero, groups=groups, driven=driven)


def total(values: Tensor, zero: int) -> Tensor:
    """Return the sums (..., channels), int64, of values (..., k, channels) without their zero point."""
    return (values.to(torch.int64) - zero).sum(-2)


def add_up(plane: Plane, values: Tensor, block: SumBlock, present: Tensor | None = None) -> Tensor:
    """Return the sums (N, width), int64, of values (N, k, width), computed in an erased plane of batch (N,), which is left erased.

    `present` (N, k, width), bool, marks the values present; the others are written as 0, and have no zero point.
    Raises ValueError for values that do not fit in the bits.
    """
    low = -(1 << block.bits - 1) if block.signed else 0
    if values.numel() and not (low <= int(values.min()) and int(values.max()) < low + (1 << block.bits)):
        raise ValueError(
            f"values from {values.min()} to {values.max()} in {block.bits} {'signed' if block.signed else 'unsigned'} bits; give more bits"
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
    """Return the contribution of some rows to the sums (N, width), weighted by the shift-and-add unit."""
    codes = plane.convert(rows)
    plane.controller.count(codes.numel(), shift_add__add=1, output_register__access=1)
    weights = 1 << torch.arange(block.bits - 1, -1, -1, device=codes.device)
    if block.signed:
        weights[0] = -weights[0]
    return (codes.reshape(-1, block.groups, block.width, block.bits) * weights).sum((1, 3))


def sum_in_cells(values: Tensor, block: SumBlock) -> tuple[Tensor, Plane]:
    """Return the sums (N, width), int64, of values (N, k, width), and the plane that computed them, with counts and cycles in its controller."""
    plane = Plane(Controller(), block.rows, block.columns, (len(values),), values.device)
    return add_up(plane, values, block), plane
