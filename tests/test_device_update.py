"""Devices that pulses move: single pulses against the equations, arrays against the source's own program, and what write and verify leaves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from crossloom.device import cell
from crossloom.device.published.ibm_hfo2 import HFO2, OPTIMISED
from crossloom.device.update import SoftBounds, States, write_and_verify
from crossloom.device.verified import DEVICES, Verified, left_over, program
from crossloom.errors import InputError

MANY = 200_000
SIGMAS = 5.0
"""Statistics may differ from what is said by five of their own standard errors: one seed in two million does."""
PLAIN = SoftBounds(source="none", step=0.1, high=1.2, low=-0.8)
KINDS = {"baseline": HFO2, "optimised": OPTIMISED}
CELLS = ("ibm-hfo2", "ibm-hfo2-optimised")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def full(value: float, count: int = MANY) -> Tensor:
    return torch.full((count,), value, dtype=torch.float64)


def check_mean(sample: Tensor, want: float) -> None:
    assert float(sample.mean()) == pytest.approx(want, abs=SIGMAS * float(sample.std()) / math.sqrt(len(sample)))


def check_spread(sample: Tensor, want: float) -> None:
    """The standard error of a variance is √((μ₄ − σ⁴)/n)."""
    square = (sample - sample.mean()) ** 2
    assert float(square.mean()) == pytest.approx(want**2, abs=SIGMAS * float(square.std()) / math.sqrt(len(sample)))


@pytest.mark.parametrize(
    ("direction", "weight", "mean"), [(1, 0.3, 0.1 * (1 - 0.3 / 1.2)), (-1, 0.3, -0.1 * (1 + 0.3 / 0.8)), (1, -0.4, 0.1 * (1 + 0.4 / 1.2))]
)
def test_a_pulse_moves_by_the_equation(direction: int, weight: float, mean: float) -> None:
    """By hand: step·(1 − s/bound), with a spread of step·c that does not depend on the weight."""
    devices = replace(PLAIN, cycle_spread=0.25).draw((MANY,), seeded())
    moved = devices.pulse(devices.at(weight), full(direction), seeded(1)).state - weight
    check_mean(moved, mean)
    check_spread(moved, 0.025)


def test_pulses_without_noise_follow_the_closed_form() -> None:
    """s(n) = high·(1 − (1 − step/high)ⁿ) from 0 upwards, and likewise downwards."""
    devices = PLAIN.draw((1,), seeded())
    for count in (1, 7, 60):
        up, down = (float(devices.pulses(devices.at(), full(sign, 1), count, seeded()).state) for sign in (1.0, -1.0))
        assert up == pytest.approx(1.2 * (1 - (1 - 0.1 / 1.2) ** count))
        assert down == pytest.approx(-0.8 * (1 - (1 - 0.1 / 0.8) ** count))


def test_noise_at_a_bound_is_cut_off_there() -> None:
    """At the bound the pulse is noise alone; half of it is cut off, and the mean of the other half is step·c/√(2π)."""
    devices = replace(PLAIN, cycle_spread=0.5).draw((MANY,), seeded())
    moved = devices.pulse(devices.at(1.2), full(1), seeded(1)).state - 1.2
    assert float(moved.max()) <= 0
    check_mean(moved, -0.05 / math.sqrt(2 * math.pi))
    check_mean((moved == 0).double(), 0.5)


def test_write_noise_stays_until_the_next_pulse() -> None:
    """σ is n·Δ of the kind, not of the device; reading twice reads the same; the state does not feel it."""
    noisy, quiet = (replace(OPTIMISED, write_noise=each, failed=0.0).draw((MANY,), seeded()) for each in (1.4113, 0.0))
    states, without = (each.pulse(each.at(), full(1), seeded(1)) for each in (noisy, quiet))
    assert torch.equal(states.state, without.state)
    assert torch.equal(noisy.weight(states), noisy.weight(states))
    noise = noisy.weight(states) - quiet.weight(without)
    check_mean(noise, 0.0)
    check_spread(noise, 1.4113 * 0.0949)
    untouched = noisy.pulse(states, full(0), seeded(2))
    assert torch.equal(noisy.weight(untouched), noisy.weight(states))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_devices_are_spread_as_described(kind: SoftBounds) -> None:
    """Steps log-normal with the median Δ; bounds folded normal, after those that cross have been exchanged, which is rare."""
    devices = replace(kind, failed=0.0).draw((MANY,), seeded())
    gain = torch.log((devices.up + devices.down) / 2 / kind.step) / kind.step_spread
    assert stats.kstest(gain.numpy(), "norm").pvalue > 1e-4
    check_spread((devices.up - devices.down) / 2 / kind.step, kind.tilt_spread)
    high, low = (torch.randn(2, 10 * MANY, dtype=torch.float64, generator=seeded(9)) * torch.tensor([[kind.high_spread], [kind.low_spread]])).unbind()
    crossed = 1 + high < -1 - low
    assert 0 < float(crossed.double().mean()) < 0.01
    expected = torch.where(crossed, -1 - low, 1 + high).abs()
    assert stats.ks_2samp(devices.high.numpy(), expected.numpy()).pvalue > 1e-4
    assert bool((devices.low < 0).all() and (devices.high > 0).all() and (devices.up > 0).all() and (devices.down > 0).all())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_references_sit_where_up_and_down_are_alike(kind: SoftBounds) -> None:
    """With no spread around it, a device at weight 0 moves as far up as down; the spread is normal."""
    exact = replace(kind, reference_spread=0.0, failed=0.0, cycle_spread=0.0, high=5.0, low=-5.0, high_spread=0.0, low_spread=0.0, step=0.01)
    devices = exact.draw((1000,), seeded())
    up, down = (devices.pulse(devices.at(), full(sign, 1000), seeded()).state - devices.at().state for sign in (1.0, -1.0))
    torch.testing.assert_close(up, -down)
    spread = (
        replace(kind, failed=0.0).draw((MANY,), seeded()).reference
        - replace(kind, failed=0.0, reference_spread=0.0).draw((MANY,), seeded()).reference
    )
    check_mean(spread, 0.0)
    check_spread(spread, 0.05)
    assert bool((replace(kind, reference_spread=None).draw((100,), seeded()).reference == 0).all())


@pytest.mark.parametrize(
    ("kind", "sign", "mean", "spread"),
    [(HFO2, 1, 0.9341, 0.4208), (HFO2, -1, -0.9507, 0.5464), (OPTIMISED, 1, 0.8260, 0.3122), (OPTIMISED, -1, -0.8155, 0.4368)],
)
def test_arrays_after_thirty_pulses_agree_with_aihwkit(kind: SoftBounds, sign: int, mean: float, spread: float) -> None:
    """Check values: the C++ of aihwkit 1.2.0, 200 000 devices from weight 0, weights without write noise, no failed devices.

    Both samples have errors, and the normal numbers of that program, from a table, have a mean of −0.01: 0.001 more.
    """
    devices = replace(kind, failed=0.0).draw((MANY,), seeded())
    states = devices.pulses(devices.at(), full(sign), 30, seeded(1))
    weight = states.state - devices.reference
    assert float(weight.mean()) == pytest.approx(mean, abs=SIGMAS * spread * math.sqrt(2 / MANY) + 0.001)
    assert float(weight.std()) == pytest.approx(spread, abs=SIGMAS * spread * math.sqrt(2 / MANY) + 0.001)


@pytest.mark.parametrize(
    ("kind", "mean", "spread", "noise"),
    [(HFO2, 0.5950, 0.4842, 0.27), (OPTIMISED, 0.1287, 0.1187, 0.1339)],
    ids=KINDS,
)
def test_steps_and_write_noise_agree_with_aihwkit(kind: SoftBounds, mean: float, spread: float, noise: float) -> None:
    """Check values: steps up of the same 200 000 devices of aihwkit 1.2.0; write noise by hand, 0.5841·0.4622 and 1.4113·0.0949.

    Both samples of steps are heavy-tailed: the standard error of σ is from the fourth moment of ours.
    """
    devices = replace(kind, failed=0.0).draw((MANY,), seeded())
    square = (devices.up - devices.up.mean()) ** 2
    assert float(devices.up.mean()) == pytest.approx(mean, abs=SIGMAS * spread * math.sqrt(2 / MANY))
    assert float(square.mean()) == pytest.approx(spread**2, abs=SIGMAS * float(square.std()) * math.sqrt(2 / MANY))
    states = devices.pulse(devices.at(), full(1), seeded(1))
    assert float((devices.weight(states) + devices.reference - states.state).std()) == pytest.approx(noise, rel=SIGMAS / math.sqrt(2 * MANY))


def test_bounds_that_lie_the_wrong_way_round_are_exchanged() -> None:
    """The upper is |max(b, b′)| of normal b around 1, σ 1, and b′ around −1, σ 2. Means by integration over the density of the maximum and minimum."""
    devices = SoftBounds(source="none", step=0.1, high_spread=1.0, low_spread=2.0).draw((MANY,), seeded())
    check_mean(devices.high, 1.32795)
    check_mean(devices.low, -1.62987)


@pytest.mark.parametrize(("kind", "share"), [(HFO2, 0.0977), (OPTIMISED, 0.1348)], ids=KINDS)
def test_failed_devices_are_as_many_as_measured_and_do_not_move(kind: SoftBounds, share: float) -> None:
    devices = kind.draw((MANY,), seeded())
    check_mean(devices.failed.double(), share)
    start = devices.at(0.7)
    after = devices.pulses(start, full(1), 10, seeded(1))
    assert torch.equal(devices.weight(after)[devices.failed], devices.weight(start)[devices.failed])
    assert float(start.state[devices.failed].abs().max()) <= 0.01
    assert float(start.state[devices.failed].std()) == pytest.approx(0.01 / math.sqrt(3), rel=0.02)
    assert bool((after.state != start.state)[~devices.failed].double().mean() > 0.7)


def test_more_failures_keep_those_that_there_were() -> None:
    few, many = (replace(HFO2, failed=share).draw((10_000,), seeded()) for share in (0.05, 0.2))
    assert bool(many.failed[few.failed].all()) and int(many.failed.sum()) > int(few.failed.sum())
    assert torch.equal(few.up[~many.failed], many.up[~many.failed])


spreads = st.floats(0.0, 2.0)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.builds(
        SoftBounds,
        source=st.just("drawn"),
        step=st.floats(1e-4, 3.0),
        step_spread=spreads,
        tilt_spread=spreads,
        cycle_spread=spreads,
        write_noise=spreads,
        high=st.floats(0.1, 3.0),
        low=st.floats(-3.0, -0.1),
        high_spread=spreads,
        low_spread=spreads,
        reference_spread=st.none() | spreads,
        failed=st.floats(0.0, 1.0),
        failed_range=st.floats(0.0, 1.0),
    ),
    seed=st.integers(0, 10_000),
)
def test_whatever_the_kind(kind: SoftBounds, seed: int) -> None:
    """Numbers, within the bounds; what is not touched and what failed stays; the same seed gives the same devices and pulses."""
    direction = torch.randint(-1, 2, (40,), generator=seeded(seed))
    results = []
    for _ in range(2):
        random = seeded(seed)
        devices = kind.draw((40,), random)
        start = devices.at(torch.linspace(-2, 2, 40, dtype=torch.float64))
        results.append((devices, start, devices.pulses(start, direction, 5, random)))
    (devices, start, after), (_, _, again) = results
    assert torch.equal(after.state, again.state) and torch.equal(after.noise, again.noise)
    assert bool((torch.isfinite(devices.weight(after)) & (after.state >= devices.low) & (after.state <= devices.high)).all())
    still = (direction == 0) | devices.failed
    assert torch.equal(after.state[still], start.state[still]) and torch.equal(after.noise[still], start.noise[still])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from([HFO2, OPTIMISED]), tolerance=st.floats(0.01, 0.3), most=st.integers(0, 40))
def test_write_and_verify_keeps_what_it_promises(seed: int, kind: SoftBounds, tolerance: float, most: int) -> None:
    """What is reached reads within the tolerance; nobody gets more pulses than allowed; one who reached it with fewer takes no more."""
    devices, target = kind.draw((200,), seeded(seed)), torch.linspace(-1, 1, 200, dtype=torch.float64)
    done, longer = (write_and_verify(devices, target, seeded(seed + 1), tolerance=tolerance, most=count) for count in (most, most + 10))
    miss = (devices.weight(done.states) - target).abs()
    assert torch.equal(done.reached, miss <= tolerance)
    assert bool((done.pulses[~done.reached] == most).all()) and int(done.pulses.max()) <= most
    assert bool(longer.reached[done.reached].all()) and torch.equal(longer.pulses[done.reached], done.pulses[done.reached])
    assert torch.equal(devices.weight(longer.states)[done.reached], devices.weight(done.states)[done.reached])


def test_without_noise_exactly_the_targets_within_the_bounds_are_reached() -> None:
    """Steps far finer than the tolerance: a device gets there if and only if its bound does, and failed ones if they sit there."""
    kind = replace(HFO2, step=0.005, step_spread=0.0, cycle_spread=0.0, write_noise=0.0, reference_spread=None)
    devices, target = kind.draw((2000,), seeded()), torch.linspace(-0.9, 0.9, 2000, dtype=torch.float64)
    done = write_and_verify(devices, target, seeded(1), tolerance=0.05, most=2000)
    can = (devices.high > target - 0.05) & (devices.low < target + 0.05)
    assert torch.equal(done.reached, can)
    assert 0.05 < float((~can).double().mean()) < 0.5


def test_a_first_hit_takes_a_geometric_number_of_pulses() -> None:
    """A device whose state stands still and whose write noise alone decides: each pulse hits with 2Φ(t/n) − 1, by hand 0.3829 for t = n/2."""
    kind = SoftBounds(source="none", step=1e-9, write_noise=1e8)
    devices = kind.draw((MANY,), seeded())
    start = States(full(0.0), full(9.0))
    done = write_and_verify(devices, full(0.0), seeded(1), tolerance=0.05, most=200, start=start)
    assert bool(done.reached.all())
    check_mean(done.pulses.double(), 1 / 0.38292)


@pytest.mark.parametrize("name", CELLS)
def test_the_error_of_a_cell_is_what_write_and_verify_leaves(name: str) -> None:
    """Derived again from other devices, at targets that were simulated: two samples of one distribution (Kolmogorov-Smirnov, p = 0.001)."""
    kind = cell(name)
    law = kind.programming
    assert isinstance(law, Verified)
    for share in (1 / 3, 2 / 3, 1.0):
        target = full(kind.high_s * share, 20_000)
        weight = law.at_zero + share * (law.at_high - law.at_zero)
        missed, done = program(law, full(weight, 20_000), seeded(77))
        written = law.written(target, torch.randn(20_000, dtype=torch.float64, generator=seeded(78)), kind.high_s) - target
        found = written / kind.high_s * (law.at_high - law.at_zero)
        distance = float(stats.ks_2samp(missed.numpy(), found.numpy()).statistic)
        assert distance < 1.95 * math.sqrt(1 / DEVICES + 2 / 20_000)
        sigma = float(law.sigma(target[:1], kind.high_s)) / kind.high_s * (law.at_high - law.at_zero)
        square = (missed - missed.mean()) ** 2  # the table is a sample as well, of DEVICES
        assert sigma**2 == pytest.approx(float(square.mean()), abs=SIGMAS * float(square.std()) * math.sqrt(1 / DEVICES + 1 / 20_000))
        within = float((found.abs() <= law.tolerance).double().mean())
        assert within == pytest.approx(float(done.reached.double().mean()), abs=0.03)


@pytest.mark.parametrize("name", CELLS)
def test_between_the_simulated_targets_little_is_lost(name: str) -> None:
    kind = cell(name)
    law = kind.programming
    for share in (4.5 / 12, 8.5 / 12, 11.5 / 12):
        missed, _ = program(law, full(law.at_zero + share * (law.at_high - law.at_zero), 20_000), seeded(7))
        sigma = float(law.sigma(full(kind.high_s * share, 1), kind.high_s)) / kind.high_s * (law.at_high - law.at_zero)
        assert sigma == pytest.approx(float(missed.std()), rel=0.1)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.0, 1.0), scale=st.floats(1e-6, 1e-3), name=st.sampled_from(CELLS))
def test_an_error_of_higher_rank_is_higher_and_scales_with_the_range(share: float, scale: float, name: str) -> None:
    """Of working devices; the lowest ranks are failed ones, as many as there are, near the middle for every target."""
    law = cell(name).programming
    assert isinstance(law, Verified)
    error = torch.linspace(-9, 9, 301, dtype=torch.float64)
    written, unit = law.written(full(share * scale, 301), error, scale), law.written(full(share, 301), error, 1.0)
    torch.testing.assert_close(written / scale, unit, rtol=1e-9, atol=1e-12)
    failed = torch.special.ndtr(error) < law.kind.failed
    assert bool((unit[~failed].diff() >= -1e-15).all())
    assert float((unit[failed] - 1 / 1.5).abs().max()) <= 0.01 / 1.5 + 1e-12


def test_the_spread_of_a_cell_is_that_of_what_is_written() -> None:
    """Of a law whose failed devices are many and far apart, so that all parts of the mixture count."""
    law = replace(cell("ibm-hfo2-optimised").programming, kind=replace(OPTIMISED, failed=0.4, failed_range=0.5))
    for share in (0.4, 0.8, 1.0):
        target = full(share * 75e-6)
        written = law.written(target, torch.randn(MANY, dtype=torch.float64, generator=seeded(3)), 75e-6)
        check_spread(written * 1e6, float(law.sigma(target[:1], 75e-6)) * 1e6)


def test_a_coarser_tolerance_is_another_law() -> None:
    law = cell("ibm-hfo2-optimised").programming
    assert isinstance(law, Verified)
    assert left_over(law) is left_over(replace(law))
    fine, coarse = left_over(law).ranked[8], left_over(replace(law, tolerance=0.2)).ranked[8]
    assert float(fine.quantile(0.75) - fine.quantile(0.25)) <= 2 * 0.05 < float(coarse.quantile(0.75) - coarse.quantile(0.25))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: replace(PLAIN, step=0.0), "need step > 0"),
        (lambda: replace(PLAIN, low=0.1), "low < 0 < high"),
        (lambda: replace(PLAIN, high=math.nan), "low < 0 < high"),
        (lambda: replace(PLAIN, cycle_spread=-0.1), "not negative"),
        (lambda: replace(PLAIN, reference_spread=math.nan), "not negative"),
        (lambda: replace(PLAIN, failed=1.1), "must be 0 to 1"),
        (lambda: write_and_verify(PLAIN.draw((2,), seeded()), full(0.1, 2), seeded(), tolerance=0.0, most=3), "a tolerance > 0"),
        (lambda: write_and_verify(PLAIN.draw((2,), seeded()), full(math.nan, 2), seeded(), tolerance=0.1, most=3), "finite targets"),
        (lambda: Verified(PLAIN, 0.1, 10, at_zero=0.5, at_high=-0.5), "must be below"),
    ],
)
def test_wrong_kinds(make, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make()
