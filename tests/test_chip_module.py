"""A network on a machine as a torch module, runs over seeds, and the diagnosis."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import crossloom as xl
from crossloom.cli.app import app
from crossloom.compiler import compile_network
from crossloom.demo.digits import CALIBRATION, trained_digits
from crossloom.errors import DataError, InputError, ModelError
from crossloom.job.data import Data
from crossloom.job.seed_statistics import SeedStatistics
from crossloom.machines import load_machine
from crossloom.machines.load import machine_of
from crossloom.network.graph import Graph
from crossloom.network.quantization import Quantization
from crossloom.read.values import Values
from crossloom.training.chip_module import _key, on_grid
from tests.layers import seeded

ISAAC = load_machine("isaac-ce")
PCM = ISAAC.with_(cell="pcm", age="3600 s", encoding="differential", flip=False)


@pytest.fixture(scope="module")
def digits() -> tuple[Graph, Data, Data]:
    """The trained network in integers, training data, test data."""
    graph, training, test = trained_digits()
    return xl.quantize(graph, training.first(CALIBRATION)), training, test


def test_in_evaluation_it_answers_as_the_chip_does(digits: tuple[Graph, Data, Data]) -> None:
    network, _, test = digits
    for chip in (ISAAC, PCM):
        module = xl.to_torch(network, chip, seed=3).eval()
        answered = module(test.inputs[0]).argmax(1).eq(test.labels).double().mean()
        assert float(answered) == xl.run(network, chip, test, seed=3).accuracy.machine


def test_batches_of_an_evaluation_are_those_of_a_run(digits: tuple[Graph, Data, Data]) -> None:
    """Each inference has read noise of its own, however the samples are cut; an evaluation begun anew reads the same."""
    network, _, test = digits
    chip, x = ISAAC.with_(cell="gaussian", lowest="60 uS", effects="reading"), test.inputs[0][:6]
    module = xl.to_torch(network, chip).eval()
    whole = module(x)
    module.eval()
    assert torch.equal(whole, torch.cat([module(x[:2]), module(x[2:])]))
    assert not torch.equal(whole, module(x))


def test_names_that_differ_in_a_dot_are_two_parameters() -> None:
    assert len({_key(name) for name in ("a.b", "a_b", "a·b", "a%b", "a%·b", "a.·b", "a%.b")}) == 7


def test_in_training_an_ideal_chip_is_the_quantised_network(digits: tuple[Graph, Data, Data]) -> None:
    """The likeness of a chip without errors has the network's own integers, but for roundings of float32."""
    network, _, test = digits
    module, x = xl.to_torch(network, ISAAC), test.inputs[0][:32]
    likeness, (exact,) = module(x), Values.exactly(compile_network(network, ISAAC))((x,))[0]
    assert likeness.requires_grad
    assert float((likeness.detach() - exact).abs().max()) <= 2 * network.quantization[network.outputs[0]].scale[0]


def test_a_module_says_what_it_needs(digits: tuple[Graph, Data, Data]) -> None:
    with pytest.raises(ModelError, match="quantise it first"):
        xl.to_torch(xl.load("zoo:digits"), ISAAC)
    with pytest.raises(InputError, match="at least 1 training step"):
        xl.to_torch(digits[0], ISAAC, every=0)


def test_the_grid_passes_gradients_and_stops_them_where_it_saturates() -> None:
    q = Quantization((0.5,), bits=4, signed=True)
    x = torch.tensor([-9.0, -1.2, 0.1, 3.3, 9.0], requires_grad=True)
    y = on_grid(x, q)
    y.sum().backward()
    assert y.tolist() == [-4.0, -1.0, 0.0, 3.5, 3.5]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_runs_over_seeds(digits: tuple[Graph, Data, Data]) -> None:
    network, _, test = digits
    some = Data(tuple(x[:60] for x in test.inputs), test.labels[:60])
    result = xl.run(network, PCM, some, seed=4, runs=3)
    assert result.chance is not None
    assert list(result.chance.each) == [xl.run(network, PCM, some, seed=seed).accuracy.machine for seed in (4, 5, 6)]
    assert result.accuracy.machine == pytest.approx(sum(result.chance.each) / 3)
    assert result.to_dict()["chance"]["runs"] == 3


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(400):
        spread = SeedStatistics(tuple(0.5 + 0.01 * z for z in seeded(seed, 6).double().tolist()))
        low, high = spread.interval or (1.0, 0.0)
        inside += low <= 0.5 <= high
    assert abs(inside / 400 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)
    assert SeedStatistics((0.5,)).interval is None


def test_the_ladder(digits: tuple[Graph, Data, Data]) -> None:
    """Each rung is the run with those effects alone, and the worst one is where the accuracy goes."""
    network, _, test = digits
    some = Data(tuple(x[:60] for x in test.inputs), test.labels[:60])
    chip = PCM.with_(stuck_low=0.001, word_resistance="1 Ohm", bit_resistance="1 Ohm")
    found = xl.diagnose(network, chip, some, runs=2)
    assert [rung.name for rung in found.rungs] == ["quantised", "converters", "programming", "stuck cells", "drift", "read noise", "IR drop"]
    drift = xl.run(network, chip.with_(effects="programming,faults,drift"), some, runs=2)
    assert found.rungs[4].accuracy == drift.chance
    assert found.rungs[-1].accuracy == xl.run(network, chip, some, runs=2).chance
    first = found.rungs[-1].own_db
    assert found.rungs[-1].arrived_db["stem.0"] == first["stem.0"], "no error arrives from before the first layer"
    assert all(value is None for value in found.rungs[1].own_db.values()), "ISAAC's converters lose nothing"
    assert found.worst is not None
    assert found.verdict.startswith(f"Largest loss: {found.worst.name}, ")


def test_a_machine_file_may_leave_settings_out(digits: tuple[Graph, Data, Data], tmp_path: Path) -> None:
    """What its file does not list has its default, and can be set by its engine's name."""
    network, _, test = digits
    document = {key: value for key, value in ISAAC.document.items() if key not in ("engines", "components")} | {
        "engines": {"crossbar": {}, "digital": {}}
    }
    bare = machine_of(document, "bare.yaml").with_(**{"crossbar.cell": "gaussian"})
    few = Data(tuple(x[:8] for x in test.inputs), test.labels[:8])
    assert [rung.name for rung in xl.diagnose(network, bare, few, runs=1).rungs][-2:] == ["programming", "read noise"]


def test_runs_without_labels_say_so(digits: tuple[Graph, Data, Data]) -> None:
    network, _, test = digits
    assert any("3 runs compare accuracies" in warning for warning in xl.run(network, ISAAC, test.inputs[0][:4], runs=3).warnings)


def test_what_a_diagnosis_needs(digits: tuple[Graph, Data, Data]) -> None:
    network, _, test = digits
    with pytest.raises(DataError, match="labels"):
        xl.diagnose(network, PCM, test.inputs[0])
    with pytest.raises(InputError, match="runs must be at least 1, got 0"):
        xl.diagnose(network, PCM, test, runs=0)
    with pytest.raises(InputError, match="rtm-ap has none"):
        xl.diagnose(network, load_machine("rtm-ap"), test)
    ideal = xl.diagnose(network, ISAAC, Data(tuple(x[:8] for x in test.inputs), test.labels[:8]))
    assert "no effects of isaac-ce's cells" in ideal.warnings[0]
    fresh = xl.diagnose(network, ISAAC.with_(cell="neurram"), Data(tuple(x[:8] for x in test.inputs), test.labels[:8]))
    assert any("age is 0 s" in warning for warning in fresh.warnings)


def test_diagnose_on_the_command_line(tmp_path: Path) -> None:
    data, picture = tmp_path / "test.npz", tmp_path / "ladder.png"
    import numpy as np

    np.savez(data, x=seeded(0, 12, 1, 8, 8).abs().numpy(), y=np.arange(12) % 10)
    words = ["diagnose", "zoo:digits", "--on", "isaac-ce", "--data", str(data), "--set", "cell=gaussian", "--runs", "2"]
    said = CliRunner().invoke(app, [*words, "--picture", str(picture)])
    assert said.exit_code == 0, said.output
    assert "read noise" in said.output
    assert picture.read_bytes()[:4] == b"\x89PNG"
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [rung["name"] for rung in document["rungs"]] == ["float", "quantised", "converters", "programming", "read noise"]
    assert document["rungs"][-1]["accuracy"]["runs"] == 2
