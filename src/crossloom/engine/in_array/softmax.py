"""Softmax in blocks of cells: bit-exact log-sum-exp arithmetic by searches, tables and sums in arrays.

The arithmetic and symbols are those of `engine/softmax/log_sum_exp.py`: b bits per score, F of them after the point; w, a, G, m; tables E,
L (one of octaves and one of the bits after the leading one) and y. A row has n scores. The steps, and the cycles of each:

1. The maximum: a tournament of signed matches (`maximum.py`).                                                                 T cycles
2. The tournament destroys its copies of the scores, so these are written again, now along rows: b bit lines hold score i in
   row i // c, group i % c, and a pulse writes the c scores of a row. One cycle erases the previous scores.                   s + 1 cycles
3. Score by score, in a two-stage pipeline: its row is sensed, and the shift-and-add unit, whose register starts at x_max,
   subtracts the bits as they arrive. In the next cycle the distance drives a row of table E. The sensed bits are set in the
   write phase, in a row of the sums, which lie on the bit lines below the table: no bit leaves the array. The sums have
   g rows. When these are full, and at the end, they are read together, converted, added to S, and erased in the same
   cycle, in which the pipeline waits: r = ceil(n / g) rounds.                                                              n + 1 + r cycles
4. S is shifted left until its leading one reaches the highest position possible for 2^w · n; the number of shifts gives e.      1 cycle
5. Both tables of the logarithm are read together, and their bits are added to a register that starts at x_max · 2^(G-F).        1 cycle
6. Score by score, as in 3: t is that register minus the bits of the score, and drives a row of table y.                    n + 1 cycles

    latency = T + (s + 1) + (n + 1 + r) + 2 + (n + 1)

Steps 4 to 6 write nothing, so the next row's tournament runs during them, on its own lines; writing its scores has to wait:

    interval = latency - min(T, n + 3)

Tables hold only non-zero entries: beyond the last row, an address drives nothing and 0 is sensed. (E has a few dozen rows: at 6.2 and w = 16,
48 of 256.) A table takes at most half of an array's rows and a quarter of its columns, the maximum a quarter and half, the scores a quarter of
both. Blocks read in the same cycle thus have their own rows and columns within one array. The sums take the rows left by the table and the
scores, as far as the ADC can resolve their counts. A larger table is split into parts side by side, and E has sums below each part.

Counts do not depend on the values of the scores. Step 4 counts the shifts needed by n equal scores, floor(log2 n), although shifting ends
when the one is found. An address beyond a table is counted as a read. Scores that are not seen are not written, read or looked up, but still
take their time.

Our own choices: everything except the log-sum-exp form and tables in cells; the paper [shin2024hurry] gives no further details.
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
    """The size of a block; `kept` marks cells that are written once and permanently."""

    name: str
    rows: int
    columns: int
    kept: bool = False

    @property
    def cells(self) -> int:
        """Number of cells of the block."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Kept:
    """A table: its non-negative numbers, their width in bits, and the largest number of rows before it continues side by side."""

    entries: Tensor
    width: int
    most: int

    @property
    def parts(self) -> int:
        """Number of parts side by side."""
        return -(-len(self.entries) // self.most)

    @property
    def rows(self) -> int:
        """Number of rows of cells."""
        return min(len(self.entries), self.most)

    def footprint(self, name: str) -> Footprint:
        """Return the size of the table."""
        return Footprint(name, self.rows, self.parts * self.width, True)


@dataclass(frozen=True, slots=True)
class SoftmaxLayout:
    """Layout of a row of n scores: the tournament, s rows of c scores each, and g rows of sums filled r times."""

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
                    f"the {area.name}'s table takes {area.rows} x {area.columns} cells, but only a quarter of the columns of an array of "
                    f"{self.rows} x {self.columns} cells is available; give larger arrays, or fewer bits to the arithmetic "
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
        """Non-zero part of table E; its first entry is 2^w and takes w + 1 bits."""
        form = self.arithmetic.format
        table = exponentials(form, 1 << self.arithmetic.exp_bits, form.codes)
        return self._kept(table[table > 0])  # descending, so zeros are last

    @property
    def weights(self) -> Kept:
        """Non-zero part of table y."""
        table = weight_table(self.arithmetic.log_fraction, self.arithmetic.quotient_bits)
        return self._kept(table[table > 0])

    def logarithms(self, length: int) -> tuple[Kept, Kept]:
        """Return the tables over e - w, as far as a row of n scores needs, and over j."""
        octaves, fractions = log_tables(self.arithmetic.log_address, self.arithmetic.log_fraction)
        return self._kept(octaves[: length.bit_length()]), self._kept(fractions)

    def _kept(self, entries: Tensor) -> Kept:
        return Kept(entries.long(), max(1, int(entries.max()).bit_length()), self.rows // 2)

    def layout(self, length: int) -> SoftmaxLayout:
        """Return the layout of a row of n scores. Raises ValueError if it does not fit in an array."""
        bits, high, wide = self.arithmetic.format.bits, self.rows // 4, self.columns // 4
        matches = tournament(length, bits, Form.SIGNED, 1, rows=high, columns=2 * wide)
        abreast = min(length, max(1, min(matches.columns, wide) // bits, -(-length // high)))
        if abreast * bits > wide:
            raise ValueError(f"{length} scores of {bits} bits do not fit into {high} x {wide} cells; take larger arrays or shorter rows")
        score_rows = -(-length // abreast)
        sum_rows = min(length, (1 << self.adc_bits) - 1, self.rows - self.powers.rows - score_rows)
        return SoftmaxLayout(matches, abreast, score_rows, sum_rows, -(-length // sum_rows))

    def blocks(self, length: int) -> tuple[Footprint, ...]:
        """Return the blocks of one unit; the sums lie on the bit lines of the exponentials."""
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
        """Return the action counts of arrays and converters for `rows` rows of `length` scores, with `elements` seen in total."""
        return self._for_elements(elements) + self._for_rows(rows, length) + self._maxima(elements, rows, length)

    def _maxima(self, elements: int, rows: int, length: int) -> Counts:
        counts = self.layout(length).matches.actions(rows)
        counts["array.write_cell"] -= self.arithmetic.format.bits * (rows * length - elements)  # unseen scores are not written
        return counts

    def _for_elements(self, elements: int) -> Counts:
        """Return the action counts of seen scores: written, read and subtracted twice, looked up twice, and E set in a row of the sums."""
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
        """Return the action counts per row: scores erased and written, sums read and erased, and one logarithm."""
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
        """Return the interval and latency, as derived above."""
        plan = self.layout(length)
        latency = plan.matches.cycles + plan.score_rows + plan.rounds + 2 * length + 5
        return latency - min(plan.matches.cycles, length + 3), latency

    def writes(self, length: int) -> int:
        """Return the largest number of sets of a cell per row of scores: in the tournament's corner, or as one of the sums."""
        plan = self.layout(length)
        return max(plan.matches.writes, plan.rounds)
