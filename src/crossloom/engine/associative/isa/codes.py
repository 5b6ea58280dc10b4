"""Tables and instructions as numbers, for compiled code.

Which table a bit takes depends on how it lies to the ends of A and B alone: before the end, at it (the first bit above), or beyond it, of an operand that
is signed or not. So `table_of` is asked once for each of these cases, and what it says is looked up from then on.

Numba keeps compiled code on disk and looks at the file of a function only: after a change to the order of tables or operations, or to a function here, delete
the files that it keeps (`__pycache__/*.nbi`). What depends on the steps of tables (`vectors`, `watched`) is not kept.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa import truth_tables
from crossloom.engine.associative.isa.instructions import Op, table_of
from crossloom.engine.associative.isa.truth_tables import TABLES, TruthTable
from crossloom.kernels.jit import compiled

CLEAR, COPY = TABLES.index(truth_tables.CLEAR), TABLES.index(truth_tables.COPY)
OP_SUM, OP_DIFFERENCE, OP_COPY, OP_EXTEND, OP_CLEAR, OP_LOAD = (int(op) for op in (Op.SUM, Op.DIFFERENCE, Op.COPY, Op.EXTEND, Op.CLEAR, Op.LOAD))
"""Operations that compiled code treats in a way of their own."""


def _numbers() -> NDArray[np.int64]:
    """Return the number of the table of each operation and place in A and B (see `place`), −1 where there is none."""
    bit, places = 3, [(stored, signed) for stored in (5, 3, 1) for signed in (False, True)]
    found = np.full((len(Op), len(places), len(places)), -1)
    for op, (i, a), (j, b) in product(Op, enumerate(places), enumerate(places)):
        if op not in (Op.EXTEND, Op.LOAD):
            found[op, i, j] = TABLES.index(table_of(op, bit, a, b))
    return found


def _eighths(table: TruthTable, carry: bool) -> int:
    """Return how often on average over random bits a table writes the carry of a row, or the target, in eighths."""
    return sum(8 >> len(step.key) for step in table.steps for cell in step.write if (cell == "C") == carry)


TABLE_NUMBERS = _numbers()
COSTS = np.array(
    [
        (table.searches, table.writes, table.compared, sum(len(step.write) for step in table.steps), _eighths(table, True), _eighths(table, False))
        for table in TABLES
    ]
)
"""Of each table: searches, writes, cells compared, cells offered to its writes one after the other, eighths written of the carry and of the target."""


@compiled
def unpack(one: Any) -> tuple[Any, ...]:
    """Return an instruction's fields as wide integers: op and bits; column and domain of the target; then of A and B, with bits and sign; of the carry."""
    wide = np.int64
    return (
        (wide(one.op), wide(one.bits)),
        (wide(one.to), wide(one.to_at)),
        (wide(one.a), wide(one.a_at), wide(one.a_bits), wide(one.a_signed)),
        (wide(one.b), wide(one.b_at), wide(one.b_bits), wide(one.b_signed)),
        (wide(one.carry), wide(one.carry_at)),
    )


@compiled
def place(bit: int, stored: int, signed: int) -> int:
    """Return how a bit lies to the end of an operand, as `TABLE_NUMBERS` has it."""
    return 2 * ((bit >= stored) + (bit > stored)) + signed
