"""Compilation of a layer to an instruction stream for each of its tiles and parts.

The result of each pass can be printed (`listing.py`). Weights become signs (`layer.py`). Channels become the outer loop, which is unrolled scope by
scope (`dataflow.py`). Common subexpressions are shared (`sharing/`), and ranges determine widths (`widths.py`). Operations are ordered
(`ordering.py`), assigned to columns and turned into instructions (`emitting.py`).
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
"""Number of streams compiled in parallel; the slow parts run without the interpreter lock."""


@dataclass(frozen=True)
class Compiled:
    """The program of an array for one tile and part: its stream, the channels of each scope, and the final format of the sums."""

    tile: int
    part: int
    stream: InstructionStream
    scopes: tuple[range, ...]
    outputs: range
    sum_bits: tuple[int, ...]
    sum_signed: tuple[bool, ...]


@dataclass(frozen=True)
class CompiledLayer:
    """A compiled layer: its partitioning, layout and streams."""

    layer: TernaryLayer
    cut: Cut
    layout: ColumnLayout
    streams: tuple[Compiled, ...]


def compile_layer(layer: TernaryLayer, row_groups: int, chip: Processors) -> CompiledLayer:
    """Return the streams of a layer with the fastest cut. Raises CapacityError if an array is too small for any cut."""
    if least_columns(layer.taps) > chip.columns:
        layer = layer.in_columns(max(1, chip.columns // 4))
    for cut in cuts(layer, row_groups, chip):
        if (streams := _streams(layer, cut, chip)) is not None:
            return CompiledLayer(layer, cut, cut.layout(layer, chip), streams)
    raise _too_small(layer, chip)


def _too_small(layer: TernaryLayer, chip: Processors) -> CapacityError:
    """Return the error for the resource that an array lacks for a layer: domains for inputs or sums, or columns for a scope."""
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
    """Return the streams of all tiles and parts, or None if the temporaries of one of them do not fit."""
    pieces = [(tile, part) for tile in range(cut.tiles) for part in range(cut.parts)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda piece: _stream(layer, cut, chip, *piece), pieces))
    done = tuple(each for each in found if each is not None)
    return done if len(done) == len(pieces) else None


def _stream(layer: TernaryLayer, cut: Cut, chip: Processors, tile: int, part: int) -> Compiled | None:
    """Return the stream of a tile and part: inputs loaded round by round, scopes in sequence, and untouched sums cleared."""
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
    """Return instructions that clear the sums without any addition."""
    untouched = np.flatnonzero(sums.bits == 0)
    columns, domains = (place[untouched] for place in layout.sum_places())
    found = np.zeros(len(untouched), INSTRUCTION)
    found["op"], found["bits"], found["to"], found["a"], found["to_at"] = Op.CLEAR, 1, columns, columns, domains
    return found
