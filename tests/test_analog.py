"""Real cells and wires in the network: against the integers where nothing is wrong, against a circuit solved for each input elsewhere."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.compiler import compile_network
from crossloom.engine import Inferences
from crossloom.engine.crossbar.analog import rng
from crossloom.engine.crossbar.analog.layer import AnalogLayer
from crossloom.engine.crossbar.analog.programmed import levels_s, written
from crossloom.engine.crossbar.cell_settings import PhysicsFields
from crossloom.engine.crossbar.engine import layer_of as seen_by
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.reference.analog import analog_reference, converted
from crossloom.engine.crossbar.settings import crossbars
from crossloom.errors import MachineError
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.integer import multiplier, quantized_inputs, requantize
from crossloom.network.operators import Conv, Linear
from crossloom.network.quantize.post_training import quantize
from crossloom.read.values import Values
from tests.layers import one_layer, seeded
from tests.test_crossbar import layers, machines

ISAAC = load_machine("isaac-ce")
SMALL = ISAAC.with_(array_rows=8, array_columns=16)


def layer_of(graph: Graph, machine: Machine) -> MappedLayer:
    node = graph.nodes[0]
    return seen_by(node, graph, crossbars(machine), compile_network(graph, machine).stages[0].placement)


def integers(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    return quantized_inputs(graph, (x,))[graph.inputs[0][0]]


def linear(inputs: int = 20, outputs: int = 6, samples: int = 2) -> tuple[Graph, torch.Tensor]:
    x = seeded(5, samples, inputs).abs()
    return quantize(one_layer(Linear(), (inputs,), seeded(4, outputs, inputs)), [x]), x


@settings(deadline=None, max_examples=60)
@given(layers(), machines(), st.sampled_from([None, "ideal"]))
def test_nothing_wrong_is_the_integer_reference(drawn: tuple[Graph, torch.Tensor], machine: Machine, range: str | None) -> None:
    """The path of real numbers on exact cells gives the very integers of the crossbar's definition."""
    graph, x = drawn
    machine = machine if range is None else machine.with_(range=range)
    program = compile_network(graph, machine)
    executor = reference_executor(graph.nodes[0], program)
    q = integers(graph, x)
    want = executor([q], Inferences(len(x)), Counter())
    layer = layer_of(graph, machine)
    sums = AnalogLayer.of(layer, 0)(q, Inferences(len(x)))
    got = requantize(sums, multiplier(layer.x, layer.weight_q, graph.quantization["y"], layer.node), graph.quantization["y"])
    assert torch.equal(want, got)


WIRES = {"word_resistance": "20 Ohm", "bit_resistance": "35 Ohm", "source_resistance": "100 Ohm", "sense_resistance": "50 Ohm"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"range": "ideal"},
        {"flip": False, "unit_column": False},
        {"flip": False, "encoding": "differential"},
        {"flip": False, "encoding": "twos_complement", "dac_bits": 2},
        {"flip": False, "accumulate": "analog", "range": "full"},
        {"flip": False, "accumulate": "analog", "range": "ideal"},
        {"adc_bits": 4, "range": "full"},
        {"word_ends": "both", "bit_ends": "both", "access_resistance": "1 kOhm"},
        {"cell": "log-normal", "stuck_high": 0.05, "stuck_low": 0.1},
        {"cell": "log-normal", "stuck_high": 0.05, "stuck_low": 0.1, "remap": "rows"},
        {"cell": "neurram", "age": "3600 s"},
    ],
)
def test_wires_equal_a_circuit_for_each_input(changes: dict[str, object]) -> None:
    graph, x = linear()
    layer = layer_of(graph, SMALL.with_(**{**WIRES, **changes}))
    q = integers(graph, x)
    want, got = analog_reference(layer, q, 3), AnalogLayer.of(layer, 3)(q, Inferences(len(q)))
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9 * float(want.abs().max()))


def test_packed_groups_subtract_their_own_inputs() -> None:
    """Offset weights leave 2^(w-1) times the sum of the inputs to be taken off: of a matrix's own inputs, not of all in the array."""
    x = seeded(1, 2, 3, 4, 4)
    graph = quantize(one_layer(Conv((1, 1), (0, 0, 0, 0), (1, 1), 3), (3, 4, 4), seeded(2, 3, 1, 1, 1)), [x])
    for changes in ({"unit_column": False}, {"unit_column": True}):
        layer = layer_of(graph, ISAAC.with_(flip=False, **changes))
        assert layer.tiling.packed == 3
        q = integers(graph, x)
        want = torch.nn.functional.conv2d(q.double(), graph.constants["c0"].double(), groups=3)
        assert torch.equal(AnalogLayer.of(layer, 0)(q, Inferences(2)), want)


def exact(graph: Graph, q: torch.Tensor) -> torch.Tensor:
    return q.double() @ graph.constants["c0"].double().T


@pytest.mark.parametrize("changes", [{}, {"flip": False, "unit_column": False}])
def test_packed_groups_share_their_wires(changes: dict[str, object]) -> None:
    """Two channels in one array: the cells between them are at the lowest conductance, and carry current all the same."""
    x = seeded(1, 2, 2, 3, 3).abs()
    graph = quantize(one_layer(Conv((1, 1), (0, 0, 0, 0), (1, 1), 2), (2, 3, 3), seeded(2, 2, 1, 2, 2)), [x])
    layer = layer_of(graph, SMALL.with_(**WIRES, **changes))
    assert layer.tiling.packed == 2
    q = integers(graph, x)
    want, got = analog_reference(layer, q, 0), AnalogLayer.of(layer, 0)(q, Inferences(len(q)))
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9 * float(want.abs().max()))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"range": "ideal"},
        {"accumulate": "analog", "range": "full", "flip": False},
        {"dac_bits": 4, "adc_bits": 12},
        {"adc_bits": 3, "range": "full", "flip": False},
    ],
)
def test_read_noise_has_the_variance_of_its_cells(changes: dict[str, object]) -> None:
    """One number for a sum, against a number for every cell and read: the same spread, and nothing in common from read to read."""
    graph, _ = linear(inputs=60, outputs=4, samples=1)
    machine = ISAAC.with_(cell="gaussian", effects="reading", lowest="90 uS", array_rows=64, array_columns=32, **changes)
    layer, count = layer_of(graph, machine), 1000
    q = integers(graph, seeded(7, 1, 60).abs()).expand(count, -1)
    sums = AnalogLayer.of(layer, 0)(q, Inferences(count))
    each = _cell_by_cell(layer, q)
    assert float(sums.mean(0).sub(each.mean(0)).abs().max()) < 5 * float(each.std(0).max()) * math.sqrt(2 / count)
    torch.testing.assert_close(sums.std(0), each.std(0), rtol=5 * math.sqrt(1 / count), atol=0)
    joint = torch.corrcoef(torch.stack([sums[:-1, 0], sums[1:, 0]]))[0, 1]
    assert abs(float(joint)) < 5 / math.sqrt(count)


def _cell_by_cell(layer: MappedLayer, q: torch.Tensor) -> torch.Tensor:
    """Return sums of one vector by the reference, every cell drawn anew for every digit: slow and plain."""
    (array,) = written(layer, 0)
    generator, vector = torch.Generator().manual_seed(1), layer.vectors(q[:1].to(torch.int64))[0].reshape(-1)
    low, step = levels_s(layer.xbar.physics, layer.xbar.cell_bits)
    digits = layer.digits(vector).double()
    assert array.sigma_s is not None
    found = []
    for _ in range(len(q)):
        noise = torch.randn(len(digits), *array.conductance_s.shape, generator=generator, dtype=torch.float64) * array.sigma_s
        partial = torch.einsum("dr,drc->dc", digits, (array.conductance_s + noise)[:, : len(vector)] - low) / step
        found.append(converted(array, partial.tolist(), vector, layer))
    return layer.result(q, torch.stack(found).unsqueeze(1))


def test_a_run_does_not_depend_on_the_batch() -> None:
    graph, _ = linear()
    x = seeded(9, 7, 20).abs()
    values = Values.of(compile_network(graph, SMALL.with_(cell="gaussian", lowest="90 uS")), seed=2)
    whole, counts = values((x,))
    parts = torch.cat([values((x[i : i + 2],), i)[0][0] for i in range(0, 7, 2)])
    assert torch.equal(whole[0], parts)
    assert counts == sum((values((x[i : i + 1],), i)[1] for i in range(7)), Counter())
    assert not torch.equal(whole[0], Values.of(values.program, seed=3)((x,))[0][0])
    assert torch.equal(whole[0], Values.of(values.program, seed=2)((x,))[0][0])


def test_the_batch_may_stand_behind_the_tokens() -> None:
    """Read noise belongs to an inference and a position wherever the batch is: [tokens, N, features], as recurrent layers have it."""
    module = torch.nn.LSTM(6, 5)
    x = seeded(3, 4, 6, 6)
    network = load(Sequence(module), (x,))
    quantized = quantize(network, [x])
    chip = ISAAC.with_(cell="gaussian", lowest="60 uS", effects="reading")
    values = Values.of(compile_network(quantized, chip), seed=2)
    whole = values((x,))[0][0]
    parts = torch.cat([values((x[i : i + 2],), i)[0][0] for i in range(0, 4, 2)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, Values.of(values.program, seed=3)((x,))[0][0])


class Sequence(torch.nn.Module):
    """Turns [N, tokens, features] to [tokens, N, features] for a layer and back."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.transpose(0, 1))[0].transpose(0, 1)


def test_a_narrower_range_leaves_a_cell_what_it_is() -> None:
    """Errors stay those of the cell's own range, and stuck cells at its own ends; an ideal cell takes the range that is given."""
    graph, _ = linear()
    pcm = layer_of(graph, ISAAC.with_(cell="pcm", highest="12.5 uS")).xbar.physics
    assert pcm.levels_s == pytest.approx((0.0, 12.5e-6))
    assert pcm.cell == layer_of(graph, ISAAC.with_(cell="pcm")).xbar.physics.cell
    assert layer_of(graph, ISAAC.with_(highest="12.5 uS")).xbar.physics.cell.high_s == pytest.approx(12.5e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cell": "neurram"}, "age is 0 s"),
        ({"cell": "neurram", "age": "30 d"}, "measured up to 172800 s"),
        ({"cell": "milo-hfo2", "read_voltage": "0.7 V"}, "measured up to 0.5 V: extrapolated"),
        ({"cell": "milo-hfo2", "word_resistance": "1 Ohm"}, "chord"),
    ],
)
def test_results_beyond_measurements_say_so(changes: dict[str, object], says: str) -> None:
    graph, _ = linear()
    assert any(says in note for note in layer_of(graph, ISAAC.with_(**changes)).xbar.physics.notes)


def test_the_counts_are_those_of_ideal_cells() -> None:
    graph, x = linear()
    real = Values.of(compile_network(graph, SMALL.with_(cell="gaussian", word_resistance="1 Ohm")))
    ideal = Values.of(compile_network(graph, SMALL))
    assert real((x,))[1] == ideal((x,))[1]
    assert real.plans[0]["plan"] == "real cells"


def test_wires_towards_nothing() -> None:
    """The limit of the wires is the ideal crossbar, linearly."""
    graph, x = linear()
    q = integers(graph, x)
    far, near = (
        float(
            (AnalogLayer.of(layer_of(graph, SMALL.with_(range="ideal", word_resistance=f"{ohm} Ohm")), 0)(q, Inferences(2)) - exact(graph, q))
            .abs()
            .max()
        )
        for ohm in (1e-2, 1e-3)
    )
    assert far / near == pytest.approx(10, rel=1e-2)


def test_drift_is_undone_by_a_factor() -> None:
    """Cells that all fade alike are brought back exactly; with a spread the factor helps and does not heal."""
    graph, x = linear(60, 5, 8)
    q = integers(graph, x)

    def error(**changes: object) -> float:
        machine = ISAAC.with_(cell="pcm", age="86400 s", effects="drift", range="ideal", flip=False, encoding="differential", **changes)
        return float((AnalogLayer.of(layer_of(graph, machine), 0)(q, Inferences(8)) - exact(graph, q)).square().mean().sqrt())

    none, layer, column = error(), error(compensate="layer"), error(compensate="column")
    assert layer < 0.3 * none
    assert column < layer


def test_exchanged_rows_do_less_harm() -> None:
    graph, x = linear(60, 6, 8)
    q = integers(graph, x)

    def error(remap: str, seed: int) -> float:
        machine = ISAAC.with_(stuck_low=0.03, stuck_high=0.01, range="ideal", flip=False, encoding="differential", remap=remap)
        return float((AnalogLayer.of(layer_of(graph, machine), seed)(q, Inferences(8)) - exact(graph, q)).square().mean().sqrt())

    before, after = (sum(error(remap, seed) for seed in range(5)) for remap in ("none", "rows"))
    assert after < 0.6 * before


def test_a_curved_cell_counts_with_its_chord() -> None:
    graph, x = linear()
    q = integers(graph, x)
    curved, straight = (
        AnalogLayer.of(layer_of(graph, ISAAC.with_(cell="milo-hfo2", effects=effects, range="ideal", flip=False, read_voltage="0.5 V")), 0)(
            q, Inferences(2)
        )
        for effects in ("programming,curve", "programming")
    )
    assert float((curved - straight).abs().max()) > 1


REAL = {
    "cell": "neurram",
    "age": "3600 s",
    "stuck_high": 0.02,
    "stuck_low": 0.02,
    "range": "ideal",
    **{f"{name}_resistance": "5 Ohm" for name in ("word", "bit", "source", "sense", "access")},
}
CHANGED = {
    "cell": "gaussian",
    "lowest": "4 uS",
    "highest": "20 uS",
    "stuck_high": 0.05,
    "stuck_low": 0.05,
    "age": "86400 s",
    "read_voltage": "0.4 V",
    "word_resistance": "8 Ohm",
    "bit_resistance": "8 Ohm",
    "source_resistance": "8 Ohm",
    "sense_resistance": "8 Ohm",
    "access_resistance": "80 Ohm",
    "word_ends": "both",
    "bit_ends": "both",
    "effects": "programming,wires",
    "compensate": "column",
    "remap": "rows",
}


@pytest.mark.parametrize("field", PhysicsFields.model_fields)
def test_every_field_reaches_the_values(field: str) -> None:
    graph, x = linear()
    base = {**REAL, "cell": "milo-hfo2"} if field == "read_voltage" else REAL

    def values(**changes: object) -> torch.Tensor:
        return AnalogLayer.of(layer_of(graph, ISAAC.with_(**{**base, **changes})), 1)(integers(graph, x), Inferences(2))

    assert not torch.equal(values(), values(**{field: CHANGED[field]}))


def test_normal_numbers() -> None:
    """Mean 0, variance 1, kurtosis 3, no correlation between neighbours, streams or words."""
    key = rng.keys(torch.tensor(rng.key_of(1, "test")), torch.arange(200))
    z = rng.normals(key, 0, 4000).double()
    n = z.numel()
    assert abs(float(z.mean())) < 5 / math.sqrt(n)
    assert abs(float(z.var()) - 1) < 5 * math.sqrt(2 / n)
    assert abs(float((z**4).mean()) - 3) < 5 * math.sqrt(96 / n)
    for a, b in ((z[:, 1:], z[:, :-1]), (z[1:], z[:-1]), (z[:, 4:], z[:, :-4])):
        assert abs(float((a * b).mean())) < 5 / math.sqrt(n)
    assert torch.equal(rng.normals(key, 8, 12), z.float()[:, 8:20])
    assert len(set(rng.keys(torch.tensor(3), torch.arange(10000)).tolist())) == 10000


def test_splitmix64_is_the_published_one() -> None:
    """The first outputs for the seed 1234567, as the reference implementation gives them."""
    want = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    golden = rng._GOLDEN
    found = rng._mixed(1234567 + torch.arange(1, 6) * golden)
    assert [value % (1 << 64) for value in found.tolist()] == want


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cell": "unobtainium"}, "no cell named unobtainium"),
        ({"cell": "nowhere.yaml"}, "no such cell file"),
        ({"word_resistance": "2.5"}, "word_resistance.*no unit"),
        ({"word_resistance": "-1 Ohm"}, "word_ohm must be at least 0"),
        ({"age": "-1 s"}, "age must be at least 0"),
        ({"age": "1e400 s"}, "age must be at least 0 s and below"),
        ({"lowest": "60 uS", "highest": "50 uS"}, "lowest|range"),
        ({"lowest": True}, "crossbar.lowest: give a number"),
        ({"read_voltage": "0 V"}, "read_voltage must be positive"),
        ({"effects": "programming,gravity"}, "no effect 'gravity'"),
        ({"stuck_low": 0.7, "stuck_high": 0.7}, "fractions"),
        ({"cell": "pcm", "highest": "80 uS"}, "within what pcm can hold"),
        ({"cell": "milo-hfo2", "dac_bits": 2, "adc_bits": 10}, "set dac.bits=1"),
        ({"compensate": "magic"}, "compensate"),
        ({"word_resistance": "1 Ohm", "array_rows": 4096, "array_columns": 4096, "adc_bits": 13}, "real cells are simulated only up to"),
        ({"word_resistance": float("nan")}, "word_resistance: give a number"),
        ({"crossbar.gravity": 1}, "gravity"),
        ({"word_ends": "middle"}, "word_ends"),
    ],
)
def test_what_makes_no_sense(changes: dict[str, object], says: str) -> None:
    graph, _ = linear()
    with pytest.raises(MachineError, match=says):
        compile_network(graph, ISAAC.with_(**changes))
