"""Softmax in blocks of cells: the arithmetic of the log-sum-exp form, bit for bit, by searches, tables and sums in arrays.

The arithmetic is that of `engine/softmax/log_sum_exp.py`, whose letters are used here: b bits a score, F of them after the point; w, a, G, m;
tables E, L (of octaves and of what follows the leading one) and y. A row has n scores. The steps, and the cycles that each takes:

1. The maximum: a tournament of signed matches (`maximum.py`).                                                                 T cycles
2. The scores, whose copies lost their bits in it, are written once more, now along rows: b bit lines hold score i in row
   i // c, group i % c, and a pulse writes the c scores of a row. One cycle erases the last ones.                             s + 1 cycles
3. Score by score, in a pipeline of two: its row is sensed, and the shift-and-add unit, whose register begins with x_max,
   takes off the bits as they come; in the next cycle the distance drives a row of table E, and what is sensed is set in a
   row of the sums, which lie on the bit lines below the table, in the write phase: no bit leaves the array. The sums have
   g rows; when these are full, and in the end, they are read at once, converted and added to S, and erased in the same
   cycle, in which the pipeline waits: r = ceil(n / g) rounds.                                                              n + 1 + r cycles
4. S is shifted to the left until its leading one is where that of 2^w · n can be at most; the shifts are e.                     1 cycle
5. Both tables of the logarithm are read at once, and their bits are added to a register that begins with x_max · 2^(G-F).       1 cycle
6. Score by score, as in 3: t is that register less the bits of the score, and drives a row of table y.                     n + 1 cycles

    latency = T + (s + 1) + (n + 1 + r) + 2 + (n + 1)

Steps 4 to 6 write nothing, so that the next row's tournament, on lines of its own, runs meanwhile; its scores have to wait:

    interval = latency - min(T, n + 3)

Tables hold what is not 0: beyond its last row an address drives nothing and 0 is sensed. (E is a few dozen rows: at 6.2 and w = 16, 48 of
256.) A table takes at most half of an array's rows and a quarter of its columns, the maximum a quarter and half, the scores a quarter of both:
then the blocks that are read in the same cycle have rows and columns of their own within one array. The sums take what the table and the scores leave, as far as the ADC
tells their counts apart. A table of more rows lies in parts side by side, and that of E has sums below each part.

Counted for certain, whatever the data: the shifts in 4 are as many as n equal scores need, floor(log2 n), though they end when the one is
found; an address beyond a table is attempted. Scores that are not seen are neither written, read nor looked up, but their time passes.

Chosen by us: all of it but the log-sum-exp form and tables in cells, of which the paper [shin2024hurry] says no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.in_array.maximum import Form, Tournament, tournament
from crossloom.engine.softmax.arithmetic import exponentials, within
from crossloom.engine.softmax.log_sum_exp import LogSumExp, log_tables, weight_table
from crossloom.network.quantization import Quantization


@dataclass(frozen=True, slots=True)
class Footprint:
    """A block's cells; `kept` are those written once for good."""

    name: str
    rows: int
    columns: int
    kept: bool = False

    @property
    def cells(self) -> int:
        """Cells of the block."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Kept:
    """A table: numbers, not negative, the bits of one, and the rows of cells that it may have before it goes on beside them."""

    entries: Tensor
    width: int
    most: int

    @property
    def parts(self) -> int:
        """Blocks side by side."""
        return -(-len(self.entries) // self.most)

    @property
    def rows(self) -> int:
        """Rows of cells."""
        return min(len(self.entries), self.most)

    def footprint(self, name: str) -> Footprint:
        """Return the table's cells."""
        return Footprint(name, self.rows, self.parts * self.width, True)


@dataclass(frozen=True, slots=True)
class SoftmaxLayout:
    """What a row of n scores needs: the tournament, scores c to a row in s rows, and g rows of sums filled r times."""

    matches: Tournament
    abreast: int
    score_rows: int
    sum_rows: int
    rounds: int


@dataclass(frozen=True, slots=True)
class InMemorySoftmax:
    """Softmax in arrays of `rows` x `columns` cells of one bit, read by ADCs of `adc_bits`."""

    name: ClassVar[str] = "in-memory-log-sum-exp"

    arithmetic: LogSumExp
    rows: int = 512
    columns: int = 512
    adc_bits: int = 9

    def __post_init__(self) -> None:
        within("rows", self.rows, 64, 1 << 16)
        within("columns", self.columns, 128, 1 << 16)
        within("adc_bits", self.adc_bits, 1, 16)
        for area in (self.powers.footprint("exponential"), self.logarithms(1)[1].footprint("logarithm"), self.weights.footprint("weight")):
            if area.columns > self.columns // 4:
                raise ValueError(
                    f"the {area.name}'s table takes {area.rows} x {area.columns} cells, and a quarter of the columns of an array of "
                    f"{self.rows} x {self.columns} cells is left to it: give larger arrays, or fewer bits to the arithmetic "
                    "(exp_bits, log_address, log_fraction, quotient_bits)"
                )

    @property
    def input(self) -> Quantization:
        """Scores in units of 2^-F."""
        return self.arithmetic.input

    @property
    def output(self) -> Quantization:
        """Weights in units of 2^-m."""
        return self.arithmetic.output

    def __call__(self, codes: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return weights (..., n) for scores (..., n)."""
        return self.arithmetic(codes, seen)

    @property
    def powers(self) -> Kept:
        """Table E, as far as it is not 0; its first entry is 2^w and takes w + 1 bits."""
        form = self.arithmetic.format
        table = exponentials(form, 1 << self.arithmetic.exp_bits, form.codes)
        return self._kept(table[table > 0])  # it descends: the zeros are the last

    @property
    def weights(self) -> Kept:
        """Table y, as far as it is not 0."""
        table = weight_table(self.arithmetic.log_fraction, self.arithmetic.quotient_bits)
        return self._kept(table[table > 0])

    def logarithms(self, length: int) -> tuple[Kept, Kept]:
        """Return the tables over e - w, as far as a row of n scores gets, and over j."""
        octaves, fractions = log_tables(self.arithmetic.log_address, self.arithmetic.log_fraction)
        return self._kept(octaves[: length.bit_length()]), self._kept(fractions)

    def _kept(self, entries: Tensor) -> Kept:
        return Kept(entries.long(), max(1, int(entries.max()).bit_length()), self.rows // 2)

    def layout(self, length: int) -> SoftmaxLayout:
        """Return how a row of n scores is laid out. Raises ValueError if it does not fit into an array."""
        bits, high, wide = self.arithmetic.format.bits, self.rows // 4, self.columns // 4
        matches = tournament(length, bits, Form.SIGNED, 1, rows=high, columns=2 * wide)
        abreast = min(length, max(1, min(matches.columns, wide) // bits, -(-length // high)))
        if abreast * bits > wide:
            raise ValueError(f"{length} scores of {bits} bits do not fit into {high} x {wide} cells: take larger arrays or shorter rows")
        score_rows = -(-length // abreast)
        sum_rows = min(length, (1 << self.adc_bits) - 1, self.rows - self.powers.rows - score_rows)
        return SoftmaxLayout(matches, abreast, score_rows, sum_rows, -(-length // sum_rows))

    def blocks(self, length: int) -> tuple[Footprint, ...]:
        """Return the blocks of one unit; that of the sums lies on the bit lines of the exponentials."""
        plan, powers = self.layout(length), self.powers
        octaves, fractions = self.logarithms(length)
        return (
            Footprint("maximum", plan.matches.rows, plan.matches.columns),
            Footprint("scores", plan.score_rows, plan.abreast * self.arithmetic.format.bits),
            Footprint("sums", plan.sum_rows, powers.parts * powers.width),
            powers.footprint("exponentials"),
            octaves.footprint("octaves"),
            fractions.footprint("logarithms"),
            self.weights.footprint("weights"),
        )

    def actions(self, elements: int, rows: int, length: int) -> Counts:
        """Return what the arrays and their converters do for `rows` rows of `length` scores of which `elements` in all are seen."""
        return self._for_elements(elements) + self._for_rows(rows, length) + self._maxima(elements, rows, length)

    def _maxima(self, elements: int, rows: int, length: int) -> Counts:
        counts = self.layout(length).matches.actions(rows)
        counts["array.write_cell"] -= self.arithmetic.format.bits * (rows * length - elements)  # what is not seen is not written
        return counts

    def _for_elements(self, elements: int) -> Counts:
        """Return what is done for each score that is seen: written, read and subtracted twice, looked up twice, E set in a row of the sums."""
        bits, power, weight = self.arithmetic.format.bits, self.powers.width, self.weights.width
        read = 2 * bits + power + weight
        counts = {
            "dac.drive": 4,
            "array.read_row": 4,
            "sense_amplifier.sense": read,
            "shift_add.add": 2 * bits,
            "array.bias": 1,
            "array.write_cell": bits + power,
            "output_register.access": weight,
        }
        return Counts({name: elements * count for name, count in counts.items()})

    def _for_rows(self, rows: int, length: int) -> Counts:
        """Return what is done once for each row: scores erased and written, sums read and erased, a logarithm."""
        plan, log = self.layout(length), sum(table.width for table in self.logarithms(length))
        columns = self.powers.parts * self.powers.width
        converted = plan.rounds * columns
        counts = {
            "array.bias": 1 + plan.score_rows + plan.rounds,
            "dac.drive": length + 2,
            "array.read_row": length + 2,
            "sense_amplifier.sense": log,
            "sample_hold.sample": converted,
            "adc.convert": converted,
            "shift_add.add": converted + length.bit_length() - 1 + log,
            "output_register.access": converted,
        }
        return Counts({name: rows * count for name, count in counts.items()})

    def cycles(self, length: int) -> tuple[int, int]:
        """Return interval and latency as derived above."""
        plan = self.layout(length)
        latency = plan.matches.cycles + plan.score_rows + plan.rounds + 2 * length + 5
        return latency - min(plan.matches.cycles, length + 3), latency

    def writes(self, length: int) -> int:
        """Return how often a cell is set for one row of scores, at most: in the tournament's corner, or as one of the sums."""
        plan = self.layout(length)
        return max(plan.matches.writes, plan.rounds)
