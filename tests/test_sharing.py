"""Common subexpressions of ternary matrices: what is shared computes the matrix, fast equals plain, and little is left to gain."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossloom.engine.associative.compile.dataflow import Dataflow, low_high, parse_dataflow, unrolled, verify
from crossloom.engine.associative.compile.sharing import lower_bound, share
from crossloom.engine.associative.compile.sharing.distinct import distinct
from crossloom.engine.associative.compile.sharing.reference import share_plainly
from crossloom.engine.associative.compile.sharing.search import FEW_INPUTS, exchanged, nearest
from crossloom.engine.associative.compile.sharing.weave import woven

Matrix = NDArray[np.int8]
DRAWS = 50


def random_matrix(inputs: int, outputs: int, seed: int, nonzero: float = 0.2) -> Matrix:
    """Entries that are not zero with some probability, of either sign."""
    rng = np.random.default_rng(seed)
    return ((rng.random((outputs, inputs)) < nonzero) * rng.choice([-1, 1], (outputs, inputs))).astype(np.int8)


@st.composite
def matrices(draw: st.DrawFn, most_inputs: int = 30, most_outputs: int = 30) -> Matrix:
    """Any shape and density; some rows are others again, or their negatives, and some are empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(0, most_outputs)), draw(st.integers(1, most_inputs))
    matrix = ((rng.random(shape) < draw(st.floats(0, 1))) * rng.choice([-1, 1], shape)).astype(np.int8)
    for row in range(shape[0]):
        if draw(st.sampled_from((False, False, True))):
            matrix[row] = draw(st.sampled_from((-1, 0, 1))) * matrix[rng.integers(shape[0])]
    return matrix


@given(matrices(), st.sampled_from((0.0, 1.0, 20.0)))
def test_what_is_shared_computes_the_matrix(matrix: Matrix, effort: float) -> None:
    rooted, loose = share(matrix, effort=effort), share(matrix, roots=False, effort=effort)
    verify(rooted, matrix)
    verify(loose, matrix)
    filled = matrix.any(axis=1)
    assert np.diff(rooted.first).tolist() == filled.astype(int).tolist()
    assert loose.operations == rooted.operations <= unrolled(matrix).operations
    assert loose.temporaries <= rooted.temporaries
    assert rooted.temporaries >= lower_bound(matrix)


@given(matrices(most_inputs=9, most_outputs=16), st.booleans())
def test_values_sought_from_what_is_wanted_are_those_of_the_reference(matrix: Matrix, roots: bool) -> None:
    number, negative, rows = distinct(matrix)
    assert woven(nearest(rows), number, negative, roots) == share_plainly(matrix, roots, few=True)


@given(matrices(most_inputs=16, most_outputs=12), st.booleans())
def test_pairs_taken_out_are_those_of_the_reference(matrix: Matrix, roots: bool) -> None:
    number, negative, rows = distinct(matrix)
    assert woven(exchanged(rows, 0), number, negative, roots) == share_plainly(matrix, roots, few=False)


@given(matrices(most_inputs=24))
def test_exchanging_never_costs_and_always_ends_the_same(matrix: Matrix) -> None:
    number, negative, rows = distinct(matrix)
    plain, better, again = (woven(exchanged(rows, effort), number, negative, True) for effort in (0, 30, 30))
    verify(better, matrix)
    assert better.operations <= plain.operations
    assert better == again


@given(matrices(most_inputs=6, most_outputs=12))
def test_a_row_that_several_outputs_want_is_one_value(matrix: Matrix) -> None:
    number, negative, _ = distinct(np.concatenate((matrix, -matrix)))
    dataflow = share(np.concatenate((matrix, -matrix)), roots=False)
    for output in np.flatnonzero(matrix.any(axis=1)).tolist():
        one, other = dataflow.first[output], dataflow.first[output + len(matrix)]
        assert dataflow.first[output + 1] == one + 1
        assert dataflow.term[one] == dataflow.term[other]
        assert dataflow.negative[one] != dataflow.negative[other]
        assert number[output] == number[output + len(matrix)]
        assert negative[output] != negative[output + len(matrix)]


def test_rows_used_once_are_accumulated_term_by_term_without_roots() -> None:
    matrix = np.array([[1, 1, 1, 0], [1, 1, 0, -1]])
    assert str(share(matrix, roots=False)).splitlines()[1:] == ["t4 = x0 + x1", "acc0 += x2", "acc0 += t4", "acc1 -= x3", "acc1 += t4"]
    assert str(share(matrix)).splitlines()[1:] == ["t4 = x0 + x1", "t5 = x2 + t4", "t6 = t4 - x3", "acc0 += t5", "acc1 += t6"]


def test_terms_cancel_where_that_saves_an_addition() -> None:
    """x0 - x1 + x3 is the last row minus the first, where x2 cancels; no pair of terms of it occurs elsewhere."""
    matrix = np.array([[0, 0, 1, -1], [0, 1, -1, 0], [1, -1, 0, 1], [1, -1, 1, 0]])
    assert share(matrix).temporaries == lower_bound(matrix) == 4
    assert share_plainly(matrix, few=False).temporaries == 5


@pytest.mark.parametrize(("outputs", "above"), [(64, 6.5), (128, 4.7), (256, 2.5), (512, 1.0)])
def test_nine_inputs_are_shared_almost_as_well_as_possible(outputs: int, above: float) -> None:
    drawn = [random_matrix(9, outputs, seed) for seed in range(DRAWS)]
    dataflows = [share(matrix) for matrix in drawn]
    for matrix, dataflow in zip(drawn, dataflows, strict=True):
        verify(dataflow, matrix)
    bound = np.mean([lower_bound(matrix) for matrix in drawn])
    assert bound == pytest.approx(expected_bound(9, outputs), rel=0.02)
    assert np.mean([dataflow.temporaries for dataflow in dataflows]) <= bound + above


def expected_bound(inputs: int, rows: int, nonzero: float = 0.2) -> float:
    """The mean number of distinct rows with at least two non-zeros, by the formula in the package's docstring."""
    kinds = ((comb(inputs, k) * 2 ** (k - 1), 2 * (nonzero / 2) ** k * (1 - nonzero) ** (inputs - k)) for k in range(2, inputs + 1))
    return sum(count * (1 - (1 - chance) ** rows) for count, chance in kinds)


@pytest.mark.parametrize(("inputs", "draws", "saving"), [(18, 2, 0.40), (36, 8, 0.395), (72, 3, 0.425), (144, 2, 0.45), (288, 1, 0.475)])
def test_wider_slices_save_more_than_their_peers(inputs: int, draws: int, saving: float) -> None:
    """The best published greedy saves 0.376 at 36 inputs and 0.437 at 144, of 512 outputs."""
    drawn = [random_matrix(inputs, 512, seed) for seed in range(draws)]
    dataflows = [share(matrix) for matrix in drawn]
    for matrix, dataflow in zip(drawn, dataflows, strict=True):
        verify(dataflow, matrix)
    assert 1 - sum(dataflow.operations for dataflow in dataflows) / sum(map(np.count_nonzero, drawn)) >= saving


def test_effort_saves_more() -> None:
    matrix = random_matrix(36, 512, 0)
    operations = [share(matrix, effort=effort).operations for effort in (0, 1, 10)]
    assert operations[0] - 40 > operations[1] > operations[2] + 20


def test_wide_matrices_are_worked_on_from_the_other_side() -> None:
    matrix = random_matrix(300, 40, 0)
    dataflow = share(matrix)
    verify(dataflow, matrix)
    number, negative, rows = distinct(matrix)
    assert dataflow.operations < 0.75 * unrolled(matrix).operations
    assert dataflow == woven(exchanged(rows, 1), number, negative, True)


def test_two_threads_share_as_one_does() -> None:
    drawn = [random_matrix(inputs, 100, inputs) for inputs in (9, 40, 9, 40)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(share, drawn)) == [share(matrix) for matrix in drawn]


def test_interpreted_kernels_do_the_same_and_stay_within_their_arrays() -> None:
    """Compiled code does not check indices; Python does."""
    text = "from tests.test_sharing import *; print(*(share(random_matrix(*shape, 1), effort=2) for shape in ((20, 14), (22, 5), (20, 0))), sep='', end='')"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", text], env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "".join(str(share(random_matrix(*shape, 1), effort=2)) for shape in ((20, 14), (22, 5), (20, 0)))


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [([[0, 2]], "output 0, input 1: expected -1, 0 or 1, got 2"), ([[0.0], [0.5]], "output 1, input 0: .* got 0.5"), ([1, 0], "got 1 dimensions")],
)
def test_what_is_not_ternary_is_refused(matrix: list[list[int]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        share(matrix)


@given(matrices(most_inputs=12))
def test_text_prints_and_parses(matrix: Matrix) -> None:
    for dataflow in (share(matrix), share(matrix, roots=False), unrolled(matrix)):
        assert parse_dataflow(str(dataflow)) == dataflow


def test_accumulations_may_be_parsed_in_any_order() -> None:
    text = "dataflow 2 inputs 2 outputs\n\n acc1 -= x1\n t2 = x0 - x1\n acc0 += t2\n acc1 += t2\n"
    assert str(parse_dataflow(text)) == "dataflow 2 inputs 2 outputs\nt2 = x0 - x1\nacc0 += t2\nacc1 -= x1\nacc1 += t2\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("t2 = x0 * x1", "line 2: 't2 = x0 \\* x1' is not"),
        ("t3 = x0 + x1", "line 2: t3 is out of order; the next temporary is t2"),
        ("t2 = x0 + x2", "line 2: x2 is not defined here"),
        ("t2 = x0 + t2", "line 2: t2 is not defined here"),
        ("acc0 += t1", "line 2: t1 is not defined here"),
        ("acc2 += x0", "line 2: 'acc2 \\+= x0' is not .* N below 2"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_dataflow(f"dataflow 2 inputs 2 outputs\n{line}\n")


def test_a_text_without_header_is_refused() -> None:
    for text in ("", "t2 = x0 + x1\n"):
        with pytest.raises(ValueError, match="line 1: expected 'dataflow N inputs M outputs'"):
            parse_dataflow(text)


def test_a_wrong_dataflow_is_found() -> None:
    matrix = random_matrix(9, 20, 0)
    text = str(share(matrix))
    assert "acc13 -= " in text
    with pytest.raises(ValueError, match="acc13: its coefficients differ from the matrix; 1 of 20"):
        verify(parse_dataflow(text.replace("acc13 -=", "acc13 +=")), matrix)
    with pytest.raises(ValueError, match=r"20 outputs and 9 inputs: the matrix is \(9, 20\)"):
        verify(share(matrix), matrix.T)


def test_operands_are_defined_before_their_use() -> None:
    one, none = np.ones(1, np.int32), np.zeros(0, np.int32)
    with pytest.raises(ValueError, match="not defined before its use"):
        Dataflow(1, 0, one, 0 * one, one > 0, np.zeros(1, np.int32), none, none > 0)
    with pytest.raises(ValueError, match="different lengths"):
        Dataflow(1, 0, none, none, none > 0, np.zeros(2, np.int32), none, none > 0)


def test_coefficients_beyond_32_bits_are_refused() -> None:
    doubled = "".join(f"t{n} = {'x0' if n == 1 else f't{n - 1}'} + {'x0' if n == 1 else f't{n - 1}'}\n" for n in range(1, 32))
    assert parse_dataflow(f"dataflow 1 inputs 1 outputs\n{doubled[: doubled.index('t31')]}acc0 += t30\n").matrix().tolist() == [[1 << 30]]
    with pytest.raises(ValueError, match="temporary does not fit in 32 bits"):
        parse_dataflow(f"dataflow 1 inputs 1 outputs\n{doubled}").matrix()
    with pytest.raises(ValueError, match="output does not fit in 32 bits"):
        parse_dataflow(f"dataflow 1 inputs 1 outputs\n{doubled[: doubled.index('t31')]}" + "acc0 += t30\n" * 2).matrix()


@settings(max_examples=40)
@given(matrices(most_inputs=6, most_outputs=10), st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9)), min_size=6, max_size=6))
def test_ranges_are_reached_and_never_left(matrix: Matrix, bounds: list[tuple[int, int]]) -> None:
    dataflow = share(matrix)
    low = np.array([start for start, _ in bounds])[: dataflow.inputs]
    high = low + np.array([length for _, length in bounds])[: dataflow.inputs]
    corners = [values_of(dataflow, corner) for corner in product(*zip(low.tolist(), high.tolist(), strict=True))]
    found = low_high(dataflow, low, high)
    assert found[0].tolist() == np.min(corners, axis=0).tolist()
    assert found[1].tolist() == np.max(corners, axis=0).tolist()


def values_of(dataflow: Dataflow, inputs: tuple[int, ...]) -> list[int]:
    """All values, computed one after the other."""
    values = list(inputs)
    for left, right, minus in zip(dataflow.left.tolist(), dataflow.right.tolist(), dataflow.minus.tolist(), strict=True):
        values.append(values[left] - values[right] if minus else values[left] + values[right])
    return values


def test_operands_that_share_an_input_have_exact_ranges() -> None:
    dataflow = parse_dataflow("dataflow 3 inputs 1 outputs\nt3 = x0 + x1\nt4 = x1 + x2\nt5 = t3 - t4\nacc0 += t5\n")
    assert [bound[5] for bound in low_high(dataflow, 0, 15)] == [-15, 15]


def test_methods_meet_where_one_takes_over() -> None:
    for inputs in (FEW_INPUTS, FEW_INPUTS + 1):
        verify(share(random_matrix(inputs, 60, 0)), random_matrix(inputs, 60, 0))


def test_less_effort_costs_few_more_operations() -> None:
    """Of what large linear layers have many of: 16 inputs and 1024 outputs."""
    matrix = random_matrix(16, 1024, 0)
    thorough, brief = share(matrix), share(matrix, effort=0.05)
    verify(brief, matrix)
    assert thorough.operations < brief.operations < 1.15 * thorough.operations
