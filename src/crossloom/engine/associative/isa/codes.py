"""Numeric codes of tables and instructions, for compiled code.

The table of a bit depends only on its position relative to the ends of A and B: before the end, at it (the first bit above), or beyond it, for a
signed or an unsigned operand. So `table_of` is evaluated once for each of these cases, and its results are looked up from then on.

Numba caches compiled code on disk and checks only the file of a function. After a change to the order of tables or operations, or to a function
here, delete the cached files (`__pycache__/*.nbi`). Code that depends on the steps of tables (`simd`, `watched`) is not cached.
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
"""Codes of the operations that compiled code treats specially."""


def _numbers() -> NDArray[np.int64]:
    """Return the table number for each operation and each place in A and B (see `place`), −1 where there is no table."""
    bit, places = 3, [(stored, signed) for stored in (5, 3, 1) for signed in (False, True)]
    found = np.full((len(Op), len(places), len(places)), -1)
    for op, (i, a), (j, b) in product(Op, enumerate(places), enumerate(places)):
        if op not in (Op.EXTEND, Op.LOAD):
            found[op, i, j] = TABLES.index(table_of(op, bit, a, b))
    return found


def _eighths(table: TruthTable, carry: bool) -> int:
    """Return the mean number of writes of a table to a row's carry, or to its target, in eighths over random bits."""
    return sum(8 >> len(step.key) for step in table.steps for cell in step.write if (cell == "C") == carry)


TABLE_NUMBERS = _numbers()
COSTS = np.array(
    [
        (table.searches, table.writes, table.compared, sum(len(step.write) for step in table.steps), _eighths(table, True), _eighths(table, False))
        for table in TABLES
    ]
)
"""Per table: searches, writes, cells compared, cells offered to its writes in sequence, mean writes to carry and target in eighths."""


@compiled
def unpack(one: Any) -> tuple[Any, ...]:
    """Return an instruction's fields as wide integers: op and bits; then column and domain of target, A, B (with bits and sign) and carry."""
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
    """Return the position of a bit relative to the end of an operand, as an index into `TABLE_NUMBERS`."""
    return 2 * ((bit >= stored) + (bit > stored)) + signed
