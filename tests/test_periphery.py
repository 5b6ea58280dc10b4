"""Trained circuits: transistors, neurons, pairs of cells, the adder, the converter, their netlists, and their place in the data path."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from shutil import which

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crossloom.compiler import compile_network
from crossloom.engine import Inferences
from crossloom.engine.crossbar.analog.layer import AnalogLayer
from crossloom.engine.crossbar.engine import layer_of
from crossloom.engine.crossbar.mapping.encode import Digits
from crossloom.engine.crossbar.reference.trained import circuits_reference
from crossloom.engine.crossbar.settings import crossbars
from crossloom.errors import CrossloomError, InputError, MachineError
from crossloom.machines import Machine, load_machine
from crossloom.network.operators import Linear
from crossloom.network.quantize.post_training import Recipe as Quantised
from crossloom.network.quantize.post_training import quantize
from crossloom.periphery.adder import HALF_V, PLAIN_ROWS, ROWS, SLICES, Adder, Errors, Sinad, inputs, shift_and_add, target
from crossloom.periphery.converter import BIAS_V, HOLDS_F, Converter, stages_for
from crossloom.periphery.file import SHIPPED, adder_text, converters_text, load_adder, load_converters
from crossloom.periphery.linearity import Linearity
from crossloom.periphery.netlist import network_netlist, ngspice_voltages, stage_netlist
from crossloom.periphery.neuron import Neuron, evaluate
from crossloom.periphery.pairs import HIGHEST_S, RATIO, REST, PairNetwork, _outer, cells_of, rows_of
from crossloom.periphery.training import TrainingSchedule, balanced, train
from crossloom.periphery.transistor import Process, Size, current_a, inverter_a
from crossloom.read.values import Values
from tests.layers import one_layer

NEURAL_PIM = load_machine("neural-pim")
spice = pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")


def volts(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- transistors and neurons


def test_a_transistor_in_strong_and_weak_inversion() -> None:
    """β/2n·(V_G − V_T)² in saturation, and a factor e for each n·U_T below the threshold (Enz et al. 1995)."""
    process = Process(modulation_um_v=0.0)
    strong = current_a(volts(1.2), volts(1.2), 0.35, 1e-3, modulation=0.0, process=process)
    assert float(strong) == pytest.approx(1e-3 / (2 * process.slope) * (1.2 - 0.35) ** 2, rel=0.01)
    step = process.slope * process.thermal_v
    weak = current_a(volts(0.0, step), volts(1.2, 1.2), 0.5, 1e-3, modulation=0.0, process=process)
    assert float(weak[1] / weak[0]) == pytest.approx(math.e, rel=1e-3)
    assert float(current_a(volts(1.0), volts(0.0), 0.35, 1e-3, modulation=0.1, process=process)) == 0.0


@given(st.floats(0, 1.2), st.floats(0, 1.15), st.floats(0.2, 20), st.floats(0.13, 5))
def test_an_inverter_drives_less_the_higher_its_output_and_its_input(gate: float, output: float, width: float, length: float) -> None:
    size, process = Size(width, length), Process()
    here, above = inverter_a(volts(gate, gate), volts(output, output + 0.05), size, process).tolist()
    assert above < here
    assert float(inverter_a(volts(min(gate + 0.05, 1.2)), volts(output), size, process)) <= here + 1e-18


@pytest.mark.parametrize("strength", [2.4, 8.3])
def test_a_neuron_is_straight_and_its_gain_is_the_ratio(strength: float) -> None:
    """The polynomial is the solution of the transistors' equations, with deviations to first order; corners do not change the gain."""
    neuron = Neuron(strength, 0.25 / strength)
    signal = torch.linspace(-neuron.reach_v, neuron.reach_v, 41, dtype=torch.float64)
    curve = evaluate(neuron.curves[0], signal)
    assert (curve - neuron.output(signal)).abs().max() < 1e-4
    assert float(neuron.curves[0, 1]) == pytest.approx(-strength, rel=0.06)
    assert (curve + strength * signal).abs().max() < 0.12 * HALF_V
    drawn = neuron.drawn((20,), generator())
    exact = torch.stack([neuron.output(signal, tuple(d[:4].tolist()), tuple(d[4:].tolist())) for d in drawn])  # type: ignore[arg-type]
    found = evaluate(neuron.of(drawn)[:, None, :], signal)
    assert (found - exact).square().mean().sqrt() < 0.05 * (exact - curve).square().mean().sqrt()
    hot = replace(neuron, process=Process(temperature_k=358.0, supply_v=1.1))
    assert float(hot.curves[0, 1]) == pytest.approx(float(neuron.curves[0, 1]), rel=0.05)


# ---- pairs of cells


def network(hidden: int = 4, rows: tuple[int, ...] = (0, 1, 1, 2), strength: float = 3.0) -> PairNetwork:
    levels = torch.randint(0, 8, (hidden, len(rows)), generator=generator(1))
    return PairNetwork(rows, levels, torch.randint(0, 8, (hidden,), generator=generator(2)), Neuron(strength, 0.1))


def test_a_node_settles_where_kirchhoff_says() -> None:
    """cao2022, Equation 9: the weights of a node by its cells' conductances, and their magnitudes sum to less than one (Equation 11)."""
    net = network()
    parts = net.parts(3, generator())
    inner = net.built(parts).inner
    upper, lower = (cells[2, 0, 1] for cells in parts.first)
    signals = volts(0.1, -0.2, 0.15)
    across = signals[torch.tensor(net.rows)]
    node = ((upper * across).sum() - (lower * across).sum()) / (upper.sum() + lower.sum())
    assert float(inner[2, 0, 1] @ signals) == pytest.approx(float(node))
    assert bool((inner.abs().sum(-1) < 1).all())
    assert bool(torch.allclose(net.nominal.inner[:, 0], -net.nominal.inner[:, 1]))
    assert float(PairNetwork((0,), torch.tensor([[7]]), torch.tensor([7]), net.neuron).nominal.inner[0, 0, 0, 0]) == pytest.approx(REST)


def test_the_second_layer_with_its_load_is_the_solution_of_the_nodes() -> None:
    """Neurons as sources behind their output conductance, cells to two floating nodes: solved as one dense system."""
    hidden, neuron_s = 3, 4e-5
    upper, lower = cells_of(torch.tensor([0, 5, 7]), 2, generator(3), 0.2)
    found = _outer(upper, lower, neuron_s)
    for b in range(2):
        nodes = 2 * hidden + 2
        matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
        for side in range(2):
            for h in range(hidden):
                k = side * hidden + h
                to_p, to_q = ((upper if side == 0 else lower)[b, 0, h], (lower if side == 0 else upper)[b, 1, h])
                matrix[k, k] += neuron_s
                for node, units in ((nodes - 2, to_p), (nodes - 1, to_q)):
                    g = float(units) * HIGHEST_S / RATIO
                    matrix[k, k] += g
                    matrix[node, node] += g
                    matrix[k, node] -= g
                    matrix[node, k] -= g
        for k in range(2 * hidden):
            right = torch.zeros(nodes, dtype=torch.float64)
            right[k] = neuron_s
            solved = torch.linalg.solve(matrix, right)
            assert float(found[b].flatten()[k]) == pytest.approx(float(solved[-2] - solved[-1]) / 2, abs=1e-12)


# ---- the adder


@settings(max_examples=60)
@given(st.sampled_from([1, 2, 4]), st.integers(0, 10_000))
def test_shift_and_add_with_the_lowest_digit_first_is_the_dot_product(digit_bits: int, seed: int) -> None:
    """Exactly, and within the range."""
    rows, cycles = 6, 8 // digit_bits
    x = torch.randint(0, 256, (rows,), generator=generator(seed))
    bits = torch.randint(-1, 2, (SLICES, rows), generator=generator(seed + 1))
    digits = torch.stack([(x >> (digit_bits * c)) & ((1 << digit_bits) - 1) for c in range(cycles)])
    scale = HALF_V / (rows * ((1 << digit_bits) - 1))
    slices = scale * torch.einsum("cr,jr->cj", digits, bits).to(torch.float64)[..., None]
    adder = Adder(network(), digit_bits)
    held = adder.exact(slices)
    beta = 255 / (1 - 2.0**-digit_bits)
    dot = int(((1 << torch.arange(SLICES))[:, None] * bits * x).sum())
    assert float(held) * beta * 2.0 ** (digit_bits * (cycles - 1)) / scale == pytest.approx(dot, abs=1e-6)
    assert abs(float(held)) <= HALF_V + 1e-12


def test_the_feedback_as_printed_loses_the_lower_digits() -> None:
    """cao2022, Step 3 as extracted: v_i = (2^-N v_(i-1) + Q_i) / α, α = 2^-N + 255. An input of 15 in four-bit digits all but disappears."""
    slices = torch.zeros(2, SLICES, 1, dtype=torch.float64)
    slices[0, 7] = HALF_V
    exact = float(Adder(network(), 4).exact(slices))
    alpha, held = 2.0**-4 + 255, 0.0
    for cycle in slices:
        held = (2.0**-4 * held + float((2.0 ** torch.arange(SLICES, dtype=torch.float64)) @ cycle[:, 0])) / alpha
    assert exact == pytest.approx(2.0**-4 * 128 / 272 * HALF_V)
    assert held < exact / 200


@pytest.mark.parametrize("digit_bits", [1, 2, 4])
def test_the_trained_adders_meet_their_figures(digit_bits: int) -> None:
    """cao2022, Section 4.3: a mean squared error below 1e-5 V² with deviating cells and transistors; more here are benchmarks and claims."""
    found = Errors.of(load_adder(f"nns-a-{digit_bits}"), 200)
    assert bool((found.mse < 1e-5).all())
    assert float(found.mse.mean()) < 1e-6 and found.nominal_mse < 3e-7
    assert 1e3 * float(found.highest.median()) < 6.5 and 1e3 * float(found.lowest.median()) > -6.5


def test_training_with_deviations_and_rows_in_proportion_is_what_makes_the_difference() -> None:
    """cao2022, Section 5.3: about 50 dB with the circuit techniques and about 35 dB without."""
    good, plain = (Sinad.of(load_adder(name), 100).with_mean.mean() for name in ("nns-a-4", "nns-a-4-plain"))
    assert float(good) == pytest.approx(50, abs=1.5)
    assert float(plain) == pytest.approx(35, abs=3)


@pytest.mark.parametrize(
    "process",
    [
        Process(temperature_k=358.0),
        Process(supply_v=1.08),
        Process(n_threshold_v=0.38, p_threshold_v=0.38),
        Process(n_threshold_v=0.32, p_threshold_v=0.38),
    ],
    ids=["85 C", "1.08 V", "slow", "skewed"],
)
def test_a_corner_changes_little(process: Process) -> None:
    """The ratio of two inverters keeps the gain."""
    adder = load_adder("nns-a-4")
    there = replace(adder, network=replace(adder.network, neuron=replace(adder.network.neuron, process=process)))
    found = Errors.of(there, 100)
    assert bool((found.mse < 1e-5).all())
    assert not torch.equal(found.mse, Errors.of(adder, 100).mse)


def test_training_reduces_the_error_and_repeats() -> None:
    task = shift_and_add(4, ROWS[4])
    rough, trained = (train(task, TrainingSchedule(hidden=6, steps=steps, batch=64, instances=2), seed=3) for steps in (1, 200))
    points = inputs(500, generator(9))
    error = [float((net.nominal(points)[0] - task.target @ points).square().mean()) for net in (rough, trained)]
    assert error[1] < 0.5 * error[0]
    again = train(task, TrainingSchedule(hidden=6, steps=200, batch=64, instances=2), seed=3)
    assert torch.equal(again.first, trained.first) and again.neuron.strength == trained.neuron.strength
    assert not torch.equal(train(task, TrainingSchedule(hidden=6, steps=200, batch=64, instances=2), seed=4).first, trained.first)


def test_balancing_brings_the_slopes_nearer() -> None:
    task = shift_and_add(4, PLAIN_ROWS)
    first = torch.randint(3, 8, (12, 10), generator=generator(4))
    net = task.fitted(PairNetwork(rows_of(PLAIN_ROWS), first, torch.zeros(12, dtype=torch.int64), Neuron(8.0, 0.05)))

    def miss(of: PairNetwork) -> float:
        slopes = of.nominal.linear()[0]
        return float((slopes / slopes.norm() - task.target / task.target.norm()).norm())

    assert miss(balanced(task, net)) < 0.5 * miss(net)


# ---- the converter


@pytest.mark.parametrize("range_v", sorted(HOLDS_F))
def test_the_trained_converters_meet_their_figures(range_v: float) -> None:
    """cao2022, Table 1: DNL within 0.55, INL within 0.62, 7.85 effective bits; the claims do it on 1,000."""
    design = load_converters("nnadc")[range_v]
    calibrated = Linearity.of(design.drawn(30, generator(1)))
    assert bool(calibrated.within(0.55, 0.62, 7.85).all())
    plain = Linearity.of(design.drawn(10, generator(1), calibrate=0))
    assert float(plain.inl.abs().max()) > float(calibrated.inl.abs().max())
    perfect = Linearity.of(design.drawn(1, generator(), sigma=0.0, mismatch=0.0))
    assert float(perfect.dnl.abs().max()) < 0.45 and float(perfect.inl.abs().max()) < 0.3


def test_a_converter_of_ideal_parts_gives_its_codes() -> None:
    """Codes rise with the input, and are those of an ideal converter within one."""
    converter = load_converters("nnadc")[0.5].drawn(1, generator(), sigma=0.0, mismatch=0.0)
    signal = torch.linspace(-0.27, 0.27, 2001, dtype=torch.float64)
    codes = converter(signal)[0]
    ideal = (signal / converter.design.lsb_v + 128).floor().clamp(0, 255)
    assert float((codes - ideal).abs().max()) <= 1
    assert int(codes[0]) == 0 and int(codes[-1]) == 255


def test_comparators_switch_near_their_thresholds() -> None:
    for stage in stages_for(0.125):
        built = stage.built(replace(stage.parts(1, generator(), 0.0, 0.0), rest=None))
        switch = built.limit[0] / built.slope[0]
        assert (switch - stage.thresholds_v).abs().max() < 0.15 * stage.width_v
        decided, _ = built(torch.linspace(-HALF_V, HALF_V, 500, dtype=torch.float64)[None])
        assert bool((decided[0].diff(dim=1) >= 0).all())
        assert bool((decided[0].diff(dim=0) <= 0).all()), "a thermometer code"


# ---- files


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    adder, converters = load_adder("nns-a-4"), load_converters("nnadc")
    for name, text in (("a", adder_text(adder, "made here")), ("c", converters_text(converters, "made here"))):
        (tmp_path / name).write_text(text)
    again = load_adder(str(tmp_path / "a"))
    points = inputs(50, generator())
    assert torch.equal(again.network.nominal(points), adder.network.nominal(points))
    design = load_converters(str(tmp_path / "c"))[0.25]
    signal = torch.linspace(-0.1, 0.1, 50, dtype=torch.float64)
    assert torch.equal(design.drawn(2, generator())(signal), converters[0.25].drawn(2, generator())(signal))
    assert all(
        "crossloom train-peripheral" in json.loads((Path(__file__).parents[1] / f"src/crossloom/periphery/data/{n}.json").read_text())["command"]
        for n in SHIPPED
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d | {"digit_bits": 3}, "digit_bits"),
        (lambda d: d | {"network": d["network"] | {"strength": -1}}, "network.strength"),
        (lambda d: d | {"network": d["network"] | {"second": [8] * 12}}, "network.second.0"),
        (lambda d: d | {"network": d["network"] | {"second": [1]}}, "one row for each hidden neuron"),
        (lambda d: d | {"network": d["network"] | {"rows": [0] * 18}}, "each of the 10 signals"),
        (lambda d: d | {"more": 1}, "more"),
        (lambda d: {}, "kind"),
    ],
)
def test_a_wrong_file_says_where(change, says: str, tmp_path: Path) -> None:
    document = json.loads(adder_text(load_adder("nns-a-4"), "here"))
    (tmp_path / "wrong.json").write_text(json.dumps(change(document)))
    with pytest.raises(InputError, match=says):
        load_adder(str(tmp_path / "wrong.json"))
    with pytest.raises(InputError, match="cannot be read"):
        load_adder(str(tmp_path / "missing.json"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["ranges"].update({"0.5": []}), "1 to 512 stages"),
        (lambda d: d["ranges"]["0.5"][0].update(network=None), "needs a network and a gain"),
        (lambda d: d["ranges"]["0.5"][0].update(gain=0), "needs a network and a gain"),
        (lambda d: d["ranges"]["0.5"][0].update(network=9), "names network 9"),
        (lambda d: d["ranges"].pop("0.25"), "ranges must be"),
        (lambda d: d["networks"][0].update(first=[], second=[]), "networks.0.first"),
        (lambda d: d["networks"][0].update(rows=[]), "networks.0.rows"),
        (lambda d: d["networks"][0].update(strength=float("nan")), "networks.0.strength"),
    ],
)
def test_a_wrong_converter_says_where(change, says: str, tmp_path: Path) -> None:
    document = json.loads(converters_text(load_converters("nnadc"), "here"))
    change(document)
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=says):
        load_converters(str(tmp_path / "wrong.json"))


# ---- ngspice


@spice
def test_ngspice_finds_what_the_adder_model_says() -> None:
    """Every cell and transistor; the error statistics of three drawn instances agree, each voltage to 0.1 mV."""
    adder = load_adder("nns-a-4")
    parts = adder.network.parts(3, generator(3))
    built, points = adder.network.built(parts), inputs(20, generator(4))
    for instance in range(3):
        nodes = ngspice_voltages(network_netlist(adder.network, parts, instance, points), 2)
        found, model = 0.5 * (nodes[:, 0] - nodes[:, 1]), built(points)[instance]
        assert (found - model).abs().max() < 1e-4
        ours, theirs = ((each - target(4) @ points).square().mean() for each in (model, found))
        assert float(theirs) == pytest.approx(float(ours), rel=0.2)


@spice
def test_ngspice_finds_what_the_stage_model_says() -> None:
    """Decisions of the comparators over the range, and the rest that the network makes of them."""
    stage = load_converters("nnadc")[0.5].stages[0]
    parts = stage.parts(2, generator(5))
    signal = torch.linspace(-0.235, 0.24, 16, dtype=torch.float64)
    decided, rest = stage.built(parts)(signal.expand(2, -1))
    for instance in range(2):
        nodes = ngspice_voltages(stage_netlist(stage, parts, instance, signal), stage.comparators + 2)
        assert torch.equal(nodes[:, :-2] > BIAS_V, decided[instance].T > 0)
        assert rest is not None
        assert (0.5 * (nodes[:, -2] - nodes[:, -1]) - rest[instance]).abs().max() < 1e-4


# ---- in the data path


def layer(machine: Machine, inputs: int = 200, outputs: int = 24, samples: int = 300, bits: tuple[int, int] = (8, 8), signed: bool = False):
    """Return a layer as a machine sees it, its quantised graph, and samples at its input; bits of weights and of activations."""
    x = torch.rand(samples, inputs, generator=generator(1)) * (torch.rand(samples, inputs, generator=generator(2)) > 0.5)
    x = x * torch.sign(torch.rand(samples, inputs, generator=generator(5)) - 0.4) if signed else x
    weight = torch.randn(outputs, inputs, generator=generator(3))
    graph = quantize(one_layer(Linear(), (inputs,), weight), [x], Quantised(*bits))
    program = compile_network(graph, machine)
    return layer_of(graph.nodes[0], graph, crossbars(machine), program.stages[0].placement), graph, x


@pytest.mark.parametrize(
    ("changes", "bits", "signed"),
    [
        ({}, (8, 8), False), ({}, (8, 8), True), ({}, (4, 4), False), ({}, (4, 6), True), ({"dac_bits": 2}, (8, 8), False), ({"dac_bits": 2}, (6, 7), True),
        ({"dac_bits": 1}, (8, 8), False), ({"calibrate": False}, (8, 8), False), ({"adder": "nns-a-4-plain"}, (8, 8), False),
    ],
    ids=str,
)  # fmt: skip
def test_the_tables_are_what_the_circuits_compute(changes: dict[str, object], bits: tuple[int, int], signed: bool) -> None:
    """In distribution: mean and spread of the errors against every sample computed cycle by cycle; and the result is there at all."""
    built, graph, x = layer(NEURAL_PIM.with_(**changes), bits=bits, signed=signed)
    integers = graph.quantization["x0"].quantize(x).to(torch.int32)
    assert built.x.signed == signed
    exact = built.result(integers, built.vectors(integers.to(torch.int64))[:, 0].matmul(built.matrices()[0])[:, None]).to(torch.float64)
    fast = AnalogLayer.of(built, 3)(integers, Inferences(len(x))) - exact
    assert float(fast.std()) < (0.3 if changes.get("calibrate", True) else 0.6) * float(exact.std())
    plain = circuits_reference(built, integers, 3, generator(6)) - exact
    same = 0.2 if changes.get("dac_bits") == 1 else 0.12  # with one-bit digits, eight cycles pass a feedback of 1/2 whose own slope is taken as exact
    assert float(fast.std()) == pytest.approx(float(plain.std()), rel=same)
    assert abs(float(fast.mean() - plain.mean())) < 0.15 * float(plain.std())
    if not changes.get("calibrate", True):
        by_column = torch.corrcoef(torch.stack((fast.mean(0), plain.mean(0))))[0, 1]
        assert float(by_column) > 0.9, "offsets belong to the circuits, not to the draw"


def test_circuits_belong_to_the_seed_and_not_to_the_batch() -> None:
    _, graph, x = layer(NEURAL_PIM)
    program = compile_network(graph, NEURAL_PIM)
    values = Values.of(program, seed=1)
    whole = values((x[:12],))[0][0]
    assert torch.equal(whole, torch.cat([values((x[i : i + 5],), i)[0][0] for i in range(0, 12, 5)])[:12])
    assert not torch.equal(whole, Values.of(program, seed=2)((x[:12],))[0][0])


@pytest.mark.parametrize(
    "change", [{"adder": "ideal"}, {"converter": "ideal"}, {"calibrate": False}, {"first_digit": "high"}, {"dac_bits": 2}], ids=str
)
def test_every_setting_of_circuits_reaches_the_values(change: dict[str, object]) -> None:
    _, graph, x = layer(NEURAL_PIM)
    here, there = (Values.of(compile_network(graph, each))((x,))[0][0] for each in (NEURAL_PIM, NEURAL_PIM.with_(**change)))
    assert not torch.equal(here, there)


@pytest.mark.parametrize(("machine", "same"), [("isaac-ce", False), ("cascade-style", False), ("isaac-style", True)])
def test_a_trained_converter_goes_with_any_machine(machine: str, same: bool) -> None:
    """Whole sums in steps of one lie in the middle of a step and come out right; others are off by what the converter is."""
    chip = load_machine(machine).with_(converter="nnadc", flip=False, adc_bits=8, range="full")
    chip = chip.with_(buffer_sigma=0.0, buffer_bits=0) if machine == "cascade-style" else chip
    _, graph, x = layer(chip)
    ideal, trained = (Values.of(compile_network(graph, each))((x,))[0][0] for each in (chip.with_(converter="ideal"), chip))
    assert torch.equal(ideal, trained) == same
    assert float((ideal - trained).std()) < 0.3 * float(ideal.std())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"adc_bits": 7}, "trained circuits convert to 8 bits; set adc.bits=8"),
        ({"encoding": "offset"}, "encoding=differential"),
        ({"accumulate": "digital"}, "accumulate=analog"),
        ({"dac_bits": 3}, "digits of 1, 2 or 4 bits"),
        ({"adder": "nns-a-1"}, "is for digits of 1 bits and the DAC has 4"),
        ({"adder": "no-such-file"}, "cannot be read"),
        ({"converter": "nns-a-4"}, "kind"),
        ({"first_digit": "middle"}, "first_digit"),
        ({"range": "unit"}, "set range=layer"),
    ],
)
def test_circuits_that_do_not_go_with_a_machine(changes: dict[str, object], says: str) -> None:
    graph = layer(NEURAL_PIM)[1]
    with pytest.raises((MachineError, CrossloomError), match=says):
        compile_network(graph, NEURAL_PIM.with_(**changes))


def test_a_converter_has_three_ranges_and_stages_that_can_be_printed() -> None:
    found = load_converters("nnadc")
    assert sorted(found) == sorted(HOLDS_F)
    assert [stage.comparators for stage in found[0.5].stages] == [7, 7, 7, 15]
    assert all(isinstance(each, Converter) and len(each.weights) == sum(s.comparators for s in each.stages) for each in found.values())


def test_weights_wider_than_an_adder() -> None:
    with pytest.raises(CrossloomError, match="quantise weights to 8 bits, or set adder=ideal"):
        layer(NEURAL_PIM, bits=(10, 8))
    layer(NEURAL_PIM.with_(adder="ideal"), bits=(10, 8))


@given(st.integers(2, 16), st.sampled_from([1, 2, 4]))
def test_digits_of_either_polarity_add_up_and_weigh_a_power_of_the_one_before(bits: int, width: int) -> None:
    digits = Digits.polar(bits, width)
    integers = torch.arange(-(1 << (bits - 1)), 1 << (bits - 1), max(1, (1 << bits) // 500))
    assert torch.equal((torch.tensor(digits.weights)[:, None] * digits(integers)).sum(0), integers)
    assert list(digits.weights) == [1 << (width * place) for place in range(len(digits))]
    assert int(digits(integers).abs().max()) < 1 << width
