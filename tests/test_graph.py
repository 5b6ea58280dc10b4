"""The graph: text, folding, verification."""

import pytest
import torch

from crossloom.errors import DataError, ModelError
from crossloom.network.fold import drop_unused, fold_batch_norm
from crossloom.network.graph import verify
from crossloom.network.operators import BatchNorm, Clip, Conv, Pad, Relu, Reshape, Slice
from crossloom.network.text import parse_graph, parse_operator, print_graph
from crossloom.network.types import Batch
from tests.layers import chain, one_layer, seeded

CONV = Conv((1, 1), (1, 1, 1, 1), (1, 1))


def test_text_prints_and_parses() -> None:
    text = """\
graph small
input x: f32[N, 3, 8, 8]
const w: f32[4, 3, 3, 3]
conv: f32[N, 4, 8, 8] = Conv(stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1) (x, w)
relu: f32[N, 4, 8, 8] = Relu() (conv)  # layer1.act
flat: f32[N, 256] = Reshape(shape=(N, 256)) (relu)
cut: f32[4 * N, 64] = Reshape(shape=(4 * N, 64)) (flat)
output cut
"""
    assert print_graph(parse_graph(text)) == text


@pytest.mark.parametrize("op", [Clip(-torch.inf, 6.0), Slice(1, 3, None, -1), Reshape((Batch(4), 7)), Pad((0, 0, 1, 1), "reflect")])
def test_operators_are_read_back(op) -> None:
    assert parse_operator(str(op)) == op


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("relu: f32[N, 3] = Relu() (nowhere)", "before it is computed"),
        ("relu: f32[N, 3] = Rely() (x)", "line 3"),
        ("relu: f99[N, 3] = Relu() (x)", "line 3"),
        ("relu = Relu(x)", "line 3"),
    ],
)
def test_wrong_text_names_the_line(line: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        parse_graph(f"graph g\ninput x: f32[N, 3]\n{line}\noutput relu\n")


def test_verify_finds_a_name_used_twice() -> None:
    graph = chain((Relu(), ()), shape=(3,))
    with pytest.raises(ModelError, match="used twice"):
        verify(graph.with_nodes([graph.nodes[0], graph.nodes[0]]))


@pytest.mark.parametrize("with_bias", [True, False])
def test_batch_norm_folds_into_the_convolution(with_bias: bool) -> None:
    weights = (seeded(0, 4, 3, 3, 3), seeded(1, 4)) if with_bias else (seeded(0, 4, 3, 3, 3),)
    norm = (seeded(2, 4), seeded(3, 4), seeded(4, 4), seeded(5, 4).abs() + 0.1)
    graph = chain((CONV, weights), (BatchNorm(1e-5), norm), (Relu(), ()), shape=(3, 6, 6))
    folded = fold_batch_norm(graph)
    x = seeded(6, 5, 3, 6, 6)
    assert [type(node.op) for node in folded] == [Conv, Relu]
    torch.testing.assert_close(folded(x), graph(x), rtol=1e-5, atol=1e-5)


def test_batch_norm_after_something_else_becomes_arithmetic() -> None:
    norm = (seeded(2, 3), seeded(3, 3), seeded(4, 3), seeded(5, 3).abs() + 0.1)
    graph = chain((Relu(), ()), (BatchNorm(1e-5), norm), shape=(3, 6, 6))
    x = seeded(6, 5, 3, 6, 6)
    torch.testing.assert_close(fold_batch_norm(graph)(x), graph(x), rtol=1e-5, atol=1e-5)


def test_batch_norm_of_a_shared_convolution_is_not_folded() -> None:
    norm = (seeded(2, 4), seeded(3, 4), seeded(4, 4), seeded(5, 4).abs() + 0.1)
    graph = chain((CONV, (seeded(0, 4, 3, 3, 3),)), (BatchNorm(1e-5), norm), shape=(3, 6, 6))
    both = graph.with_nodes(graph.nodes, outputs=("n0", "n1"))
    x = seeded(6, 2, 3, 6, 6)
    for a, b in zip(fold_batch_norm(both)(x), both(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_drop_unused() -> None:
    graph = chain((Relu(), ()), (Relu(), ()), shape=(3,))
    assert [node.name for node in drop_unused(graph.with_nodes(graph.nodes, outputs=("n0",)))] == ["n0"]


@pytest.mark.parametrize("shape", [(2, 4, 6, 6), (2, 3, 6), (3, 3, 7, 6)])
def test_wrong_input_says_what_is_wanted(shape: tuple[int, ...]) -> None:
    graph = one_layer(CONV, (3, 6, 6), seeded(0, 4, 3, 3, 3))
    with pytest.raises(DataError, match="needs shape"):
        graph(torch.zeros(shape))
