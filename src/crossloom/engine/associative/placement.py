"""Placement of a layer in the arrays of associative processors, and its work there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossloom.engine.associative.compile.compile import Compiled, CompiledLayer
from crossloom.engine.associative.isa.effort import Effort, effort_of
from crossloom.engine.associative.isa.instructions import Op
from crossloom.engine.associative.settings import Processors
from crossloom.program.floorplan import CellBlock
from crossloom.program.placement import placement

ARITHMETIC = [Op.ADD, Op.SUBTRACT, Op.SUM, Op.DIFFERENCE, Op.COPY, Op.NEGATE]
"""Instructions that count as additions or subtractions, including those for the first term of a sum."""


@placement
@dataclass(frozen=True, slots=True, kw_only=True)
class InRows:
    """A layer placed in arrays, one output position per row; counts are per inference.

    Attributes:
        positions: number of output positions.
        row_groups: number of arrays that these take, one full array of rows each.
        scope, tiles, parts: channels that share temporaries; arrays over which outputs (tiles) and inputs (parts) of the same rows are split.
        rounds: largest number of input loads into an array.
        arrays: number that work in parallel.
        waves: number of times these arrays are filled.
        nonzeros: number of non-zero weights, which is the number of additions and subtractions without sharing.
        operations: actual number of additions and subtractions, over all tiles and parts.
        bit_operations: their bits over all rows (row-bit operations).
        instructions: number over all tiles and parts.
        searches, writes, shifts: steps of the longest stream of a wave, including loading and readout.
        compared, written, moved: cells compared, cells written (on average over random bits), tracks moved by a domain.
        fetched: bits sent to the arrays.
        results: number of sums read out, over all parts.
        read: bits of these sums, which leave the arrays.
        worn, worn_port: writes to the most-written cell, and through the busiest write port, on average over random bits.
        utilization: share of the arrays' cells that hold data.
        releases_arrays: whether layers use the arrays one after the other. Weights are in the instructions, so nothing stays in the arrays.
    """

    positions: int
    row_groups: int
    scope: int
    tiles: int
    parts: int
    rounds: int
    arrays: int
    waves: int
    nonzeros: int
    operations: int
    bit_operations: int
    instructions: int
    searches: int
    writes: int
    shifts: int
    compared: int
    written: int
    moved: int
    fetched: int
    results: int
    read: int
    worn: float
    worn_port: float
    utilization: float
    releases_arrays: bool

    @property
    def weights(self) -> int:
        """Number of non-zero weights."""
        return self.nonzeros

    @property
    def contents(self) -> None:
        """None: no other layer can use what the rows hold."""
        return None

    @property
    def blocks(self) -> tuple[CellBlock, ...]:
        """Empty: whole arrays are used."""
        return ()

    @property
    def positions_per_step(self) -> int:
        """One, because a step is a wave."""
        return 1

    @property
    def input_vectors(self) -> int:
        """Number of waves; all positions of a wave are computed in parallel."""
        return self.waves

    @property
    def streams_input(self) -> bool:
        """False: inputs are read from a buffer."""
        return False

    @property
    def written_rows(self) -> int:
        """Zero: weights are in the instructions."""
        return 0

    @property
    def smallest_chunk(self) -> int:
        """Number of arrays whose partial sums make up the outputs of a tile in one row group."""
        return self.parts

    @property
    def summary(self) -> Mapping[str, int]:
        """Size of a layer's program for one inference."""
        sizes = ("positions", "nonzeros", "operations", "bit_operations", "instructions", "row_groups", "tiles", "parts", "waves", "scope")
        return {name: getattr(self, name) for name in (*sizes, "searches", "writes", "shifts")}


@dataclass(frozen=True, slots=True)
class Piece:
    """The work of one tile and part in each row group: loads before each round, the stream, and the final readout.

    Loading writes row by row; each row's inputs of a round are written one domain after the other. Readout searches for ones bit by bit, in all
    rows in parallel; the tags are the bits. For realignment, all tracks move to the end that lies at a port, where one search checks them, and
    back. The actual procedure was not available to us, so this one is assumed.
    """

    compiled: Compiled
    effort: Effort
    rounds: tuple[int, ...]
    """Domains taken by the inputs of each round."""
    inputs: int
    """Number of input bits in a row."""
    input_columns: int
    period: int
    """Distance in domains from one port to the next."""
    realigned: int
    """Number of realignments of all tracks."""

    @classmethod
    def of(cls, compiled: Compiled, whole: CompiledLayer, chip: Processors) -> Piece:
        """Return the piece of a compiled layer."""
        layer, layout = whole.layer, whole.layout
        each = layout.scopes_in_round
        scopes = [compiled.scopes[first : first + each] for first in range(0, len(compiled.scopes), each)]
        inputs = sum(len(channels) for channels in compiled.scopes) * layer.taps * layer.bits
        realigned = len(compiled.stream) // chip.realign_every if chip.realign_every else 0
        rounds = tuple(len(group) * layer.bits for group in scopes)
        effort, period = effort_of(compiled.stream, chip.ports), chip.domains // chip.ports
        return cls(compiled, effort, rounds, inputs, layout.inputs, period, realigned)

    @property
    def read_bits(self) -> int:
        """Number of bits of the sums that are read out of a row."""
        return sum(self.compiled.sum_bits)

    @property
    def searches(self) -> int:
        """Number of serial searches, including those of the readout."""
        return self.effort.searches + self.read_bits + self.realigned

    @property
    def compared(self) -> int:
        """Number of cells compared in a row."""
        return self.effort.compared + self.read_bits + self.realigned * self.compiled.stream.columns

    @property
    def moved(self) -> int:
        """Number of steps of all tracks of a row."""
        return self.effort.column_steps + self.inputs + self.read_bits + self._ways() * self.compiled.stream.columns

    def writes(self, rows: int) -> int:
        """Return the number of serial writes in an array with `rows` loaded rows."""
        return self.effort.writes + rows * sum(self.rounds)

    def shifts(self, hidden: bool) -> int:
        """Return the number of serial shifts: those of the stream, and one for each domain loaded or read."""
        return (self.effort.shift_steps_ahead if hidden else self.effort.shift_steps) + sum(self.rounds) + self.read_bits + self._ways()

    def worn(self) -> tuple[float, float]:
        """Return the writes to the most-written cell, and those through the busiest write port."""
        cells = self.effort.wear_eighths.copy()
        for domains in self.rounds:
            cells[: self.input_columns, :domains] += 8
        ports = cells.reshape(len(cells), -1, self.period).sum(2)
        return float(cells.max()) / 8, float(ports.max()) / 8

    def _ways(self) -> int:
        """Return the number of steps to the ends and back."""
        return self.realigned * 2 * (self.period - 1)


def placed(whole: CompiledLayer, distinct: Sequence[int], positions: int, chip: Processors) -> InRows:
    """Return the placement of a compiled layer. `distinct` is the number of distinct elements that each row group reads over all channels."""
    layer, cut, layout = whole.layer, whole.cut, whole.layout
    pieces = [Piece.of(compiled, whole, chip) for compiled in whole.streams]
    worn = [piece.worn() for piece in pieces]
    row_groups = -(-positions // chip.rows)
    searched = row_groups * chip.rows if chip.all_rows else positions
    items = row_groups * len(pieces)
    arrays = min(items, chip.arrays) if chip.in_turn else items
    held = max(sum(piece.compiled.sum_bits) + min(piece.inputs, layout.inputs * layout.domains) for piece in pieces)
    return InRows(
        positions=positions,
        row_groups=row_groups,
        scope=cut.scope,
        tiles=cut.tiles,
        parts=cut.parts,
        rounds=max(len(piece.rounds) for piece in pieces),
        arrays=arrays,
        waves=-(-items // max(1, arrays)),
        nonzeros=layer.nonzeros,
        operations=sum(int(piece.effort.instructions[ARITHMETIC].sum()) for piece in pieces),
        bit_operations=sum(int(piece.effort.bits[ARITHMETIC].sum()) for piece in pieces) * positions,
        instructions=sum(len(piece.compiled.stream) for piece in pieces),
        searches=max(piece.searches for piece in pieces),
        writes=max(piece.writes(min(chip.rows, positions)) for piece in pieces),
        shifts=max(piece.shifts(chip.hidden_alignment) for piece in pieces),
        compared=sum(piece.compared for piece in pieces) * searched,
        written=sum(piece.effort.written_eighths * searched // 8 + piece.inputs * positions for piece in pieces),
        moved=sum(piece.moved for piece in pieces) * searched,
        fetched=sum(distinct) * cut.tiles * layer.bits,
        results=layer.all_outputs * cut.parts * positions,
        read=sum(piece.read_bits for piece in pieces) * positions,
        worn=max(cell for cell, _ in worn),
        worn_port=max(port for _, port in worn),
        utilization=held * positions / (row_groups * chip.rows) / (chip.columns * chip.domains),
        releases_arrays=chip.in_turn,
    )
