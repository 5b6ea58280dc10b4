"""Output currents for many inputs: conjugate gradients with inputs side by side in registers, or the whole matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossloom.circuit import Stack, Wires, currents, matrix, planar, solve, transfer
from crossloom.circuit.solve import Unsolved
from crossloom.errors import InputError
from crossloom.kernels.lanes import LANES
from tests.test_circuit import nodal, stacks

WIRES = Wires(word_ohm=2.5, bit_ohm=2.5, source_ohm=50, sense_ohm=50)
SHORTED = Stack(torch.full((1, 5, 5), 1.0, dtype=torch.float64), Wires(word_ohm=100.0, bit_ohm=100.0, word_ends="both", bit_ends="both"))


def cells(*shape: int, seed: int = 0, lowest: float = -6.0) -> Tensor:
    """Return conductances between 10**lowest and 1e-4 S."""
    draws = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return 10.0 ** (lowest + (-4 - lowest) * draws)


def volts(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 0.3


@settings(max_examples=150, deadline=None)
@given(stacks(), st.integers(1, 2 * LANES + 1), st.integers(0, 1000))
@example(SHORTED, 9, 0)
def test_they_are_those_of_the_nodal_equations(stack: Stack, inputs: int, seed: int) -> None:
    """Whatever the wires, the layers, and the cells: open, shorted, or between."""
    given = volts(stack.word_planes, stack.rows, inputs, seed=seed)
    want = torch.einsum("bjwi,wik->bjk", nodal(stack), given)
    have = currents(stack, given)
    assert float((have - want).abs().max()) <= 1e-9 * float(want.abs().max()) + 1e-18


@pytest.mark.parametrize("shape", [(128, 128), (96, 17), (17, 96), (1, 40), (40, 1)])
@pytest.mark.parametrize("ohm", [0.1, 1.0, 20.0])
def test_they_are_those_of_the_matrix_and_of_one_input_alone(shape: tuple[int, int], ohm: float) -> None:
    tile = planar(cells(*shape), Wires(word_ohm=ohm, bit_ohm=2 * ohm, source_ohm=30.0, bit_ends="both"))
    given = volts(shape[0], 20)
    have = currents(tile, given)
    want = transfer(tile)[0, :, 0] @ given
    assert float(((have - want).abs() / want.abs().max(0).values).max()) < 1e-9
    alone = solve(tile, given[:, 3]).output_a[0]
    assert float((have[:, 3] - alone).abs().max() / alone.abs().max()) < 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3 * LANES), st.data())
def test_no_input_depends_on_others_beside_it(inputs: int, data: st.DataObject) -> None:
    """To the last bit, though others in the same register take more iterations: one drives a single word line, the sizes differ widely."""
    tile = planar(cells(24, 18), Wires(word_ohm=40.0, bit_ohm=40.0))
    given = volts(24, inputs) * 10.0 ** torch.arange(inputs)
    given[:, 0] = 0.0
    given[-1, 0] = 1.0
    one = data.draw(st.integers(0, inputs - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossloom.circuit.many._whole_s", lambda tile: float("inf"))
        assert torch.equal(currents(tile, given)[:, one], currents(tile, given[:, one : one + 1])[:, 0])


def test_no_result_depends_on_threads() -> None:
    tile, given, before = planar(cells(40, 30), WIRES), volts(40, 50), torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(currents(tile, given))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@pytest.mark.parametrize("lowest", [-6.0, -9.0])
def test_a_matrix_is_right_in_its_small_elements_too(lowest: float) -> None:
    conductance = cells(80, 60, lowest=lowest)
    conductance[torch.rand(80, 60, generator=torch.Generator().manual_seed(2)) < 0.02] = 0.0
    tile = planar(conductance, WIRES)
    want = transfer(tile)
    have = matrix(tile)
    assert have.shape == want.shape
    assert float((have / want - 1).abs().max()) < 1e-9
    assert float((have - want).abs().max() / want.max()) < 1e-12


@pytest.mark.parametrize("siemens", [1.0, 1e3, 1e6, 1e12])
def test_cells_may_be_shorted_however_well(siemens: float) -> None:
    conductance = cells(12, 9)
    conductance[torch.rand(12, 9, generator=torch.Generator().manual_seed(1)) < 0.2] = siemens
    tile, given = planar(conductance, Wires(word_ohm=1.0, bit_ohm=1.0)), volts(12, 5)
    want = transfer(tile)[0, :, 0] @ given
    assert float((currents(tile, given) - want).abs().max() / want.abs().max()) < 1e-10


def test_lists_are_volts() -> None:
    tile = planar(cells(3, 2), WIRES)
    assert torch.equal(currents(tile, [[1, 0], [0, 1], [1, 1]]), currents(tile, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])))  # type: ignore[arg-type]


def test_inputs_without_volts_and_cells_without_conductance_carry_nothing() -> None:
    tile = planar(cells(10, 8), WIRES)
    given = volts(10, 3)
    given[:, 1] = 0.0
    found = currents(tile, given)
    assert not found[:, 1].any() and found[:, [0, 2]].any()
    assert not currents(planar(torch.zeros(10, 8), WIRES), given).any()
    assert currents(tile, given[:, :0]).shape == (8, 0)


def test_where_wires_weigh_more_the_matrix_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two it is shows in the last bits alone."""
    tile, given = planar(cells(32, 32, lowest=-4.5), Wires(word_ohm=200.0, bit_ohm=200.0)), volts(32, 400)
    want = transfer(tile)[0, :, 0] @ given
    assert torch.equal(currents(tile, given), want)
    monkeypatch.setattr("crossloom.circuit.many._whole_s", lambda tile: float("inf"))
    iterated = currents(tile, given)
    assert not torch.equal(iterated, want)
    assert float((iterated - want).abs().max() / want.abs().max()) < 1e-9


@pytest.mark.parametrize(
    ("stack", "given", "problem"),
    [
        (Stack(cells(2, 1, 4, 3)), volts(1, 4, 2), "one tile at a time"),
        (planar(cells(4, 3)), volts(5, 2), r"of shape \(1, 4\) \(word planes, rows\) and an axis of inputs, got \[5, 2\]"),
        (planar(cells(4, 3)), torch.full((4, 2), torch.nan), "must be finite"),
        (planar(cells(4, 3)), volts(4), r"got \[4\]"),
        (Stack(cells(2, 4, 3)), volts(4, 2), r"of shape \(2, 4\)"),
    ],
)
def test_wrong_inputs(stack: Stack, given: Tensor, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        currents(stack, given)


def test_what_does_not_converge_says_so() -> None:
    with pytest.raises(Unsolved, match="no solution of a 16 x 16 crossbar after 2000 iterations"):
        currents(planar(cells(16, 16), WIRES), volts(16, 2), tolerance=float("nan"))
