"""The blocks of one stage: which function, how wide, how many side by side."""

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
    """One copy of a function in arrays. Its `rows`, `columns` and `adc_bits` are those of an array.

    A position has `lanes` results, each of `candidates` values of `bits` bits; a step computes the results of `positions_per_step` positions. Where a
    position has more lanes than an array has bit lines, they are divided among `beside` blocks in as many arrays.

    Attributes:
        function: "largest" (ReLU, maximum, or both), "sum" or "softmax".
        form: of the values: "unsigned", "signed", or "rectified" for signed ones of which a ReLU comes first.
        zero: the integer that stands for 0.
        absent: values of one lane that lie beyond the edges, for all positions together.
        streams_input: each value is needed for one result only, so that it can be loaded as it comes.
        format, exp_bits, quotient_bits: of a softmax.
        input_vectors: rows of a softmax that do not come position by position: one over space, each of which needs all of them.
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
        """None: what the blocks hold for a moment is nobody else's."""
        return None

    @property
    def releases_arrays(self) -> bool:
        """No: the floor plan gives the stage its blocks for good."""
        return False

    @property
    def written_rows(self) -> int:
        """Word lines that are programmed before the stage can compute: none."""
        return 0

    @property
    def smallest_chunk(self) -> int:
        """Arrays that make up one result: all of a copy."""
        return self.arrays

    @property
    def summary(self) -> Mapping[str, int]:
        """Nothing that a table has columns for."""
        return {}

    @property
    def arrays(self) -> int:
        """Arrays that one copy lies in."""
        return self.beside

    @property
    def weights(self) -> int:
        """Weights of one copy: none."""
        return 0

    @property
    def width(self) -> int:
        """Results of one block and step."""
        return -(-self.lanes // self.beside) * self.positions_per_step

    @property
    def cells(self) -> int:
        """Cells of one copy."""
        return sum(block.count * block.cells for block in self.blocks)

    @property
    def utilization(self) -> float:
        """Cells of the blocks, as a share of those of the arrays that they lie in."""
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
        """Cycles of a step."""
        rule = rule_of(self)
        return self.lanes * rule.cycles(self.candidates)[0] if isinstance(rule, InMemorySoftmax) else rule.cycles

    @property
    def latency(self) -> int:
        """Cycles from the first load of a step to its last result."""
        rule = rule_of(self)
        if isinstance(rule, InMemorySoftmax):
            between, until = rule.cycles(self.candidates)
            return (self.lanes - 1) * between + until
        return rule.latency if isinstance(rule, Alternating) else rule.cycles

    @property
    def writes(self) -> float:
        """How often a step sets a cell, at most."""
        rule = rule_of(self)
        return self.lanes * rule.writes(self.candidates) if isinstance(rule, InMemorySoftmax) else rule.writes

    def steps(self, positions: int) -> int:
        """Return the steps in which one copy computes `positions` positions; a partly filled last step counts in full."""
        return -(-positions // self.positions_per_step)

    def loads(self, positions: int) -> int:
        """Return the number of values to load for `positions` positions."""
        return self.lanes * (positions * self.candidates - self.absent)

    def actions(self, positions: int) -> Counts:
        """Return what arrays do for a number of positions. Maxima are not given what lies beyond the edges; to sums it is 0."""
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
    """Return how a block works."""
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
    """Return a placement with as many blocks side by side as it needs, and as many positions abreast as find room. Raises ValueError if none fits."""
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
    """Return how many positions find room abreast in a block; a tournament has the bit lines to itself. Raises ValueError if none does."""
    rule = rule_of(blocks)
    if isinstance(rule, InMemorySoftmax):
        rule.layout(blocks.candidates)
        return 1
    if rule.rows > blocks.rows or rule.columns > blocks.columns:
        raise ValueError(
            f"{blocks.candidates} values of {blocks.bits} bits take {rule.rows} x {rule.columns} cells and an array has "
            f"{blocks.rows} x {blocks.columns}"
        )
    return 1 if isinstance(rule, Tournament) and len(rule.levels) > 1 else blocks.columns // rule.columns
