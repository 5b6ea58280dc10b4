"""Quantisation and the integer semantics."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossloom.errors import DataError, ModelError
from crossloom.network.integer import Operand, exact_sums, integer_replay, requantize
from crossloom.network.operators import (
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Function,
    Gelu,
    GroupNorm,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool,
    Mul,
    Pow,
    Reduce,
    Relu,
    Resize,
    RmsNorm,
    Softmax,
    Sub,
    Transpose,
    Where,
)
from crossloom.network.quantization import Quantization
from crossloom.network.quantize.calibrate import MinMax, Mse, Observed, Percentile, affine, symmetric
from crossloom.network.quantize.post_training import Recipe, quantize
from tests.layers import chain, one_layer, seeded
from tests.oracles import onnx_session

CONV = Conv((1, 1), (1, 1, 1, 1), (1, 1))
LAYERS = {
    "conv": (CONV, (3, 6, 6), (seeded(1, 4, 3, 3, 3), seeded(2, 4))),
    "grouped": (Conv((2, 2), (1, 1, 1, 1), (1, 1), 2), (4, 6, 6), (seeded(1, 6, 2, 3, 3),)),
    "transposed": (ConvTranspose((2, 2), (1, 1), (1, 1), (1, 1)), (4, 5, 5), (seeded(1, 4, 6, 3, 3), seeded(2, 6))),
    "linear": (Linear(), (5, 16), (seeded(1, 8, 16), seeded(2, 8))),
    "relu": (Relu(), (3, 5), ()),
    "relu6": (Clip(0.0, 6.0), (3, 5), ()),
    "gelu": (Gelu(), (3, 5), ()),
    "sigmoid": (Function("sigmoid"), (3, 5), ()),
    "hard_swish": (Function("hard_swish"), (3, 5), ()),
    "max_pool": (MaxPool((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)), (3, 7, 7), ()),
    "avg_pool": (AvgPool((2, 2), (2, 2), (0, 0, 0, 0)), (3, 6, 6), ()),
    "avg_pool_ragged": (AvgPool((3, 3), (2, 2), (1, 1, 1, 1), True, False), (3, 8, 8), ()),
    "avg_pool_ragged_counted": (AvgPool((3, 2), (2, 2), (1, 1, 1, 1), True, True), (3, 8, 7), ()),
    "avg_pool_uneven": (AvgPool((2, 2), (2, 2), (1, 0, 0, 1), False, False), (3, 7, 7), ()),
    "avg_pool_padded": (AvgPool((3, 3), (2, 2), (1, 1, 1, 1), False, False), (3, 7, 7), ()),
    "mean": (Reduce("mean", (2, 3)), (3, 5, 5), ()),
    "sum": (Reduce("sum", (1,), True), (3, 5), ()),
    "max": (Reduce("max", (1,)), (3, 5), ()),
    "softmax": (Softmax(2), (4, 9), ()),
    "layer_norm": (LayerNorm(1, 1e-5), (4, 16), (seeded(1, 16), seeded(2, 16))),
    "rms_norm": (RmsNorm(1, 1e-6), (4, 16), (seeded(1, 16),)),
    "group_norm": (GroupNorm(2, 1e-5), (4, 5, 5), (seeded(1, 4), seeded(2, 4))),
    "transpose": (Transpose((0, 2, 1)), (4, 5), ()),
    "nearest": (Resize((8, 8)), (3, 4, 4), ()),
    "bilinear": (Resize((7, 7), "bilinear"), (3, 4, 4), ()),
    "log_softmax": (Softmax(1, log=True), (9,), ()),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "recipe", [Recipe(12, 12), Recipe(12, 12, scheme="affine"), Recipe(12, 12, per_channel=False)], ids=["symmetric", "affine", "per tensor"]
)
def test_fine_integers_come_close_to_the_real_numbers(name: str, recipe: Recipe) -> None:
    op, shape, constants = LAYERS[name]
    graph = one_layer(op, shape, *constants)
    x = seeded(7, 6, *shape)
    real, found = graph(x), quantize(graph, [x], recipe)(x)
    assert float((real - found).abs().max()) <= 4e-3 * float(real.abs().max())


@pytest.mark.parametrize("name", LAYERS)
def test_batch_size_and_order_change_nothing(name: str) -> None:
    op, shape, constants = LAYERS[name]
    x = seeded(7, 6, *shape)
    graph = quantize(one_layer(op, shape, *constants), [x], Recipe(8, 8))
    whole = graph(x)
    assert torch.equal(whole, torch.cat([graph(part) for part in x.split(1)]))
    assert torch.equal(whole.flip(0), graph(x.flip(0)))


@pytest.mark.parametrize("op", [Add(), Sub(), Mul(), MatMul(), Concat(1)], ids=lambda op: type(op).__name__)
def test_two_operands(op) -> None:
    shape = (4, 4)
    graph = one_layer(op, shape, inputs=2)
    x = seeded(1, 5, *shape), 3 * seeded(2, 5, *shape)
    real, found = graph(*x), quantize(graph, [x], Recipe(12, 12))(*x)
    assert float((real - found).abs().max()) <= 3e-3 * float(real.abs().max())


@given(st.integers(2, 16), st.integers(2, 16), st.integers(1, 300), st.integers(0, 1000))
def test_sums_equal_python_integers(data_bits: int, weight_bits: int, terms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, w = Quantization((1.0,), 3, data_bits, signed=False), Quantization((1.0,), 0, weight_bits, narrow=True)
    x = rng.integers(q.low, q.high + 1, (2, terms))
    weight = rng.integers(w.low, w.high + 1, (3, terms))
    node = one_layer(Linear(), (terms,), torch.zeros(3, terms)).nodes[0]
    found = exact_sums(node, Operand(torch.tensor(x), q), Operand(torch.tensor(weight), w), None)
    expected = [[sum((int(a) - 3) * int(b) for a, b in zip(row, column, strict=True)) for column in weight] for row in x]
    assert found.tolist() == expected


@given(st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=50), st.floats(1e-8, 1e-2), st.integers(-5, 5))
def test_requantisation_is_the_documented_rule(sums: list[int], factor: float, zero: int) -> None:
    q = Quantization((1.0,), zero, 8)
    steps = np.rint(np.float32(np.array(sums, dtype=np.float64)) * np.float32(factor))
    expected = np.clip(steps + zero, q.low, q.high)
    assert requantize(torch.tensor(sums, dtype=torch.float64), factor, q).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["conv", "linear"])
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_onnxruntime_computes_the_same_bits(kind: str, scheme: str) -> None:
    """QLinearConv and QLinearMatMul of onnxruntime, without bias, agree to the last integer."""
    onnx = pytest.importorskip("onnx")
    x = seeded(3, 4, 8, 9, 9)
    if kind == "linear":
        x = x[:, :, 0, 0]
    graph = one_layer(CONV, (8, 9, 9), seeded(1, 6, 8, 3, 3)) if kind == "conv" else one_layer(Linear(), (8,), seeded(1, 6, 8))
    quantized = quantize(graph, [x], Recipe(8, 8, scheme=scheme, per_channel=kind == "conv"))
    qx, qw, qy = (quantized.quantization[n] for n in ("x0", "c0", "y"))
    integers = qx.quantize(x)
    weight = quantized.constants["c0"]
    helper, T = onnx.helper, onnx.TensorProto
    kinds = {True: (T.INT8, np.int8), False: (T.UINT8, np.uint8)}
    x_type, x_np = kinds[qx.signed]
    y_type, y_np = kinds[qy.signed]
    tensors = {
        "xs": np.float32(qx.scale[0]), "xz": x_np(qx.zero), "ws": np.float32(qw.scale if qw.axis is not None else qw.scale[0]),
        "wz": np.zeros(len(qw.scale), np.int8) if qw.axis is not None else np.int8(0), "ys": np.float32(qy.scale[0]), "yz": y_np(qy.zero),
        "w": weight.numpy() if kind == "conv" else np.ascontiguousarray(weight.numpy().T),
    }  # fmt: skip
    inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    node = helper.make_node("QLinearConv", inputs, ["y"], pads=[1, 1, 1, 1]) if kind == "conv" else helper.make_node("QLinearMatMul", inputs, ["y"])
    model = helper.make_model(
        helper.make_graph([node], "g", [helper.make_tensor_value_info("x", x_type, list(x.shape))], [helper.make_tensor_value_info("y", y_type, None)],
                          [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in tensors.items()]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=9,
    )  # fmt: skip
    (expected,) = onnx_session(model.SerializeToString()).run(None, {"x": integers.numpy().astype(x_np)})
    found = qy.quantize(quantized(x))
    assert torch.equal(found, torch.tensor(expected.astype(np.float32)))


def test_masked_positions_have_no_weight() -> None:
    mask = torch.tensor([True, True, False, True])
    graph = chain((Add(), (torch.where(mask, 0.0, -3.4e38),)), (Softmax(2), ()), shape=(3, 4))
    x = seeded(1, 5, 3, 4)
    found = quantize(graph, [x], Recipe(8, 8))(x)
    assert torch.equal(found[..., 2], torch.zeros(5, 3))
    torch.testing.assert_close(found, graph(x), atol=0.02, rtol=0)


def test_boolean_masks_too() -> None:
    graph = one_layer(Relu(), (4, 4))
    type = graph.nodes[0].type
    masked = graph.with_nodes(
        [
            graph.nodes[0].__class__("w", Where(), ("m", "x0", "inf"), type),
            graph.nodes[0].__class__("y", Softmax(2), ("w",), type),
        ],
        constants={"m": torch.ones(4, 4, dtype=torch.bool).tril(), "inf": torch.tensor(-torch.inf)},
    )
    x = seeded(1, 5, 4, 4)
    found = quantize(masked, [x], Recipe(8, 8))(x)
    assert bool((found.triu(1) == 0).all())
    torch.testing.assert_close(found, masked(x), atol=0.02, rtol=0)


@pytest.mark.parametrize("fill", [-torch.inf, -1e9, torch.finfo(torch.float32).min])
def test_masks_written_by_masked_fill(fill: float) -> None:
    """The other way round: where(hidden, fill, scores)."""
    graph = one_layer(Relu(), (4, 4))
    node, type = graph.nodes[0].__class__, graph.nodes[0].type
    hidden = torch.ones(4, 4, dtype=torch.bool).triu(1)
    masked = graph.with_nodes(
        [node("w", Where(), ("m", "fill", "x0"), type), node("y", Softmax(2), ("w",), type)],
        constants={"m": hidden, "fill": torch.tensor(fill)},
    )
    x = seeded(1, 5, 4, 4)
    found = quantize(masked, [x], Recipe(16, 16))(x)
    torch.testing.assert_close(found, masked(x), atol=1e-3, rtol=0)
    assert bool((found.triu(1) == 0).all())


def test_a_mask_with_a_bias_keeps_both() -> None:
    bias = seeded(2, 4, 4).masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -torch.inf)
    graph = chain((Add(), (bias,)), (Softmax(2), ()), shape=(4, 4))
    x = seeded(1, 5, 4, 4)
    found = quantize(graph, [x], Recipe(16, 16))(x)
    torch.testing.assert_close(found, graph(x), atol=1e-3, rtol=0)


def test_an_infinite_constant_elsewhere_is_refused() -> None:
    with pytest.raises(ModelError, match="infinite"):
        quantize(chain((Add(), (torch.full((4,), -torch.inf),)), (Relu(), ()), shape=(4,)), [seeded(1, 2, 4)])


def test_a_cube_of_negative_numbers() -> None:
    graph = one_layer(Pow(), (8,), torch.tensor(3.0))
    x = seeded(1, 50, 8)
    found = quantize(graph, [x], Recipe(16, 16))(x)
    assert float((found - graph(x)).abs().max()) < 1e-3 * float(graph(x).abs().max())


def test_a_bias_that_no_accumulator_holds_is_refused() -> None:
    with pytest.raises(ModelError, match="53 bits"):
        quantize(one_layer(Linear(), (4,), seeded(1, 3, 4), torch.full((3,), 1e30)), [seeded(2, 5, 4)])


def test_constants_fold_so_that_nothing_is_counted_for_them() -> None:
    graph = chain((Add(), (torch.where(torch.ones(3, 4, dtype=torch.bool).tril(), 0.0, -1e9),)), (Softmax(2), ()), shape=(3, 4))
    assert [type(node.op) for node in quantize(graph, [seeded(1, 5, 3, 4)])] == [Softmax]


@pytest.mark.parametrize("calibrator", [MinMax(), Percentile(99.9), Mse()])
def test_calibrators_hold_the_values(calibrator) -> None:
    observed = Observed()
    observed.see(seeded(1, 10_000))
    low, high = calibrator(observed, 8)
    q = symmetric(low, high, 8)
    sample = observed.sample
    error = float((q.dequantize(q.quantize(sample)) - sample).square().mean().sqrt())
    assert error < 0.02


def test_the_mse_calibrator_is_the_best_of_the_three_on_few_bits() -> None:
    observed = Observed()
    observed.see(seeded(1, 10_000))

    def error(calibrator) -> float:
        q = affine(*calibrator(observed, 4), 4)
        return float((q.dequantize(q.quantize(observed.sample)) - observed.sample).square().mean())

    assert error(Mse()) < error(MinMax())
    assert error(Mse()) <= error(Percentile(99.99))


@given(st.floats(-100, 100), st.floats(0, 100), st.integers(2, 16))
def test_affine_holds_zero_exactly(low: float, span: float, bits: int) -> None:
    q = affine(low, low + span, bits)
    assert float(q.dequantize(q.quantize(torch.zeros(1)))) == 0.0


def test_more_bits_never_hurt() -> None:
    graph = chain((CONV, (seeded(1, 4, 3, 3, 3),)), (Relu(), ()), shape=(3, 6, 6))
    x = seeded(2, 8, 3, 6, 6)
    errors = [float((quantize(graph, [x], Recipe(b, b))(x) - graph(x)).square().mean()) for b in (2, 4, 6, 8, 12)]
    assert errors == sorted(errors, reverse=True)


def test_a_network_with_two_inputs_takes_two_tensors() -> None:
    from crossloom import quantize as face
    from crossloom.job.data import load_data

    graph = one_layer(Add(), (4,), inputs=2)
    pair = seeded(1, 6, 4), seeded(2, 6, 4)
    assert set(face(graph, pair).quantization) == {"x0", "x1", "y"}
    labelled = load_data((pair, torch.arange(6) % 4), graph)
    assert labelled.labels is not None
    assert len(labelled.inputs) == 2


def test_a_shared_weight_is_stored_once_and_a_shared_bias_twice() -> None:
    w, b = seeded(1, 6, 6), 30 * seeded(2, 6)
    first = one_layer(Linear(), (6,), w, b)
    second = first.nodes[0].__class__("z", Linear(), ("y", "c0", "c1"), first.nodes[0].type)
    both = first.with_nodes([*first.nodes, second], outputs=("z",))
    x = seeded(3, 16, 6)
    found = quantize(both, [x], Recipe(12, 12))(x)
    assert float((found - both(x)).abs().max()) <= 4e-3 * float(both(x).abs().max())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_bad_values_are_named(value: float) -> None:
    graph = one_layer(Relu(), (3,))
    with pytest.raises(DataError, match="x0"):
        quantize(graph, [torch.tensor([[1.0, value, 2.0]])])
    weights = one_layer(Linear(), (3,), torch.tensor([[1.0, torch.nan, 2.0]]))
    with pytest.raises(ModelError, match="c0"):
        quantize(weights, [torch.ones(1, 3)])


def test_nothing_to_calibrate_on() -> None:
    with pytest.raises(DataError, match="no samples"):
        quantize(one_layer(Relu(), (3,)), [])


@pytest.mark.parametrize("bits", [1, 17])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(ModelError, match="2 to 16"):
        Recipe(weights=bits)


def test_quantising_twice_is_refused() -> None:
    graph = quantize(one_layer(Relu(), (3,)), [torch.ones(1, 3)])
    with pytest.raises(ModelError, match="already"):
        quantize(graph, [torch.ones(1, 3)])


def test_all_zero_data() -> None:
    graph = one_layer(CONV, (3, 4, 4), torch.zeros(2, 3, 3, 3))
    x = torch.zeros(2, 3, 4, 4)
    assert torch.equal(integer_replay(quantize(graph, [x]), (x,))[0], torch.zeros(2, 2, 4, 4))
