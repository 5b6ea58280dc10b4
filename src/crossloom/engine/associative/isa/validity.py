"""Validity of a stream: every operand lies inside the array, and the operands of an instruction lie in different columns."""

from __future__ import annotations

from typing import Any

from crossloom.engine.associative.isa.codes import OP_CLEAR, OP_COPY, OP_DIFFERENCE, OP_EXTEND, OP_LOAD, OP_SUM, unpack
from crossloom.engine.associative.isa.instructions import InstructionStream, Op, line_of
from crossloom.errors import InputError
from crossloom.kernels.jit import compiled

_FINE, _UNKNOWN, _EMPTY, _OUTSIDE, _SHARED, _SIGNLESS, _SHRINKS, _BACKWARDS = range(8)
_PROBLEMS = {
    _UNKNOWN: "does not exist; operations are numbered from 0 to 8",
    _EMPTY: "computes no bits; give it at least one",
    _OUTSIDE: "reaches beyond the array; place its operands inside it",
    _SHARED: "has two operands in one column; give each a column of its own",
    _SIGNLESS: "has a signed operand without bits; give it at least one or make it unsigned",
    _SHRINKS: "makes its target shorter; extend to at least the number of stored bits",
    _BACKWARDS: "clears no column; the last column must not be below the first",
}


def check_stream(stream: InstructionStream) -> None:
    """Raise InputError naming the first instruction that cannot be executed, and the reason."""
    number, problem = _first_problem(stream.instructions, stream.columns, stream.domains)
    if problem != _FINE:
        one = stream.instructions[number]
        text = line_of(one) if int(one["op"]) in set(Op) else f"operation {one['op']}"
        raise InputError(f"stream: for {stream.columns} columns of {stream.domains} domains, instruction {number}, {text!r}, {_PROBLEMS[problem]}")


@compiled
def _first_problem(instructions: Any, columns: int, domains: int) -> tuple[int, int]:
    for k in range(len(instructions)):
        problem = _problem(instructions[k], columns, domains)
        if problem != _FINE:
            return k, problem
    return -1, _FINE


@compiled
def _problem(one: Any, columns: int, domains: int) -> int:
    """Return the problem of an instruction, if any."""
    (op, bits), (to, to_at), (a, _, a_bits, a_signed), _, _ = unpack(one)
    if op == OP_LOAD:
        return _FINE
    if op > OP_LOAD:
        return _UNKNOWN
    if bits == 0:
        return _EMPTY
    if not _inside(to, to_at, bits, columns, domains):
        return _OUTSIDE
    if op == OP_CLEAR:
        return _BACKWARDS if a < to else _FINE if a < columns else _OUTSIDE
    if a_signed and a_bits == 0:
        return _SIGNLESS
    if op == OP_EXTEND:
        return _SHRINKS if a_bits > bits else _FINE
    return _operands_problem(one, columns, domains)


@compiled
def _operands_problem(one: Any, columns: int, domains: int) -> int:
    """Return the problem of an instruction's A, B and carry, if any."""
    (op, _), (to, _), (a, a_at, a_bits, _), (b, b_at, b_bits, b_signed), (carry, carry_at) = unpack(one)
    reads_b, carries = op in (OP_SUM, OP_DIFFERENCE), op != OP_COPY
    if not _inside(a, a_at, a_bits, columns, domains) or (carries and not _inside(carry, carry_at, 1, columns, domains)):
        return _OUTSIDE
    if a == to or (carries and carry in (to, a)):
        return _SHARED
    if not reads_b:
        return _FINE
    if b_signed and b_bits == 0:
        return _SIGNLESS
    if not _inside(b, b_at, b_bits, columns, domains):
        return _OUTSIDE
    return _SHARED if b in (to, a, carry) else _FINE


@compiled
def _inside(column: int, domain: int, bits: int, columns: int, domains: int) -> bool:
    return 0 <= column < columns and domain + bits <= domains
