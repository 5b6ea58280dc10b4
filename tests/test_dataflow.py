"""What accumulates where before it is converted: counts and resolutions against the published equations, fluctuation, converters' ranges."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine import Inferences
from crossloom.engine.crossbar.analog.layer import AnalogLayer
from crossloom.engine.crossbar.analog.programmed import matrices
from crossloom.engine.crossbar.analog.strips import strips, strips_of
from crossloom.engine.crossbar.dataflow import lines
from crossloom.engine.crossbar.engine import layer_of, reference_executor
from crossloom.engine.crossbar.mapping.encode import Digits, Slices
from crossloom.engine.crossbar.reference.analog import analog_reference
from crossloom.engine.crossbar.settings import crossbars
from crossloom.errors import MachineError
from crossloom.job.run import run
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Linear
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.read.values import Values
from tests.layers import one_layer, seeded

ISAAC = load_machine("isaac-ce")
STRATEGIES = {"digital": lambda c, k: c * k, "buffered": lambda c, k: c + k - 1, "analog": lambda c, k: 1}
"""Conversions for one dot product: cao2022, Equations 5, 6 and 7, for C cycles and K columns."""


def layer(input_bits: int = 8, weight_bits: int = 8, inputs: int = 20, outputs: int = 5) -> tuple[Graph, torch.Tensor]:
    """Return a quantised layer whose inputs are not negative, and samples."""
    x = seeded(1, 6, inputs).abs()
    return quantize(one_layer(Linear(), (inputs,), seeded(2, outputs, inputs)), [x], Recipe(weight_bits, input_bits)), x


@settings(max_examples=150)
@given(st.sampled_from(sorted(STRATEGIES)), st.integers(2, 16), st.integers(2, 16), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_conversions_are_those_of_the_equations(strategy: str, input_bits: int, weight_bits: int, cell_bits: int, dac_bits: int, plain: bool) -> None:
    """Counted by running, with the planner's path and with the plain one."""
    graph, x = layer(input_bits, weight_bits)
    machine = ISAAC.with_(accumulate=strategy, flip=False, unit_column=False, cell_bits=cell_bits, dac_bits=dac_bits)
    program = compile_network(graph, machine)
    _, counts = Values.of(program, {"crossbar": reference_executor} if plain else {})((x,))
    cycles, columns = math.ceil(input_bits / dac_bits), math.ceil(weight_bits / cell_bits)
    assert counts["adc.convert"] == x.shape[0] * 5 * STRATEGIES[strategy](cycles, columns)
    assert program.stages[0].interval_s == pytest.approx(cycles * machine.cycle_s.value)


@pytest.mark.parametrize(
    ("dac_bits", "expected"),
    [
        (1, {"digital": (64, 8), "buffered": (15, 11)}),
        (2, {"digital": (32, 9), "buffered": (11, None)}),
        (4, {"digital": (16, 11), "buffered": (9, None)}),
    ],
)
def test_the_example_of_eight_bits(dac_bits: int, expected: dict[str, tuple[int, int | None]]) -> None:
    """cao2022, Section 3.1, and its Equations 2 to 7 for arrays of 128 rows with one-bit cells.

    Where digits have more bits than cells, its Equation 3 leaves out what makes up for the different places within a buffer column.
    """
    digits, slices = Digits.of(8, False, dac_bits), Slices.of(8, "offset", 1)
    for strategy, (conversions, bits) in expected.items():
        found = lines(strategy, digits, slices)  # type: ignore[arg-type]
        assert len(found) == conversions
        if bits is not None:
            assert max(math.ceil(math.log2(line.span(128, digits, slices)[1] + 1)) for line in found) == bits
    (whole,) = lines("analog", digits, slices)
    assert whole.span(128, digits, slices) == (0, 128 * 255 * 255)


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 7))
def test_the_resolution_of_the_first_two_dataflows(log_rows: int, cell_bits: int, dac_bits: int) -> None:
    """cao2022, Equation 2, for all sizes; Equation 3 where digits and slices have one bit."""
    digits, slices = Digits.of(dac_bits, False, dac_bits), Slices.of(cell_bits, "offset", cell_bits)
    (line,) = lines("digital", digits, slices)
    law = cell_bits + dac_bits + log_rows - (0 if cell_bits > 1 and dac_bits > 1 else 1)
    assert math.ceil(math.log2(line.span(1 << log_rows, digits, slices)[1] + 1)) == law
    eight, bits = Digits.of(8, False, 1), Slices.of(8, "offset", 1)
    widest = max(line.span(1 << log_rows, eight, bits)[1] for line in lines("buffered", eight, bits))
    assert math.ceil(math.log2(widest + 1)) == (1 + log_rows) + 3


@given(st.integers(1, 16), st.booleans(), st.integers(2, 16), st.sampled_from(["offset", "differential", "twos_complement"]),
       st.integers(1, 4), st.integers(1, 4), st.integers(0, 12), st.sampled_from(["digital", "buffered", "analog"]))  # fmt: skip
def test_lines_add_up_to_the_dot_product(input_bits, signed, weight_bits, encoding, dac_bits, cell_bits, separate, accumulate) -> None:
    """Every partial sum is in one line, with the weight that it has in the dot product."""
    digits, slices = Digits.of(input_bits + signed, signed, dac_bits), Slices.of(weight_bits, encoding, cell_bits)
    found = lines(accumulate, digits, slices, separate if accumulate == "buffered" else 0)
    weights = {(b, k): line.weight * factor for line in found for b, k, factor in line.terms}
    assert sum(len(line.terms) for line in found) == len(weights) == len(digits) * len(slices)
    assert weights == {(b, k): dw * sw for b, dw in enumerate(digits.weights) for k, sw in enumerate(slices.weights)}


def test_ten_conversions_of_cascade() -> None:
    """chou2019, Section 3.4 and Table 2: 15 bits of input, 16 columns, nine converted each by itself and one carry; 256 if digital."""
    digits, slices = Digits.of(15, False, 1), Slices.of(16, "offset", 1)
    found = lines("buffered", digits, slices, separate=9)
    assert len(found) == 10 and sum(line.columns for line in found) == 30
    assert max(math.ceil(math.log2(line.span(64, digits, slices)[1] + 1)) for line in lines("buffered", digits, slices)) == 10
    assert len(lines("digital", Digits.of(16, False, 1), slices)) == 256


def test_a_buffer_fluctuates_as_it_says() -> None:
    """What a buffer adds to a dot product has the variance Σ (α β)² of its cells' own; sums here are far from where converters clip."""
    graph, x = layer(6, 6, inputs=128, outputs=64)
    machine = ISAAC.with_(accumulate="buffered", flip=False, unit_column=False, adc_bits=40, range="full", buffer_bits=6, buffer_sigma=1.0)
    program = compile_network(graph, machine)
    built = layer_of(program.graph.nodes[0], program.graph, crossbars(machine), program.stages[0].placement)
    executor = Values.of(program, seed=3).executors["y"]
    many = graph.quantization["x0"].quantize(torch.full_like(x[:1], 1e9)).repeat(4000, 1)
    sums = executor.chosen.sums(many.to(torch.uint8), Inferences(4000))  # type: ignore[attr-defined]
    exact = built.result(many, built.vectors(many.to(torch.int64))[:, 0].matmul(built.matrices()[0])[:, None])
    cell = 128 * 3 / 64
    spread = cell * math.sqrt(sum((dw * sw) ** 2 for dw in built.digits.weights for sw in built.slices.weights))
    rounding = math.sqrt(sum(line.weight**2 for line in built.lines) / 12)
    assert (sums - exact).std().item() == pytest.approx(math.hypot(spread, rounding), rel=0.02)
    assert abs((sums - exact).mean().item()) < 0.02 * spread


def test_a_fluctuating_buffer_gives_the_same_whatever_the_batch() -> None:
    graph, x = layer()
    machine = ISAAC.with_(accumulate="buffered", flip=False, buffer_bits=6, buffer_sigma=0.4, adc_bits=12)
    values = Values.of(compile_network(graph, machine), seed=5)
    whole = values((x,))[0][0]
    parts = torch.cat([values((x[i : i + 2],), i)[0][0] for i in range(0, len(x), 2)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, Values.of(compile_network(graph, machine), seed=6)((x,))[0][0])


@pytest.mark.parametrize("change", [{"separate_columns": 0}, {"buffer_sigma": 0.3}, {"buffer_bits": 5}, {"pause_cycles": 3}], ids=str)
def test_every_setting_of_a_buffer_reaches_a_reading(change: dict[str, object]) -> None:
    graph, x = layer()
    machine = ISAAC.with_(accumulate="buffered", flip=False, separate_columns=4, buffer_bits=6, buffer_sigma=0.1, adc_bits=9)

    def read(chip: Machine) -> tuple[float, float, int]:
        program = compile_network(graph, chip)
        return float(Values.of(program)((x,))[0][0].double().square().sum()), program.stages[0].interval_s, program.stages[0].actions["adc.convert"]

    assert read(machine) != read(machine.with_(**change))


@pytest.mark.parametrize("accumulate", ["digital", "buffered", "analog"])
def test_ranges_are_set_by_samples(accumulate: str) -> None:
    """Nothing that the samples give is cut, steps are finer than for the largest sums, and the text form keeps what was seen."""
    graph, x = layer(outputs=40)
    machine = ISAAC.with_(accumulate=accumulate, flip=False, range="layer", adc_bits=6)
    program = compile_network(graph, machine)
    built = layer_of(graph.nodes[0], graph, crossbars(machine), program.stages[0].placement)
    covering = replace(built, tiling=replace(built.tiling, observed_range=()))
    assert all(fine.shift <= coarse.shift for fine, coarse in zip(built.converters, covering.converters, strict=True))
    assert sum(c.shift for c in built.converters) < sum(c.shift for c in covering.converters)
    assert all(c.limit + (1 << c.shift) > seen for c, seen in zip(built.converters, built.tiling.observed_range, strict=True))
    assert str(parse_program(str(program), graph, machine)) == str(program)
    (found,), (full,) = (Values.of(compile_network(graph, m))((x,))[0] for m in (machine, machine.with_(range="full")))
    exact = graph(x)
    assert (found - exact).square().mean() < 0.5 * (full - exact).square().mean()


def test_a_network_without_samples_says_so() -> None:
    graph, _ = layer()
    bare = replace(graph, samples=())
    program = compile_network(bare, ISAAC.with_(accumulate="analog", flip=False, range="layer"))
    assert "has no calibration samples for converter ranges" in " ".join(program.notes)
    data = seeded(1, 6, 20).abs()
    assert not any(
        "no calibration samples" in warning for warning in run(bare, ISAAC.with_(accumulate="analog", flip=False, range="layer"), data).warnings
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"buffer_sigma": 0.1, "buffer_bits": 6}, "buffer_bits is of a buffer of partial sums; set crossbar.accumulate=buffered"),
        ({"separate_columns": 3}, "separate_columns is of a buffer"),
        ({"accumulate": "buffered", "flip": False, "buffer_sigma": 0.1}, "give buffer_bits too"),
        ({"accumulate": "buffered"}, "flip encoding undoes"),
        ({"accumulate": "mixed"}, "accumulate"),
        ({"accumulate": "buffered", "flip": False, "buffer_sigma": -1.0, "buffer_bits": 6}, "buffer_sigma"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], says: str) -> None:
    with pytest.raises(MachineError, match=says):
        compile_network(layer()[0], ISAAC.with_(**changes))


@settings(max_examples=30)
@given(st.sampled_from(["offset", "differential", "twos_complement"]), st.booleans(), st.booleans(), st.integers(1, 300), st.integers(1, 60))
def test_ideal_cells_make_the_same_strips_without_arrays(encoding: str, flip: bool, unit: bool, rows: int, columns: int) -> None:
    """What is written into arrays and read back, and what is taken as it is; digital sums of the inputs are those of a column of ones."""
    flip = flip and encoding == "offset"
    graph, _ = layer(inputs=rows, outputs=columns)
    chip = ISAAC.with_(encoding=encoding, flip=flip, unit_column=unit or flip)
    built = layer_of(graph.nodes[0], graph, crossbars(chip), compile_network(graph, chip).stages[0].placement)
    for direct, through in zip(strips_of(built, 1), strips(matrices(built, 1), built, 1), strict=True):
        assert (direct.rows, direct.columns, direct.first_circuit) == (through.rows, through.columns, through.first_circuit)
        assert torch.equal(direct.arrays, through.arrays) and torch.equal(direct.weights, through.weights)
        assert torch.equal(direct.of_inputs, through.of_inputs)
        assert torch.allclose(direct.sums, through.sums, atol=1e-9) and torch.allclose(direct.effective, through.effective, atol=1e-6)


@pytest.mark.parametrize("accumulate", ["buffered", "analog"])
@pytest.mark.parametrize("encoding", ["differential", "offset"])
def test_real_cells_meet_in_analog_as_their_circuits_say(accumulate: str, encoding: str) -> None:
    """Signed inputs, in either polarity or in two's complement, on wires: one circuit solved for each array, input and digit."""
    x = seeded(1, 4, 40)
    graph = quantize(one_layer(Linear(), (40,), seeded(2, 3, 40)), [x], Recipe(5, 6))
    wires = {"cell": "gaussian", "effects": "programming,wires", "word_resistance": "2 Ohm", "bit_resistance": "2 Ohm"}
    chip = ISAAC.with_(accumulate=accumulate, encoding=encoding, flip=False, range="full", array_rows=16, array_columns=32, dac_bits=2, **wires)
    built = layer_of(graph.nodes[0], graph, crossbars(chip), compile_network(graph, chip).stages[0].placement)
    integers = graph.quantization["x0"].quantize(x).to(torch.int32)
    assert built.x.signed and built.digits.signs == (accumulate == "analog" and encoding == "differential")
    found = AnalogLayer.of(built, 2)(integers, Inferences(len(x)))
    assert torch.allclose(found, analog_reference(built, integers, 2), atol=1e-6)
