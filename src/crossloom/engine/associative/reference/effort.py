"""Reference effort of a stream, instruction by instruction and bit by bit, from the tables only; `effort_of` must equal it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise, zip_longest

import numpy as np

from crossloom.engine.associative.isa.effort import Effort, Numbers
from crossloom.engine.associative.isa.instructions import CARRIES, InstructionStream, Op, table_of

Fields = Mapping[str, int]
EffortCounts = Counter[str]


def plain_effort(stream: InstructionStream, ports: int = 1) -> Effort:
    """Return the effort of a stream."""
    counts, wear = Counter[str](), np.zeros((stream.columns, stream.domains), np.int64)
    instructions, bits = np.zeros(len(Op), np.int64), np.zeros(len(Op), np.int64)
    standing, before = dict.fromkeys(range(stream.columns), 0), set(range(stream.columns))
    for one in stream.instructions:
        fields = {name: int(one[name]) for name in one.dtype.names}
        op = Op(fields["op"])
        instructions[op] += 1
        if op == Op.LOAD:
            continue
        bits[op] += {Op.CLEAR: _clear, Op.EXTEND: _extend}.get(op, _sum)(fields, counts, wear)
        ways = _ways(fields)
        if ways:
            _shift(ways, standing, before, stream.domains // ports, counts)
            before = set(ways)
    names = ("searches", "writes", "compared", "shift_steps", "shift_steps_ahead", "column_steps")
    return Effort(**{name: counts[name] for name in names}, instructions=instructions, bits=bits, wear_eighths=wear)


def _clear(fields: Fields, counts: EffortCounts, wear: Numbers) -> int:
    """Count a clear, with all columns in parallel, and return its bits."""
    cells = wear[fields["to"] : fields["a"] + 1, fields["to_at"] : fields["to_at"] + fields["bits"]]
    counts["writes"] += fields["bits"]
    cells += 8
    return cells.size


def _extend(fields: Fields, counts: EffortCounts, wear: Numbers) -> int:
    """Count an extend: a search of the sign, zeros everywhere, ones in half of the rows. Return its bits."""
    cells = wear[fields["to"], fields["to_at"] + fields["a_bits"] : fields["to_at"] + fields["bits"]]
    searched = fields["a_signed"] and cells.size > 0
    counts["searches"] += searched
    counts["compared"] += searched
    counts["writes"] += cells.size * (2 if fields["a_signed"] else 1)
    cells += 12 if fields["a_signed"] else 8
    return cells.size


def _sum(fields: Fields, counts: EffortCounts, wear: Numbers) -> int:
    """Count an instruction that uses a table for each bit, and return its bits."""
    op, carry = Op(fields["op"]), (fields["carry"], fields["carry_at"])
    if op in CARRIES:
        counts["writes"] += 1
        wear[carry] += 8
    for bit in range(fields["bits"]):
        table = table_of(op, bit, *((fields[f"{name}_bits"], bool(fields[f"{name}_signed"])) for name in "ab"))
        for step in table.steps:
            counts["searches"] += bool(step.key)
            counts["writes"] += 1
            counts["compared"] += len(step.key)
            for cell in step.write:
                wear[carry if cell == "C" else (fields["to"], fields["to_at"] + bit)] += 8 // 2 ** len(step.key)
    return fields["bits"]


def _ways(fields: Fields) -> dict[int, list[int]]:
    """Return the sequence of domains of each column."""
    op, bits = Op(fields["op"]), fields["bits"]
    target = [fields["to_at"] + bit for bit in range(bits)]
    if op == Op.CLEAR:
        return dict.fromkeys(range(fields["to"], fields["a"] + 1), target)
    if op == Op.EXTEND:
        new = target[fields["a_bits"] :]
        return {fields["to"]: ([new[0] - 1] if fields["a_signed"] else []) + new} if new else {}
    ways = {fields["to"]: target}
    ways |= {fields["carry"]: [fields["carry_at"]]} if op in CARRIES else {}
    for name in ("a", "b") if op in (Op.SUM, Op.DIFFERENCE) else ("a",):
        ways |= {fields[name]: [fields[f"{name}_at"] + bit for bit in range(min(bits, fields[f"{name}_bits"]))]}
    return {column: way for column, way in ways.items() if way}


def _shift(ways: Mapping[int, list[int]], standing: dict[int, int], before: set[int], period: int, counts: EffortCounts) -> None:
    """Count the steps of columns from their current positions through their domains."""
    alignments = {column: abs(way[0] % period - standing[column]) for column, way in ways.items()}
    moves = [[abs(later % period - domain % period) for domain, later in pairwise(way)] for way in ways.values()]
    between = sum(max(steps) for steps in zip_longest(*moves, fillvalue=0))
    counts["shift_steps"] += max(alignments.values()) + between
    counts["shift_steps_ahead"] += max((steps for column, steps in alignments.items() if column in before), default=0) + between
    counts["column_steps"] += sum(alignments.values()) + sum(map(sum, moves))
    standing.update({column: way[-1] % period for column, way in ways.items()})
