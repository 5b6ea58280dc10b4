"""Ternary weights as numbers: how they are made, recognised, imported, and written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

import crossloom as xl
from crossloom.errors import InputError, ModelError
from crossloom.network.operators import Clip, Conv, FakeQuantize, Linear, MaxPool, Relu, Reshape
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.post_training import Recipe, needs_samples, quantize
from crossloom.network.quantize.ternary import Sparse, Twn, output_axis, project, ternary_layers, ternary_quantization
from tests.layers import chain, one_layer, seeded
from tests.oracles import onnx_session


def ternary(*shape: int, axis: int | None = 0, seed: int = 0) -> Tensor:
    """Return weights that are −a, 0 or a in each channel; every channel has all three."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(-1, 2, shape, generator=generator).to(torch.float32)
    rows = signs.movedim(axis or 0, 0).reshape(shape[axis or 0], -1)
    rows[:, :3] = torch.tensor([1.0, 0.0, -1.0])
    signs = rows.reshape(signs.movedim(axis or 0, 0).shape).movedim(0, axis or 0)
    scale = torch.rand([size if i == axis else 1 for i, size in enumerate(shape)], generator=generator) + 0.1
    return (signs * scale).contiguous()


class TernaryNet(nn.Module):
    """Convolution, batch norm, transposed convolution, linear: ternary before training as others are after it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.up, self.fc = nn.ConvTranspose2d(6, 4, 2), nn.Linear(4 * 49, 5)
        with torch.no_grad():
            self.conv.weight.copy_(ternary(6, 2, 3, 3))
            self.up.weight.copy_(ternary(6, 4, 2, 2, axis=1))
            self.fc.weight.copy_(ternary(5, 196))
            self.norm.weight.copy_(torch.tensor([1.5, -0.7, 0.0, 2.0, -0.1, 1.0]))
            self.norm.bias.copy_(seeded(3, 6))
            self.norm.running_mean.copy_(seeded(4, 6))
            self.norm.running_var.copy_(seeded(5, 6).abs() + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.up(torch.relu(self.norm(self.conv(x))))).flatten(1))


@pytest.fixture(scope="module")
def net() -> tuple[nn.Module, Tensor]:
    """The network and samples."""
    torch.manual_seed(0)
    return TernaryNet().eval(), torch.rand(8, 2, 8, 8)


def is_ternary(graph: xl.Graph) -> bool:
    """Whether all layers' integers are −1, 0 and 1, in two bits."""
    weights = [node.inputs[1] for node in graph.nodes if isinstance(node.op, Conv | Linear) or type(node.op).__name__ == "ConvTranspose"]
    formats = [graph.quantization[name] for name in weights]
    return all(q.bits == 2 and q.narrow and q.signed for q in formats) and all(int(graph.constants[name].abs().max()) <= 1 for name in weights)


@given(st.integers(1, 5), st.integers(1, 12), st.data())
def test_projection_leaves_exactly_so_many_zeros_at_the_nearest_scale(channels: int, each: int, data: st.DataObject) -> None:
    weight = seeded(data.draw(st.integers(0, 99)), channels, each)
    zeros = data.draw(st.integers(0, channels * each))
    axis = data.draw(st.sampled_from([0, None]))
    found = project(weight, zeros, axis)
    kept = found != 0
    assert int((~kept).sum()) == zeros
    assert bool((found[kept].sign() == weight[kept].sign()).all())
    assert zeros in (0, weight.numel()) or float(weight[~kept].abs().max()) <= float(weight[kept].abs().min())
    distance = (weight - found).square().sum()
    for factor in (0.95, 1.05):
        assert zeros == weight.numel() or float((weight - factor * found).square().sum()) > float(distance)


@given(st.integers(1, 5), st.integers(2, 12), st.integers(0, 99), st.sampled_from([0, 1, None]))
def test_ternary_weights_are_recognised_and_held_exactly(channels: int, each: int, seed: int, axis: int | None) -> None:
    signs = torch.randint(-1, 2, (channels, each), generator=torch.Generator().manual_seed(seed)).to(torch.float32)
    scale = torch.rand([1 if i != axis else size for i, size in enumerate(signs.shape)], generator=torch.Generator().manual_seed(seed)) + 0.01
    weight = signs * scale
    q = ternary_quantization(weight, axis)
    telling = axis is None or axis == 0 or channels > 1 or bool((signs == 0).any())
    assert (q is not None) == telling
    if q is not None:
        assert (q.bits, q.low, q.high) == (2, -1, 1)
        assert torch.equal(q.quantize(weight), signs)
        assert torch.equal(q.dequantize(signs), weight)


def test_what_is_almost_ternary_is_not() -> None:
    weight = ternary(4, 9)
    assert ternary_quantization(weight, 0) is not None
    place = tuple(int(i) for i in torch.nonzero(weight)[0])
    weight[place] = torch.nextafter(weight[place], torch.tensor(9.0))
    assert ternary_quantization(weight, 0) is None
    assert ternary_quantization(ternary(4, 9), None) is None  # four scales, where one is asked for
    assert ternary_quantization(torch.tensor([[0.3], [0.2]]), 0) is None  # a single weight says nothing
    assert ternary_quantization(torch.tensor([[0.3], [0.0]]), 0) is not None
    assert ternary_quantization(torch.tensor([[torch.inf, 0.0]]), 0) is None


def test_the_threshold_of_twn_on_normal_weights() -> None:
    """0.7 E|W| lies at 0.7·√(2/π) = 0.559 standard deviations, within which 42.4 % of a normal distribution lie."""
    weight = seeded(0, 400, 500)
    assert Twn().zeros([weight], 0.5)[0] / weight.numel() == pytest.approx(0.424, abs=0.003)
    assert Twn(5.0).zeros([torch.ones(3, 4)], 1.0) == [11]
    assert Twn(0.0).zeros([weight], 1.0) == [0]


def test_the_share_rises_along_the_cubic_of_zhu_and_gupta() -> None:
    method = Sparse(0.9, ramp=0.5, start=0.3)
    assert [method.share(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([0.3, 0.9, 0.9])
    assert method.share(0.25) == pytest.approx(0.9 - 0.6 * 0.5**3)
    assert Sparse(0.2).share(0.0) == 0.2
    assert Sparse(0.9, ramp=0.0).share(0.0) == 0.9


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.85, 0.9])
def test_shares_are_exact_to_one_weight(sparsity: float) -> None:
    weights = [seeded(1, 8, 9), 10 * seeded(2, 20, 30)]
    layers = Sparse(sparsity).zeros(weights, 1.0)
    assert layers == [round(sparsity * 72), round(sparsity * 600)]
    network = Sparse(sparsity, scope="network").zeros(weights, 1.0)
    assert sum(network) == round(sparsity * 672)
    relative = [(w.abs() / w.abs().mean()).flatten().sort()[0] for w in weights]
    zeros = [float(r[count - 1]) for r, count in zip(relative, network, strict=True) if count]
    others = [float(r[count]) for r, count in zip(relative, network, strict=True)]
    assert max(zeros, default=0.0) <= min(others)
    assert Sparse(0.9).zeros([seeded(3, 1, 1), seeded(3, 2, 2)], 1.0) == [0, 3]  # of no layer is nothing left


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sparse(1.0), "at least 0 and below 1"),
        (lambda: Sparse(-0.1), "at least 0 and below 1"),
        (lambda: Sparse(0.5, scope="all"), "layer or network"),
        (lambda: Sparse(0.5, ramp=2.0), "ramp must be from 0 to 1"),
        (lambda: Twn(-1.0), "of at least 0"),
    ],
)
def test_methods_say_what_is_wrong(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_ternary_module_keeps_its_weights(net: tuple[nn.Module, Tensor], bits: int) -> None:
    module, x = net
    graph = xl.load(module, (x[:1],))
    assert all(layer.ternary for layer in ternary_layers(graph))
    quantized = xl.quantize(graph, x, weights=bits)
    assert is_ternary(quantized)
    for node in quantized.nodes:
        if isinstance(node.op, Conv | Linear):
            name = node.inputs[1]
            assert torch.equal(
                quantized.quantization[name].dequantize(quantized.constants[name]), graph.constants[graph.by_name[node.name].inputs[1]]
            )
    for before, after in zip(ternary_layers(graph), ternary_layers(quantized), strict=True):
        assert before == after
        assert 0 < before.zeros < 1
    assert float((quantized(x) - module(x)).abs().max()) < 0.05 * float(module(x).abs().max())


def test_ordinary_weights_are_none(net: tuple[nn.Module, Tensor]) -> None:
    graph = xl.quantize(xl.load("zoo:digits"), torch.rand(4, 1, 8, 8))
    assert not any(layer.ternary for layer in ternary_layers(graph))
    whole = xl.quantize(xl.load(net[0], (net[1][:1],)), net[1], per_channel=False)
    assert not any(layer.ternary for layer in ternary_layers(whole)[:1])  # one scale cannot hold a scale for each channel


def test_ternary_files_of_torch_and_onnx(net: tuple[nn.Module, Tensor], tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    module, x = net
    expected = xl.quantize(xl.load(module, (x[:1],)), x)
    program = torch.export.export(module, (x[:2],), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "net.pt2")
    torch.onnx.export(module, (x[:1],), str(tmp_path / "net.onnx"), dynamic_shapes={"x": {0: torch.export.Dim("n")}}, dynamo=True, verbose=False)
    for name in ("net.pt2", "net.onnx"):
        graph = xl.quantize(xl.load(str(tmp_path / name)), x)
        assert is_ternary(graph), name
        step = expected.quantization[expected.outputs[0]].scale[0]  # ONNX's exporter folds batch norms in float32: a bit may be another
        assert float((graph(x) - expected(x)).abs().max()) <= (1.01 * step if name.endswith("onnx") else 0), name


def qdq_file(path: Path, integers: Tensor, steps: Tensor) -> None:
    """Write a network of one linear layer whose weights are stored as int8 with a scale per channel."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    def known(name: str, array) -> None:
        constants.append(numpy_helper.from_array(array, name))

    constants: list = []
    known("w", integers.to(torch.int8).numpy())
    known("sw", steps.numpy())
    known("zw", torch.zeros(len(steps), dtype=torch.int8).numpy())
    known("s", torch.tensor(0.05).numpy())
    known("z", torch.tensor(0, dtype=torch.uint8).numpy())
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wr"], axis=0),
        helper.make_node("Gemm", ["xr", "wr"], ["y"], transB=1),
        helper.make_node("QuantizeLinear", ["y", "s", "z"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "s", "z"], ["yr"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", integers.shape[1]])]
    outputs = [helper.make_tensor_value_info("yr", TensorProto.FLOAT, ["n", integers.shape[0]])]
    graph = helper.make_graph(nodes, "qdq", inputs, outputs, constants)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_stored_integers_of_one_unit_take_two_bits(tmp_path: Path) -> None:
    """Scales stay as they are stored, so that not even a rounding differs from eight bits."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    integers = torch.sign(ternary(5, 12))
    qdq_file(tmp_path / "ternary.onnx", integers, torch.rand(5) + 0.1)
    graph = xl.quantize(xl.load(str(tmp_path / "ternary.onnx")))
    assert is_ternary(graph)
    x = torch.rand(7, 12) * 10
    expected = onnx_session(tmp_path / "ternary.onnx").run(None, {"x": x.numpy()})[0]
    assert torch.equal(graph(x), torch.as_tensor(expected))
    integers[0, 0] = 2
    qdq_file(tmp_path / "wider.onnx", integers, torch.rand(5) + 0.1)
    assert not is_ternary(xl.quantize(xl.load(str(tmp_path / "wider.onnx"))))


class FakeQuantized(nn.Module):
    """A layer whose weights and input are rounded by torch's fake quantisation, as hand-written training has it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.fc = kind, nn.Conv2d(2, 3, 3), nn.Linear(6, 4)
        self.register_buffer("scale", torch.full((3,), 0.2))
        self.register_buffer("zero", torch.zeros(3, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 15)
        if self.kind == "linear":
            return linear(x, torch.fake_quantize_per_tensor_affine(self.fc.weight, 0.2, 0, -1, 1), self.fc.bias)
        return conv2d(x, torch.fake_quantize_per_channel_affine(self.conv.weight, self.scale, self.zero, 0, -1, 1), self.conv.bias)


@pytest.mark.parametrize(("kind", "shape"), [("linear", (4, 6)), ("conv", (4, 2, 6, 6))])
def test_fake_quantised_weights_are_imported(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    module, x = FakeQuantized(kind).eval(), torch.rand(shape)
    graph = xl.load(module, (x[:1],))
    torch.testing.assert_close(graph(x), module(x))
    quantized = xl.quantize(graph, x)
    assert is_ternary(quantized)
    assert quantized.quantization["x"] == Quantization((0.1,), 0, 4, signed=False)


def test_a_given_range_is_handed_back_through_what_only_moves() -> None:
    """Rounding before the largest is chosen is rounding after it, so that eight bits in between would be stored for nothing."""
    grid = FakeQuantize(Quantization((0.1,), 0, 4, signed=False))
    pool = MaxPool((2, 2), (2, 2), (0,) * 4, (1, 1), False)
    graph = chain(
        (Conv((1, 1), (1,) * 4, (1, 1)), (seeded(1, 3, 2, 3, 3),)), (Relu(), ()), (pool, ()), (Reshape((-1, 27)), ()), (grid, ()), shape=(2, 6, 6)
    )
    x = seeded(2, 5, 2, 6, 6)
    quantized = quantize(graph, [x])
    assert all(quantized.quantization[f"n{i}"] == grid.quantization for i in range(4))
    quantized(x)


def test_a_range_is_not_handed_back_to_what_others_read() -> None:
    grid = FakeQuantize(Quantization((0.1,), 0, 4, signed=False))
    graph = chain((Clip(0.0, 6.0), ()), (Reshape((-1, 12)), ()), (grid, ()), shape=(3, 4))
    both = graph.with_nodes(list(graph.nodes), outputs=("n2", "n0"))
    assert quantize(both, [seeded(1, 5, 3, 4)]).quantization["n0"].bits == 8


@pytest.mark.parametrize("options", [{}, {"scheme": "affine"}, {"weights": 4}])
def test_a_quantised_network_can_be_written_and_read(net: tuple[nn.Module, Tensor], options: dict, tmp_path: Path) -> None:
    module, x = net
    before = xl.quantize(xl.load(module, (x[:1],)), x, **options)
    torch.export.save(xl.to_program(before), tmp_path / "net.pt2")
    read = xl.load(str(tmp_path / "net.pt2"))
    assert read.batch is None and not needs_samples(read)
    after = xl.quantize(read)
    assert torch.equal(after(x), before(x))
    weights = [[graph.constants[node.inputs[1]] for node in graph.nodes if len(node.inputs) == 3] for graph in (before, after)]
    assert len(weights[0]) == 3 and all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert [node.name for node in after.nodes] == [node.name for node in before.nodes]


def test_masks_and_tables_can_be_written_and_read() -> None:
    graph = xl.load("zoo:char-lm")
    x = torch.randint(0, 96, (3, 64), generator=torch.Generator().manual_seed(0))
    quantized = xl.quantize(graph, x)
    program = xl.to_program(quantized)  # compares what is read back
    assert torch.equal(quantize(xl.load(program))(x), quantized(x))


def test_layers_keep_their_names_in_a_file(tmp_path: Path) -> None:
    """Also where one layer is called twice, and where a product is in no layer."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.ModuleDict({"first": nn.Conv2d(1, 2, 3), "then": nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())})
            self.fc, self.free = nn.Linear(2, 2), nn.Parameter(seeded(2, 3, 2))

        def forward(self, x: Tensor) -> Tensor:
            y = self.block["then"](self.block["first"](x)).mean((2, 3))
            return nn.functional.linear(self.fc(self.fc(y)), self.free)

    torch.manual_seed(0)
    x = torch.rand(4, 1, 5, 5)
    before = xl.quantize(xl.load(Named(), (x,)), x)
    torch.export.save(xl.to_program(before), tmp_path / "net.pt2")
    after = xl.quantize(xl.load(str(tmp_path / "net.pt2")))
    names = [layer.name for layer in xl.ternary_layers(before)]
    assert names == ["block.first", "block.then.0", "fc", "fc_1", "linear_2"]
    assert [layer.name for layer in xl.ternary_layers(after)] == names
    assert torch.equal(after(x), before(x))
    outside = torch.export.load(tmp_path / "net.pt2").module()
    step = before.quantization[before.outputs[0]].scale[0]
    torch.testing.assert_close(outside(x), before(x), rtol=0, atol=1.01 * step)  # float32 may fall on the other side of a half


def test_what_would_not_be_the_same_is_not_written(net: tuple[nn.Module, Tensor]) -> None:
    graph = xl.load("zoo:digits")
    with pytest.raises(ModelError, match="in floating point; quantise it first"):
        xl.to_program(graph)
    with pytest.raises(ModelError, match="would not give the same integers"):
        xl.to_program(xl.quantize(graph, torch.rand(4, 1, 8, 8), weights=5))


def test_output_axes() -> None:
    from crossloom.network.operators import ConvTranspose

    assert output_axis(Linear()) == 0
    assert output_axis(ConvTranspose((1,), (0,), (0,), (1,))) == 1
    assert output_axis(ConvTranspose((1,), (0,), (0,), (1,), 2)) is None


def test_a_sparsity_makes_weights_ternary_without_training() -> None:
    graph = one_layer(Conv((1, 1), (0, 0, 0, 0), (1, 1), 1), (4, 8, 8), seeded(1, 8, 4, 3, 3))
    quantized = quantize(graph, [seeded(2, 8, 4, 8, 8)], Recipe(activations=4, sparsity=0.8))
    weights = quantized.constants[quantized.nodes[0].inputs[1]]
    assert set(weights.unique().tolist()) == {-1, 0, 1}
    assert int((weights == 0).sum()) == round(0.8 * weights.numel())
    before = graph.constants[graph.nodes[0].inputs[1]]
    assert before.abs()[weights != 0].min() >= before.abs()[weights == 0].max()
    assert bool((torch.sign(before) == weights)[weights != 0].all())


def test_a_sparsity_holds_for_weights_that_a_file_brings_in_integers_too() -> None:
    graph = one_layer(Conv((1, 1), (0, 0, 0, 0), (1, 1), 1), (4, 8, 8), seeded(1, 8, 4, 3, 3))
    brought = xl.load(xl.to_program(quantize(graph, [seeded(2, 8, 4, 8, 8)])))
    quantized = quantize(brought, None, Recipe(sparsity=0.8))
    weights = quantized.constants[quantized.nodes[0].inputs[1]]
    assert set(weights.unique().tolist()) == {-1, 0, 1}
    assert int((weights == 0).sum()) == round(0.8 * weights.numel())


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_no_sparsity_beyond_its_range(sparsity: float) -> None:
    with pytest.raises(ModelError, match=r"at least 0 and below 1, got"):
        Recipe(sparsity=sparsity)
