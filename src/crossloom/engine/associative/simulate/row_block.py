"""A block of rows: its cells, its faults, and its execution of instructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa.codes import OP_LOAD
from crossloom.engine.associative.isa.instructions import InstructionStream
from crossloom.engine.associative.isa.tracks import cells_offered
from crossloom.engine.associative.simulate.faults import Events
from crossloom.engine.associative.simulate.lowering import Runs, lower
from crossloom.engine.associative.simulate.simd import run_all
from crossloom.engine.associative.simulate.state import State
from crossloom.engine.associative.simulate.watched import CURSORS, IN_USE, SUCCEED, TAGGED, WRITTEN, watch

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowBlock:
    """A block of a state, ready for execution.

    Attributes:
        cells: its bits, uint64[cell, word].
        masks, faults: arguments of `watch`.
        watched: ranges of instructions that `watch` executes, [n, first and one after the last].
    """

    cells: NDArray[np.uint64]
    masks: NDArray[np.uint64]
    faults: tuple[Any, ...]
    watched: Numbers

    @property
    def tagged(self) -> int:
        """Number of row matches in searches of watched instructions."""
        return int(self.masks[TAGGED].sum())

    @property
    def written(self) -> int:
        """Number of cells written by watched instructions."""
        return int(self.masks[WRITTEN].sum())


@dataclass(frozen=True, eq=False)
class Course:
    """Instructions and faults common to all blocks.

    Attributes:
        stream: all instructions.
        height, spare: number of cells in a column, and of those before domain 0.
        events: faults, in all rows.
        realign_every: see `Faults`.
        observed: whether every instruction is watched.
    """

    stream: InstructionStream
    height: int
    spare: int
    events: Events
    realign_every: int
    observed: bool

    def blocks(self, state: State) -> list[RowBlock]:
        """Return the blocks of a state, each with its faults."""
        watches = self.observed or len(self.events.slips) + len(self.events.misses) > 0
        offered = int(cells_offered(self.stream).max(initial=0)) if watches else 0
        return [self._block(state, number, offered) for number in range(len(state.planes))]

    def _block(self, state: State, number: int, offered: int) -> RowBlock:
        slips, misses = (_within(found, number, state.block_rows) for found in (self.events.slips, self.events.misses))
        realignments = self._realignments(slips[:, 0])
        masks = np.full((SUCCEED + offered, state.planes.shape[3]), ~np.uint64(0))
        masks[IN_USE], masks[[TAGGED, WRITTEN]] = state.used(number), 0
        displaced = np.zeros((state.columns, state.block_rows) if len(slips) else (0, 0), np.int16)
        return RowBlock(
            cells=state.cells(number),
            masks=masks,
            faults=(slips, misses, realignments, displaced, np.zeros(CURSORS, np.int64)),
            watched=np.array([[0, len(self.stream)]]) if self.observed else _ranges(np.concatenate([slips[:, 0], misses[:, 0], realignments])),
        )

    def _realignments(self, slipped: Numbers) -> Numbers:
        """Return the instructions before which tracks are realigned after a slip. Realignment is never done before a load."""
        if not self.realign_every:
            return np.zeros(0, np.int64)
        due = np.unique((slipped // self.realign_every + 1) * self.realign_every)
        moving = np.flatnonzero(self.stream.instructions["op"] != OP_LOAD)
        at = np.searchsorted(moving, due)
        return np.unique(moving[at[at < len(moving)]])

    def lower(self, start: int, stop: int) -> Runs:
        """Return some of the instructions as runs."""
        return lower(self.stream.instructions[start:stop], self.height, self.spare)

    def perform(self, block: RowBlock, runs: Runs, start: int, stop: int) -> None:
        """Execute lowered instructions on a block."""
        lanes = (0,) * block.cells.shape[1]
        near = block.watched[(block.watched[:, 0] < stop) & (block.watched[:, 1] > start)].clip(start, stop)
        if not len(near):
            run_all(runs.fields, 0, len(runs.fields), block.cells, lanes)
            return
        watch(
            (block.cells, block.masks, lanes),
            (self.height, self.spare),
            (self.stream.instructions, start, stop, near),
            (runs.fields, runs.first),
            block.faults,
        )


def _within(found: Numbers, block: int, rows: int) -> Numbers:
    """Return the faults in a block of `rows` rows, with rows numbered from the block's first."""
    here: Numbers = found[found[:, 2] // rows == block]
    here[:, 2] %= rows
    return here


def _ranges(instructions: Numbers) -> Numbers:
    """Return the contiguous ranges that cover the given instructions."""
    met = np.unique(instructions)
    first, last = met[np.diff(met, prepend=-2) > 1], met[np.diff(met, append=np.iinfo(np.int64).max) > 1]
    return np.stack([first, last + 1], axis=1)
