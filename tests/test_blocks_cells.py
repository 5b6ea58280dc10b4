"""Functions on cells: integers against torch, counts, cycles and wear of the cell-by-cell programs against their closed forms; what cells refuse."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossloom.engine.in_array.cells import Controller, Gate, LookUpTable, Plane, digits_of, number_of
from crossloom.engine.in_array.maximum import (
    Alternating,
    Form,
    MaxBlock,
    Tournament,
    _won,
    largest,
    largest_in_cells,
    match,
    rectify_in_turn,
    tournament,
)
from crossloom.engine.in_array.softmax import InMemorySoftmax
from crossloom.engine.in_array.softmax_reference import SoftmaxBlocks, softmax_in_cells
from crossloom.engine.in_array.summing import SumBlock, sum_block, sum_in_cells, total
from crossloom.engine.softmax.formats import Fixed
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.engine.softmax.unit import Unit

BRIEF = settings(max_examples=60, deadline=None)


def numbers(shape: tuple[int, ...], bits: int, signed: bool, seed: int) -> Tensor:
    """Whole numbers over the full range, its ends more often than chance would have them."""
    generator = torch.Generator().manual_seed(seed)
    low = -(1 << bits - 1) if signed else 0
    values = torch.randint(low, low + (1 << bits), shape, generator=generator)
    ends = torch.tensor([low, low + (1 << bits) - 1, 0])[torch.randint(3, shape, generator=generator)]
    return torch.where(torch.rand(shape, generator=generator) < 0.2, ends, values)


def alone(block: MaxBlock) -> Tournament:
    return Tournament((block,))


# The largest of several values


@BRIEF
@given(
    form=st.sampled_from(Form), bits=st.integers(2, 9), k=st.integers(1, 16), lanes=st.integers(1, 3), windows=st.integers(1, 4),
    rows=st.integers(27, 200), spread=st.integers(1, 8), seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_matches_and_tournaments(form: Form, bits: int, k: int, lanes: int, windows: int, rows: int, spread: int, seed: int) -> None:
    columns = lanes * max(spread, -(-k // 2) if rows < 200 else 1)
    rules = tournament(k, bits, form, lanes, rows=rows, columns=columns)
    values = numbers((windows, k, lanes), bits, form is not Form.UNSIGNED, seed)
    found, plane = largest_in_cells(values, rules)
    assert torch.equal(found, largest(values, form))
    assert plane.controller.counts == rules.actions(windows)
    assert plane.controller.cycles == rules.cycles
    assert rules.rows <= rows and rules.columns <= columns
    assert plane.sets.max() <= rules.writes
    assert not plane.bits.any()


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(("bits", "k"), [(2, 2), (3, 2), (4, 2), (2, 4), (3, 3)])
def test_every_combination_of_few_bits(form: Form, bits: int, k: int) -> None:
    low = 0 if form is Form.UNSIGNED else -(1 << bits - 1)
    values = torch.tensor(list(product(range(low, low + (1 << bits)), repeat=k)))[..., None]
    block = MaxBlock(candidates=k, bits=bits, form=form)
    found, plane = largest_in_cells(values, alone(block))
    assert torch.equal(found, largest(values, form))
    assert plane.sets.max() == block.writes  # some combination wears a cell as much as can be


@given(bits=st.integers(2, 9), seed=st.integers(0, 1 << 30))
@BRIEF
def test_relu(bits: int, seed: int) -> None:
    values = numbers((5, 1, 7), bits, True, seed)
    block = MaxBlock(candidates=1, bits=bits, form=Form.RECTIFIED, width=7)
    found, plane = largest_in_cells(values, alone(block))
    assert torch.equal(found, torch.relu(values[:, 0]))
    assert block.cycles == 2 * bits == plane.controller.cycles and block.rows == bits


def test_relu_and_max_pooling_of_a_layer() -> None:
    images = numbers((6, 4, 8, 8), 8, True, 3)
    windows = images.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).permute(0, 2, 3, 4, 1).reshape(-1, 4, 4)
    found, _ = largest_in_cells(windows, tournament(4, 8, Form.RECTIFIED, 4, rows=512, columns=512))
    pooled = torch.nn.functional.max_pool2d(torch.relu(images).float(), 2).long()
    assert torch.equal(found.reshape(6, 4, 4, 4).permute(0, 3, 1, 2), pooled)


@pytest.mark.parametrize(("k", "bits"), [(2, 3), (4, 8), (9, 8), (16, 9)])
def test_cycles_and_rows_as_derived(k: int, bits: int) -> None:
    signed = MaxBlock(candidates=k, bits=bits, form=Form.SIGNED)
    rectified = MaxBlock(candidates=k, bits=bits, form=Form.RECTIFIED)
    assert signed.cycles == k * bits + bits + (bits - 1) * k
    assert rectified.cycles == signed.cycles - 1 == k * bits + (bits - 1) * (k + 1)
    assert signed.rows == k * bits + bits - 1 and rectified.rows == k * bits + max(0, bits - 2 - k)


@pytest.mark.parametrize("form", Form)
def test_worst_case_wear_is_met(form: Form) -> None:
    block = MaxBlock(candidates=3, bits=6, form=form)
    high = 63 if form is Form.UNSIGNED else 31
    values = torch.tensor([-1 if form is Form.RECTIFIED else high, high, high])[None, :, None]
    _, plane = largest_in_cells(values, alone(block))
    assert plane.sets.max() == block.writes == (2 if form is Form.RECTIFIED else 1)


def test_worst_case_wear_of_a_tournament_is_met() -> None:
    rules = tournament(16, 6, Form.RECTIFIED, 1, rows=40, columns=16)
    assert len(rules.levels) > 1
    values = torch.full((1, 16, 1), 31)
    values[:, : rules.levels[0].width] = -1  # the first candidate of each group
    _, plane = largest_in_cells(values, rules)
    assert plane.sets.max() == plane.sets[0, 0, 0] == rules.writes == len(rules.levels) + 1


def _splits(n: int, bits: int, form: Form, rows: int, limit: int) -> list[tuple[int, int]]:
    """Cycles and columns of every tournament that fits, level by level."""
    found = []
    for groups in range(1, min(limit, n) + 1):
        level = MaxBlock(candidates=-(-n // groups), bits=bits, form=form)
        if level.rows > rows or (groups == n and n > 1):
            continue
        after = [(0, 0)] if groups == 1 else _splits(groups, *_won(bits, form), rows, limit)
        found += [(level.cycles + cycles, groups) for cycles, _ in after]
    return found


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(
    ("n", "bits", "rows", "limit"), [(4, 8, 60, 4), (9, 8, 60, 9), (12, 3, 512, 3), (16, 9, 27, 8), (16, 2, 512, 16), (7, 5, 20, 4)]
)
def test_the_cheapest_tournament_is_found(form: Form, n: int, bits: int, rows: int, limit: int) -> None:
    rules = tournament(n, bits, form, 2, rows=rows, columns=2 * limit)
    assert (rules.cycles, rules.columns // 2) == min(_splits(n, bits, form, rows, limit))


def test_tournaments_that_do_not_fit_say_so() -> None:
    with pytest.raises(ValueError, match="does not fit into 20 x 8 cells"):
        tournament(16, 8, Form.SIGNED, 2, rows=20, columns=8)
    with pytest.raises(ValueError, match="give more bits"):
        largest_in_cells(torch.tensor([[[16]]]), alone(MaxBlock(candidates=1, bits=4)))
    with pytest.raises(ValueError, match="at least 1 value, 2 to 32 bits"):
        MaxBlock(candidates=2, bits=1, form=Form.RECTIFIED)


# Sums


@BRIEF
@given(
    k=st.integers(1, 16), bits=st.integers(2, 9), width=st.integers(1, 3), signed=st.booleans(), zero=st.integers(-9, 9),
    groups=st.integers(1, 4), driven=st.integers(0, 5), windows=st.integers(1, 4), seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_sums(k: int, bits: int, width: int, signed: bool, zero: int, groups: int, driven: int, windows: int, seed: int) -> None:
    block = SumBlock(values=k, bits=bits, width=width, signed=signed, zero=zero, groups=min(groups, k), driven=driven)
    values = numbers((windows, k, width), bits, signed, seed)
    found, plane = sum_in_cells(values, block)
    assert torch.equal(found, total(values, zero)) and torch.equal(found, (values - zero).sum(1))
    assert plane.controller.counts == block.actions(windows)
    assert plane.controller.cycles == block.cycles == -(-k // block.groups) + 1
    assert plane.sets.max() <= block.writes and not plane.bits.any()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 15, 16])
def test_converters_of_a_sum_are_wide_enough_and_no_wider(rows: int) -> None:
    block = SumBlock(values=rows, bits=3)
    plane = Plane(Controller(), rows, 3, (1,))
    for row in range(rows):
        with plane.controller.cycle():
            plane.load(row, torch.ones(1, 3, dtype=torch.bool))
    with plane.controller.cycle():
        most = int(plane.convert(range(rows)).max())
    assert most.bit_length() == block.adc_bits
    assert plane.sets.max() == block.writes


@given(k=st.integers(1, 3000), rows=st.sampled_from([64, 128, 512]), adc_bits=st.integers(1, 10))
@BRIEF
def test_sum_blocks_fit_arrays_and_converters(k: int, rows: int, adc_bits: int) -> None:
    block = sum_block(k, 8, width=2, rows=rows, adc_bits=adc_bits)
    assert block.rows <= rows and block.adc_bits <= adc_bits and block.rows * block.groups >= k


def test_average_pooling_of_a_layer() -> None:
    images = numbers((3, 4, 8, 8), 8, True, 5)
    found, _ = sum_in_cells(images.flatten(2).movedim(1, 2), sum_block(64, 8, width=4, rows=24, adc_bits=4, signed=True))
    assert torch.equal(found / 64, images.double().mean((2, 3)).to(torch.float32))


def test_sums_that_make_no_sense_say_so() -> None:
    with pytest.raises(ValueError, match="5 groups for 4 values"):
        SumBlock(values=4, bits=2, groups=5)
    with pytest.raises(ValueError, match="at least 1 of each"):
        SumBlock(values=4, bits=0)
    with pytest.raises(ValueError, match="give more bits"):
        sum_in_cells(torch.tensor([[[-1]]]), SumBlock(values=1, bits=4))


# Softmax

SMALL = {"exp_bits": 5, "log_address": 4, "log_fraction": 3, "quotient_bits": 4}


def check_softmax(unit: InMemorySoftmax, codes: Tensor, seen: Tensor) -> SoftmaxBlocks:
    """Weights are those of the arithmetic, counts and latency those of the closed forms."""
    found, blocks = softmax_in_cells(unit, codes, seen)
    assert torch.equal(found, unit(codes, seen).to(torch.int64))
    length, busy = codes.shape[1], int(seen.any(1).sum())
    assert blocks.controller.counts == unit.actions(int(seen.sum()), busy, length)
    assert blocks.controller.cycles in ((unit.cycles(length)[1],) if busy else (0,))
    planes = (blocks.maximum, blocks.scores, blocks.sums)
    assert not busy or max(int(plane.sets.max()) for plane in planes) <= unit.writes(length)
    return blocks


@BRIEF
@given(
    text=st.sampled_from(["1.1", "3.1", "2.3", "5.2", "6.3", "9.0", "1.3"]), n=st.integers(1, 24), count=st.integers(1, 4), small=st.booleans(),
    rows=st.sampled_from([128, 512]), adc_bits=st.sampled_from([2, 9]), masked=st.booleans(), seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_softmax(text: str, n: int, count: int, small: bool, rows: int, adc_bits: int, masked: bool, seed: int) -> None:
    form = Fixed.of(text)
    unit = InMemorySoftmax(LogSumExp(form, **(SMALL if small else {})), rows=rows, adc_bits=adc_bits)
    generator = torch.Generator().manual_seed(seed)
    wide = numbers((count, n), form.bits, True, seed)
    near = (torch.randn(count, n, generator=generator) * 2**form.fraction).round().clamp(form.low, form.high).long()
    seen = torch.rand(count, n, generator=generator) < (0.6 if masked else 2.0)
    check_softmax(unit, torch.where(torch.rand(count, 1, generator=generator) < 0.5, wide, near), seen)


@pytest.mark.parametrize(
    ("text", "n", "rows", "more"), [("6.3", 197, 512, {}), ("6.6", 40, 512, {"exp_bits": 20}), ("5.4", 64, 128, {}), ("6.2", 300, 512, {})]
)
def test_softmax_of_long_rows_and_split_tables(text: str, n: int, rows: int, more: dict[str, int]) -> None:
    form = Fixed.of(text)
    unit = InMemorySoftmax(LogSumExp(form, **more), rows=rows, adc_bits=5)
    codes = (torch.randn(3, n, generator=torch.Generator().manual_seed(1)) * 2**form.fraction).round().clamp(form.low, form.high).long()
    codes[0] = form.low
    check_softmax(unit, codes, torch.ones_like(codes, dtype=torch.bool))
    assert text != "6.6" or unit.powers.parts > 1


@given(n=st.integers(1, 400), rows=st.sampled_from([128, 256, 512]), text=st.sampled_from(["6.2", "5.4", "9.0", "2.6"]))
@BRIEF
def test_blocks_that_are_read_at_once_fit_an_array(n: int, rows: int, text: str) -> None:
    unit = InMemorySoftmax(LogSumExp(Fixed.of(text)), rows=rows)
    sizes = {block.name: block for block in unit.blocks(n)}
    assert sizes["exponentials"].rows + sizes["sums"].rows + sizes["scores"].rows <= rows
    assert sizes["sums"].columns == sizes["exponentials"].columns <= unit.columns - sizes["scores"].columns
    for others in (("scores", "weights"), ("octaves", "logarithms")):
        together = [sizes["maximum"], *(sizes[name] for name in others)]
        assert sum(block.rows for block in together) <= rows
        assert sum(block.columns for block in together) <= unit.columns


@pytest.mark.parametrize("n", [2, 10, 64])
def test_nothing_is_written_while_the_next_tournament_may_run(n: int) -> None:
    """All cycles of a row but the first look at a score, and those after the sum, have a write pulse."""
    unit = InMemorySoftmax(LogSumExp(Fixed.of("6.2")))
    blocks = check_softmax(unit, numbers((1, n), 8, True, n), torch.ones(1, n, dtype=torch.bool))
    interval, latency = unit.cycles(n)
    assert blocks.controller.counts["array.bias"] == latency - (n + 3) - 1
    assert interval == latency - min(unit.layout(n).matches.cycles, n + 3)


def test_worst_case_wear_of_a_softmax_is_met() -> None:
    unit = InMemorySoftmax(LogSumExp(Fixed.of("3.1")), adc_bits=2)
    equal = torch.full((1, 24), unit.arithmetic.format.high)
    blocks = check_softmax(unit, equal, torch.ones_like(equal, dtype=torch.bool))
    assert blocks.sums.sets.max() == unit.writes(24) == unit.layout(24).rounds == 8


def test_softmax_is_a_unit_and_refuses_what_does_not_fit() -> None:
    unit: Unit = InMemorySoftmax(LogSumExp(Fixed.of("6.2")))
    assert (unit.input, unit.output) == (LogSumExp(Fixed.of("6.2")).input, LogSumExp(Fixed.of("6.2")).output)
    with pytest.raises(ValueError, match="fewer bits"):
        InMemorySoftmax(LogSumExp(Fixed.of("6.2"), log_address=16))
    with pytest.raises(ValueError, match="do not fit"):
        InMemorySoftmax(LogSumExp(Fixed.of("6.2")), rows=128).actions(700, 1, 700)


# What cells can do


def plane_of(rows: int = 4, columns: int = 3) -> Plane:
    return Plane(Controller(), rows, columns)


def test_gates_and_their_counts() -> None:
    plane = Plane(Controller(), 3, 4, (2,))
    rows = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]).bool()
    for row, bits in enumerate(rows):
        with plane.controller.cycle():
            plane.load(row, bits.expand(2, 4))
    latches = []
    for gate, driven in ((Gate.OR, (0, 1, 2)), (Gate.AND, (0, 1, 2)), (Gate.XOR, (0, 1))):
        with plane.controller.cycle():
            latches.append(plane.sense(gate, driven)[1].int().tolist())
    assert latches == [[0, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0]]
    with plane.controller.cycle():
        assert plane.convert(range(3)).tolist() == [[0, 1, 1, 3]] * 2
    assert plane.controller.cycles == 7
    expected = {"array.bias": 3, "array.write_cell": 12, "array.read_row": 11, "dac.drive": 11, "sense_amplifier.sense": 12}
    expected |= {"sample_hold.sample": 4, "adc.convert": 4}
    assert plane.controller.counts == {name: 2 * count for name, count in expected.items()}


def test_a_latch_masks_a_write_and_both_kinds_of_wear_are_kept() -> None:
    plane = plane_of()
    with plane.controller.cycle():
        plane.load(0, torch.tensor([True, False, True]))
    with plane.controller.cycle():
        plane.set(1, plane.sense(Gate.OR, (0,)))
    with plane.controller.cycle():
        plane.reset((0, 1, 2), torch.tensor([True, True, False]))
    with plane.controller.cycle():
        plane.erase()
    assert plane.sets.tolist() == [[1, 0, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert plane.pulses.tolist() == [[3, 2, 2], [3, 2, 2], [2, 2, 1], [1, 1, 1]]


YES, NO = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
ILLEGAL: dict[str, Callable[[Plane], object]] = {
    "after the write pulse": lambda p: (p.load(1, YES), p.sense(Gate.OR, (0,))),
    "read twice": lambda p: (p.sense(Gate.OR, (0,)), p.convert((1,))),
    "read twice in one": lambda p: (p.sense(Gate.OR, (0,)), p.corner(1, 1).sense(Gate.OR, (0,))),
    "written twice": lambda p: (p.load(1, YES), p.reset((0,), YES)),
    "array is written twice": lambda p: (p.erase(), Plane(p.controller, 1, 1).erase()),
    "takes two rows": lambda p: p.sense(Gate.XOR, (0, 1, 2)),
    "an XOR takes": lambda p: p.sense(Gate.XOR, (0,)),
    "name at least one": lambda p: p.sense(Gate.OR, ()),
    "each once": lambda p: p.sense(Gate.OR, (1, 1)),
    "of a block of 4": lambda p: p.reset((4,), YES),
    "holds a 1 already": lambda p: p.load(0, NO),
    "set where it holds 1": lambda p: p.set(0, YES),
    "within a cycle": lambda p: p.controller.cycle().__enter__(),
    "no corner of 5 x 3": lambda p: p.corner(5, 3),
}


@pytest.mark.parametrize("says", ILLEGAL)
def test_cells_refuse(says: str) -> None:
    plane = plane_of()
    with plane.controller.cycle():
        plane.load(0, torch.tensor([True, False, False]))
    with plane.controller.cycle(), pytest.raises(ValueError, match=says):
        ILLEGAL[says](plane)


def test_nothing_happens_between_cycles() -> None:
    plane = plane_of()
    with pytest.raises(ValueError, match="read outside"):
        plane.sense(Gate.OR, (0,))
    with pytest.raises(ValueError, match="written outside"):
        plane.erase()
    with pytest.raises(ValueError, match="at least 1"):
        plane_of(0)


def test_a_match_needs_an_erased_block() -> None:
    block = MaxBlock(candidates=2, bits=3)
    plane = Plane(Controller(), block.rows, 1, (1,))
    for values in ([3, 5], [7, 1]):
        assert match(plane, torch.tensor([values])[..., None], block).item() == max(values)
    with plane.controller.cycle():
        plane.load(5, torch.ones(1, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="erase it first"):
        match(plane, torch.tensor([[[3], [5]]]), block)


def test_tables_read_one_row_and_nothing_beyond() -> None:
    control = Controller()
    table = LookUpTable(control, torch.tensor([5, 0, 7, 3]), 3, 3)
    with control.cycle():
        found = table.read(torch.tensor([3, 0, 4, 99, 2]), torch.tensor([True, True, True, True, False]))
    assert number_of(found).tolist() == [3, 5, 0, 0, 0] and table.parts == 2
    assert control.counts == {"dac.drive": 4, "array.read_row": 4, "sense_amplifier.sense": 12}
    with control.cycle(), pytest.raises(ValueError, match="read twice"):
        table.read(torch.tensor([0])), table.read(torch.tensor([1]))


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=9))
def test_digits_are_twos_complement(values: list[int]) -> None:
    bits = digits_of(torch.tensor(values), 8)
    assert torch.equal(number_of(bits) - 256 * bits[..., 0], torch.tensor(values))


@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 4), st.data())
def test_two_blocks_take_turns_at_a_relu(bits: int, steps: int, width: int, data: st.DataObject) -> None:
    """Integers, actions and cycles; the controller refuses a second write pulse in a cycle, so that the schedule is proved by running."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    drawn = data.draw(st.lists(st.integers(low, high), min_size=steps * 2 * width, max_size=steps * 2 * width))
    values = torch.tensor(drawn).reshape(steps, 2, width)
    rule = Alternating(MaxBlock(candidates=1, bits=bits, form=Form.RECTIFIED, width=width))
    control = Controller()
    halves = (Plane(control, bits, width, (2,)), Plane(control, bits, width, (2,)))
    assert torch.equal(rectify_in_turn(halves, values, rule), values.clamp(min=0))
    assert +control.counts == rule.actions(2 * steps)
    assert control.cycles == 2 * bits + (steps - 1) * rule.cycles
    assert not halves[0].bits.any() and not halves[1].bits.any()
    most = max(int(half.sets.max()) for half in halves)
    assert most <= -(-steps // 2)
    with pytest.raises(ValueError, match="take one block"):
        Alternating(MaxBlock(candidates=2, bits=bits, form=Form.RECTIFIED))
