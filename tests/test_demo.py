"""The main job on real data: the digits network learns, runs on ISAAC, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import crossloom as xl
from crossloom.demo.digits import digits, trained_digits
from crossloom.machines import load_machine


@pytest.fixture(scope="module")
def trained():
    return trained_digits()


def test_the_split_is_honest() -> None:
    training, test = digits()
    assert (len(training), len(test)) == (1437, 360)
    seen = {x.numpy().tobytes() for x in training.inputs[0]}
    assert sum(x.numpy().tobytes() in seen for x in test.inputs[0]) == 0


def test_the_demo(trained, tmp_path: Path) -> None:
    graph, training, test = trained
    result = xl.run(graph, load_machine("isaac-ce"), test, calibration=training.first(256))
    assert result.accuracy is not None
    assert result.accuracy.float >= 0.97
    assert result.accuracy.machine == result.accuracy.quantized >= 0.97
    assert result.counts == result.ledger.actions
    folder = result.save(tmp_path / "demo")
    assert json.loads((folder / "result.json").read_text())["accuracy"]["samples"] == 360


def test_the_machine_equals_the_integers_to_the_last_image(trained) -> None:
    from crossloom.compiler import compile_network
    from crossloom.read.values import Values

    graph, training, test = trained
    quantized = xl.quantize(graph, training.first(256))
    (y,), _ = Values.of(compile_network(quantized, load_machine("isaac-ce")))(test.inputs)
    assert torch.equal(y, quantized(*test.inputs))


def test_fewer_converter_bits_cost_accuracy(trained) -> None:
    graph, training, test = trained
    chip = load_machine("isaac-ce")
    share = [xl.run(graph, chip.with_(adc_bits=bits), test, calibration=training.first(256)).accuracy.machine for bits in (4, 6, 8)]
    assert share[0] < share[1] <= share[2]


def test_training_twice_gives_the_same_network(trained) -> None:
    again = trained_digits()[0]
    assert all(torch.equal(a, again.constants[name]) for name, a in trained[0].constants.items())


def test_the_public_face_survives_every_import() -> None:
    """A package of the same name as a public function would replace it once it is imported."""
    import importlib
    import pkgutil

    for module in pkgutil.walk_packages(xl.__path__, "crossloom."):
        if not module.name.endswith(("__main__", "from_onnx")) and ".onnx_rules" not in module.name:
            importlib.import_module(module.name)
    for name in xl.__all__:
        assert callable(getattr(xl, name)), name
