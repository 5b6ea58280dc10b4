"""Einstein sums: diagonals, sums, transpositions, and one batched product for each pair of operands."""

from __future__ import annotations

from math import prod

from crossloom.network.onnx_rules.matrix import matmul
from crossloom.network.onnx_rules.table import Lowering, rule
from crossloom.network.operators import Reduce, Slice, Transpose


@rule("Einsum")
def einsum(low: Lowering, *operands: str, equation: str) -> str:
    """The operands are contracted from left to right; a letter goes as soon as nothing on the right needs it."""
    terms, output = _letters(low, equation, operands)
    x, term = _reduced(low, operands[0], terms[0], "".join(terms[1:]) + output)
    for i, operand in enumerate(operands[1:], 1):
        later = "".join(terms[i + 1 :]) + output
        y, other = _reduced(low, operand, terms[i], term + later)
        x, term = _reduced(low, x, term, other + later)
        x, term = _pair(low, x, y, term, other, later)
    return low.add(Transpose(tuple(term.index(letter) for letter in output)), x)


def _letters(low: Lowering, equation: str, operands: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the output; an ellipsis becomes capital letters that nothing else uses."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [chr(c) for c in range(ord("A"), ord("Z") + 1) if chr(c) not in equation]
    counts = [low.dims(x) - len(term.replace("...", "")) for x, term in zip(operands, terms, strict=True) if "..." in term]
    dots = "".join(free[: max(counts, default=0)])
    if any(count != len(dots) for count in counts):
        raise NotImplementedError("an ellipsis that stands for different numbers of dimensions")
    if not arrow:
        singles = sorted(letter for letter in set(left) - set(",.") if left.count(letter) == 1)
        output = ("..." if dots else "") + "".join(singles)
    return [term.replace("...", dots) for term in terms], output.replace("...", dots)


def _reduced(low: Lowering, x: str, term: str, needed: str) -> tuple[str, str]:
    """Take diagonals of repeated letters and sum over letters that nothing else has."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            x, term = _diagonal(low, x, term, letter)
    gone = tuple(i for i, letter in enumerate(term) if letter not in needed)
    if gone:
        x, term = low.add(Reduce("sum", gone), x), "".join(letter for letter in term if letter in needed)
    return x, term


def _diagonal(low: Lowering, x: str, term: str, letter: str) -> tuple[str, str]:
    """Move the first two dimensions of a letter to the end, merge them and keep every (size + 1)-th element."""
    i = term.index(letter)
    j = term.index(letter, i + 1)
    rest = [k for k in range(len(term)) if k not in (i, j)]
    shape = low.shape(x)
    moved = low.add(Transpose((*rest, i, j)), x)
    flat = low.reshape(moved, [*(shape[k] for k in rest), shape[i] ** 2])
    return low.add(Slice(len(rest), 0, None, shape[i] + 1), flat), "".join(term[k] for k in rest) + letter


def _pair(low: Lowering, x: str, y: str, a: str, b: str, needed: str) -> tuple[str, str]:
    sizes = dict(zip(a, low.shape(x), strict=True))
    if any(sizes.get(letter, size) != size for letter, size in zip(b, low.shape(y), strict=True)):
        raise NotImplementedError("dimensions of size one that repeat for a letter")
    sizes |= dict(zip(b, low.shape(y), strict=True))
    batch = [s for s in a if s in b and s in needed]
    summed = [s for s in a if s in b and s not in needed]
    rows, columns = [s for s in a if s not in b], [s for s in b if s not in a]

    def arranged(tensor: str, term: str, *groups: list[str]) -> str:
        tensor = low.add(Transpose(tuple(term.index(s) for group in groups for s in group)), tensor)
        return low.reshape(tensor, [*(sizes[s] for s in groups[0]), *(prod(sizes[s] for s in group) for group in groups[1:])])

    product = matmul(low, arranged(x, a, batch, rows, summed), arranged(y, b, batch, summed, columns))
    order = [*batch, *rows, *columns]
    return low.reshape(product, [sizes[s] for s in order]), "".join(order)
