"""CrossStack's claims: the circuits behind them against closed forms for small drops."""

from __future__ import annotations

import pytest
import torch

from crossloom.circuit import Stack, Wires, solve
from crossloom.papers import reproduce
from crossloom.papers.crossstack import claims, reduction, resistive_ratio, stacked, worst_drop


def triangle(n: int) -> float:
    return n * (n + 1) / 2


@pytest.mark.parametrize(("inputs", "columns"), [(8, 8), (10, 10), (20, 10), (16, 5), (64, 64)])
def test_small_drops_are_sums_along_the_wires(inputs: int, columns: int) -> None:
    """The worst cell loses Σ of the currents that share its wires: columns along its word line, rows along its bit line, twice as many in a stack."""
    ratio = 1e-7
    planar, two = (worst_drop(stacked(inputs, columns, ratio, layers)) for layers in (1, 2))
    assert planar / ratio == pytest.approx(triangle(columns) + triangle(inputs), rel=1e-3)
    assert two / ratio == pytest.approx(triangle(columns) + 2 * triangle(inputs // 2), rel=1e-3)


def test_published_readings() -> None:
    assert reduction(10, 10, 1e-6, False) == pytest.approx(0.227, abs=5e-4)
    assert reduction(10, 10, 1e-6, True) == pytest.approx(0.214, abs=5e-4)
    assert reduction(20, 20, 1e-6, False) == pytest.approx(0.238, abs=5e-4)
    assert reduction(64, 64, 1e-6, False) == pytest.approx(0.245, abs=5e-4)
    assert reduction(20, 10, 1e-6, False) == pytest.approx(0.377, abs=5e-4)
    assert resistive_ratio() == pytest.approx(201, abs=1)


def test_every_claim_has_a_verdict_and_says_what_was_assumed() -> None:
    found = claims()
    assert {claim.verdict for claim in found} == {"match", "near", "miss", "unverifiable"}
    assert all(claim.free_parameters for claim in found if claim.published is not None)
    assert reproduce("crossstack")[0].verdict == "miss"


def test_a_looked_for_parameter_is_no_reproduction() -> None:
    assert next(claim for claim in claims() if claim.id.endswith("ratio")).verdict == "unverifiable"


def test_the_picture_of_a_stack() -> None:
    pytest.importorskip("matplotlib")
    from crossloom.report.circuits import draw_state

    stack = Stack(10 ** (torch.rand(2, 6, 5, dtype=torch.float64) * 2 - 6), Wires(word_ohm=5.0, bit_ohm=5.0))
    volts = torch.rand(2, 6, dtype=torch.float64)
    figure = draw_state(stack, solve(stack, volts), volts)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "layer 1: volts across each cell" in titles
    assert titles.count("current, share of ideal") == 2
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(maps) == 4
    assert all(image.shape == (6, 5) for image in maps)
