"""Einstein sums for every importer, built from diagonals, sums, transpositions and one batched product per pair of operands.

Each importer has its own names or references for tensors; here a tensor is any `T` that the importer can add nodes to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Generic, Protocol, TypeVar

from crossloom.network.operators import Operator, Reduce, Slice, Transpose

T = TypeVar("T")


class Steps(Protocol[T]):
    """The operations that an importer provides: adding nodes and looking up shapes."""

    def add(self, op: Operator, /, *inputs: T) -> T:
        """Return the result of a node."""

    def shape(self, x: T, /) -> tuple[int, ...]:
        """Return a tensor's shape."""

    def reshape(self, x: T, shape: list[int], /) -> T:
        """Return a tensor in another shape."""


@dataclass(frozen=True, slots=True)
class _Term(Generic[T]):
    """A tensor and a letter for each of its dimensions."""

    x: T
    letters: str


def einstein_sum(low: Steps[T], equation: str, operands: Sequence[T], product: Callable[[T, T], T], known: Callable[[T], bool]) -> T:
    """Return the sum as one of the importer's tensors.

    Operands are joined from left to right. A letter is summed over as soon as neither the output nor a later operand needs it.
    `product` is a batched matrix product. If only one of two operands is `known`, it goes to the right, where it can be a weight.
    """
    spelled, output = _spelled(equation, [len(low.shape(x)) for x in operands])
    first, *rest = _meeting(low, [_diagonal(low, _Term(x, letters)) for x, letters in zip(operands, spelled, strict=True)])
    for i, other in enumerate(rest, 1):
        later = output + "".join(term.letters for term in rest[i:])
        other = _summed(low, other, first.letters + later)
        first = _summed(low, first, other.letters + later)
        pair = (other, first) if known(first.x) and not known(other.x) else (first, other)
        first = _joined(low, *pair, later, product)
    return _arranged(low, _summed(low, first, output), output).x


def _spelled(equation: str, dims: list[int]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result; an ellipsis becomes capital Greek letters, from the last dimension backwards.

    Raises ValueError if an operand's number of dimensions differs from its number of letters.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    counts = [n - len(term.replace("...", "")) if "..." in term else 0 for term, n in zip(terms, dims, strict=True)]
    if not arrow:
        letters = inputs.replace(".", "").replace(",", "")
        output = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    spelled = [term.replace("...", _greek(n)) for term, n in zip(terms, counts, strict=True)]
    if any(len(letters) != n for letters, n in zip(spelled, dims, strict=True)):
        raise ValueError(f"{equation!r} does not fit tensors of {', '.join(map(str, dims))} dimensions")
    return spelled, output.replace("...", _greek(max(counts)))


def _greek(count: int) -> str:
    return "".join(chr(ord("Α") + i) for i in reversed(range(count)))


def _diagonal(low: Steps[T], term: _Term[T]) -> _Term[T]:
    """Take the diagonal of repeated letters: merge two dimensions into one and keep every (size + 1)-th element."""
    for letter in dict.fromkeys(term.letters):
        while term.letters.count(letter) > 1:
            i = term.letters.index(letter)
            j = term.letters.index(letter, i + 1)
            shape = low.shape(term.x)
            rest = [k for k in range(len(shape)) if k not in (i, j)]
            flat = low.reshape(low.add(Transpose((*rest, i, j)), term.x), [*(shape[k] for k in rest), shape[i] * shape[j]])
            x = low.add(Slice(len(rest), 0, None, shape[i] + 1), flat)
            term = _Term(x, "".join(term.letters[k] for k in rest) + letter)
    return term


def _meeting(low: Steps[T], terms: list[_Term[T]]) -> list[_Term[T]]:
    """Return the operands without dimensions of size 1 that meet a longer one, since they only broadcast."""
    sizes: dict[str, int] = {}
    for term in terms:
        for letter, size in zip(term.letters, low.shape(term.x), strict=True):
            sizes[letter] = max(size, sizes.get(letter, size))
    return [_without(low, term, {c for c, n in zip(term.letters, low.shape(term.x), strict=True) if n == 1 != sizes[c]}) for term in terms]


def _without(low: Steps[T], term: _Term[T], gone: set[str]) -> _Term[T]:
    if not gone:
        return term
    kept = [i for i, letter in enumerate(term.letters) if letter not in gone]
    shape = low.shape(term.x)
    return _Term(low.reshape(term.x, [shape[i] for i in kept]), "".join(term.letters[i] for i in kept))


def _summed(low: Steps[T], term: _Term[T], needed: str) -> _Term[T]:
    """Sum over the letters that nothing else needs."""
    gone = tuple(i for i, letter in enumerate(term.letters) if letter not in needed)
    return _Term(low.add(Reduce("sum", gone), term.x), "".join(c for c in term.letters if c in needed)) if gone else term


def _joined(low: Steps[T], left: _Term[T], right: _Term[T], needed: str, product: Callable[[T, T], T]) -> _Term[T]:
    """Multiply two operands. Shared letters that are needed later are batch dimensions; the other shared letters are summed over."""
    sizes = dict(zip(left.letters + right.letters, low.shape(left.x) + low.shape(right.x), strict=True))
    shared = [c for c in left.letters if c in right.letters]
    batch, summed = [c for c in shared if c in needed], [c for c in shared if c not in needed]
    rows, columns = [c for c in left.letters if c not in shared], [c for c in right.letters if c not in shared]

    def grouped(term: _Term[T], *groups: list[str]) -> T:
        x = _arranged(low, term, "".join(c for group in (batch, *groups) for c in group)).x
        return low.reshape(x, [*(sizes[c] for c in batch), *(prod(sizes[c] for c in group) for group in groups)])

    y = product(grouped(left, rows, summed), grouped(right, summed, columns))
    letters = [*batch, *rows, *columns]
    return _Term(low.reshape(y, [sizes[c] for c in letters]), "".join(letters))


def _arranged(low: Steps[T], term: _Term[T], letters: str) -> _Term[T]:
    """Transpose the dimensions into the order of their letters."""
    return term if letters == term.letters else replace(term, x=low.add(Transpose(tuple(map(term.letters.index, letters))), term.x), letters=letters)
