"""The ONNX importer: whole exported networks against onnxruntime, quantised models, batch sizes, and bad input."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossloom.errors import InputError, ModelError
from crossloom.network.graph import Graph
from crossloom.network.importers.onnx.from_onnx import from_onnx
from crossloom.network.operators import Conv, FakeQuantize, Function, Linear, Reshape, Unsupported
from crossloom.network.text import parse_graph
from crossloom.network.types import Batch
from tests.hostile import answers

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
IMAGE = (3, 32, 32)


# Networks -------------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 8, 1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(x + self.block(x)))


class Depthwise(nn.Sequential):
    def __init__(self) -> None:
        first = [nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.ReLU6(), nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), nn.SiLU()]
        super().__init__(*first, nn.Conv2d(12, 12, 5, stride=4, groups=12), nn.Sigmoid(), nn.Flatten(), nn.Linear(12 * 49, 6))


class Shuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = (x := self.conv(x)).shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        left, right = x.chunk(2, 1)
        return torch.cat([F.avg_pool2d(left, 2), F.interpolate(right, scale_factor=0.5)], 1)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu", norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.layers(x)[:, 0])


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    module = kind().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return module


def exported(kind: Callable[[], nn.Module], path: Path, batch: int, open_batch: bool) -> Path:
    pytest.importorskip("onnxscript")
    shapes = ({0: torch.export.Dim.AUTO},) if open_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(made(kind), (torch.randn(batch, *IMAGE),), str(path), dynamo=True, dynamic_shapes=shapes, verbose=False)
    return path


def reference(path: Path, x: Tensor, at_once: int) -> np.ndarray[Any, Any]:
    """What onnxruntime computes, `at_once` samples at a time, without optimisations that change the rounding."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: part.numpy()})[0] for part in x.split(at_once)])


@pytest.mark.parametrize("open_batch", [True, False], ids=["open", "fixed"])
@pytest.mark.parametrize("kind", [Residual, Depthwise, Shuffle, Transformer])
def test_an_exported_network_runs_at_any_batch_size_as_onnxruntime_does(kind: Any, open_batch: bool, tmp_path: Path) -> None:
    path = exported(kind, tmp_path / "net.onnx", 2 if open_batch else 1, open_batch)
    graph = from_onnx(path)
    assert graph.batch is None
    assert graph.name == "net"
    for batch in (1, 4):
        x = torch.randn(batch, *IMAGE)
        want = reference(path, x, batch if open_batch else 1)
        np.testing.assert_allclose(graph(x).numpy(), want, rtol=1e-4, atol=1e-5)


def test_layers_keep_their_names_and_their_place_in_the_module(tmp_path: Path) -> None:
    graph = from_onnx(exported(Depthwise, tmp_path / "net.onnx", 1, False))
    assert next(node.origin for node in graph if isinstance(node.op, Conv | Linear)) == "0"
    assert {"0.weight", "0.bias"} <= set(graph.constants)


# Small models as text -------------------------------------------------------------------------------------------------


def model(body: str, opset: int = 21, functions: str = "", domains: str = "") -> Any:
    return onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}{domains}]> small {body} {functions}')


def lines(graph: Graph) -> list[str]:
    """The nodes as text, without names."""
    return [str(node.op) for node in graph]


def weight(shape: tuple[int, ...], name: str = "w", dtype: Any = np.float32, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).standard_normal(shape) * 10
    return onnx.numpy_helper.from_array(values.astype(dtype), name)


def with_weights(body: str, *tensors: Any, **options: Any) -> Any:
    built = model(body, **options)
    built.graph.initializer.extend(tensors)
    return built


def test_a_product_with_a_constant_is_a_layer_and_takes_the_sum_after_it_as_its_bias() -> None:
    body = "(float[N,5,4] x) => (float[N,5,3] y) { m = MatMul(x, w)  y = Add(b, m) }"
    graph = from_onnx(with_weights(body, weight((4, 3)), weight((3,), "b")))
    assert lines(graph) == ["Linear()"]
    assert graph.constants["w.t"].shape == (3, 4)


def test_arithmetic_on_shapes_folds_into_the_batch() -> None:
    body = """(float[N,6,4] x) => (float[M,8] y) {
        zero = Constant<value_ints: ints = [0]>()  eight = Constant<value_ints: ints = [-1, 8]>()
        s = Shape(x)  n = Gather(s, zero)  three = Constant<value_ints: ints = [3]>()  rows = Mul(n, three)
        last = Constant<value_ints: ints = [8]>()  t = Concat<axis = 0>(rows, last)  y = Reshape(x, t) }"""
    graph = from_onnx(model(body))
    assert [node.op for node in graph] == [Reshape((Batch(3), 8))]
    assert str(parse_graph(str(graph))) == str(graph)


def test_a_known_condition_chooses_its_branch() -> None:
    body = """(float[N,4] x) => (float[N,4] y) {
        yes = Constant<value = bool {1}>()
        y = If(yes) <then_branch = a () => (float[N,4] p) { p = Relu(x) },
                     else_branch = b () => (float[N,4] q) { q = Exp(x) }> }"""
    assert lines(from_onnx(model(body))) == ["Relu()"]


def test_functions_of_the_model_are_inlined() -> None:
    function = '<domain: "mine", opset_import: ["" : 21]> Twice (a) => (b) { c = Sigmoid(a)  b = Add(c, c) }'
    body = "(float[N,4] x) => (float[N,4] y) { y = mine.Twice(x) }"
    graph = from_onnx(model(body, functions=function, domains=', "mine" : 1'))
    assert lines(graph) == ["Function(name='sigmoid')", "Add()"]


def test_an_operator_without_a_rule_is_lowered_by_its_definition() -> None:
    graph = from_onnx(model("(float[N,4] x) => (float[N,4] y) { y = Shrink<bias = 0.5, lambd = 1.0>(x) }"))
    x = torch.linspace(-3, 3, 12).reshape(3, 4)
    torch.testing.assert_close(graph(x), torch.where(x < -1, x + 0.5, torch.where(x > 1, x - 0.5, torch.zeros(()))))


def test_an_operator_on_known_tensors_is_computed_by_the_reference() -> None:
    body = """(float[N,4] x) => (float[N,2] y) {
        v = Constant<value = float[4] {1, 9, 2, 8}>()  k = Constant<value_ints: ints = [2]>()
        top, places = TopK(v, k)  y = Gather<axis = 1>(x, places) }"""
    graph = from_onnx(model(body))
    x = torch.arange(8.0).reshape(2, 4)
    assert graph(x).tolist() == [[1, 3], [5, 7]]


@pytest.mark.parametrize(("equation", "shape"), [("bij,jk->bik", (4, 3)), ("bij,kj", (3, 4)), ("...j,jkl->...kl", (4, 2, 3))])
def test_an_einstein_sum_with_a_constant_is_a_layer(equation: str, shape: tuple[int, ...]) -> None:
    rest = "M,K" if len(shape) == 2 else "M,K,L"
    body = f'(float[N,5,4] x) => (float[N,{rest}] y) {{ y = Einsum<equation = "{equation}">(x, w) }}'
    graph = from_onnx(with_weights(body, weight(shape)))
    x = torch.randn(3, 5, 4)
    assert "Linear()" in lines(graph)
    torch.testing.assert_close(graph(x), torch.einsum(equation, x, torch.from_numpy(onnx.numpy_helper.to_array(weight(shape)).copy())))


def test_an_einstein_sum_with_the_constant_on_the_left_is_a_layer() -> None:
    body = '(float[N,5,4] x) => (float[N,3,5] y) { y = Einsum<equation = "kj,bij->bki">(w, x) }'
    graph = from_onnx(with_weights(body, weight((3, 4))))
    x, w = torch.randn(3, 5, 4), torch.from_numpy(onnx.numpy_helper.to_array(weight((3, 4))).copy())
    assert "Linear()" in lines(graph) and "MatMul()" not in lines(graph)
    torch.testing.assert_close(graph(x), torch.einsum("kj,bij->bki", w, x))


@pytest.mark.parametrize(("equation", "shape"), [("bii->bi", None), ("...j,j->...", (5,)), ("b...j,...j->b", (1, 5)), ("bij,ij->bj", (1, 5))])
def test_an_einstein_sum_as_torch_has_it(equation: str, shape: tuple[int, ...] | None) -> None:
    """Diagonals, ellipses for different numbers of dimensions, and dimensions of one that repeat."""
    given = [] if shape is None else [weight(shape)]
    body = f'(float[N,5,5] x) => (float[N,M] y) {{ y = Einsum<equation = "{equation}">({"x, w" if given else "x"}) }}'
    x = torch.randn(3, 5, 5)
    wanted = torch.einsum(equation, x, *(torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in given))
    torch.testing.assert_close(from_onnx(with_weights(body, *given))(x), wanted)


def test_an_einstein_sum_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ModelError, match="'bijk->b' does not fit tensors of 3 dimensions"):
        from_onnx(model('(float[N,5,4] x) => (float[N] y) { y = Einsum<equation = "bijk->b">(x) }'))


def test_half_precision_and_double_become_float32() -> None:
    for kind, dtype in (("float16", np.float16), ("double", np.float64)):
        body = f"({kind}[N,4] x) => ({kind}[N,4] y) {{ m = Mul(x, w)  y = Sqrt(m) }}"
        graph = from_onnx(with_weights(body, weight((4,), dtype=dtype)))
        assert {type.dtype for type in graph.types.values()} == {"f32"}


def test_an_old_opset_is_converted() -> None:
    graph = from_onnx(model("(float[N,4] x) => (float[N,4] y) { y = Clip<min = 0.0, max = 6.0>(x) }", opset=9))
    assert lines(graph) == ["Clip(low=0.0, high=6.0)"]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("operator", "opset"), [("Upsample", 9), ("Resize", 10)])
def test_resizing_before_one_could_choose_how(operator: str, opset: int, mode: str) -> None:
    factors = onnx.numpy_helper.from_array(np.array([1, 1, 2, 3], np.float32), "factors")
    body = f'(float[2,3,5,4] x) => (float[2,3,10,12] y) {{ y = {operator}<mode = "{mode}">(x, factors) }}'
    built = with_weights(body, factors, opset=opset)
    x = torch.randn(2, 3, 5, 4)
    (want,) = onnxruntime.InferenceSession(built.SerializeToString()).run(None, {"x": x.numpy()})
    torch.testing.assert_close(from_onnx(built)(x), torch.from_numpy(want), rtol=1e-5, atol=1e-5)


def test_nodes_may_stand_in_any_order() -> None:
    built = model("(float[N,4] x) => (float[N,4] y) { a = Relu(x)  b = Exp(a)  y = Neg(b) }")
    nodes = list(built.graph.node)
    del built.graph.node[:]
    built.graph.node.extend(reversed(nodes))
    x = torch.randn(3, 4)
    torch.testing.assert_close(from_onnx(built)(x), -torch.relu(x).exp())


# Batch sizes ----------------------------------------------------------------------------------------------------------


def test_a_fixed_batch_is_opened_where_it_is_written_into_shapes() -> None:
    tensors = [onnx.numpy_helper.from_array(np.array(v), n) for n, v in (("heads", [5, 1, 2, 3]), ("merge", [5, 6]), ("back", [5, 1, 6]))]
    body = """(float[1,5,6] x) => (float[1,5,6] y) {
        t = Transpose<perm = [1,0,2]>(x)  h = Reshape(t, heads)  r = Relu(h)  m = Reshape(r, merge)
        b = Reshape(m, back)  y = Transpose<perm = [1,0,2]>(b) }"""
    graph = from_onnx(with_weights(body, *tensors))
    x = torch.randn(7, 5, 6)
    assert graph.batch is None
    torch.testing.assert_close(graph(x), torch.relu(x))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_constant_joined_to_the_data_is_repeated_for_each_sample(batch: int) -> None:
    token = onnx.numpy_helper.from_array(np.ones((batch, 1, 3), np.float32), "token")
    body = f"(float[{batch},2,3] x) => (float[{batch},3,3] y) {{ y = Concat<axis = 1>(token, x) }}"
    graph = from_onnx(with_weights(body, token))
    x = torch.randn(5, 2, 3)
    assert graph.batch is None
    torch.testing.assert_close(graph(x), torch.cat([torch.ones(5, 1, 3), x], 1))


MEAN = "a = Constant<value_ints: ints = [0]>()  m = ReduceMean"


def test_a_constant_for_each_head_of_each_sample_is_repeated() -> None:
    split = onnx.numpy_helper.from_array(np.array([6, 5, 2]), "split")
    body = "(float[1,3,20] x) => (float[6,5,2] z) { h = Reshape(x, split)  s = Add(h, slopes)  z = Relu(s) }"
    graph = from_onnx(with_weights(body, split, weight((6, 1, 1), "slopes")))
    x = torch.randn(4, 3, 20)
    slopes = torch.from_numpy(onnx.numpy_helper.to_array(weight((6, 1, 1), "slopes")).copy())
    assert graph.batch is None
    torch.testing.assert_close(graph(x), torch.relu(x.reshape(4, 6, 5, 2) + slopes).reshape(24, 5, 2))


def test_writing_into_a_slice_joins_slices() -> None:
    places = np.array([[[n, i] for i in range(1, 4)] for n in range(1)])
    body = "(float[1,5] x) => (float[1,5] y) { r = Relu(x)  s = Slice(r, a, b, c)  y = ScatterND(x, places, s) }"
    numbers = [onnx.numpy_helper.from_array(np.array([v]), n) for n, v in (("a", 2), ("b", 5), ("c", 1))]
    graph = from_onnx(with_weights(body, onnx.numpy_helper.from_array(places, "places"), *numbers))
    x = torch.randn(3, 5)
    assert graph.batch is None
    torch.testing.assert_close(graph(x), torch.cat([x[:, :1], torch.relu(x)[:, 2:], x[:, 4:]], 1))


STAYS = {
    "samples that meet": f"(float[2,4] x) => (float[2,4] y) {{ {MEAN}(x, a)  y = Sub(x, m) }}",
    "inputs of different length": f"(float[2,4] x, float[3,4] z) => (float[2,4] y) {{ {MEAN}(z, a)  y = Sub(x, m) }}",
    "an output without batch": "(float[2,4] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }",
    "nothing but NaN": "(float[2,4] x) => (float[2,4] y) { a = Abs(x)  n = Neg(a)  y = Log(n) }",
}


@pytest.mark.parametrize("case", STAYS)
def test_a_fixed_batch_stays_where_opening_it_cannot_be_shown_to_be_right(case: str) -> None:
    assert from_onnx(model(STAYS[case])).batch == 2


def test_shapes_fix_what_the_model_leaves_open() -> None:
    built = model("(float[N,L,4] x) => (float[N,L,4] y) { y = Relu(x) }")
    assert from_onnx(built, shapes={"x": (None, 7, 4)}).inputs[0][1].shape == (Batch(), 7, 4)
    assert from_onnx(built, shapes={"x": (1, 7, 4)}).inputs[0][1].shape == (Batch(), 7, 4)


# Quantised models -----------------------------------------------------------------------------------------------------


def quantised(path: Path, **options: Any) -> Path:
    """A small network, quantised after training by onnxruntime."""
    pytest.importorskip("onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Data(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([{"x": np.random.default_rng(i).standard_normal((4, 3, 8, 8)).astype(np.float32)} for i in range(3)])

        def get_next(self) -> Any:
            return next(self.batches, None)

    body = """(float[N,3,8,8] x) => (float[N,10] y) {
        c = Conv<pads = [1,1,1,1]>(x, cw, cb)  r = Relu(c)  p = MaxPool<kernel_shape = [2,2], strides = [2,2]>(r)
        d = Conv<pads = [1,1,1,1], group = 8>(p, dw, db)  s = Add(d, p)  g = GlobalAveragePool(s)  f = Flatten(g)
        y = Gemm<transB = 1>(f, lw, lb) }"""
    shapes = {"cw": (8, 3, 3, 3), "cb": (8,), "dw": (8, 1, 3, 3), "db": (8,), "lw": (10, 8), "lb": (10,)}
    onnx.save(with_weights(body, *(weight(shape, name, seed=i) for i, (name, shape) in enumerate(shapes.items()))), str(path))
    target = path.with_name("quantised.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(str(path), str(target), Data(), quant_format=QuantFormat.QDQ, **options)
    return target


@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
@pytest.mark.parametrize("activations", ["QUInt8", "QInt8", "QInt16"])
def test_a_quantised_network_gives_what_onnxruntime_does(activations: str, per_channel: bool, tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = quantised(tmp_path / "float.onnx", per_channel=per_channel, activation_type=quantization.QuantType[activations])
    graph = from_onnx(path)
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    last = graph.node(graph.outputs[0]).op
    assert isinstance(last, FakeQuantize)
    steps = (graph(x).numpy().astype(np.float64) - reference(path, x, 5)) / last.quantization.scale[0]
    assert np.abs(np.rint(steps)).max() <= 1  # whole steps: the reals themselves carry float32 rounding
    grids = [grid_of(graph, node.inputs[1]) for node in graph if isinstance(node.op, Conv)]
    assert [len(grid.scale) for grid in grids] == ([8, 8] if per_channel else [1, 1])
    assert str(parse_graph(str(graph))) == str(graph)


def grid_of(graph: Graph, name: str) -> Any:
    """The grid of a weight; its constant lies on it."""
    node = graph.node(name)
    assert isinstance(node.op, FakeQuantize)
    torch.testing.assert_close(node.op(graph.constants[node.inputs[0]]), graph.constants[node.inputs[0]], rtol=0, atol=0)
    return node.op.quantization


@pytest.mark.parametrize("kind", ["int4", "uint4", "int8", "uint8", "int16", "uint16"])
def test_integers_of_every_width_keep_their_grid(kind: str) -> None:
    zero = 3 if kind.startswith("u") else 0
    stored = onnx.helper.make_tensor("w", getattr(onnx.TensorProto, kind.upper()), (2, 3), range(6))
    body = f"""(float[N,2] x) => (float[N,3] y) {{
        zero = Constant<value = {kind} {{{zero}}}>()  s = Constant<value = float {{0.5}}>()
        q = QuantizeLinear(x, s, zero)  d = DequantizeLinear(q, s, zero)
        v = DequantizeLinear(w, s, zero)  y = MatMul(d, v) }}"""
    graph = from_onnx(with_weights(body, stored))
    on_data, layer = graph.nodes[-2].op, graph.nodes[-1]
    assert isinstance(on_data, FakeQuantize)
    assert isinstance(layer.op, Linear)
    grid = grid_of(graph, layer.inputs[1])
    assert grid == on_data.quantization
    assert (grid.bits, grid.signed, grid.zero) == (int(kind.lstrip("uint")), kind[0] != "u", zero)
    assert graph.constants[graph.node(layer.inputs[1]).inputs[0]].tolist() == [[(3 * i + j - zero) * 0.5 for i in range(2)] for j in range(3)]


@pytest.mark.parametrize(("low", "high", "bits", "narrow"), [(-8, 7, 4, False), (-7, 7, 4, True), (-1, 1, 2, True), (-128, 127, 8, False)])
def test_clipped_integers_are_fewer_bits(low: int, high: int, bits: int, narrow: bool) -> None:
    body = f"""(float[N,4] x) => (float[N,4] y) {{
        zero = Constant<value = int8 {{0}}>()  s = Constant<value = float {{0.25}}>()
        a = Constant<value = int8 {{{low}}}>()  b = Constant<value = int8 {{{high}}}>()
        q = QuantizeLinear(x, s, zero)  c = Clip(q, a, b)  y = DequantizeLinear(c, s, zero) }}"""
    (node,) = from_onnx(model(body))
    assert isinstance(node.op, FakeQuantize)
    assert (node.op.quantization.bits, node.op.quantization.narrow) == (bits, narrow)


def test_integers_that_are_read_as_such_are_plain_arithmetic() -> None:
    body = """(float[N,4] x) => (float[N,4] y) {
        zero = Constant<value = uint8 {7}>()  s = Constant<value = float {0.25}>()
        q = QuantizeLinear(x, s, zero)  y = Cast<to = 1>(q) }"""
    x = torch.tensor([[-9.0, 0.0, 0.6, 90.0]])
    assert from_onnx(model(body))(x).tolist() == [[0, 7, 9, 255]]


# Bad input ------------------------------------------------------------------------------------------------------------


def saved(path: Path, built: Any) -> Path:
    path.write_bytes(built.SerializeToString())
    return path


def external(folder: Path, location: str, length: int = 16) -> Path:
    built = with_weights("(float[N,4] x) => (float[N,4] y) { y = Mul(x, w) }", weight((4,)))
    onnx.external_data_helper.set_external_data(built.graph.initializer[0], location, offset=0, length=length)
    built.graph.initializer[0].ClearField("raw_data")
    return saved(folder / "net.onnx", built)


def not_a_number() -> Any:
    return onnx.numpy_helper.from_array(np.array([1, np.nan, 1, 1], np.float32), "scales")


RELU = "(float[N,4] x) => (float[N,4] y) { y = Relu(x) }"
NUMBERED = """(float[N,4] x) => (float[N,4] y) {
    s = Shape<start = 0, end = 1>(x)  n = Squeeze(s)  zero = Constant<value_int = 0>()  one = Constant<value_int = 1>()
    r = Range(zero, n, one)  a = Constant<value_ints: ints = [1]>()  c = Unsqueeze(r, a)  f = Cast<to = 1>(c)  y = Add(x, f) }"""
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "net.onnx", "no such file; give the path"),
    "empty": (lambda d: saved(d / "net.onnx", onnx.ModelProto()), "not an ONNX file"),
    "not ONNX": (lambda d: d.joinpath("net.onnx").write_text("hello, this is text\n") and d / "net.onnx", "not an ONNX file"),
    "cut short": (
        lambda d: d.joinpath("net.onnx").write_bytes(model(RELU).SerializeToString()[:-9]) and d / "net.onnx",
        "not an ONNX file, or truncated",
    ),
    "too new": (lambda d: saved(d / "net.onnx", model(RELU, opset=99)), "opset 99 is newer .* pip install -U onnx"),
    "too old": (
        lambda d: saved(
            d / "net.onnx",
            model("(float[N,4] x) => (float[N,4] y) { y = Upsample<height_scale = 2.0, width_scale = 2.0>(x) }", 1),
        ),
        "opset 1 could not be converted to 13 .* export it with opset 13 or later",
    ),
    "weights gone": (lambda d: external(d, "weights.bin"), "cannot read its external weights .* beside the model"),
    "weights elsewhere": (lambda d: external(d, "../secret.bin"), "cannot read its external weights"),
    "NaN": (
        lambda d: saved(d / "net.onnx", with_weights("(float[N,4] x) => (float[N,4] y) { y = Mul(x, scales) }", not_a_number())),
        "the initializer scales holds NaN",
    ),
    "open dimension": (
        lambda d: saved(d / "net.onnx", model("(float[N,L,4] x) => (float[N,L,4] y) { y = Relu(x) }")),
        r"dimension 1 of input x is open \(L\); fix it, as in shapes={'x': \(1, 1, 4\)}",
    ),
    "no shape": (
        lambda d: saved(d / "net.onnx", model("(float[] x) => (float[] y) { y = Relu(x) }")),
        r"the shape of input x is unknown; give it",
    ),
    "numbered samples": (
        lambda d: saved(d / "net.onnx", model(NUMBERED)),
        r"its open dimension is not a plain batch .*; fix it, as in shapes={'x': \(1, 4\)}",
    ),
    "strings": (
        lambda d: saved(d / "net.onnx", model("(string[N] x) => (string[N] y) { y = Identity(x) }")),
        "the input x has elements of type string",
    ),
    "sequence": (
        lambda d: saved(d / "net.onnx", model("(seq(float[N]) x) => (float[N] y) { z = Constant<value_int = 0>()  y = SequenceAt(x, z) }")),
        "the input x is not a tensor",
    ),
    "custom operator": (
        lambda d: saved(d / "net.onnx", model("(float[N,4] x) => (float[N,4] y) { y = com.acme.Magic(x) }", domains=', "com.acme" : 1')),
        "Magic at y .the domain com.acme is not part of the ONNX standard; export without",
    ),
    "unknown operator": (
        lambda d: saved(d / "net.onnx", model("(float[N,4] x) => (float[N,4] y) { y = Foo(x) }")),
        "Foo at y .no rule for this operator",
    ),
    "dangling": (
        lambda d: saved(d / "net.onnx", model("(float[N,4] x) => (float[N,4] y) { y = Add(x, nowhere) }")),
        "nothing computes the tensor nowhere",
    ),
    "impossible": (
        lambda d: saved(d / "net.onnx", with_weights("(float[N,5] x) => (float[N,3] y) { y = MatMul(x, w) }", weight((4, 3)))),
        "MatMul at y",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_the_file_and_the_remedy(case: str, tmp_path: Path) -> None:
    make, expected = BAD[case]
    path = make(tmp_path)
    with pytest.raises(ModelError, match=expected) as caught:
        from_onnx(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert ";" in str(caught.value)


# Files that mean harm ----------------------------------------------------------------------------------------------------


def ending(steps: str, *tensors: Any, shape: str = "N,2") -> Any:
    """A model that adds what `steps` call `large` to its input, after taking a little of it."""
    return with_weights(f"(float[{shape}] x) => (float[{shape}] y) {{ {steps}  m = ReduceMax<keepdims = 0>(large)  y = Add(x, m) }}", *tensors)


def numbers(name: str, *values: float, dtype: Any = np.int64) -> Any:
    return onnx.numpy_helper.from_array(np.array(values, dtype), name)


def number(name: str, value: float, dtype: Any = np.int64) -> Any:
    return onnx.numpy_helper.from_array(np.array(value, dtype), name)


def looping(kind: str) -> Any:
    """Known inputs, and a trillion rounds or a graph that runs for each of them."""
    value = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["go"], ["on"]), onnx.helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [value("i", 7, []), value("go", 9, []), value("v", 1, [2])],
        [value("on", 9, []), value("w", 1, [2])],
    )
    built = ending("large = Identity(v)", number("times", 10**12), number("go", True, bool), weight((2,), "v"))
    loop = onnx.helper.make_node("Loop", ["times", "go", "v"], ["large"], body=body)
    if kind == "Scan":
        body.input.pop(0), body.output.pop(0), body.node.pop(0)
        loop = onnx.helper.make_node("Scan", ["go", "v"], ["large"], body=body, num_scan_inputs=1)
    built.graph.node[0].CopyFrom(loop)
    return built


def multiplying() -> Any:
    """Forty functions, each of which calls the one before it twice."""
    first = '<domain : "own", opset_import : ["" : 21, "own" : 1]> f0 (a) => (b) { b = Neg(a) }'
    more = [
        f'<domain : "own", opset_import : ["" : 21, "own" : 1]> f{i} (a) => (b) {{ c = own.f{i - 1}(a)  b = own.f{i - 1}(c) }}' for i in range(1, 40)
    ]
    return model("(float[N,2] x) => (float[N,2] y) { y = own.f39(x) }", functions="\n".join([first, *more]), domains=', "own" : 1')


def scoped(scopes: str) -> Any:
    built = model("(float[N,2] x) => (float[N,2] y) { y = Relu(x) }")
    entry = built.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", scopes
    return built


def nameless() -> Any:
    built = model("(float[N,2] x) => (float[N,2] y) { z = Neg(x)  y = Relu(x) }")
    built.graph.node[0].ClearField("output")
    return built


LARGE = numbers("large_shape", 60000, 60000)
ONE = number("one", 1.0, np.float32)
HARMFUL: dict[str, tuple[Callable[[], Any], str]] = {
    "Loop": (lambda: looping("Loop"), "no counterpart for Loop at large"),
    "Scan": (lambda: looping("Scan"), "no counterpart for Scan at large"),
    "ConstantOfShape": (lambda: ending("large = ConstantOfShape(large_shape)", LARGE), r"would have 3.6e\+09 elements"),
    "Expand": (lambda: ending("large = Expand(one, large_shape)", LARGE, ONE), r"3.6e\+09 elements"),
    "Expand of the input": (lambda: ending("large = Expand(x, wide)", numbers("wide", 10**6, 10**6, 1, 2)), r"e\+12 elements"),
    "Tile": (lambda: ending("o = Reshape(one, two)  large = Tile(o, large_shape)", LARGE, ONE, numbers("two", 1, 1)), r"3.6e\+09 elements"),
    "EyeLike": (lambda: ending("c = ConstantOfShape(large_shape)  large = EyeLike(c)", LARGE), r"3.6e\+09 elements"),
    "Range": (lambda: ending("large = Range(a, b, c)", *(number(n, v, np.float32) for n, v in (("a", 0), ("b", 5e9), ("c", 1)))), r"e\+09 elements"),
    "Range without end": (
        lambda: ending("large = Range(a, b, a)", number("a", 0.0, np.float32), number("b", 1.0, np.float32)),
        "no counterpart for (Range|Loop) at large",
    ),
    "Pad": (lambda: ending("large = Pad(v, p)", weight((2,), "v"), numbers("p", 10**10, 0)), r"1e\+10 elements"),
    "OneHot": (
        lambda: ending("large = OneHot(i, depth, v)", numbers("i", 1, 2), number("depth", 10**11), numbers("v", 0, 1, dtype=np.float32)),
        r"e\+11 elements",
    ),
    "HannWindow": (lambda: ending("large = HannWindow(length)", number("length", 10**11)), "no counterpart for HannWindow|elements"),
    "Resize": (
        lambda: ending("large = Resize(v, , s)", weight((1, 1, 2, 2), "v"), numbers("s", 1, 1, 1e5, 1e5, dtype=np.float32)),
        r"elements",
    ),
    "an input of terabytes": (
        lambda: model("(float[N,1000000,1000000] x) => (float[N,1000000,1000000] y) { y = Relu(x) }"),
        r"the input x would have",
    ),
    "the least integer": (
        lambda: ending("q = Div(a, b)  large = Cast<to = 1>(q)", numbers("a", -(2**63)), numbers("b", -1)),
        "^read$",
    ),
    "functions": (multiplying, "its functions call each other more than 1,000,000 times"),
    "a number for scopes": (lambda: scoped("5"), "^read$"),
    "deep scopes": (lambda: scoped("-" * 200_000 + "1"), "^read$"),
    "a node without name or output": (nameless, "^read$"),
}


def test_files_that_mean_harm_get_one_line_each(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{i}.onnx", make()) for i, (make, _) in enumerate(HARMFUL.values())]
    for (name, (_, expected)), line in zip(HARMFUL.items(), answers(paths), strict=True):
        assert re.search(expected, line), (name, line)
        assert len(line) < 500 and line.isprintable()


@pytest.mark.parametrize("place", ["node", "branch", "function"])
def test_a_model_in_memory_reads_no_file(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no folder, and onnx would look in whatever is the current one."""
    monkeypatch.chdir(tmp_path)
    np.arange(2, dtype=np.float32).tofile(tmp_path / "secret.bin")
    tensor = onnx.numpy_helper.from_array(np.zeros(2, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "secret.bin", offset=0, length=8)
    tensor.ClearField("raw_data")
    constant = onnx.helper.make_node("Constant", [], ["w"], value=tensor)
    if place == "function":
        built = model("(float[N,2] x) => (float[N,2] y) { y = own.f(x) }", functions=OWN, domains=', "own" : 1')
        built.functions[0].node[0].CopyFrom(constant)
    else:
        built = model("(float[N,2] x) => (float[N,2] y) { w = Constant<value_floats = [1.0, 2.0]>()  y = Add(x, w) }")
        built.graph.node[0].CopyFrom(constant)
    if place == "branch":
        inner = onnx.helper.make_graph([constant], "inner", [], [onnx.helper.make_tensor_value_info("w", 1, [2])])
        built.graph.node[0].CopyFrom(onnx.helper.make_node("If", ["yes"], ["w"], then_branch=inner, else_branch=inner))
        built.graph.initializer.append(number("yes", True, bool))
    with pytest.raises(ModelError, match="the tensor w is in another file; give the path"):
        from_onnx(built)


OWN = '<domain : "own", opset_import : ["" : 21]> f (a) => (b) { w = Constant<value_floats = [1.0, 2.0]>()  b = Add(a, w) }'


def test_minus_one_is_an_open_dimension() -> None:
    built = model(RELU)
    built.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert from_onnx(built).batch is None


def test_what_no_check_could_list_is_not_sent_to_the_check(tmp_path: Path) -> None:
    """After an operator whose result has no known shape nothing can be read, so 'crossloom check' ends as well."""
    with pytest.raises(ModelError, match=r"NonZero at k .*what follows cannot be read") as caught:
        from_onnx(model("(float[N,4] x) => (int64[2,K] y) { k = NonZero(x)  y = Neg(k) }"), allow_unsupported=True)
    assert "crossloom check" not in str(caught.value)


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    graph = from_onnx(external(tmp_path, "weights.bin"))
    assert graph(torch.ones(1, 4)).tolist() == [[0, 1, 2, 3]]


def test_every_obstacle_is_listed_and_stays_in_the_graph_if_asked() -> None:
    steps = "  ".join(f"y{i} = RandomUniformLike(y{i - 1})" for i in range(1, 8))
    built = model(f"(float[N,4] y0) => (float[N,4] y7) {{ {steps} }}")
    with pytest.raises(ModelError, match=r"RandomUniformLike at y1 .*RandomUniformLike at y5 .* and 2 more; replace them"):
        from_onnx(built)
    graph = from_onnx(built, allow_unsupported=True)
    assert [type(node.op) for node in graph] == [Unsupported] * 7
    assert graph.batch is None
    with pytest.raises(ModelError, match="RandomUniformLike"):
        graph(torch.ones(1, 4))


def test_an_output_that_nothing_needs_is_no_obstacle() -> None:
    body = "(float[N,3,8,8] x) => (float[N,3,4,4] y) { y, places = MaxPool<kernel_shape = [2,2], strides = [2,2]>(x) }"
    assert len(from_onnx(model(body)).nodes) == 1


def test_a_model_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="from_onnx takes a path"):
        from_onnx(3)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"z": (1, 4)}, "it has no input z; its inputs are x"),
        ({"x": (1, 4, 4)}, "input x has 2 dimensions but shapes gives 3"),
        ({"x": (1, 5)}, "dimension 1 of input x is 4 in the model but shapes gives 5; None keeps"),
        ({"x": (0, 4)}, "dimension 0 of input x is open but shapes gives 0"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: Any, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        from_onnx(model(RELU), shapes=shapes)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'crossloom\[onnx\]'"):
        from_onnx("net.onnx")


def test_onnx_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, crossloom.network.importers.onnx.from_onnx; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_functions_of_one_element_print_and_parse() -> None:
    graph = from_onnx(model("(float[N,4] x) => (float[N,4] y) { y = Tanh(x) }"))
    assert graph.nodes[0].op == Function("tanh")
    assert str(parse_graph(str(graph))) == str(graph)
