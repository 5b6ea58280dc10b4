"""Cells: check values of the published models, and what holds for any cell."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossloom.device import Cell, cell, cells
from crossloom.device.faults import CHEN_2015, Faults
from crossloom.device.iv import Cubic, Ohmic, Sinh
from crossloom.device.programming import Gaussian, LogNormal
from crossloom.device.reading import Physical
from crossloom.device.time import CellState
from crossloom.errors import InputError

HOUR, DAY = 3600.0, 86400.0


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def state(conductance: float, pace: float) -> CellState:
    return CellState(numbers(conductance), numbers(conductance), numbers(0.0), numbers(pace))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pcm_programming() -> None:
    found = cell("pcm").programming.sigma(numbers(0, 0.25, 0.5, 1) * 25e-6, 25e-6)
    torch.testing.assert_close(found * 1e6, numbers(0.263, 0.681, 0.953, 1.055), rtol=0, atol=5.1e-4)


def test_pcm_agrees_with_the_other_fit_of_the_same_measurements() -> None:
    """CrossSim's fit of Joshi's measurements: σ = −0.00178767·G² + 0.07585724·G + 0.28638599 µS."""
    g = torch.linspace(0, 25, 101, dtype=torch.float64)
    other = -0.00178767 * g**2 + 0.07585724 * g + 0.28638599
    assert float((cell("pcm").programming.sigma(g * 1e-6, 25e-6) * 1e6 - other).abs().max()) < 0.0255


def test_pcm_drift() -> None:
    drift, x = cell("pcm").drift, numbers(0.01, 0.1, 0.2, 1)
    torch.testing.assert_close(drift.mean(x), numbers(0.0958, 0.0601, 0.0493, 0.049), rtol=0, atol=5.1e-5)
    torch.testing.assert_close(drift.sigma(x), numbers(0.045, 0.0229, 0.0142, 0.008), rtol=0, atol=5.1e-5)
    one = drift.after(state(25e-6, 0.0), 20.0, 25e-6)
    assert float(one) == pytest.approx(25e-6 * 2**-0.049)


@pytest.mark.parametrize(("share", "want"), [(1.0, (0.0369, 0.0419, 0.0448)), (0.1, (0.165, 0.187, 0.200))])
def test_pcm_reading(share: float, want: tuple[float, ...]) -> None:
    g = numbers(share * 25e-6)
    found = [float(cell("pcm").reading.sigma(g, g, time, 25e-6) / g) for time in (1.0, HOUR, DAY)]
    assert found == pytest.approx(want, abs=5.1e-4 if share < 1 else 5.1e-5)


def test_neurram_in_two_fits() -> None:
    g = numbers(4, 8, 12, 20, 28, 40) * 1e-6
    drift = cell("neurram").drift
    torch.testing.assert_close(drift.sigma(g / 40e-6, 1.0) * 1e6, numbers(1.56, 2.14, 2.30, 2.02, 1.61, 1.10), rtol=0, atol=5.1e-3)
    other = cell("neurram-crosssim").programming.sigma(torch.minimum(g, torch.tensor(39.26e-6)), 39.26e-6)
    torch.testing.assert_close(other * 1e6, numbers(1.83, 2.28, 2.49, 2.36, 1.92, 1.68), rtol=0, atol=5.1e-3)


def test_relaxation_grows_between_the_times_that_were_measured() -> None:
    drift, x = cell("neurram").drift, numbers(0.2, 0.5, 0.8)
    assert bool((drift.sigma(x, 0.5) == 0).all())
    sigmas = [drift.sigma(x, time) for time in (1.0, HOUR, DAY, 1.5 * DAY, 2 * DAY, 10 * DAY)]
    assert all(bool((a <= b + 1e-12).all()) for a, b in pairwise(sigmas[:3]))
    torch.testing.assert_close(sigmas[-1], sigmas[-2])


def test_milo_curves() -> None:
    """At 0.2 V the law stays within a few percent of a straight line, at 0.5 V it does not."""
    milo = cell("milo-hfo2")
    assert isinstance(milo.iv, Cubic)
    assert float(milo.programming.sigma(numbers(100e-6), 225e-6)) * 1e6 == pytest.approx(4.782321 - 0.9107, abs=1e-6)
    g, volts = numbers(50e-6, 100e-6, 225e-6), numbers(0.0, 0.2, 0.5)[:, None]
    current = milo.iv.current_a(g, volts)
    assert bool((current[0] == 0).all())
    torch.testing.assert_close(milo.iv.current_a(g, -volts), -current)
    step = 1e-6
    slope = (milo.iv.current_a(g, volts + step) - milo.iv.current_a(g, volts - step)) / (2 * step)
    torch.testing.assert_close(milo.iv.slope_s(g, volts), slope, rtol=1e-6, atol=1e-12)


def test_cmo() -> None:
    fine, coarse = cell("cmo-hfox"), cell("cmo-hfox-2")
    assert float(fine.programming.sigma(numbers(50e-6), 90e-6)) == pytest.approx((8.1e-4 + 1.069e-3 * 50) * 1e-6)
    assert float(coarse.programming.sigma(numbers(50e-6), 90e-6)) == pytest.approx((1.122e-2 + 1.129e-2 * 50) * 1e-6)
    after = fine.drift.after(state(50e-6, 1.0), DAY, 90e-6)
    assert float(after) * 1e6 == pytest.approx(50 - 0.0890 * 11.3668 + 0.0420 * 11.3668 + 0.4118, abs=1e-3)


@pytest.mark.parametrize("name", cells())
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), time=st.sampled_from([0.0, 1.0, HOUR, DAY, 30 * DAY]))
def test_any_cell(name: str, seed: int, time: float) -> None:
    """Nothing is negative or no number, the same seed gives the same cells, and time does not undo that."""
    kind = cell(name)
    target = torch.linspace(kind.low_s, kind.high_s, 50, dtype=torch.float64)
    written, again = kind.write(target, seeded(seed)), kind.write(target, seeded(seed))
    g, sigma = written.conductance_s(time), written.reading_sigma_s(time)
    assert torch.equal(g, again.conductance_s(time))
    for each in (g, sigma):
        assert bool((torch.isfinite(each) & (each >= 0)).all())


@pytest.mark.parametrize("name", ["pcm", "hermes-1", "hermes-2", "neurram-crosssim", "milo-hfo2", "cmo-hfox", "log-normal", "gaussian"])
def test_written_cells_have_the_spread_that_is_said(name: str) -> None:
    kind = cell(name)
    target = torch.full((40_000,), (kind.low_s + kind.high_s) / 2, dtype=torch.float64)
    spread = float(kind.write(target, seeded()).conductance_s().std())
    assert spread == pytest.approx(float(kind.programming.sigma(target[:1], kind.high_s)), rel=0.02)


def test_faults_are_named_by_their_state() -> None:
    kind = cell("ideal").with_(faults=CHEN_2015)
    g = kind.write(torch.full((200_000,), 50e-6, dtype=torch.float64), seeded()).conductance_s(DAY)
    assert float((g == kind.high_s).double().mean()) == pytest.approx(0.0175, abs=1e-3)
    assert float((g == kind.low_s).double().mean()) == pytest.approx(0.0904, abs=2e-3)


def test_more_faults_keep_those_that_there_were() -> None:
    uniform = torch.rand(10_000, generator=seeded())
    few, many = Faults(0.01, 0.02).stuck(uniform), Faults(0.03, 0.05).stuck(uniform)
    assert bool((many[few != 0] == few[few != 0]).all())


def test_switching_an_effect_off_leaves_the_other_draws_alone() -> None:
    kind, target = cell("pcm"), torch.full((100,), 10e-6, dtype=torch.float64)
    both, without = kind.write(target, seeded()), kind.with_(drift=cell("ideal").drift).write(target, seeded())
    assert torch.equal(both.conductance_s(0.0), without.conductance_s(0.0))
    assert torch.equal(both.conductance_s(0.0), without.conductance_s(DAY))


def test_log_normal_variation_and_its_spread() -> None:
    law = LogNormal(0.3)
    g = law.written(torch.full((400_000,), 1e-5, dtype=torch.float64), torch.randn(400_000, dtype=torch.float64, generator=seeded()), 1e-4)
    assert float(g.std()) == pytest.approx(float(law.sigma(numbers(1e-5), 1e-4)), rel=0.01)
    assert float(torch.log(g / 1e-5).std()) == pytest.approx(0.3, rel=0.01)


def test_thermal_noise_by_hand() -> None:
    """100 µS read at 0.3 V, 10 MHz, 300 K: 4kT = 1.657e-20 J, 2q·0.3 V = 9.613e-20 J; √(1e3·1.1270e-19/0.09) = 35.39 nS."""
    quiet = Physical(0.3, telegraph=(0.0, 0.0))
    assert float(quiet.sigma(numbers(1e-4), numbers(1e-4), 0.0, 1e-4)) == pytest.approx(3.539e-8, rel=2e-4)
    noisy = Physical(0.3)
    assert float(noisy.step(numbers(1e-4))) == pytest.approx(1e-4 * 3.162e-7 / (1e-4 - 3.162e-7), rel=1e-9)
    assert float(noisy.sigma(numbers(1e-4), numbers(1e-4), 0.0, 1e-4)) > 1.5e-7


@pytest.mark.parametrize("law", [Ohmic(), Sinh(0.25), Cubic(lambda g: 0.1 * g, lambda g: 0.5 * g, 0.5)])
def test_current_laws(law: Ohmic | Sinh | Cubic) -> None:
    g, volts = numbers(1e-6, 1e-4), torch.linspace(-0.5, 0.5, 11, dtype=torch.float64)[:, None]
    torch.testing.assert_close(law.current_a(g, -volts), -law.current_a(g, volts))
    slope = (law.current_a(g, volts + 1e-7) - law.current_a(g, volts - 1e-7)) / 2e-7
    torch.testing.assert_close(law.slope_s(g, volts), slope, rtol=1e-5, atol=1e-12)
    assert law.ohmic == isinstance(law, Ohmic)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: cell("pcn"), "no cell named pcn; choose one of"),
        (lambda: cell("pcm").write(numbers(30e-6), seeded()), "the cell holds 0 to 2.5e-05 S"),
        (lambda: cell("pcm").write(numbers(float("nan")), seeded()), "targets range from"),
        (lambda: cell("pcm").write(numbers(1e-6), seeded()).conductance_s(-1.0), "time after writing must be at least 0"),
        (lambda: cell("pcm").with_(noise=Gaussian(0.1)), "has no field noise"),
        (lambda: Faults(0.7, 0.5), "their sum must not exceed 1"),
        (lambda: Cell(name="x", title="x", source="x", low_s=2e-6, high_s=1e-6), "0 <= low < high"),
    ],
)
def test_wrong_cells(make, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make()
