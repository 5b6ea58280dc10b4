"""Networks as people write them: from the module to a run on ISAAC, which computes the integers of the reference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import crossloom as xl
from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.errors import CrossloomError, ModelError
from crossloom.job.data import load_data, random_inputs
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import quantize
from crossloom.network.samples import mixing_node
from crossloom.program.text import print_program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values


class Net(nn.Module):
    """A function of its parts and inputs."""

    def __init__(self, function: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self.parts, *inputs)


class Last(nn.Module):
    """A recurrent layer whose last state is classified."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.recurrent = getattr(nn, kind)(8, 6, batch_first=True, **options)
        self.classes = nn.Linear(12 if options.get("bidirectional") else 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.recurrent(x)[0][:, -1])


class Steps(nn.Module):
    """A recurrent cell called step by step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = getattr(nn, kind)(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], 6)
        memory = state
        for t in range(x.shape[1]):
            if isinstance(self.cell, nn.LSTMCell):
                state, memory = self.cell(x[:, t], (state, memory))
            else:
                state = self.cell(x[:, t], state)
        return state


class Causal(nn.Module):
    """torch's own transformer layers under a causal mask, which they would like to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(x, self.encoder(x, mask=self.mask), tgt_mask=self.mask)


class Pooled(nn.Module):
    """Attention pooling: scores are a product with a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.query = nn.Linear(8, 4), nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ self.query, -1).unsqueeze(1) @ self.values(x)


class Tied(nn.Module):
    """One layer, five times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(150, 150)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(5):
            x = torch.tanh(self.layer(x))
        return x


class Prototypes(nn.Module):
    """Similarity to prototypes that come in as a second input, the same for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 6)

    def forward(self, x: Tensor, prototypes: Tensor, temperature: Tensor) -> Tensor:
        return self.embed(x) @ self.embed(prototypes).t() * temperature


def _trained_quantised() -> nn.Module:
    import torch.ao.quantization as ao

    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    model = nn.Sequential(ao.QuantStub(), body, ao.DeQuantStub()).train()
    model.qconfig = ao.QConfig(activation=ao.default_fused_act_fake_quant, weight=ao.default_fused_per_channel_wt_fake_quant)
    prepared = ao.prepare_qat(model)
    for _ in range(3):
        prepared(torch.randn(8, 1, 8, 8))
    return prepared.apply(ao.disable_observer).eval()  # which else go on watching


VECTOR, WORDS, IMAGE = torch.randn(1, 8), torch.randn(1, 5, 8), torch.randn(1, 1, 8, 8)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "lstm": (lambda: Last("LSTM"), (WORDS,)),
    "two lstms, both ways": (lambda: Last("LSTM", num_layers=2, bidirectional=True), (WORDS,)),
    "gru": (lambda: Last("GRU"), (WORDS,)),
    "rnn": (lambda: Last("RNN"), (WORDS,)),
    "lstm cell": (lambda: Steps("LSTMCell"), (WORDS,)),
    "gru cell": (lambda: Steps("GRUCell"), (WORDS,)),
    "causal transformer": (Causal, (WORDS,)),
    "attention pooling": (Pooled, (WORDS,)),
    "tied": (Tied, (torch.randn(1, 150),)),
    "bags of words": (lambda: nn.Sequential(nn.EmbeddingBag(10, 4, mode="mean"), nn.Linear(4, 3)), (torch.zeros(1, 5, dtype=torch.long),)),
    "bytes": (lambda: Net(lambda m, x: m[0](x.float() / 255).flatten(1), nn.Conv2d(1, 4, 3)), (torch.zeros(1, 1, 8, 8, dtype=torch.uint8),)),
    "one hot": (lambda: Net(lambda m, k: m[0](F.one_hot(k, 8).float()), nn.Linear(8, 4)), (torch.zeros(1, dtype=torch.long),)),
    "time steps": (
        lambda: Net(lambda m, x, k: m[0](x) + m[1](k[:, None].float() * torch.arange(4.0)), nn.Linear(8, 8), nn.Linear(4, 8)),
        (VECTOR, torch.ones(1, dtype=torch.long)),
    ),
    "distances": (lambda: Net(lambda m, x: torch.cdist(m[0](x), m[0](2 * x)), nn.Linear(8, 8)), (WORDS,)),
    "hyperbolic": (lambda: Net(lambda m, x: torch.sinh(m[0](x)) + torch.asinh(x) + torch.cosh(x), nn.Linear(8, 8)), (VECTOR,)),
    "sampled grid": (
        lambda: Net(
            lambda m, x: F.grid_sample(m[0](x), F.affine_grid(torch.eye(2, 3)[None].expand(x.shape[0], 2, 3), [x.shape[0], 4, 8, 8])),
            nn.Conv2d(1, 4, 3, padding=1),
        ),
        (IMAGE,),
    ),
    "quantised in training": (_trained_quantised, (IMAGE,)),
    "prototypes": (Prototypes, (VECTOR, torch.randn(5, 8), torch.tensor(2.0))),
}


def _quantized(graph: Graph, samples: int) -> tuple[Graph, tuple[Tensor, ...]]:
    x = random_inputs(graph, samples, seed=1).inputs
    return quantize(graph, [x]), x


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, isaac: Machine) -> None:
    make, example = NETWORKS[name]
    module = make().eval()
    graph = xl.load(module, example)
    assert graph.batch is None, graph.fixed
    quantized, x = _quantized(graph, 6)
    with torch.no_grad():
        torch.testing.assert_close(graph(*x), module(*x), rtol=1e-5, atol=1e-5)
    program = compile_network(quantized, isaac)
    (y,), counts = Values.of(program)(x)
    assert torch.equal(y, quantized(*x))
    ledger = read_ledger(program, read_timeline(program))
    assert {action: count * 6 for action, count in ledger.actions.items()} == dict(counts)
    assert parse_program(print_program(program), quantized, isaac).stages == program.stages


def test_tied_layers_share_arrays(isaac: Machine) -> None:
    graph, _ = _quantized(xl.load(Tied(), (torch.randn(1, 150),)), 4)
    chip = isaac.with_(replicate="none")
    shared, copied = (compile_network(graph, chip.with_(tied=how)) for how in ("shared", "copied"))
    one = shared.stages[0].arrays
    assert sum(stage.own_arrays for stage in shared.stages) == one
    assert sum(stage.own_arrays for stage in copied.stages) == 5 * one
    assert [stage.shares for stage in shared.stages] == ["", *[shared.stages[0].name] * 4]
    times = read_timeline(shared), read_timeline(copied)
    assert times[0].latency_s == pytest.approx(times[1].latency_s)  # one needs the other's result anyway
    assert times[0].interval_s == pytest.approx(5 * times[1].interval_s)


def test_tied_branches_take_turns(isaac: Machine) -> None:
    """Both branches could start at once; with one set of arrays the second waits for the first."""
    twins = Net(lambda m, a, b: m[0](a) - m[0](b), nn.Conv2d(1, 4, 3))
    graph, _ = _quantized(xl.load(twins, (IMAGE, IMAGE)), 2)
    shared, copied = (read_timeline(compile_network(graph, isaac.with_(replicate="none", tied=how))) for how in ("shared", "copied"))
    assert shared.latency_s > 1.9 * copied.latency_s - 1e-6


def test_tied_layers_in_a_row_do_not_overlap(isaac: Machine) -> None:
    """The second convolution could begin once its first window is there, but the arrays are the first one's until it is through."""
    row = Net(lambda m, x: m[0](m[0](x)), nn.Conv2d(2, 2, 3, padding=1))
    graph, _ = _quantized(xl.load(row, (torch.randn(1, 2, 8, 8),)), 2)
    first, second = read_timeline(compile_network(graph, isaac.with_(replicate="none"))).rows
    assert second.start_s >= first.finish_s
    apart = read_timeline(compile_network(graph, isaac.with_(replicate="none", tied="copied"))).rows
    assert apart[1].start_s < apart[0].finish_s


def test_tied_layers_are_written_once_for_each_segment(isaac: Machine) -> None:
    small = isaac.with_(**{"tile.count": 1, "ima.count": 1, "array.count": 16, "overflow": "reload", "chips": 1})
    net = Net(lambda m, x: m[0](m[1](m[0](x))), nn.Linear(150, 150), nn.Linear(150, 150))
    graph, _ = _quantized(xl.load(net, (torch.randn(1, 150),)), 2)
    program = compile_network(graph, small)
    assert [(stage.residency.segment, stage.shares) for stage in program.stages] == [(0, ""), (1, ""), (2, "")]
    assert all(stage.residency.programming_s > 0 for stage in program.stages)


MIXING: dict[str, Callable[..., Tensor]] = {
    "mean": lambda m, x: m[0](x) - m[0](x).mean(0),
    "softmax": lambda m, x: m[0](x).softmax(0),
    "running sum": lambda m, x: m[0](x).cumsum(0),
    "the first sample": lambda m, x: m[0](x) - m[0](x)[:1],
    "the largest": lambda m, x: m[0](x) / m[0](x).abs().max(),
    "a choice": lambda m, x: (m[0](x) - m[0](x).mean(0)).argmax(-1),
    "covariance": lambda m, x: m[0](x) @ (m[0](x).t() @ m[0](x)),
}


@pytest.mark.parametrize("name", MIXING)
def test_samples_that_influence_each_other_are_noticed(name: str) -> None:
    graph = xl.load(Net(MIXING[name], nn.Linear(8, 3)), (VECTOR,))
    assert mixing_node(graph) is not None
    with pytest.raises(ModelError, match="depends on the other samples of its batch"):
        quantize(graph, [(torch.randn(4, 8),)])


ALONE: dict[str, tuple[Callable[..., Tensor], Tensor]] = {
    "sequence first inside": (lambda m, x: m[0](x.transpose(0, 1)).softmax(0).transpose(0, 1), WORDS),
    "words of all samples in one row": (lambda m, x: m[0](x.transpose(0, 1)).reshape(-1, 3), WORDS),
    "masks": (lambda m, x: m[0](x).masked_fill(x[..., :3] > 0, 0.0), WORDS),
    "one number for each sample": (lambda m, x: m[0](x).sum((1, 2)), WORDS),
}


@pytest.mark.parametrize("name", ALONE)
def test_samples_that_do_not_are_left_alone(name: str) -> None:
    function, example = ALONE[name]
    graph = xl.load(Net(function, nn.Linear(8, 3)), (example,))
    assert graph.batch is None
    assert mixing_node(graph) is None


@pytest.mark.parametrize("function", [lambda m, x: x @ x.t(), lambda m, x: m[0](x).roll(1, 0)], ids=["all with all", "rolled"])
def test_a_first_dimension_that_is_no_batch_is_said(function: Callable[..., Tensor], isaac: Machine) -> None:
    graph = xl.load(Net(function, nn.Linear(8, 3)), (torch.randn(4, 8),))
    assert graph.batch == 4
    assert graph.fixed
    assert any("runs only at batch 4" in warning for warning in xl.run(graph, isaac).warnings)


def test_more_weight_bits_are_never_faster_or_cheaper(isaac: Machine) -> None:
    """Few arrays in one tile would wait for what the tile shares."""
    network = xl.load("zoo:digits")
    runs = [xl.run(xl.quantize(network, random_inputs(network, 8, 0), weights=bits), isaac) for bits in range(2, 17)]
    for fewer, more in pairwise(runs):
        assert more.latency >= fewer.latency * (1 - 1e-12)
        assert more.energy >= fewer.energy * (1 - 1e-12)


def test_ways_to_give_a_network_and_its_inputs(tmp_path: Any) -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + 2 * b

    by_name = xl.load(Two(), {"a": VECTOR, "b": VECTOR})
    x = torch.randn(3, 8), torch.randn(3, 8)
    assert torch.equal(by_name(*x), x[0] + 2 * x[1])
    arrays = xl.load(Two(), (np.zeros((1, 8), np.float32), np.zeros((1, 8), np.float32)))
    assert torch.equal(arrays(*x), x[0] + 2 * x[1])
    exported = torch.export.export(Two(), (VECTOR, VECTOR.clone()))
    torch.testing.assert_close(xl.load(exported)(x[0][:1], x[1][:1]), x[0][:1] + 2 * x[1][:1])
    for wrong, problem in (({"weight": VECTOR}, "a dict is not a network"), (nn.Linear, "a type is not a network")):
        with pytest.raises(CrossloomError, match=problem):
            xl.load(wrong)  # type: ignore[arg-type]


def test_shared_inputs_are_given_once() -> None:
    graph = xl.load(Prototypes(), (VECTOR, torch.randn(5, 8), torch.tensor(2.0)))
    data = load_data((torch.randn(40, 8), torch.randn(5, 8), torch.tensor(1.0)), graph)
    assert len(data) == 40
    assert [[list(x.shape) for x in inputs] for inputs, _ in data.batches(32)] == [[[32, 8], [5, 8], []], [[8, 8], [5, 8], []]]
    with pytest.raises(CrossloomError, match="the same for every sample and needs shape"):
        load_data((torch.randn(40, 8), torch.randn(40, 8), torch.tensor(1.0)), graph)


@pytest.mark.parametrize(
    ("damage", "problem"), [(float("nan"), "contains NaN"), (float("inf"), "contains an infinite value")], ids=["nan", "infinite"]
)
def test_weights_that_are_no_numbers(damage: float, problem: str, isaac: Machine) -> None:
    from crossloom.job.check import check

    layer = nn.Linear(8, 3)
    layer.weight.data[0, 0] = damage
    graph = xl.load(layer, (VECTOR,))
    found = check(graph, isaac)
    assert not found["supported"]
    assert problem in found["unsupported"][0]["reason"]
    with pytest.raises(ModelError, match=problem):
        xl.run(graph, isaac)


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ModelError, match="holds complex numbers"):
        xl.load(Net(lambda m, x: m[0](x.to(torch.complex64)).abs(), nn.Linear(8, 3, dtype=torch.complex64)), (VECTOR,))


def test_a_row_of_attention_that_sees_nothing(isaac: Machine) -> None:
    hidden = torch.ones(5, 5, dtype=torch.bool).tril()
    hidden[2] = False
    graph = xl.load(Net(lambda m, x: F.scaled_dot_product_attention(m[0](x), m[0](x), m[0](x), attn_mask=hidden), nn.Linear(8, 8)), (WORDS,))
    quantized, x = _quantized(graph, 4)
    assert not bool(graph(*x).isnan().any())
    assert bool((quantized(*x)[:, 2] == 0).all())
    assert torch.equal(Values.of(compile_network(quantized, isaac))(x)[0][0], quantized(*x))
