"""Networks that come in as quantised: onnxruntime's own quantiser, and the same integers on ISAAC."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import crossloom as xl
from crossloom.compiler import compile_network
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.errors import ModelError
from crossloom.machines import Machine
from crossloom.network.operators import FakeQuantize, Linear, MatMul
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.post_training import needs_samples, quantize
from crossloom.network.quantize.qdq import absorb
from crossloom.read.values import Values
from tests.layers import chain, seeded
from tests.oracles import onnx_session

onnxruntime = pytest.importorskip("onnxruntime")


class Residual(nn.Module):
    """Convolutions with a residual, pooling, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.wide, self.classes = nn.Linear(8, 16), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.second(x)).mean((2, 3))
        return self.classes(torch.relu(self.wide(x)))


@pytest.fixture(
    scope="module",
    params=[
        ("QDQ", "QUInt8", "QInt8", True),
        ("QDQ", "QInt8", "QInt8", False),
        ("QDQ", "QUInt8", "QUInt8", False),
        ("QOperator", "QUInt8", "QInt8", True),
        ("QOperator", "QInt8", "QInt8", False),
    ],
    ids=["u8s8", "s8s8", "u8u8", "operators u8s8", "operators s8s8"],
)
def files(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, torch.Tensor]:
    """A file that onnxruntime quantised, and samples."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("qdq")
    x = torch.randn(16, 3, 8, 8)
    torch.onnx.export(
        Residual().eval(), (x[:1],), str(folder / "real.onnx"), dynamic_shapes={"x": {0: torch.export.Dim("n")}}, dynamo=True, verbose=False
    )

    class Samples(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter([{"x": x.numpy()}])

        def get_next(self):
            return next(self.batches, None)

    form, activations, weights, per_channel = request.param
    quantize_static(
        str(folder / "real.onnx"), str(folder / "integer.onnx"), Samples(), quant_format=QuantFormat[form],
        activation_type=QuantType[activations], weight_type=QuantType[weights], per_channel=per_channel,
    )  # fmt: skip
    return str(folder / "integer.onnx"), x


def test_isaac_computes_what_onnxruntime_computes(files: tuple[str, torch.Tensor], isaac: Machine) -> None:
    path, x = files
    expected = onnx_session(path).run(None, {"x": x.numpy()})[0]
    network = xl.load(path)
    assert not needs_samples(network)
    graph = quantize(network)
    program = compile_network(graph, isaac)
    (found,), counts = Values.of(program)((x,))
    (plain,), plain_counts = Values.of(program, {"crossbar": reference_executor})((x,))
    step = graph.quantization[graph.outputs[0]].scale[0]
    assert torch.equal(found, graph(x))
    assert torch.equal(found, plain)
    assert counts == plain_counts
    assert np.abs(found.numpy() - expected).max() <= step * 1.001
    assert np.mean(np.abs(found.numpy() - expected) > step / 2) < 0.01


def test_differential_columns_hold_the_most_negative_weight(files: tuple[str, torch.Tensor], isaac: Machine) -> None:
    path, x = files
    graph = quantize(xl.load(path))
    program = compile_network(graph, isaac.with_(encoding="differential", flip=False, adc_bits=10))
    (plain,), _ = Values.of(program, {"crossbar": reference_executor})((x,))
    assert torch.equal(plain, graph(x))


def test_a_product_with_a_quantised_constant_is_a_linear_layer() -> None:
    q = Quantization((0.5,), 0, 4)
    graph = chain((FakeQuantize(Quantization((0.1,), 0, 8)), ()), (MatMul(), (seeded(1, 6, 4),)), shape=(5, 6))
    weights = graph.nodes[1].__class__("w", FakeQuantize(q), ("n1.c0",), graph.types["n1.c0"])
    product = graph.nodes[1].__class__("n1", MatMul(), ("n0", "w"), graph.nodes[1].type)
    absorbed, given = absorb(graph.with_nodes([graph.nodes[0], weights, product]))
    assert [type(node.op) for node in absorbed] == [Linear]
    assert given["x"].scale == (0.1,)
    x = seeded(2, 3, 5, 6)
    reals = graph.with_nodes([graph.nodes[0], weights, product])(x)
    torch.testing.assert_close(quantize(graph.with_nodes([graph.nodes[0], weights, product]), [x])(x), reals, atol=0.05, rtol=0)


def test_a_range_that_is_missing_is_named() -> None:
    graph = chain((FakeQuantize(Quantization((0.1,), 0, 8)), ()), (Linear(), (seeded(1, 4, 6),)), shape=(6,))
    with pytest.raises(ModelError, match="n1 has no range of its own"):
        quantize(graph)
    assert quantize(graph, [seeded(2, 3, 6)]).quantization["x"].scale == (0.1,)


def test_activations_quantised_per_channel_are_refused() -> None:
    """No machine here has a scale for each channel of what it multiplies."""
    uneven = Quantization((0.01, 0.1) * 3, 0, 8, axis=1)
    graph = chain((FakeQuantize(uneven), ()), (Linear(), (seeded(1, 4, 6),)), shape=(6,))
    with pytest.raises(ModelError, match="n0 is quantised per channel and depends on the input"):
        quantize(graph, [seeded(2, 3, 6)])
