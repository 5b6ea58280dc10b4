"""Layers with ternary weights compiled for associative processors: streams give the integers of the product, whatever the shape, and cost what is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.engine.associative.compile.compile import compile_layer
from crossloom.engine.associative.compile.listing import PASSES, listing
from crossloom.engine.associative.isa.effort import effort_of
from crossloom.engine.associative.placement import placed
from crossloom.engine.associative.settings import Processors
from crossloom.engine.associative.simulate.execute import execute
from crossloom.engine.associative.simulate.state import State, write_values
from crossloom.errors import CapacityError
from tests.associative_layers import CHIP, executed_whole, inputs_of, layer_of, product


@settings(max_examples=60, deadline=None)
@given(
    groups=st.sampled_from((1, 1, 2, 5)),
    channels=st.integers(1, 7),
    taps=st.sampled_from((1, 2, 4, 9, 49)),
    outputs=st.integers(1, 12),
    bits=st.integers(1, 8),
    signed=st.booleans(),
    sparsity=st.sampled_from((0.0, 0.3, 0.8, 0.95, 1.0)),
    sharing=st.booleans(),
    spread=st.sampled_from(("none", "inputs", "all")),
    scope=st.sampled_from((0, 1, 3)),
    columns=st.sampled_from((20, 40, 256)),
    domains=st.sampled_from((32, 64)),
    seed=st.integers(0, 1000),
)
def test_streams_give_the_sums_of_products(
    groups: int,
    channels: int,
    taps: int,
    outputs: int,
    bits: int,
    signed: bool,
    sparsity: float,
    sharing: bool,
    spread: str,
    scope: int,
    columns: int,
    domains: int,
    seed: int,
) -> None:
    layer = layer_of(groups, channels, taps, outputs, bits=bits, signed=signed, sparsity=sparsity, seed=seed)
    chip = replace(
        CHIP, sharing=sharing, spread=spread != "none", all_spread=spread == "all", scope=scope, columns=columns, domains=domains, arrays=16
    )
    try:
        whole = compile_layer(layer, 1, chip)
    except CapacityError:
        assert scope * taps > columns - 5 or columns < 24, "an array with some room takes every layer"
        return
    rows = inputs_of(layer, 70, seed)
    assert np.array_equal(executed_whole(whole, rows), product(layer, rows))


def test_the_tightest_widths_hold_the_extremes() -> None:
    """Inputs that drive every sum to the ends of its range: all of one sign where weights are 1, of the other where they are -1."""
    layer = layer_of(1, 4, 9, 6, bits=4, signed=True, sparsity=0.3, seed=5)
    whole = compile_layer(layer, 1, replace(CHIP, spread=False))
    weights = layer.matrices[0].T
    rows = np.concatenate([np.where(weights > 0, 7, -8), np.where(weights > 0, -8, 7)]).astype(np.int32)
    found = executed_whole(whole, rows)
    assert np.array_equal(found, product(layer, rows))
    low, high = layer.reach(range(layer.channels))
    assert np.array_equal(np.diag(found[:6]), high)
    assert np.array_equal(np.diag(found[6:]), low)


@pytest.mark.parametrize("sparsity", [0.8, 0.9])
def test_unrolled_operations_are_the_weights_that_are_not_zero(sparsity: float) -> None:
    layer = layer_of(1, 8, 9, 32, bits=4, signed=False, sparsity=sparsity, seed=1)
    chip = replace(CHIP, sharing=False, spread=False, scope=1)
    found = placed(compile_layer(layer, 1, chip), [64], 64, chip)
    assert found.operations == found.nonzeros == np.count_nonzero(layer.matrices)
    shared = replace(CHIP, spread=False)
    assert placed(compile_layer(layer, 1, shared), [64], 64, shared).operations < found.operations


def test_sums_that_nothing_is_added_to_are_zero() -> None:
    layer = layer_of(1, 2, 4, 5, bits=4, signed=False, sparsity=1.0, seed=0)
    whole = compile_layer(layer, 1, CHIP)
    rows = inputs_of(layer, 10, 0)
    assert not executed_whole(whole, rows).any()


@pytest.mark.parametrize(("taps", "columns"), [(256, 256), (257, 256), (49, 16), (9, 8)])
def test_a_kernel_may_have_more_taps_than_an_array_has_columns(taps: int, columns: int) -> None:
    layer = layer_of(2, 3, taps, 6, bits=4, signed=True, sparsity=0.8, seed=taps)
    rows = inputs_of(layer, 20, 1)
    assert np.array_equal(executed_whole(compile_layer(layer, 1, replace(CHIP, columns=columns)), rows), product(layer, rows))


def test_every_pass_prints() -> None:
    layer = layer_of(1, 3, 4, 5, bits=4, signed=False, sparsity=0.4, seed=2)
    chip: Processors = replace(CHIP, spread=False)
    whole = compile_layer(layer, 1, chip)
    text = {after: list(listing(whole, 64, chip, after)) for after in PASSES}
    nonzeros = np.count_nonzero(layer.matrices)
    assert sum("acc" in line for line in text["unrolled"]) == nonzeros
    assert sum(" = " in line for line in text["shared"]) > 0
    assert sum("acc" in line or " = " in line for line in text["shared"]) < nonzeros
    assert Counter(text["widths"]) == Counter(text["ordered"])
    assert text["code"][0].startswith("stream of")
    assert f"{layer.matrices.size} weights are gone" in text["folded"][-1]


def test_cells_written_are_near_what_random_bits_lead_one_to_expect() -> None:
    layer = layer_of(1, 16, 9, 32, bits=4, signed=False, sparsity=0.8, seed=4)
    whole = compile_layer(layer, 1, replace(CHIP, spread=False))
    compiled = whole.streams[0]
    rows = inputs_of(layer, 4096, 1)
    state = State.zeros(len(rows), CHIP.columns, CHIP.domains)
    each = whole.layout.scopes_in_round

    def load(number: int, state: State) -> None:
        for place, channels in enumerate(compiled.scopes[number * each : (number + 1) * each]):
            part = rows[:, channels.start * layer.taps : channels.stop * layer.taps]
            columns = np.arange(part.shape[1])
            write_values(state, part, columns, np.full_like(columns, whole.layout.input_domain(place)), layer.bits)

    done = execute(compiled.stream, state, load=load, observed=True)
    assert done.written is not None
    expected = effort_of(compiled.stream).written_eighths / 8 * len(rows)
    assert done.written == pytest.approx(expected, rel=0.15)
