"""Placement of the blocks of one stage: their function, width, and number side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from crossloom.engine.base import Counts
from crossloom.engine.in_array.maximum import Alternating, Form, MaxBlock, Tournament, tournament
from crossloom.engine.in_array.softmax import InMemorySoftmax
from crossloom.engine.in_array.summing import SumBlock, sum_block
from crossloom.engine.softmax.formats import Fixed
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.program.floorplan import CellBlock
from crossloom.program.placement import placement


@placement
@dataclass(frozen=True, slots=True, kw_only=True)
class InBlocks:
    """One copy of an in-array function. Its `rows`, `columns` and `adc_bits` are those of an array.

    A position has `lanes` results, each of `candidates` values of `bits` bits. A step computes the results of `positions_per_step` positions. If a
    position has more lanes than an array has bit lines, they are divided among `beside` blocks, each in its own array.

    Attributes:
        function: "largest" (ReLU, maximum, or both), "sum" or "softmax".
        form: format of the values: "unsigned", "signed", or "rectified" for signed values to which a ReLU is applied first.
        zero: the integer that represents 0.
        absent: number of values of one lane beyond the edges, over all positions.
        streams_input: whether each value is needed for only one result, so that it can be loaded on arrival.
        format, exp_bits, quotient_bits: number formats of a softmax.
        input_vectors: number of rows of a softmax over space, each of which needs all positions; None if rows arrive position by position.
    """

    function: str
    candidates: int
    bits: int
    form: str
    lanes: int
    positions_per_step: int
    beside: int
    rows: int
    columns: int
    adc_bits: int
    zero: int = 0
    absent: int = 0
    streams_input: bool = True
    format: str = "6.3"
    exp_bits: int = 16
    quotient_bits: int = 8
    input_vectors: int | None = None

    @property
    def contents(self) -> None:
        """None: no other stage can use what the blocks hold temporarily."""
        return None

    @property
    def releases_arrays(self) -> bool:
        """False: the floor plan assigns the stage its blocks permanently."""
        return False

    @property
    def written_rows(self) -> int:
        """Zero: no word lines are programmed before the stage can compute."""
        return 0

    @property
    def smallest_chunk(self) -> int:
        """Number of arrays that make up one result: all of a copy."""
        return self.arrays

    @property
    def summary(self) -> Mapping[str, int]:
        """Empty: there are no table columns for it."""
        return {}

    @property
    def arrays(self) -> int:
        """Number of arrays of one copy."""
        return self.beside

    @property
    def weights(self) -> int:
        """Zero: a copy holds no weights."""
        return 0

    @property
    def width(self) -> int:
        """Number of results per block and step."""
        return -(-self.lanes // self.beside) * self.positions_per_step

    @property
    def cells(self) -> int:
        """Number of cells of one copy."""
        return sum(block.count * block.cells for block in self.blocks)

    @property
    def utilization(self) -> float:
        """Cells of the blocks as a fraction of the cells of their arrays."""
        return self.cells / (self.arrays * self.rows * self.columns)

    @property
    def blocks(self) -> tuple[CellBlock, ...]:
        """Rectangles of cells of one copy."""
        rule = rule_of(self)
        if isinstance(rule, InMemorySoftmax):
            cells = sum(each.cells for each in rule.blocks(self.candidates))
            return (CellBlock(self.rows, self.columns, self.beside, cells, True, self.function),)
        return (CellBlock(rule.rows, rule.columns, self.beside, rule.rows * rule.columns, True, self.function),)

    @property
    def cycles(self) -> int:
        """Number of cycles of a step."""
        rule = rule_of(self)
        return self.lanes * rule.cycles(self.candidates)[0] if isinstance(rule, InMemorySoftmax) else rule.cycles

    @property
    def latency(self) -> int:
        """Number of cycles from the first load of a step to its last result."""
        rule = rule_of(self)
        if isinstance(rule, InMemorySoftmax):
            between, until = rule.cycles(self.candidates)
            return (self.lanes - 1) * between + until
        return rule.latency if isinstance(rule, Alternating) else rule.cycles

    @property
    def writes(self) -> float:
        """Largest number of sets of a cell per step."""
        rule = rule_of(self)
        return self.lanes * rule.writes(self.candidates) if isinstance(rule, InMemorySoftmax) else rule.writes

    def steps(self, positions: int) -> int:
        """Return the number of steps of one copy for `positions` positions; a partly filled last step counts in full."""
        return -(-positions // self.positions_per_step)

    def loads(self, positions: int) -> int:
        """Return the number of values to load for `positions` positions."""
        return self.lanes * (positions * self.candidates - self.absent)

    def actions(self, positions: int) -> Counts:
        """Return the action counts of the arrays for a number of positions. Maxima do not load values beyond the edges; sums treat them as 0."""
        rule, steps = rule_of(self), self.steps(positions)
        if isinstance(rule, InMemorySoftmax):
            rows = positions * self.lanes
            return Counts(rule.actions(rows * self.candidates, rows, self.candidates))
        counts = Counts({name: self.beside * count for name, count in rule.actions(steps).items()})
        if isinstance(rule, Tournament | Alternating):
            counts["array.write_cell"] -= self.bits * (self.beside * steps * self.width * self.candidates - self.loads(positions))
        return counts


@lru_cache(maxsize=1024)
def rule_of(blocks: InBlocks) -> Tournament | Alternating | SumBlock | InMemorySoftmax:
    """Return the program of a block."""
    p = blocks
    if p.function == "softmax":
        arithmetic = LogSumExp(Fixed.of(p.format), exp_bits=p.exp_bits, quotient_bits=p.quotient_bits)
        return InMemorySoftmax(arithmetic, p.rows, p.columns, p.adc_bits)
    if p.function == "sum":
        signed = p.form != Form.UNSIGNED.value
        return sum_block(p.candidates, p.bits, width=p.width, rows=p.rows, adc_bits=p.adc_bits, signed=signed, zero=p.zero)
    form = Form(p.form)
    match = MaxBlock(candidates=p.candidates, bits=p.bits, form=form, width=p.width)
    if p.candidates == 1 and form is Form.RECTIFIED and 2 * match.rows <= p.rows:
        return Alternating(match)
    return Tournament((match,)) if match.rows <= p.rows else tournament(p.candidates, p.bits, form, p.width, rows=p.rows, columns=p.columns)


def fitted(wanted: InBlocks, positions: int) -> InBlocks:
    """Return a placement with as many blocks as needed, and as many parallel positions as fit. Raises ValueError if none fits."""
    beside = 1
    while True:
        found = replace(wanted, beside=beside, positions_per_step=1)
        try:
            return replace(found, positions_per_step=min(positions, _room(found)))
        except ValueError:
            if beside >= wanted.lanes or wanted.function == "softmax":
                raise
        beside = min(2 * beside, wanted.lanes)


def _room(blocks: InBlocks) -> int:
    """Return the number of positions that fit side by side in a block; a tournament uses all bit lines. Raises ValueError if none fits."""
    rule = rule_of(blocks)
    if isinstance(rule, InMemorySoftmax):
        rule.layout(blocks.candidates)
        return 1
    if rule.rows > blocks.rows or rule.columns > blocks.columns:
        raise ValueError(
            f"{blocks.candidates} values of {blocks.bits} bits take {rule.rows} x {rule.columns} cells but an array has "
            f"{blocks.rows} x {blocks.columns}"
        )
    return 1 if isinstance(rule, Tournament) and len(rule.levels) > 1 else blocks.columns // rule.columns
