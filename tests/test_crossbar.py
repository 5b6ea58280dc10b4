"""The crossbar engine: every plan against the plain reference, counts included; tilings; encodings."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.engine.crossbar.ideal.product import byte_product, product
from crossloom.engine.crossbar.mapping.encode import Digits, Slices, program_tiles
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.crossbar.settings import crossbars, largest_sum, lossless_bits
from crossloom.engine.vectors import input_vectors, output_of, weight_matrices
from crossloom.errors import MachineError, ModelError
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.integer import Operand, exact_sums
from crossloom.network.operators import Conv, ConvTranspose, Linear
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.read.values import Values
from tests.layers import one_layer, seeded

ISAAC = load_machine("isaac-ce")


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """An ISAAC with other arrays, converters and encodings."""
    encoding = draw(st.sampled_from(["offset", "differential", "twos_complement"]))
    accumulate = draw(st.sampled_from(["digital", "digital", "buffered", "analog"]))
    flip = encoding == "offset" and accumulate == "digital" and draw(st.booleans())
    buffer = {"separate_columns": draw(st.integers(0, 9))} if accumulate == "buffered" else {}
    return ISAAC.with_(
        array_rows=draw(st.sampled_from([8, 16, 64, 128])),
        array_columns=draw(st.sampled_from([24, 32, 128])),
        cell_bits=draw(st.integers(1, 4)),
        adc_bits=draw(st.integers(2, 9)),
        dac_bits=draw(st.sampled_from([1, 1, 2, 4])),
        encoding=encoding,
        flip=flip,
        accumulate=accumulate,
        range=draw(st.sampled_from(["unit", "full", "layer"])),
        unit_column=flip or draw(st.booleans()),
        **buffer,
    )


@st.composite
def layers(draw: st.DrawFn) -> tuple[Graph, torch.Tensor]:
    """A quantised layer with random bit widths, and a batch of inputs."""
    seed = draw(st.integers(0, 10_000))
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    inputs, outputs = groups * draw(st.integers(1, 6)), groups * draw(st.integers(1, 6))
    kind = draw(st.sampled_from(["conv", "conv", "linear", "transpose"]))
    recipe = Recipe(draw(st.integers(2, 10)), draw(st.integers(2, 10)), draw(st.booleans()), draw(st.sampled_from(["symmetric", "affine"])))
    bias = [seeded(seed + 1, outputs)] if draw(st.booleans()) else []
    if kind == "linear":
        graph, shape = one_layer(Linear(), (3, inputs), seeded(seed, outputs, inputs), *bias), (3, inputs)
    elif kind == "transpose":
        op = ConvTranspose((2, 2), (1, 1), (draw(st.integers(0, 1)), 0), (1, 1), groups)
        graph, shape = one_layer(op, (inputs, 4, 4), seeded(seed, inputs, outputs // groups, 3, 3), *bias), (inputs, 4, 4)
    else:
        kernel, stride = draw(st.sampled_from([(1, 1), (3, 3), (3, 1)])), draw(st.integers(1, 2))
        padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
        op = Conv((stride, stride), padding, (draw(st.integers(1, 2)), 1), groups)
        graph, shape = one_layer(op, (inputs, 7, 6), seeded(seed, outputs, inputs // groups, *kernel), *bias), (inputs, 7, 6)
    x = seeded(seed + 2, 2, *shape)
    x = x.abs() if draw(st.booleans()) else x
    return quantize(graph, [x], recipe), x


def both(graph: Graph, machine: Machine, x: torch.Tensor):
    """Return (values, counts) by the planner and by the reference, the ledger's counts for the batch, and the plan's name."""
    program = compile_network(graph, machine)
    planned, plain = Values.of(program), Values.of(program, {"crossbar": reference_executor})
    ledger: Counter[str] = Counter()
    for stage in program.stages:
        ledger.update({name: len(x) * count for name, count in stage.actions.items()})
    return planned((x,)), plain((x,)), ledger, planned.plans[0]["plan"]


@settings(max_examples=200)
@given(layers(), machines())
def test_every_plan_equals_the_reference_in_values_and_counts(layer, machine) -> None:
    graph, x = layer
    ((found,), counts), ((expected,), plain_counts), ledger, _ = both(graph, machine, x)
    assert torch.equal(found, expected)
    assert counts == plain_counts == ledger


@settings(max_examples=60)
@given(layers(), machines())
def test_a_lossless_converter_gives_the_integer_reference(layer, machine) -> None:
    """With enough bits in the converter, machine, encoding and tiling change nothing."""
    graph, x = layer
    lossless = {"separate_columns": 0, "adc_bits": 48, "range": "unit"}
    exact = machine.with_(**lossless)
    ((found,), _), ((plain,), _), _, plan = both(graph, exact, x)
    assert plan == "integer product"
    assert torch.equal(found, graph(x))
    assert torch.equal(plain, graph(x))


def test_each_plan_is_met() -> None:
    x = seeded(1, 2, 40)
    graph = quantize(one_layer(Linear(), (40,), seeded(2, 30, 40)), [x], Recipe(6, 6))
    names = {both(graph, ISAAC.with_(**changes), x)[3] for changes in ({}, {"adc_bits": 3}, {"flip": False, "accumulate": "analog"})}
    assert names == {"integer product", "slice by slice", "product per tile"}


def test_only_columns_that_can_clip_are_computed_slice_by_slice() -> None:
    weight = torch.zeros(8, 64)
    weight[0], weight[1, 0] = 1.0, 1.0
    x = torch.rand(4, 64, generator=torch.Generator().manual_seed(0))
    graph = quantize(one_layer(Linear(), (64,), weight), [x], Recipe(4, 4, per_channel=False))
    program = compile_network(graph, ISAAC.with_(adc_bits=5, encoding="differential", flip=False, cell_bits=1))
    plan = Values.of(program).plans[0]
    assert "clip 1 of 8 columns" in plan["why"]


@pytest.mark.parametrize(
    ("rows", "input_bits", "cell_bits", "expected"),
    [(128, 1, 1, 8), (128, 1, 2, 9), (128, 1, 4, 11), (128, 2, 2, 11), (256, 1, 2, 10), (512, 1, 1, 10), (512, 1, 4, 13), (128, 4, 1, 11)],
)
def test_the_resolution_law_of_isaac(rows: int, input_bits: int, cell_bits: int, expected: int) -> None:
    """shafiee2016, Equations 1 and 2; flip encoding saves a bit."""
    assert lossless_bits(rows, input_bits, cell_bits) == expected
    assert lossless_bits(rows, input_bits, cell_bits, flip=True) == expected - 1


@given(st.integers(0, 2), st.integers(1, 500), st.integers(1, 4), st.integers(1, 4))
def test_a_lossless_resolution_is_lossless_and_one_bit_less_is_not(spare: int, rows: int, input_bits: int, cell_bits: int) -> None:
    bits = lossless_bits(rows, input_bits, cell_bits)
    largest = torch.tensor([largest_sum(rows, input_bits, cell_bits, False)])
    assert torch.equal(Converter(bits + spare, 0)(largest.clone()), largest)
    assert not torch.equal(Converter(bits - 1, 0)(largest.clone()), largest)


@given(st.integers(1, 10), st.integers(0, 5000))
def test_a_covering_converter_is_within_half_a_step_below_its_largest_code(bits: int, largest: int) -> None:
    converter = Converter.covering(bits, largest)
    sums = torch.arange(largest + 1)
    error = (converter(sums.clone()) - sums).abs()
    below = sums <= converter.limit
    assert int(error[below].max()) <= (1 << converter.shift) // 2
    assert int(error.max()) < 1 << converter.shift
    assert bool((converter(sums.clone()).diff() >= 0).all())


@given(st.integers(2, 16), st.booleans(), st.integers(1, 5))
def test_digits_add_up_to_the_integer(bits: int, signed: bool, width: int) -> None:
    digits = Digits.of(bits, signed, width)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    integers = torch.arange(low, high + 1)
    parts = digits(integers)
    assert sum(w * d for w, d in zip(digits.weights, parts, strict=True)).tolist() == integers.tolist()
    assert int(parts.min()) >= 0
    assert int(parts.max()) < 1 << width


@given(st.integers(2, 16), st.sampled_from(["offset", "differential", "twos_complement"]), st.integers(1, 5))
def test_slices_add_up_to_the_weight(bits: int, encoding, cell_bits: int) -> None:
    slices = Slices.of(bits, encoding, cell_bits)
    weights = torch.arange(-(1 << (bits - 1)) + 1, 1 << (bits - 1))
    cells = slices(weights)
    assert (sum(w * c for w, c in zip(slices.weights, cells, strict=True)) - slices.offset).tolist() == weights.tolist()
    assert int(cells.min()) >= 0
    assert all(int(c.max()) < 1 << width for c, width in zip(cells, slices.widths, strict=True))


@given(st.integers(1, 300), st.integers(1, 9), st.integers(0, 100))
def test_flipped_columns_never_exceed_half(rows: int, columns: int, seed: int) -> None:
    xbar = crossbars(ISAAC)
    weights = torch.randint(-128, 128, (rows, columns), generator=torch.Generator().manual_seed(seed))
    for tile in program_tiles(weights, Slices.of(8, "offset", 2), xbar):
        assert int(tile.cells.sum(1).max()) <= largest_sum(tile.cells.shape[1], 1, 2, True)


@given(st.integers(1, 40), st.integers(1, 700), st.integers(1, 300), st.sampled_from([1, 2, 4, 8]), st.sampled_from([64, 128, 256]))
def test_tiles_hold_every_weight(groups: int, rows: int, columns: int, slices: int, size: int) -> None:
    tiling = Tiling(groups=groups, rows=rows, columns=columns, slices=slices, array_rows=size, array_columns=size, packed=1, unit=1)
    assert tiling.arrays * size * size >= tiling.cells
    assert tiling.row_tiles * size >= rows > (tiling.row_tiles - 1) * size
    wider = Tiling(groups=groups, rows=rows, columns=columns, slices=slices, array_rows=2 * size, array_columns=2 * size, packed=1, unit=1)
    assert wider.arrays <= tiling.arrays
    assert 0 < tiling.utilization <= 1


def test_a_depthwise_layer_is_packed_on_the_diagonal(isaac: Machine) -> None:
    x = seeded(1, 1, 32, 8, 8)
    graph = quantize(one_layer(Conv((1, 1), (1, 1, 1, 1), (1, 1), 32), (32, 8, 8), seeded(2, 32, 1, 3, 3)), [x])
    tiling = compile_network(graph, isaac).stages[0].placement
    assert tiling.packed == 128 // 9
    assert tiling.arrays == 3


@given(layers())
def test_vectors_times_matrices_are_the_layer(layer) -> None:
    graph, _ = layer
    node = graph.nodes[0]
    x = torch.randint(-9, 9, (2, *[int(d) for d in graph.inputs[0][1].shape[1:]]), generator=torch.Generator().manual_seed(0))
    weight = graph.constants[node.inputs[1]].to(torch.int64)
    kernel = tuple(int(k) for k in weight.shape[2:])
    vectors, matrices = input_vectors(node.op, x, kernel, 0), weight_matrices(node.op, weight)
    expected = node.op(x.double(), weight.double())
    found = output_of(node.op, torch.einsum("mgr,grc->mgc", vectors, matrices).flatten(1), tuple(expected.shape))
    assert torch.equal(found.double(), expected)


@settings(max_examples=60)
@given(st.integers(2, 9), st.booleans(), st.integers(0, 255), st.integers(1, 40), st.sampled_from([1, 2]), st.integers(0, 1000))
def test_fast_products_are_exact(bits: int, signed: bool, zero: int, channels: int, stride: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x_q = Quantization((1.0,), zero % (1 << bits) if not signed else 0, bits, signed)
    w = torch.randint(-127, 128, (6, channels, 3, 3), generator=generator)
    x = torch.randint(x_q.low, x_q.high + 1, (2, channels, 7, 7), generator=generator).to(
        torch.int16 if bits > 8 else torch.int8 if signed else torch.uint8
    )
    bias = torch.randint(-1000, 1000, (6,), generator=generator)
    node = one_layer(Conv((stride, stride), (1, 0, 1, 2), (1, 1)), (channels, 7, 7), torch.zeros(6, channels, 3, 3)).nodes[0]
    expected = exact_sums(node, Operand(x, x_q), Operand(w, Quantization((1.0,), narrow=True)), bias)
    assert torch.equal(product(node, x_q, w, bias)(x).double(), expected)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 100))
def test_byte_products_are_exact_whatever_the_strides(m: int, k: int, n: int, turn_left: bool, turn_right: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randint(-128, 128, size, dtype=torch.int8, generator=generator) for size in ((m, k), (k, n)))
    left = left.t().contiguous().t() if turn_left else left
    right = right.t().contiguous().t().contiguous() if turn_right else right
    assert torch.equal(byte_product(left, right).double(), left.double() @ right.double())


def test_a_linear_layer_with_one_input(isaac: Machine) -> None:
    x = seeded(1, 6, 1)
    graph = quantize(one_layer(Linear(), (1,), seeded(2, 16, 1)), [x])
    ((found,), counts), ((plain,), plain_counts), ledger, _ = both(graph, isaac, x)
    assert torch.equal(found, plain)
    assert torch.equal(found, graph(x))
    assert counts == plain_counts == ledger


def test_sums_beyond_24_bits_stay_exact() -> None:
    node = one_layer(Conv((1, 1), (1, 1, 1, 1), (1, 1)), (512, 7, 7), torch.zeros(8, 512, 3, 3)).nodes[0]
    q = Quantization((1.0,), 0, 8, signed=False)
    x, w = torch.full((1, 512, 7, 7), 255, dtype=torch.uint8), torch.full((8, 512, 3, 3), 127)
    bias = torch.arange(8) + 2**20
    expected = exact_sums(node, Operand(x, q), Operand(w, Quantization((1.0,), narrow=True)), bias)
    assert float(expected.max()) > 2**26
    assert torch.equal(product(node, q, w, bias)(x).double(), expected)


@pytest.mark.parametrize("kind", ["conv", "linear"])
@pytest.mark.parametrize("channels", [3, 512])
def test_a_bias_beyond_32_bits_stays_exact(kind: str, channels: int) -> None:
    """Where the input's scale is tiny, the bias in units of the accumulator is huge."""
    op, tail = (Conv((1, 1), (1, 1, 1, 1), (1, 1)), (3, 3)) if kind == "conv" else (Linear(), ())
    shape = (channels, 5, 5) if kind == "conv" else (channels,)
    node = one_layer(op, shape, torch.zeros(4, channels, *tail)).nodes[0]
    q = Quantization((1.0,), 0, 8, signed=False)
    x, w = torch.full((2, *shape), 255, dtype=torch.uint8), torch.full((4, channels, *tail), -127)
    bias = torch.tensor([3 * 10**10, -(3 * 10**10), 1, 0])
    expected = exact_sums(node, Operand(x, q), Operand(w, Quantization((1.0,), narrow=True)), bias)
    assert torch.equal(product(node, q, w, bias)(x).double(), expected)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"encoding": "differential"}, "flip encoding needs the offset"),
        ({"unit_column": False}, "flip encoding needs the unit column"),
        ({"accumulate": "analog"}, "flip encoding undoes"),
        ({"encoding": "thermometer"}, "encoding"),
        ({"cell_bits": 9}, "computes with at most 7"),
        ({"array_rows": 1.5}, "whole number"),
        ({"range": 3}, "range"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], problem: str, isaac: Machine) -> None:
    with pytest.raises(MachineError, match=problem):
        crossbars(isaac.with_(**changes))


def test_a_weight_wider_than_an_array(isaac: Machine) -> None:
    graph = quantize(one_layer(Linear(), (8,), seeded(1, 4, 8)), [seeded(2, 2, 8)], Recipe(16, 8))
    with pytest.raises(ModelError, match="takes 8 columns"):
        compile_network(graph, isaac.with_(array_columns=4))
