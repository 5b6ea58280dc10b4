"""The instructions of the associative processor, and streams of them.

An instruction works on all rows of an array in parallel, bit by bit from the lowest. Operands lie along the domains of a column: `to`, `a` and `b`
name columns, `to_at`, `a_at`, `b_at` the domain of the lowest bit. `a_bits` and `b_bits` are the numbers of stored bits of A and B. Above them an
unsigned operand counts as 0, and a signed one repeats its highest bit. `bits` is the number of bits computed.

| instruction | does | target |
| --- | --- | --- |
| add, subtract | to ← to ± a, `bits` wide, all of them already stored | in place |
| sum, difference | to ← b ± a | overwritten |
| copy, negate | to ← ±a | overwritten |
| extend | to, `a_bits` wide before, becomes `bits` wide: sign-extended if it is signed (`a_signed`), else zero-extended | in place |
| clear | zeros in `bits` domains of the columns from `to` to `a` | overwritten |
| load | inputs of round `a` are written from outside into the columns assigned by the layout | overwritten |

The carry lies in column `carry`, domain `carry_at`; `add`, `subtract`, `sum`, `difference` and `negate` clear it first, with one write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.isa import truth_tables
from crossloom.engine.associative.isa.truth_tables import TruthTable


class Op(IntEnum):
    """Operation codes."""

    ADD = 0
    SUBTRACT = 1
    SUM = 2
    DIFFERENCE = 3
    COPY = 4
    NEGATE = 5
    EXTEND = 6
    CLEAR = 7
    LOAD = 8


CARRIES = frozenset((Op.ADD, Op.SUBTRACT, Op.SUM, Op.DIFFERENCE, Op.NEGATE))
"""Operations that use the carry."""
INSTRUCTION = np.dtype(
    [
        ("op", np.uint8),
        ("bits", np.uint8),
        ("to", np.int16),
        ("to_at", np.uint8),
        ("a", np.int16),
        ("a_at", np.uint8),
        ("a_bits", np.uint8),
        ("a_signed", np.bool_),
        ("b", np.int16),
        ("b_at", np.uint8),
        ("b_bits", np.uint8),
        ("b_signed", np.bool_),
        ("carry", np.int16),
        ("carry_at", np.uint8),
    ]
)
Instructions = NDArray[Any]
"""One-dimensional array of `INSTRUCTION`."""


def table_of(op: Op, bit: int, a: tuple[int, bool], b: tuple[int, bool]) -> TruthTable:
    """Return the table for one bit of an operation, given the stored bits and signedness of its operands. Raises KeyError for extend and load."""
    has_a, has_b = (bit < bits or signed for bits, signed in (a, b))
    if op == Op.SUM:
        above = truth_tables.LAST if bit == max(a[0], b[0]) else truth_tables.CLEAR
        return {(True, True): truth_tables.SUM, (True, False): truth_tables.SUM_OF_A, (False, True): truth_tables.SUM_OF_B}.get((has_a, has_b), above)
    if op == Op.DIFFERENCE:
        return {(True, True): truth_tables.DIFFERENCE, (True, False): truth_tables.NEGATIVE, (False, True): truth_tables.MINUEND}.get(
            (has_a, has_b), truth_tables.LAST
        )
    return {
        Op.ADD: (truth_tables.CARRY, truth_tables.ADD),
        Op.SUBTRACT: (truth_tables.BORROW, truth_tables.SUBTRACT),
        Op.COPY: (truth_tables.CLEAR, truth_tables.COPY),
        Op.NEGATE: (truth_tables.LAST, truth_tables.NEGATIVE),
        Op.CLEAR: (truth_tables.CLEAR, truth_tables.CLEAR),
    }[op][has_a]


@dataclass(frozen=True)
class InstructionStream:
    """Instructions in execution order, for an array of `columns` columns and `domains` domains in each row."""

    columns: int
    domains: int
    instructions: Instructions

    def __len__(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        return "\n".join((f"stream of {len(self)} for {self.columns} columns of {self.domains} domains", *map(line_of, self.instructions)))

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, InstructionStream) and (self.columns, self.domains) == (other.columns, other.domains)
        return same and isinstance(other, InstructionStream) and np.array_equal(self.instructions, other.instructions)

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: Path) -> None:
        """Write the stream as a compressed file of NumPy arrays. Raises OSError."""
        content = BytesIO()
        np.savez_compressed(content, shape=np.array([self.columns, self.domains]), instructions=self.instructions)
        path.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path: Path) -> InstructionStream:
        """Return a saved stream; nothing in the file is executed. Raises OSError, or ValueError for a file that is not a stream."""
        try:
            with np.load(path, allow_pickle=False) as content:
                columns, domains = (int(number) for number in content["shape"])
                return cls(columns, domains, content["instructions"].astype(INSTRUCTION))
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(f"{path} is not a stream of instructions; write one with InstructionStream.save") from problem


def line_of(one: Any) -> str:
    """Return an instruction as text, such as `add c200@16:13 c12@4:u4 carry c255@0`."""
    op = Op(int(one["op"]))
    if op == Op.LOAD:
        return f"load round {one['a']}"
    if op == Op.CLEAR:
        return f"clear c{one['to']}..c{one['a']}@{one['to_at']}:{one['bits']}"
    words = [op.name.lower(), f"c{one['to']}@{one['to_at']}:{one['bits']}"]
    if op == Op.EXTEND:
        return " ".join((*words, f"from {'s' if one['a_signed'] else 'u'}{one['a_bits']}"))
    names = ("b", "a") if op in (Op.SUM, Op.DIFFERENCE) else ("a",)
    words += [f"c{one[name]}@{one[f'{name}_at']}:{'s' if one[f'{name}_signed'] else 'u'}{one[f'{name}_bits']}" for name in names]
    return " ".join((*words, f"carry c{one['carry']}@{one['carry_at']}") if op in CARRIES else words)


def parse_stream(text: str) -> InstructionStream:
    """Return the stream whose printed form is `text`. Raises ValueError naming the line."""
    lines = text.strip().splitlines()
    try:
        words = lines[0].split()
        columns, domains = int(words[4]), int(words[7])
    except (IndexError, ValueError) as problem:
        raise ValueError("line 1: expected 'stream of N for C columns of D domains'") from problem
    found = np.zeros(len(lines) - 1, INSTRUCTION)
    for number, line in enumerate(lines[1:]):
        try:
            for name, value in _fields(line.split()):
                found[number][name] = value
        except (IndexError, KeyError, ValueError) as problem:
            raise ValueError(f"line {number + 2}: {line.strip()!r} is not an instruction") from problem
    return InstructionStream(columns, domains, found)


def _fields(words: list[str]) -> Iterator[tuple[str, int]]:
    """Yield the fields of an instruction from the words of its line."""
    op = Op[words[0].upper()]
    yield "op", op
    if op == Op.LOAD:
        yield "a", int(words[2])
        return
    first, _, bits = words[1].partition(":")
    column, _, domain = first.partition("@")
    column, _, last = column.partition("..")
    yield from (("to", int(column[1:])), ("to_at", int(domain)), ("bits", int(bits)))
    if last:
        yield "a", int(last[1:])
    if op == Op.EXTEND:
        yield from (("a_signed", words[3][0] == "s"), ("a_bits", int(words[3][1:])))
    operands = [word for word in words[2:] if "@" in word and ":" in word]
    for name, word in zip(("b", "a")[-len(operands) :], operands, strict=False):
        column, _, rest = word.partition("@")
        domain, _, kind = rest.partition(":")
        yield from ((name, int(column[1:])), (f"{name}_at", int(domain)), (f"{name}_signed", kind[0] == "s"), (f"{name}_bits", int(kind[1:])))
    if op in CARRIES:
        column, _, domain = words[-1].partition("@")
        yield from (("carry", int(column[1:])), ("carry_at", int(domain)))
