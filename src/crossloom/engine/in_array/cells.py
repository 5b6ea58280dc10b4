"""Blocks of one-bit cells, and the operations of an array in a cycle, counted where they occur.

A cycle of an array has a read phase followed by a write phase. In the read phase some word lines of a block are driven, and the number of
driven cells that hold 1 is compared with references on each bit line (sensed) or converted (counted). A sensed bit stays in a latch at
the foot of the bit line. From there it can go to a register and, in the write phase of the same cycle, act as the mask of a write. Blocks that
share no lines are read in the same phase. An array has one write pulse per cycle: a set of rows, a mask of columns that is the same
for all of these rows, and either set (to 1) or reset (to 0).

Any violation of these rules raises ValueError. Only cells that hold 0 may be set: a second set of the same cell would be useless wear, and
a sign of an error in the program. The following actions are counted (see the ledger for their costs):

- `array.read_row`, `dac.drive`: a row driven, with all cells on its word line, including those of other blocks;
- `sense_amplifier.sense`: a bit line compared with its references;          `sample_hold.sample`, `adc.convert`: a bit line converted;
- `array.bias`: a write pulse, whether it sets, resets or erases;            `array.write_cell`: a cell given a new bit, whatever the bit is.

The cost of a reset is included in the set that it undoes. Several blocks can run the same program in parallel (`batch`): actions are counted
for each, cycles once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import reduce
from math import prod
from operator import and_, or_

import torch
from torch import Tensor

from crossloom.engine.base import Counts

EVERY = slice(None)


class Gate(Enum):
    """Logic function of the driven cells of a bit line: at least one holds 1, all do, or exactly one of two does."""

    OR = "or"
    AND = "and"
    XOR = "xor"


class Controller:
    """State shared by the blocks of an array: cycles, the single write pulse in each, and the action counts."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.cycles = 0
        self._running = False
        self._read: set[object] = set()
        self._written = False

    @contextmanager
    def cycle(self) -> Iterator[None]:
        """Run one cycle, in which reads precede the write."""
        if self._running:
            raise ValueError("a cycle was begun within a cycle; end the first one")
        self._running, self._written = True, False
        self._read.clear()
        self.cycles += 1
        try:
            yield
        finally:
            self._running = False

    def read(self, lines: object) -> None:
        """Claim the read phase of a block, identified by its lines. Raises ValueError outside a cycle, after the write, or if already claimed."""
        if not self._running:
            raise ValueError("a block is read outside a cycle; begin one with cycle()")
        if self._written:
            raise ValueError("a block is read after the write pulse of the cycle; read it before the write")
        if lines in self._read:
            raise ValueError("a block is read twice in one cycle; use two cycles")
        self._read.add(lines)

    def write(self) -> None:
        """Claim the cycle's write phase. Raises ValueError outside a cycle or if already claimed."""
        if not self._running:
            raise ValueError("a block is written outside a cycle; begin one with cycle()")
        if self._written:
            raise ValueError("an array is written twice in one cycle: it has one set of rows and one mask of columns; use two cycles")
        self._written = True

    def count(self, times: int, **actions: int) -> None:
        """Add `times` times the given action counts; a component and its action are joined by two underscores."""
        for name, number in actions.items():
            self.counts[name.replace("__", ".")] += times * number


class Plane:
    """A block of cells (*batch, rows, columns), initially erased.

    `sets` is the number of times each cell was set, which is its number of set/reset cycles. `pulses` is the number of write pulses in which it
    was selected. Both are (*batch, rows, columns), int32.
    """

    def __init__(self, controller: Controller, rows: int, columns: int, batch: Sequence[int] = (), device: torch.device | str = "cpu") -> None:
        if min(rows, columns) < 1:
            raise ValueError(f"a block has {rows} rows and {columns} columns; give at least 1 of each")
        self.controller = controller
        self._lines = object()
        shape = (rows, *batch, columns)  # operations take a row, so it is contiguous
        self._cells = torch.zeros(shape, dtype=torch.bool, device=device)
        self._sets = torch.zeros(shape, dtype=torch.int32, device=device)
        self._pulses = torch.zeros(shape, dtype=torch.int32, device=device)

    def corner(self, rows: int, columns: int) -> Plane:
        """Return the block's first rows and columns as a block that shares its cells. Raises ValueError if the block is smaller."""
        if rows > self.rows or columns > self.columns:
            raise ValueError(f"a block of {self.rows} x {self.columns} cells has no corner of {rows} x {columns}; make it larger")
        part = object.__new__(Plane)
        part.controller, part._lines = self.controller, self._lines
        part._cells, part._sets, part._pulses = (t[:rows, ..., :columns] for t in (self._cells, self._sets, self._pulses))
        return part

    @property
    def rows(self) -> int:
        """Number of word lines."""
        return self._cells.shape[0]

    @property
    def columns(self) -> int:
        """Number of bit lines."""
        return self._cells.shape[-1]

    @property
    def instances(self) -> int:
        """Number of parallel blocks."""
        return prod(self._cells.shape[1:-1])

    @property
    def bits(self) -> Tensor:
        """Contents of the cells, bool."""
        return self._cells.movedim(0, -2)

    @property
    def sets(self) -> Tensor:
        """Number of times each cell was set."""
        return self._sets.movedim(0, -2)

    @property
    def pulses(self) -> Tensor:
        """Number of write pulses in which each cell was selected."""
        return self._pulses.movedim(0, -2)

    def sense(self, gate: Gate, rows: Sequence[int], columns: slice = EVERY, active: Tensor | None = None) -> Tensor:
        """Return the latches (*batch, columns), bool, after some rows were driven together.

        `columns` are those sensed. `active` (*batch) marks the blocks that take part; the others count nothing and give 0. Raises ValueError for
        an XOR of other than two rows, for no row, and for a row driven twice.
        """
        self._check(rows)
        if gate is Gate.XOR and len(rows) != 2:
            raise ValueError(f"an XOR takes two rows, got {len(rows)}; only three levels can be distinguished")
        self.controller.read(self._lines)
        driven = [self._cells[row][..., columns] for row in rows]
        latch = driven[0] ^ driven[1] if gate is Gate.XOR else reduce(or_ if gate is Gate.OR else and_, driven)
        width = latch.shape[-1]
        self._count(active, dac__drive=len(rows), array__read_row=len(rows), sense_amplifier__sense=width)
        return latch.clone() if active is None else latch & active[..., None]

    def convert(self, rows: Sequence[int]) -> Tensor:
        """Return the number of ones among rows driven together, per bit line (*batch, columns), int64, by sample-and-holds and ADCs."""
        self._check(rows)
        self.controller.read(self._lines)
        sums = torch.stack([self._cells[row] for row in rows]).sum(0)
        width = self.columns
        self._count(None, dac__drive=len(rows), array__read_row=len(rows), sample_hold__sample=width, adc__convert=width)
        return sums

    def erase(self) -> None:
        """Reset all cells of the block in one pulse."""
        self.controller.write()
        self._cells.fill_(False)
        self._pulses += 1
        self._count(None, array__bias=1)

    def load(self, row: int, bits: Tensor, where: Tensor | None = None) -> None:
        """Set those cells of an erased row that are to hold 1; `bits` is (*batch, columns), bool.

        `where`, broadcastable to `bits`, marks the cells that are given a bit. Raises ValueError for a row that was not erased.
        """
        self._check((row,))
        if self._cells[row].any():
            raise ValueError(f"row {row} is loaded and holds a 1 already; erase it first, as loading only sets")
        given = self._cells[row].numel() if where is None else int(where.expand(self._cells[row].shape).sum())
        self._set(row, bits if where is None else bits & where)
        self._count(None, array__bias=1)
        self.controller.count(given, array__write_cell=1)

    def set(self, row: int, mask: Tensor, active: Tensor | None = None, columns: int = 0) -> None:
        """Set a row where a mask (*batch, columns) is 1, in the blocks that are active (*batch).

        The number of cells counted as written in a block is `columns`, or all if 0. Raises ValueError if a selected cell already holds 1.
        """
        self._check((row,))
        self._set(row, mask if active is None else mask & active[..., None])
        self._count(active, array__bias=1, array__write_cell=columns or self.columns)

    def reset(self, rows: Sequence[int], mask: Tensor) -> None:
        """Reset some rows in one pulse, each where the mask (*batch, columns) is 1."""
        self._check(rows)
        self.controller.write()
        keep = ~mask
        for row in rows:
            self._cells[row] &= keep
            self._pulses[row] += mask
        self._count(None, array__bias=1)

    def _set(self, row: int, mask: Tensor) -> None:
        if (self._cells[row] & mask).any():
            raise ValueError(f"row {row} is set where it holds 1 already; reset it first")
        self.controller.write()
        self._cells[row] |= mask
        self._sets[row] += mask
        self._pulses[row] += mask

    def _check(self, rows: Sequence[int]) -> None:
        if not rows or len(set(rows)) < len(rows) or min(rows) < 0 or max(rows) >= self.rows:
            raise ValueError(f"rows {list(rows)} of a block of {self.rows}; name at least one, each once, within the block")

    def _count(self, active: Tensor | None, **actions: int) -> None:
        self.controller.count(self.instances if active is None else int(active.sum()), **actions)


class LookUpTable:
    """A look-up table: non-negative numbers (entries,), int64, stored permanently in cells, one per row, highest bit first.

    An address drives its row. Beyond the last entry there is no row, and 0 is sensed. A table with more than `rows` entries lies in several
    parts side by side; a read drives and senses only one. Addresses 0, 1, ... up to rows - 1 are in the first part.
    """

    def __init__(self, controller: Controller, entries: Tensor, width: int, rows: int) -> None:
        self.controller, self.rows = controller, rows
        self.cells = digits_of(entries, width)
        self.parts = -(-len(entries) // rows)

    def read(self, address: Tensor, active: Tensor | None = None) -> Tensor:
        """Return the latches (*batch, width), bool, for non-negative addresses (*batch), int64; 0 in inactive blocks."""
        self.controller.read(self)
        there = (address < len(self.cells)) if active is None else (address < len(self.cells)) & active
        latch = self.cells[address.clamp(0, len(self.cells) - 1)] & there[..., None]
        times, width = address.numel() if active is None else int(active.sum()), self.cells.shape[1]
        self.controller.count(times, dac__drive=1, array__read_row=1, sense_amplifier__sense=width)
        return latch


def digits_of(numbers: Tensor, width: int) -> Tensor:
    """Return the lowest bits (..., width), bool, of integers (...), in two's complement, highest first."""
    places = torch.arange(width - 1, -1, -1, device=numbers.device)
    return (numbers[..., None].to(torch.int64) >> places & 1).bool()


def number_of(bits: Tensor) -> Tensor:
    """Return the unsigned numbers (...), int64, represented by bits (..., width), highest first."""
    return (bits.to(torch.int64) << torch.arange(bits.shape[-1] - 1, -1, -1, device=bits.device)).sum(-1)
