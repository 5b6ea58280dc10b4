"""RTM-AP: a whole ResNet-18 in instructions, the digits from their streams, faults, and what the paper claims."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import crossloom as xl
from crossloom.compiler import compile_network
from crossloom.demo.digits import CALIBRATION, digits
from crossloom.demo.digits_ternary import ternary_digits
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Conv, Relu
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.papers.rtm_ap import read, reading, ternary_network
from crossloom.read.values import Values
from tests.layers import chain


@pytest.fixture(scope="module")
def trained() -> tuple[Graph, torch.Tensor, torch.Tensor]:
    """Return the digits network in ternary weights, and the test images with their labels."""
    training, test = digits()
    graph = load(ternary_digits(), (torch.zeros(1, 1, 8, 8),), name="digits")
    assert test.labels is not None
    return xl.quantize(graph, training.first(CALIBRATION)), test.inputs[0], test.labels


def test_all_test_images_from_the_streams_are_the_integers_of_the_network(trained: tuple[Graph, torch.Tensor, torch.Tensor]) -> None:
    graph, images, labels = trained
    program = compile_network(graph, load_machine("rtm-ap").with_(**{"associative.execute": "steps"}))
    assert [stage.engine for stage in program.stages if stage.arrays] == ["associative"] * 5
    found, _ = Values.of(program)([images])
    assert torch.equal(found[0], graph(images))
    assert float((found[0].argmax(1) == labels).float().mean()) > 0.97


def test_faults_belong_to_an_inference_whatever_the_batch(trained: tuple[Graph, torch.Tensor, torch.Tensor]) -> None:
    graph, images, _ = trained
    machine = load_machine("rtm-ap").with_(**{"associative.shift_faults": 1e-5, "associative.write_faults": 1e-5})
    program = compile_network(graph, machine)
    values = Values.of(program, seed=3)
    whole, _ = values([images[:12]])
    parts = [values([images[first : first + 5]], first)[0][0] for first in range(0, 12, 5)]
    assert torch.equal(whole[0], torch.cat([part[: 12 - 5 * i] for i, part in enumerate(parts)]))
    assert not torch.equal(whole[0], graph(images[:12]))
    other, _ = Values.of(program, seed=4)([images[:12]])
    assert not torch.equal(whole[0], other[0])


@pytest.mark.parametrize("kind", ["shift_faults", "write_faults"])
def test_more_faults_do_more_harm(trained: tuple[Graph, torch.Tensor, torch.Tensor], kind: str) -> None:
    graph, images, _ = trained
    exact, errors = graph(images[:60]), []
    for rate in (0.0, 1e-5, 1e-4, 1e-2):
        found, _ = Values.of(compile_network(graph, load_machine("rtm-ap").with_(**{f"associative.{kind}": rate})))([images[:60]])
        errors.append(float((found[0] - exact).abs().mean()))
    assert errors[0] == 0
    assert errors == sorted(set(errors))


def test_resnet18_becomes_instructions() -> None:
    """Operations of the first layer to the last: as many as weights that are not zero, shared as far as a channel goes, with exact widths."""
    found = reading("resnet18", 0.80, spread="none", scope=1)
    graph = ternary_network("resnet18", 0.80)
    weights = {node.inputs[1] for node in graph.nodes if len(node.inputs) > 1 and node.inputs[1] in graph.constants}
    assert found.total("nonzeros") == sum(int(np.count_nonzero(graph.constants[name])) for name in weights)
    assert found.program.arrays == 49
    assert found.total("operations") < 0.725 * found.total("nonzeros")
    assert found.total("bit_operations") < 2.62e9


def convolutions(sparsity: float = 0.8) -> Graph:
    """Return two convolutions on images of 32x32 with drawn ternary weights, activations of four bits."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.rand(shape, generator=generator) for shape in ((32, 3, 3, 3), (64, 32, 3, 3))]
    weights = [(draw < (1 - sparsity) / 2).float() - (draw > (1 + sparsity) / 2).float() for draw in drawn]
    conv = Conv((1, 1), (1, 1, 1, 1), (1, 1), 1)
    graph = chain((conv, (weights[0],)), (Relu(), ()), (conv, (weights[1],)), shape=(3, 32, 32))
    return quantize(graph, [torch.rand(2, 3, 32, 32, generator=generator)], Recipe(weights=2, activations=4))


def machine(**settings: object) -> Machine:
    return load_machine("rtm-ap").with_(**{f"associative.{name}": value for name, value in settings.items()})


def test_wider_scopes_and_more_zeros_take_less() -> None:
    narrow, wide = (read(convolutions(), machine(spread="none", **scope)) for scope in ({"scope": 1}, {}))
    assert wide.total("bit_operations") < 0.75 * narrow.total("bit_operations")
    assert wide.timeline.latency_s < narrow.timeline.latency_s
    assert read(convolutions(0.9), machine(spread="none")).ledger.energy_j < 0.7 * wide.ledger.energy_j


def test_inputs_spread_over_arrays_are_quicker_and_need_adders() -> None:
    spread, alone = read(convolutions(), machine()), read(convolutions(), machine(spread="none"))
    assert spread.timeline.latency_s < alone.timeline.latency_s / 2
    assert spread.ledger.actions["adder.add"] > 0
    assert "adder.add" not in alone.ledger.actions
    assert alone.program.arrays == 4


def test_a_layer_larger_than_the_chip_comes_in_waves() -> None:
    found = read(convolutions(), machine().with_(**{"bank.count": 1, "tile.count": 1, "array.count": 3}))
    stage, placement = found.stages[0]
    assert (placement.row_groups, placement.arrays, placement.waves, stage.positions) == (4, 3, 2, 2)
    assert stage.busy_s == pytest.approx(2 * stage.interval_s)
