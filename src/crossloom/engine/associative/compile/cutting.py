"""Partitioning of a layer over the arrays, by rows, outputs and inputs, and the scope of common subexpressions.

* **Row groups**: output positions, one per row of an array.
* **Tiles**: groups of outputs, small enough for an array to hold their sums. More tiles than necessary use arrays that would be idle
  (`spread: all`). They finish sooner but share less, which takes more energy.
* **Parts**: groups of input channels, on arrays that would otherwise be idle. Each array then has partial sums of all outputs, which digital adders
  combine.
* **Scope**: channels whose inputs lie side by side and share temporaries. A larger scope saves more operations, needs more columns, and gives fewer
  parts. The scope that finishes earliest is chosen, estimated from the first scope of each candidate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crossloom.engine.associative.compile.dataflow import Dataflow, unrolled
from crossloom.engine.associative.compile.emitting import Sums, emit
from crossloom.engine.associative.compile.layer import TernaryLayer
from crossloom.engine.associative.compile.layout import ColumnLayout
from crossloom.engine.associative.compile.sharing import share
from crossloom.engine.associative.compile.widths import width
from crossloom.engine.associative.isa.instructions import Instructions, Op
from crossloom.engine.associative.settings import Processors

SCOPES = (16, 8, 4, 2, 1)
"""Numbers of channels per scope that are tried."""
LEAST_COLUMNS = 3
"""Fewest columns for temporaries: two operands and a result."""
THOROUGH = 500_000
"""Largest number of non-zero weights searched at full effort; the largest layers of ResNet-18 have fewer.

A tenth of the effort leaves 3 % more operations, in a seventh of the time (4096 outputs of 16 inputs)."""
STEPS = np.array([8, 8, 11, 11, 3, 6, 3, 0, 0])
"""Approximate searches and writes per bit of each operation, used to estimate the time of a cut."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A partitioning of a layer: channels per scope, and numbers of tiles and parts."""

    scope: int
    tiles: int
    parts: int

    def scopes(self, layer: TernaryLayer, part: int) -> list[range]:
        """Return the channels of each scope of a part."""
        count = -(-layer.all_channels // self.scope)
        first, last = part * count // self.parts, (part + 1) * count // self.parts
        return [range(s * self.scope, min((s + 1) * self.scope, layer.all_channels)) for s in range(first, last)]

    def outputs(self, layer: TernaryLayer, tile: int) -> range:
        """Return the outputs of a tile."""
        return range(tile * layer.all_outputs // self.tiles, (tile + 1) * layer.all_outputs // self.tiles)

    def layout(self, layer: TernaryLayer, chip: Processors) -> ColumnLayout:
        """Return the column layout of each of its arrays."""
        return ColumnLayout(
            columns=chip.columns,
            domains=chip.domains,
            inputs=self.scope * layer.taps,
            input_bits=layer.bits,
            sums=-(-layer.all_outputs // self.tiles),
            sum_bits=max(self._sum_bits(layer, part) for part in range(self.parts)),
        )

    def _sum_bits(self, layer: TernaryLayer, part: int) -> int:
        """Return the width of the widest sum of a part."""
        scopes = self.scopes(layer, part)
        low, high = layer.reach(range(scopes[0].start, scopes[-1].stop))
        return width(int(low.min()), int(high.max()))[0]


def dataflow_of(layer: TernaryLayer, channels: range, outputs: range, sharing: bool) -> Dataflow:
    """Return the operations of a scope: one for each non-zero weight, or with common subexpressions computed once.

    For layers with more than THOROUGH non-zero weights, as estimated from this scope, less time is spent searching for sums.
    """
    matrix = layer.matrix(channels, outputs)
    if not sharing:
        return unrolled(matrix)
    scopes = layer.all_channels * layer.all_outputs / (len(channels) * len(outputs))
    return share(matrix, effort=min(1.0, THOROUGH / max(1.0, np.count_nonzero(matrix) * scopes)))


def cuts(layer: TernaryLayer, row_groups: int, chip: Processors) -> list[Cut]:
    """Return the cuts of a layer that fit an array, judged by their first scope, fastest first."""
    found: dict[Cut, float] = {}
    wanted = (chip.scope,) if chip.scope else SCOPES
    for scope in dict.fromkeys(min(scope, layer.all_channels) for scope in wanted):
        for cut in _tiled(layer, scope, row_groups, chip):
            if (steps := _judge(layer, cut, chip)) is not None:
                items = row_groups * cut.tiles * cut.parts
                scopes = -(-layer.all_channels // cut.scope)
                found[cut] = -(-items // chip.arrays) * -(-scopes // cut.parts) * steps if chip.spread else cut.tiles * scopes * steps
                if not chip.all_spread or items >= chip.arrays:
                    break
    return sorted(found, key=lambda cut: found[cut])


def _tiled(layer: TernaryLayer, scope: int, row_groups: int, chip: Processors) -> Iterator[Cut]:
    """Yield cuts with increasing numbers of tiles, starting with the first whose sums fit."""
    tiles, scopes = 1, -(-layer.all_channels // scope)
    while tiles <= layer.all_outputs:
        free = chip.arrays // (row_groups * tiles) if chip.spread else 1
        cut = Cut(scope, tiles, max(1, min(free, scopes)))
        layout = cut.layout(layer, chip)
        if layout.fits and layout.temporary_columns >= _temporaries(layout.inputs):
            yield cut
            tiles *= 2
        elif layout.sums_in_column and layout.scopes_in_round:
            room = chip.columns - 1 - layout.inputs - LEAST_COLUMNS
            if room < 1:
                return
            tiles = max(tiles + 1, -(-layer.all_outputs // (room * layout.sums_in_column)))
        else:
            return


def least_columns(inputs: int) -> int:
    """Return the number of columns that an array needs for a scope of `inputs` inputs: for one sum, the carry, and temporaries."""
    return inputs + 2 + _temporaries(inputs)


def _temporaries(inputs: int) -> int:
    """Return the number of columns for temporaries of `inputs` inputs; a single input needs none."""
    return LEAST_COLUMNS if inputs > 1 else 0


def _judge(layer: TernaryLayer, cut: Cut, chip: Processors) -> float | None:
    """Return the steps of a part's first scope, assuming half-grown sums, or None if its temporaries do not fit."""
    layout = cut.layout(layer, chip)
    scopes, outputs = cut.scopes(layer, 0), cut.outputs(layer, 0)
    low, high = (reach[outputs.start : outputs.stop] // 2 for reach in layer.reach(range(scopes[0].start, scopes[-1].stop)))
    found = emit(dataflow_of(layer, scopes[0], outputs, chip.sharing), 0, layer.signed, layout, Sums.between(low, high))
    return None if found is None else steps_of(found)


def steps_of(instructions: Instructions) -> float:
    """Return the approximate number of steps of instructions, for comparison."""
    bits = instructions["bits"].astype(np.int64)
    grown = np.where(instructions["op"] == Op.EXTEND, bits - instructions["a_bits"], bits)
    return float((STEPS[instructions["op"]] * grown).sum())
