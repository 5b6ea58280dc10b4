"""Softmax units: each against its plain reference, counts included; STAR's arrays against its formula; accuracy; timing; formats."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.engine.softmax.arithmetic import exponentials, quotients
from crossloom.engine.softmax.cmos import Cmos
from crossloom.engine.softmax.formats import Fixed
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.engine.softmax.references import reference
from crossloom.engine.softmax.softermax import Softermax
from crossloom.engine.softmax.star import Star
from crossloom.engine.softmax.star_reference import Arrays, Cam, bits_of, reference_star
from crossloom.engine.softmax.unit import Unit
from crossloom.network.quantization import carrier

FORMATS = [Fixed.of(text) for text in ("3.1", "5.2", "6.2", "6.3", "5.4", "4.0", "1.3", "7.4")]


def plain(unit: Any, codes: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, Counter[str]]:
    """The reference's weights and counts for scores of any leading dimensions."""
    counts: Counter[str] = Counter()
    compute = reference_star if isinstance(unit, Star) else reference
    flat = codes.reshape(-1, codes.shape[-1])
    return compute(unit, flat, seen.expand(codes.shape).reshape(flat.shape), counts).reshape(codes.shape), counts


def check(unit: Unit, codes: torch.Tensor, seen: torch.Tensor | None) -> None:
    """Values, type, and counts agree with the reference."""
    mask = torch.ones(codes.shape, dtype=torch.bool) if seen is None else seen.expand(codes.shape)
    weights, (expected, counts) = unit(codes, seen), plain(unit, codes, mask)
    assert weights.dtype == carrier(unit.output)
    assert weights.tolist() == expected.tolist()
    rows = int(mask.any(-1).sum())
    assert {k: v for k, v in unit.actions(int(mask.sum()), rows, codes.shape[-1]).items() if v} == {k: v for k, v in counts.items() if v}


@st.composite
def scores(draw: st.DrawFn, form: Fixed, longest: int = 512) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rows of codes: normal, of few values, or extremes alone; with any mask or none."""
    rng = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    shape = (*draw(st.sampled_from([(), (1,), (3,), (2, 2)])), draw(st.sampled_from([1, 2, 15, 16, 17, 64, 100, longest])))
    kind = draw(st.sampled_from(["normal", "narrow", "extremes", "uniform", "equal"]))
    if kind in ("normal", "narrow"):
        reals = torch.randn(shape, generator=rng) * (3.0 if kind == "normal" else 0.3) * 2**form.fraction
        codes = reals.round().clamp(form.low, form.high)
    elif kind == "extremes":
        codes = torch.tensor([form.low, form.low + 1, form.high])[torch.randint(0, 3, shape, generator=rng)]
    elif kind == "uniform":
        codes = torch.randint(form.low, form.high + 1, shape, generator=rng)
    else:
        codes = torch.full(shape, draw(st.sampled_from([form.low, form.high, 0])))
    seen = draw(st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]))
    mask = None if seen is None else torch.rand(shape, generator=rng) < seen
    if mask is not None and len(shape) > 1 and draw(st.booleans()):
        mask = mask[0]
    return codes.to(torch.int8 if form.bits <= 8 else torch.int16), mask


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_star_is_what_its_arrays_compute(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS))
    unit = Star(
        form,
        exp_bits=data.draw(st.sampled_from([0, 0, 1, 8, 18, 24])),
        counter_bits=data.draw(st.sampled_from([1, 3, 5, 10, 10, 12])),
        quotient_bits=data.draw(st.sampled_from([1, 6, 8, 8, 12, 16])),
    )
    check(unit, *data.draw(scores(form)))


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_log_sum_exp_is_its_reference(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS))
    fraction = data.draw(st.integers(form.fraction, 10))
    bits = data.draw(st.sampled_from([1, 8, 8, 16]))
    unit = LogSumExp(form, data.draw(st.sampled_from([4, 16, 24])), data.draw(st.sampled_from([1, 8, 12])), fraction, bits)
    check(unit, *data.draw(scores(form)))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_cmos_is_its_reference(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS))
    unit = Cmos(form, data.draw(st.sampled_from([1, 8, 16, 24])), data.draw(st.sampled_from([1, 8, 8, 16])))
    check(unit, *data.draw(scores(form)))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_softermax_is_its_reference(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from([*FORMATS, Fixed(12, 0)]))
    check(Softermax(form, data.draw(st.sampled_from([1, 4, 16, 16, 100]))), *data.draw(scores(form)))


@pytest.mark.parametrize("text", ["5.2", "6.2", "6.3"])
def test_star_finds_every_code_and_every_difference(text: str) -> None:
    """All pairs of operands: search, first match, subtraction in the array, search for the difference, entry of the table."""
    unit = Star(Fixed.of(text))
    form, arrays = unit.format, Arrays.of(unit)
    codes = torch.arange(form.high, form.low - 1, -1)
    marks = arrays.scores.search(bits_of(codes, form.bits))
    assert torch.equal(marks, torch.eye(form.codes, dtype=torch.int64))
    every = torch.arange(form.codes)
    for row, code in enumerate(codes.tolist()):
        difference = arrays.subtract(marks[row].expand_as(marks), marks)
        assert torch.equal(difference, code - codes)
        pairs = marks[row] | marks
        assert torch.equal(pairs.argmax(1), every.clamp(max=row))
    found = arrays.distances.search(bits_of(every, form.bits))
    assert torch.equal(found[: unit.entries], torch.eye(unit.entries, dtype=torch.int64))
    assert not found[unit.entries :].any()
    entries = (arrays.table << torch.arange(unit.entry_bits)).sum(1)
    assert torch.equal(entries.to(torch.float64), unit.table[: unit.entries])
    assert not unit.table[unit.entries :].any()


@pytest.mark.parametrize("text", ["5.2", "6.2", "6.3"])
def test_star_divides_every_pair_of_scores(text: str) -> None:
    """All rows of two scores against the formula, in Python's whole numbers."""
    unit = Star(Fixed.of(text))
    form = unit.format
    codes = torch.cartesian_prod(torch.arange(form.low, form.high + 1), torch.arange(form.low, form.high + 1)).to(torch.int16)
    entries = [int(e) for e in unit.table[: form.codes].tolist()]
    expected = {
        d: [min(255, (512 * e + t) // (2 * t)) for e in (entries[0], entries[d]) for t in (entries[0] + entries[d],)] for d in range(form.codes)
    }
    first, second = codes.to(torch.int64).unbind(1)
    pairs = torch.tensor([expected[d] for d in range(form.codes)])[(first - second).abs()]
    in_order = torch.where((first >= second)[:, None], pairs, pairs.flip(1))
    assert torch.equal(unit(codes).to(torch.int64), in_order)


def test_star_has_the_sizes_that_are_in_circulation() -> None:
    """Nine bits: CAM/SUB 512 x 18, exponential 256 x 18 twice."""
    arrays = Arrays.of(Star(Fixed(6, 3)))
    assert [arrays.scores.cells.shape, arrays.distances.cells.shape, arrays.table.shape] == [(512, 18), (256, 18), (256, 18)]


def test_a_cam_of_four_words() -> None:
    """The paper's figure has 4 x 8 cells: four words of four bits."""
    cam = Cam(bits_of(torch.tensor([3, 1, -1, -8]), 4))
    assert cam.cells.shape == (4, 8)
    assert cam.search(bits_of(torch.tensor([-1, 2]), 4)).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]


def test_full_counters_make_the_denominator_smaller() -> None:
    codes = torch.zeros(1, 64, dtype=torch.int16)
    assert Star(Fixed(6, 3))(codes).unique().tolist() == [4]
    assert Star(Fixed(6, 3), counter_bits=6)(codes).unique().tolist() == [4]
    assert Star(Fixed(6, 3), counter_bits=4)(codes).unique().tolist() == [17]
    assert Star(Fixed(6, 3), counter_bits=1)(codes).unique().tolist() == [255]


@given(st.integers(1, 16), st.data())
@settings(max_examples=200, deadline=None)
def test_quotients_are_exact_next_to_ties(bits: int, data: st.DataObject) -> None:
    """True ties, and quotients 1 / (2D) away from one, the least that whole numbers allow; on both sides of the bound on D."""
    largest = 1 << data.draw(st.sampled_from([20, 47 - bits, 48 - bits, 40, 44]))
    total = data.draw(st.integers(largest // 2, largest)) | 1
    ties = 2 << bits
    below = pow(total, -1, ties)  # (2k + 1) · D ≡ 1: the numerator 2 · E · 2^m is one less than that product
    pairs = [((odd * total - rest) // ties, total) for odd, rest in ((below, 1), (ties - below, -1))]
    even = max(1, total >> (bits + 1))
    pairs.append((even * (2 * data.draw(st.integers(0, (1 << bits) - 1)) + 1), even * ties))
    powers, totals = (torch.tensor(column, dtype=torch.float64)[:, None] for column in zip(*pairs, strict=True))
    exact = [min((1 << bits) - 1, (2 * e * 2**bits + t) // (2 * t)) for e, t in pairs]
    assert quotients(powers.clone(), totals, bits, max(t for _, t in pairs)).floor().flatten().tolist() == exact
    each = [quotients(p[None], t[None], bits, int(t)).floor().item() for p, t in zip(powers, totals, strict=True)]
    assert each == exact


def test_a_full_sum_of_softermax() -> None:
    """The sum stops below 1024, which shows only when a larger maximum comes later: until then every weight is below half a step."""
    codes = torch.zeros(2, 1500, dtype=torch.int8)
    codes[1, -1] = 16
    check(Softermax(), codes, None)
    check(Softermax(lanes=1024), codes, None)
    assert Softermax()(codes)[1, -1] == 2  # 1 without that


@pytest.mark.parametrize(("text", "error"), [("5.2", 0.054), ("6.2", 0.054), ("6.3", 0.027), ("5.4", 0.014)])
@pytest.mark.parametrize("kind", [Star, Cmos])
def test_the_error_of_a_row_shrinks_with_the_format(text: str, error: float, kind: type[Star] | type[Cmos]) -> None:
    """Scores ~ N(0, 3), rows of 512: what is left is that scores are rounded, about 2^-F / 4 of the row in the mean."""
    unit = kind(Fixed.of(text), exp_bits=22, quotient_bits=16)
    reals = 3 * torch.randn(200, 512, generator=torch.Generator().manual_seed(3))
    weights = unit.output.dequantize(unit(unit.input.quantize(reals).to(torch.int16)))
    assert float((weights - torch.softmax(reals, -1)).abs().sum(1).mean()) == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(
    ("unit", "bound"), [(LogSumExp(Fixed(6, 3)), 0.06), (Softermax(), 0.10), (Star(Fixed(6, 3)), 0.06), (Cmos(Fixed(6, 3)), 0.06)]
)
def test_every_unit_is_a_softmax(unit: Unit, bound: float) -> None:
    """Scores ~ N(0, 3), rows of 64, against softmax of the reals: mean error of a row; most of it is in the few bits of the weights."""
    reals = 3 * torch.randn(500, 64, generator=torch.Generator().manual_seed(5))
    codes = unit.input.quantize(reals).to(carrier(unit.input))
    error = (unit.output.dequantize(unit(codes)) - torch.softmax(reals, -1)).abs().sum(1).mean()
    assert float(error) < bound


UNITS: list[Unit] = [Star(Fixed(6, 3)), Star(Fixed(6, 3), counter_bits=3), LogSumExp(Fixed(6, 3)), Cmos(Fixed(6, 3)), Softermax()]


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: f"{u.name}")
def test_shapes_masks_and_types(unit: Unit) -> None:
    rng = torch.Generator().manual_seed(1)
    codes = torch.randint(unit.input.low, unit.input.high + 1, (2, 3, 5, 40), generator=rng)
    seen = torch.ones(5, 40, dtype=torch.bool).tril()
    expected = unit(codes.to(torch.int16), seen)
    assert unit(codes.to(carrier(unit.input)), seen).equal(expected)
    assert unit(codes, seen).equal(expected)
    assert unit(codes.transpose(1, 2), seen[:, None]).transpose(1, 2).equal(expected)
    assert unit(codes[0, 0, 0], seen[0]).equal(expected[0, 0, 0])
    assert not expected[..., 0, 1:].any()
    assert unit(codes[:0], seen).shape == (0, 3, 5, 40)
    assert not unit(codes, torch.zeros(1, dtype=torch.bool)).any()
    alone = {128, 129} if unit.name == "softermax" else {255}  # 1.0, as rounded twice; all ones
    assert set(unit(codes[..., :1]).flatten().tolist()) <= alone


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: f"{u.name}")
def test_blocks_do_not_show(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randint(unit.input.low, unit.input.high + 1, (7, 3, 40), generator=torch.Generator().manual_seed(2))
    seen = torch.rand(7, 1, 40, generator=torch.Generator().manual_seed(3)) < 0.5
    expected = unit(codes, seen)
    monkeypatch.setattr("crossloom.engine.softmax.arithmetic.BLOCK", 100)
    assert unit(codes, seen).equal(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("unit", UNITS, ids=lambda u: f"{u.name}")
def test_a_gpu_gives_the_same(unit: Unit) -> None:
    codes = torch.randint(unit.input.low, unit.input.high + 1, (4, 64, 512), generator=torch.Generator().manual_seed(2)).to(carrier(unit.input))
    seen = torch.rand(64, 512, generator=torch.Generator().manual_seed(3)) < 0.5
    assert unit(codes.cuda(), seen.cuda()).cpu().equal(unit(codes, seen))


def test_what_is_not_seen_does_not_matter() -> None:
    rng = torch.Generator().manual_seed(4)
    seen = torch.rand(20, 50, generator=rng) < 0.5
    for unit in UNITS:
        a, b = (torch.randint(unit.input.low, unit.input.high + 1, (20, 50), generator=rng) for _ in range(2))
        assert unit(a, seen).equal(unit(torch.where(seen, a, b), seen))


def test_cycles() -> None:
    assert Star(Fixed(6, 3)).cycles(512) == (1025, 1550)
    assert Star(Fixed(6, 3)).cycles(4) == (14, 26)
    assert LogSumExp(Fixed(6, 3)).cycles(512) == (512, 189 + 1024 + 3)
    assert LogSumExp(Fixed(6, 3)).cycles(64) == (126, 126 + 128 + 3)
    assert LogSumExp(Fixed(6, 3)).cycles(1) == (1, 5)
    assert Cmos(Fixed(6, 3)).cycles(512) == (512, 1539)
    assert Softermax().cycles(512) == (32, 68)
    assert Softermax().cycles(17) == (2, 8)


def test_scales() -> None:
    assert Star(Fixed(6, 3)).input.scale == (0.125,)
    assert Softermax().input.scale == (math.log(2) / 4,)
    assert (Star(Fixed(6, 3)).output.scale, Star(Fixed(6, 3)).output.high) == ((2**-8,), 255)
    assert (Softermax().output.scale, Softermax().output.high) == ((2**-7,), 255)
    assert (Fixed(6, 3).quantization().low, Fixed(6, 3).quantization().high) == (Fixed(6, 3).low, Fixed(6, 3).high) == (-256, 255)
    assert exponentials(Fixed(2, 0), 255, 2).tolist() == [255, 94] + [0] * 14


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_is_read_as_it_is_written(form: Fixed) -> None:
    assert Fixed.of(str(form)) == form


@pytest.mark.parametrize("text", ["", "6", "6.", ".3", "six.three", "-6.3", "6.3.1", "0.4", "1.0", "9.4", "6,3", "٦.٣"])
def test_a_wrong_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give"):
        Fixed.of(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Star(Fixed(6, 3), exp_bits=25),
        lambda: Star(Fixed(6, 3), counter_bits=0),
        lambda: Star(Fixed(6, 3), quotient_bits=17),
        lambda: Cmos(Fixed(6, 3), exp_bits=0),
        lambda: LogSumExp(Fixed(6, 3), log_fraction=2),
        lambda: LogSumExp(Fixed(6, 3), log_address=0),
        lambda: Softermax(lanes=0),
    ],
)
def test_a_wrong_field_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="give"):
        make()
