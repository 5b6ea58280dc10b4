"""Whole networks on ISAAC: bit for bit the integer reference, and every action of the ledger performed."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.job.check import check
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import Machine
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.network.zoo.deepface import LocallyConnected
from crossloom.network.zoo.neuraltalk import NeuralTalk
from crossloom.papers.workloads import network as shapes
from crossloom.papers.workloads import with_bits
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values

# Parameters and multiply-accumulates as published (recalled, not looked up again); where a paper prints none, counted by hand from its layers.
PUBLISHED = {
    # torchvision's table of models, whose stride sits in the 3×3 convolution, too
    "resnet101": (44.5e6, 7.80e9),
    "resnet152": (60.2e6, 11.51e9),
    # Szegedy et al. 2015, Table 1: sums of its columns in units of 1024 and 10⁶, but for the 7×7 layer, for which it prints 2.7 K and 34 M
    "googlenet": (6795 * 1024 + 3 * 64 * 49, (1502 - 34) * 1e6 + 3 * 64 * 49 * 112**2),
    # Keras's and torchvision's tables of models; the paper says less than 25 million, and 5 billion
    "inception-v3": (23.8e6, 5.71e9),
    # He et al. 2015, Table 3: complexity; the parameters of C as the ISAAC paper gives them
    "msra-a": (147 * 96 + 9 * (96 * 256 + 4 * 256**2 + 256 * 512 + 9 * 512**2) + 4096 * (63 * 512 + 4096 + 1000), 1.90e10),
    "msra-b": (147 * 96 + 9 * (96 * 256 + 5 * 256**2 + 256 * 512 + 11 * 512**2) + 4096 * (63 * 512 + 4096 + 1000), 2.32e10),
    "msra-c": (330e6, 5.30e10),
    # Taigman et al. 2014: "more than 120 million"; kernels and sizes of Figure 2, C1 to F8
    "deepface": (
        120e6,
        (142**2 * 11**2 * 3 * 32) + (63**2 * 9**2 * 32 * 16) + 256 * (55**2 * 9**2 + 25**2 * 7**2 + 21**2 * 5**2) + 4096 * (21**2 * 16 + 4030),
    ),
    # Han et al. 2016, Table III; an image and eight words, eight times scored
    "neuraltalk": (4096 * 600 + 1200 * 2400 + 600 * 8791, 4096 * 600 + 9 * 1200 * 2400 + 8 * 600 * 8791),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_its_published_size_and_compiles(name: str, isaac: Machine) -> None:
    """Within 1 %: papers round, and some count biases and batch norms, which are folded here."""
    graph = shapes(name)
    found = check(graph, isaac)
    assert not found["unsupported"]
    assert (found["parameters"], found["macs"]) == pytest.approx(PUBLISHED[name], rel=0.01)
    assert graph.batch is None and not graph.fixed
    program = compile_network(with_bits(graph, 8), isaac)
    assert {node for stage in program.stages for node in stage.nodes} == {node.name for node in graph.nodes}
    assert 0 < read_timeline(program).throughput_per_s < float("inf")


def test_the_steps_of_a_captioning_network_share_three_matrices(isaac: Machine) -> None:
    program = compile_network(with_bits(shapes("neuraltalk"), 8), isaac)
    on_arrays = [stage for stage in program.stages if stage.arrays]
    assert Counter(stage.shares or stage.name for stage in on_arrays) == {"encode": 1, "gates": 9, "decode": 8}


def test_a_captioning_network_is_torchs_own_lstm() -> None:
    own, cell = NeuralTalk(features=5, width=4, vocabulary=7), torch.nn.LSTMCell(4, 4)
    # torch orders input, forget, candidate, output; ours has the candidate last
    order = torch.cat([torch.arange(8), torch.arange(12, 16), torch.arange(8, 12)])
    with torch.no_grad():
        own.gates.weight.copy_(torch.cat([cell.weight_ih, cell.weight_hh], 1)[order])
        own.gates.bias.copy_((cell.bias_ih + cell.bias_hh)[order])
        image, words = torch.randn(2, 5), torch.randn(2, 3, 4)
        state = cell(own.encode(image))
        wanted = [own.decode((state := cell(word, state))[0]) for word in words.unbind(1)]
        assert torch.allclose(own(image, words), torch.stack(wanted, 1), atol=1e-6)


def test_a_locally_connected_layer_has_a_kernel_at_each_position() -> None:
    layer, x = LocallyConnected(3, 5, 9, 3, stride=2), torch.randn(2, 3, 9, 9)
    kernels, biases = layer.kernels.weight.reshape(4, 4, 5, 3, 3, 3), layer.kernels.bias.reshape(4, 4, 5)
    y = layer(x)
    assert y.shape == (2, 5, 4, 4)
    for row in range(4):
        for column in range(4):
            window = x[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            wanted = torch.einsum("nchw,ochw->no", window, kernels[row, column]) + biases[row, column]
            assert torch.allclose(y[:, :, row, column], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "samples"), [("digits", 16), ("digits-vit", 4), ("char-lm", 2), ("resnet18", 2), ("mobilenet-v2", 2), ("bert-base", 1)]
)
def test_a_network_on_isaac_equals_the_integer_reference(name: str, samples: int, isaac: Machine) -> None:
    network = load(f"zoo:{name}")
    x = random_inputs(network, samples, seed=1).inputs
    graph = quantize(network, [x])
    program = compile_network(graph, isaac)
    (y,), counts = Values.of(program)(x)
    assert torch.equal(y, graph(*x))
    ledger = read_ledger(program, read_timeline(program))
    assert counts == Counter({action: samples * count for action, count in ledger.actions.items()})
    assert parse_program(str(program), graph, isaac) == program


def test_the_digits_network_digit_by_digit(isaac: Machine) -> None:
    """The plain crossbar arithmetic, with sixteen bits as in the paper and as ISAAC's converters clip nothing."""
    network = load("zoo:digits")
    x = random_inputs(network, 3, seed=1).inputs
    graph = quantize(network, [x], Recipe(16, 16))
    program = compile_network(graph, isaac)
    (plain,), plain_counts = Values.of(program, {"crossbar": reference_executor})(x)
    (fast,), counts = Values.of(program)(x)
    assert torch.equal(plain, fast)
    assert torch.equal(plain, graph(*x))
    assert plain_counts == counts


def test_the_result_depends_on_neither_batch_nor_threads(isaac: Machine) -> None:
    network = load("zoo:digits")
    (x,) = random_inputs(network, 4, seed=1).inputs
    program = compile_network(quantize(network, [(x,)]), isaac.with_(adc_bits=4))
    values = Values.of(program)
    (whole,), counts = values((x,))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        parts = [values((part,)) for part in x.split(1)]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(whole, torch.cat([y for (y,), _ in parts]))
    assert counts == sum((c for _, c in parts), Counter())


def test_a_clipping_converter_changes_the_values_and_says_so(isaac: Machine) -> None:
    network = load("zoo:digits")
    x = random_inputs(network, 8, seed=1).inputs
    graph = quantize(network, [x])
    errors = []
    for bits in (3, 4, 5, 6, 8):
        values = Values.of(compile_network(graph, isaac.with_(adc_bits=bits)))
        (y,), _ = values(x)
        errors.append(float((y - graph(*x)).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0 == errors[-1]
