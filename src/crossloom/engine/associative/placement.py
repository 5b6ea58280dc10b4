"""Where a layer lies in the arrays of associative processors, and what they do for it."""

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
"""Instructions that are additions and subtractions, a first term of a sum among them."""


@placement
@dataclass(frozen=True, slots=True, kw_only=True)
class InRows:
    """A layer in arrays, a position in a row; what is counted is of one inference.

    Attributes:
        positions: output positions.
        row_groups: arrays that these take, as many rows as an array has to each.
        scope, tiles, parts: channels that share temporaries; arrays for the outputs, and for the inputs, of the same rows.
        rounds: times that inputs are loaded into an array, at most.
        arrays: that work at once.
        waves: times that these arrays are filled.
        nonzeros: weights that are not zero: additions and subtractions without sharing.
        operations: additions and subtractions that there are, of all tiles and parts.
        bit_operations: bits of them, of all rows: row-bit operations.
        instructions: of all tiles and parts.
        searches, writes, shifts: steps of the longest stream of a wave, loading and reading out with them.
        compared, written, moved: cells compared, cells written (on average over random bits), tracks moved by a domain.
        fetched: bits that go to the arrays.
        results: sums that are read out, of all parts.
        read: bits of them, which leave the arrays.
        worn, worn_port: writes to the cell that is written most, and through the port that writes most, on average over random bits.
        utilization: share of the cells of the arrays that hold something.
        releases_arrays: layers use the arrays one after the other: weights are in the instructions, and nothing stays.
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
        """Weights that are not zero."""
        return self.nonzeros

    @property
    def contents(self) -> None:
        """None: what the rows hold is nobody else's."""
        return None

    @property
    def blocks(self) -> tuple[CellBlock, ...]:
        """None: whole arrays."""
        return ()

    @property
    def positions_per_step(self) -> int:
        """One: a step is a wave."""
        return 1

    @property
    def input_vectors(self) -> int:
        """The waves: all positions of one are computed at once."""
        return self.waves

    @property
    def streams_input(self) -> bool:
        """No: inputs are read from a buffer."""
        return False

    @property
    def written_rows(self) -> int:
        """None: weights are in the instructions."""
        return 0

    @property
    def smallest_chunk(self) -> int:
        """The arrays whose partial sums make up the outputs of a tile in one row group."""
        return self.parts

    @property
    def summary(self) -> Mapping[str, int]:
        """How large the program of a layer is, of one inference."""
        sizes = ("positions", "nonzeros", "operations", "bit_operations", "instructions", "row_groups", "tiles", "parts", "waves", "scope")
        return {name: getattr(self, name) for name in (*sizes, "searches", "writes", "shifts")}


@dataclass(frozen=True, slots=True)
class Piece:
    """What the arrays of one tile and part do in each of their row groups: the stream, loading before its rounds, and reading out at its end.

    Loading writes row by row: in each, the inputs of a round at one domain after the other. Reading out searches for ones, bit by bit, in all rows at once: the tags
    are the bits. To be put where they belong, all tracks go to the end that they have at a port, where one search checks them, and back: how it is done was not
    available to us, and this is assumed.
    """

    compiled: Compiled
    effort: Effort
    rounds: tuple[int, ...]
    """Domains that the inputs of each round take."""
    inputs: int
    """Input bits in a row."""
    input_columns: int
    period: int
    """Domains from one port to the next."""
    realigned: int
    """Times that all tracks are put where they belong."""

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
        """Bits of the sums that are read out of a row."""
        return sum(self.compiled.sum_bits)

    @property
    def searches(self) -> int:
        """Searches one after the other, those that read out among them."""
        return self.effort.searches + self.read_bits + self.realigned

    @property
    def compared(self) -> int:
        """Cells compared in a row."""
        return self.effort.compared + self.read_bits + self.realigned * self.compiled.stream.columns

    @property
    def moved(self) -> int:
        """Steps of all tracks of a row."""
        return self.effort.column_steps + self.inputs + self.read_bits + self._ways() * self.compiled.stream.columns

    def writes(self, rows: int) -> int:
        """Return the number of serial writes in an array with `rows` loaded rows."""
        return self.effort.writes + rows * sum(self.rounds)

    def shifts(self, hidden: bool) -> int:
        """Shifts one after the other: of the stream, and a step for each domain that is loaded or read."""
        return (self.effort.shift_steps_ahead if hidden else self.effort.shift_steps) + sum(self.rounds) + self.read_bits + self._ways()

    def worn(self) -> tuple[float, float]:
        """Return the writes of the cell that is written most, and those through the port that writes most."""
        cells = self.effort.wear_eighths.copy()
        for domains in self.rounds:
            cells[: self.input_columns, :domains] += 8
        ports = cells.reshape(len(cells), -1, self.period).sum(2)
        return float(cells.max()) / 8, float(ports.max()) / 8

    def _ways(self) -> int:
        """Return the steps to the ends and back."""
        return self.realigned * 2 * (self.period - 1)


def placed(whole: CompiledLayer, distinct: Sequence[int], positions: int, chip: Processors) -> InRows:
    """Return where a compiled layer lies and what it does. Of each row group, the distinct elements that it reads of all channels are given."""
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
