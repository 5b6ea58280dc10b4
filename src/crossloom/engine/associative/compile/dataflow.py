"""Dataflow of a slice of a ternary layer: additions and subtractions of two values, and the values that each output accumulates.

Values are numbered: 0 to `inputs` - 1 are the inputs, and each temporary gets the next number in definition order. A temporary is
a sum or difference of two earlier values whose left operand is positive. For -a - b the negative is defined, and its users apply the sign.
An output accumulates values with signs: y += v or y -= v. The text form, which can be printed and parsed:

    dataflow 9 inputs 4 outputs
    t9 = x0 - x4
    t10 = t9 + x7
    acc0 += t10
    acc3 -= x2
    acc3 += t9

A whole network has millions of operations, so they are stored as arrays, not objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossloom.kernels.jit import compiled

Integers = NDArray[np.int32]
Flags = NDArray[np.bool_]

_BLOCK = 1 << 24
"""Number of coefficients held while values are expanded: 64 MB."""

_HEADER = re.compile(r"dataflow (\d+) inputs (\d+) outputs")
_TEMPORARY = re.compile(r"t(\d+) = ([xt]\d+) ([+-]) ([xt]\d+)")
_ACCUMULATION = re.compile(r"acc(\d+) ([+-])= ([xt]\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Dataflow:
    """Temporaries and accumulations of a slice. Raises ValueError if an operand is not defined before its use.

    Attributes:
        inputs, outputs: number of input values, and of accumulated sums.
        left, right: operands of each temporary, as numbers of earlier values (n,).
        minus: whether the right operand is subtracted (n,).
        first: where the terms of each output start (outputs + 1,).
        term: numbers of the accumulated values, output by output (k,).
        negative: whether each is subtracted (k,).
    """

    inputs: int
    outputs: int
    left: Integers
    right: Integers
    minus: Flags
    first: Integers
    term: Integers
    negative: Flags

    def __post_init__(self) -> None:
        defined = self.inputs + np.arange(self.temporaries)
        sizes = len(self.right) == len(self.minus) == self.temporaries and len(self.negative) == len(self.term)
        terms = (
            len(self.first) == self.outputs + 1 and self.first[0] == 0 and self.first[-1] == len(self.term) and bool((np.diff(self.first) >= 0).all())
        )
        if not (sizes and terms):
            raise ValueError("dataflow: lists have different lengths; left, right and minus must match, first and term, and term and negative")
        below = ((self.left, defined), (self.right, defined), (self.term, self.inputs + self.temporaries))
        if any(bool(((numbers < 0) | (numbers >= limit)).any()) for numbers, limit in below):
            raise ValueError("dataflow: an operand is not defined before its use; number temporaries in definition order")

    @property
    def temporaries(self) -> int:
        """Number of temporaries."""
        return len(self.left)

    @property
    def accumulations(self) -> int:
        """Number of additions to outputs and subtractions from them."""
        return len(self.term)

    @property
    def operations(self) -> int:
        """Total number of additions and subtractions."""
        return self.temporaries + self.accumulations

    def matrix(self) -> Integers:
        """Return the coefficient of each input in each output (outputs, inputs). Raises ValueError if one does not fit in 32 bits."""
        owner = np.repeat(np.arange(self.outputs), np.diff(self.first))
        sign = np.where(self.negative, -1, 1)[:, None]
        result = np.zeros((self.outputs, self.inputs), np.int64)
        for start, block in _coefficients(self):
            np.add.at(result[:, start : start + block.shape[1]], owner, block[self.term] * sign)
        if bool((np.abs(result) > np.iinfo(np.int32).max).any()):
            raise ValueError("dataflow: the coefficient of an output does not fit in 32 bits")
        return result.astype(np.int32)

    def __str__(self) -> str:
        return "\n".join(_lines(self)) + "\n"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataflow):
            return NotImplemented
        return all(np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))

    __hash__ = None  # type: ignore[assignment]


def unrolled(matrix: ArrayLike) -> Dataflow:
    """Return the dataflow of a ternary matrix (outputs, inputs) without temporaries: one accumulation per non-zero."""
    dense = np.asarray(matrix)
    owner, term = np.nonzero(dense)
    outputs, inputs = dense.shape
    none = np.zeros(0, np.int32)
    return Dataflow(inputs, outputs, none, none, none.astype(bool), _starts(owner, outputs), term.astype(np.int32), dense[owner, term] < 0)


def verify(dataflow: Dataflow, matrix: ArrayLike) -> None:
    """Raise ValueError, naming the first wrong output, if the dataflow does not compute a matrix (outputs, inputs)."""
    dense = np.asarray(matrix)
    if dense.shape != (dataflow.outputs, dataflow.inputs):
        raise ValueError(f"dataflow of {dataflow.outputs} outputs and {dataflow.inputs} inputs: the matrix is {dense.shape}")
    wrong = np.flatnonzero((dataflow.matrix() != dense).any(axis=1))
    if len(wrong):
        raise ValueError(f"dataflow, acc{wrong[0]}: its coefficients differ from the matrix; {len(wrong)} of {dataflow.outputs} outputs differ")


def low_high(dataflow: Dataflow, low: ArrayLike, high: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the minimum and maximum of each value, inputs first (inputs + temporaries,), for inputs from `low` to `high` (inputs,).

    Both bounds are reached, even if the operands share inputs, because they are sums over the inputs of coefficient times bound.
    Interval addition of the operands would be too wide wherever the operands share an input that cancels.
    """
    lowest, highest = (np.broadcast_to(np.asarray(bound, np.int64), dataflow.inputs) for bound in (low, high))
    result = np.zeros((2, dataflow.inputs + dataflow.temporaries), np.int64)
    for start, block in _coefficients(dataflow):
        part = slice(start, start + block.shape[1])
        rising, falling = np.maximum(block, 0).astype(np.int64), np.minimum(block, 0).astype(np.int64)
        result[0] += rising @ lowest[part] + falling @ highest[part]
        result[1] += rising @ highest[part] + falling @ lowest[part]
    return result[0], result[1]


def _coefficients(dataflow: Dataflow) -> Iterator[tuple[int, Integers]]:
    """Yield blocks of inputs: the number of the first, and the coefficients of the block's inputs in every value (values, block)."""
    step = max(_BLOCK // max(dataflow.inputs + dataflow.temporaries, 1), 1)
    for start in range(0, dataflow.inputs, step):
        stop = min(start + step, dataflow.inputs)
        block = np.zeros((dataflow.inputs + dataflow.temporaries, stop - start), np.int32)
        block[np.arange(start, stop), np.arange(stop - start)] = 1
        if not _expand(dataflow.left, dataflow.right, dataflow.minus, block):
            raise ValueError("dataflow: the coefficient of a temporary does not fit in 32 bits")
        yield start, block


@compiled
def _expand(left: Integers, right: Integers, minus: Flags, block: Integers) -> bool:
    """Fill in the rows of the temporaries, and return whether all coefficients fit in 32 bits."""
    inputs = len(block) - len(left)
    for index in range(len(left)):
        sign = -1 if minus[index] else 1
        for column in range(block.shape[1]):
            value = np.int64(block[left[index], column]) + sign * np.int64(block[right[index], column])
            if abs(value) > 2147483647:
                return False
            block[inputs + index, column] = value
    return True


def _lines(dataflow: Dataflow) -> Iterator[str]:
    """Yield the lines of the text form."""
    names = [f"x{number}" for number in range(dataflow.inputs)] + [f"t{dataflow.inputs + index}" for index in range(dataflow.temporaries)]
    yield f"dataflow {dataflow.inputs} inputs {dataflow.outputs} outputs"
    operands = zip(dataflow.left.tolist(), dataflow.right.tolist(), dataflow.minus.tolist(), strict=True)
    for index, (left, right, minus) in enumerate(operands, dataflow.inputs):
        yield f"{names[index]} = {names[left]} {'-' if minus else '+'} {names[right]}"
    term, negative, first = dataflow.term.tolist(), dataflow.negative.tolist(), dataflow.first.tolist()
    for output in range(dataflow.outputs):
        for place in range(first[output], first[output + 1]):
            yield f"acc{output} {'-' if negative[place] else '+'}= {names[term[place]]}"


def parse_dataflow(text: str) -> Dataflow:
    """Return the dataflow of a text. Accumulations may come in any order. Raises ValueError with the number of the invalid line."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    header = _HEADER.fullmatch(lines[0][1]) if lines else None
    if not header:
        raise ValueError("dataflow text, line 1: expected 'dataflow N inputs M outputs'")
    inputs, outputs = int(header[1]), int(header[2])
    temporaries: list[tuple[int, int, bool]] = []
    accumulations: list[tuple[int, int, bool]] = []
    for number, line in lines[1:]:
        known = (inputs, inputs + len(temporaries))
        try:
            if match := _TEMPORARY.fullmatch(line):
                if int(match[1]) != known[1]:
                    raise ValueError(f"t{match[1]} is out of order; the next temporary is t{known[1]}")
                temporaries.append((_value(match[2], known), _value(match[4], known), match[3] == "-"))
            elif (match := _ACCUMULATION.fullmatch(line)) and int(match[1]) < outputs:
                accumulations.append((int(match[1]), _value(match[3], known), match[2] == "-"))
            else:
                raise ValueError(f"{line!r} is not 'tN = a + b', 'tN = a - b', 'accN += a' or 'accN -= a' with N below {outputs}")
        except ValueError as problem:
            raise ValueError(f"dataflow text, line {number}: {problem}") from problem
    accumulations.sort(key=lambda accumulation: accumulation[0])
    left, right, minus = np.array(temporaries, np.int32).reshape(-1, 3).T.copy()
    owner, term, negative = np.array(accumulations, np.int32).reshape(-1, 3).T.copy()
    return Dataflow(inputs, outputs, left, right, minus.astype(bool), _starts(owner, outputs), term, negative.astype(bool))


def _value(name: str, known: tuple[int, int]) -> int:
    """Return the number of a value: x0, x1 ... are the inputs, and temporaries are named by number. Raises ValueError for any other name."""
    number = int(name[1:])
    if not (0 <= number < known[0] if name[0] == "x" else known[0] <= number < known[1]):
        raise ValueError(f"{name} is not defined here; inputs are x0 to x{known[0] - 1}, temporaries t{known[0]} to t{known[1] - 1}")
    return number


def _starts(owner: NDArray[np.integer], outputs: int) -> Integers:
    """Return where the terms of each output start (outputs + 1,), for terms ordered by output."""
    return np.searchsorted(owner, np.arange(outputs + 1)).astype(np.int32)
