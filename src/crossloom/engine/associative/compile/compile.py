"""A layer compiled: an instruction stream for each of its tiles and parts.

The passes, each of which can be printed (`listing.py`): weights become signs (`layer.py`), channels the outer loop, which is unrolled scope by scope (`dataflow.py`);
common subexpressions are shared (`sharing.py`); ranges give widths (`widths.py`); operations are ordered (`ordering.py`), given columns and
turned into instructions (`emitting.py`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from crossloom.engine.associative.compile.cutting import Cut, cuts, dataflow_of, least_columns
from crossloom.engine.associative.compile.emitting import Sums, emit
from crossloom.engine.associative.compile.layer import TernaryLayer
from crossloom.engine.associative.compile.layout import ColumnLayout
from crossloom.engine.associative.isa.instructions import INSTRUCTION, Instructions, InstructionStream, Op
from crossloom.engine.associative.settings import Processors
from crossloom.errors import CapacityError

THREADS = 2
"""Streams put together at once: what is slow in it runs without the interpreter's lock."""


@dataclass(frozen=True)
class Compiled:
    """What an array does for one tile and part: its stream, the channels of each scope, and how sums are stored in the end."""

    tile: int
    part: int
    stream: InstructionStream
    scopes: tuple[range, ...]
    outputs: range
    sum_bits: tuple[int, ...]
    sum_signed: tuple[bool, ...]


@dataclass(frozen=True)
class CompiledLayer:
    """A layer as the arrays do it."""

    layer: TernaryLayer
    cut: Cut
    layout: ColumnLayout
    streams: tuple[Compiled, ...]


def compile_layer(layer: TernaryLayer, row_groups: int, chip: Processors) -> CompiledLayer:
    """Return the streams of a layer, cut in the way that takes least time. Raises CapacityError if an array is too small for any."""
    if least_columns(layer.taps) > chip.columns:
        layer = layer.in_columns(max(1, chip.columns // 4))
    for cut in cuts(layer, row_groups, chip):
        if (streams := _streams(layer, cut, chip)) is not None:
            return CompiledLayer(layer, cut, cut.layout(layer, chip), streams)
    raise _too_small(layer, chip)


def _too_small(layer: TernaryLayer, chip: Processors) -> CapacityError:
    """Return what an array has too little of for a layer: domains for its inputs or its sums, or columns for a scope."""
    if layer.bits > chip.domains:
        return CapacityError("domains along a track for an input", layer.bits, chip.domains, "set array.domains, or quantise to fewer bits")
    scope = min(chip.scope or 1, layer.all_channels)
    parts = min(chip.arrays, -(-layer.all_channels // scope)) if chip.spread else 1
    bits = Cut(scope, 1, parts).layout(layer, chip).sum_bits
    if bits > chip.domains:
        return CapacityError("domains along a track for a sum", bits, chip.domains, "set array.domains, or quantise to fewer bits")
    need = max(least_columns(scope * layer.taps), chip.columns + 1)
    smaller = "set associative.scope to fewer channels (0 chooses), or " if scope > 1 else ""
    return CapacityError(f"columns of an array for {scope * layer.taps} inputs", need, chip.columns, f"{smaller}set array.columns")


def _streams(layer: TernaryLayer, cut: Cut, chip: Processors) -> tuple[Compiled, ...] | None:
    """Return the streams of all tiles and parts, or None if temporaries of one of them find no room."""
    pieces = [(tile, part) for tile in range(cut.tiles) for part in range(cut.parts)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda piece: _stream(layer, cut, chip, *piece), pieces))
    done = tuple(each for each in found if each is not None)
    return done if len(done) == len(pieces) else None


def _stream(layer: TernaryLayer, cut: Cut, chip: Processors, tile: int, part: int) -> Compiled | None:
    """Return the stream of a tile and part: inputs loaded round by round, scopes one after the other, sums that nothing touched cleared."""
    layout, outputs, scopes = cut.layout(layer, chip), cut.outputs(layer, tile), cut.scopes(layer, part)
    sums = Sums.none(len(outputs))
    pieces: list[Instructions] = []
    for number, channels in enumerate(scopes):
        if number % layout.scopes_in_round == 0:
            pieces.append(_load(number // layout.scopes_in_round))
        found = emit(dataflow_of(layer, channels, outputs, chip.sharing), number, layer.signed, layout, sums)
        if found is None:
            return None
        pieces.append(found)
    pieces.append(_cleared(sums, layout))
    return Compiled(
        tile,
        part,
        InstructionStream(layout.columns, layout.domains, np.concatenate(pieces)),
        tuple(scopes),
        outputs,
        tuple(np.maximum(sums.bits, 1).tolist()),
        tuple((sums.low < 0).tolist()),
    )


def _load(number: int) -> Instructions:
    """Return the instruction that loads the inputs of a round."""
    found = np.zeros(1, INSTRUCTION)
    found["op"], found["a"] = Op.LOAD, number
    return found


def _cleared(sums: Sums, layout: ColumnLayout) -> Instructions:
    """Return instructions that clear the sums to which nothing was added."""
    untouched = np.flatnonzero(sums.bits == 0)
    columns, domains = (place[untouched] for place in layout.sum_places())
    found = np.zeros(len(untouched), INSTRUCTION)
    found["op"], found["bits"], found["to"], found["a"], found["to_at"] = Op.CLEAR, 1, columns, columns, domains
    return found
