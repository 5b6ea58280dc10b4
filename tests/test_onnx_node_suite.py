"""The tests that the ONNX standard ships for each of its operators, imported and replayed.

Every case goes through the importer as a whole model does: it is lowered, opened to any batch size where that is
shown to be the same, and run on the case's own data. Shapes, axes, bounds and scales, which the cases pass as inputs,
are bound as constants, because that is what exported networks do. What is out of scope must be refused in one line.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
import torch

from crossloom.errors import ModelError
from crossloom.network.importers.onnx.from_onnx import from_onnx
from crossloom.network.replay import replay

onnx = pytest.importorskip("onnx")

IN_SCOPE = """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Cast CastLike CausalConvWithState
    Ceil Celu CenterCropPad Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
    DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten FlexAttention Floor
    Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid
    HardSwish Identity If InstanceNormalization IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NegativeLogLikelihoodLoss Not OneHot Or PRelu
    Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RotaryEmbedding Round ScatterND Selu Shape Shrink
    Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum
    SwiGLU Swish Tan Tanh ThresholdedRelu Tile Transpose Trilu Unsqueeze Upsample Where Xor
""".split()  # noqa: SIM905

OUT_OF_SCOPE = {
    r"cast.*FLOAT[48]|quantizelinear_(e4m3fn|e5m2|float4e2m1)": "elements of float8 and float4",
    r"averagepool_\dd_dilations": "average pooling with dilation",
    r"training": "operators in training mode",
    r"equal_string": "strings",
    r"(identity|if)_(sequence|seq|opt)": "sequences and optional values",
    r"maxpool_with_argmax": "the places of the largest elements",
    r"mod_float_edge_cases": "remainders of infinite numbers",
    r"range_.*_expanded": "loops",
    r"reduce_(max|min)_empty_set": "the largest of no elements",
    r"resize_.*(crop_and_resize|antialias)": "regions of interest and antialiasing",
    r"resize_.*(A_n0p5|cubic_asymmetric|pytorch_half_pixel|half_pixel_symmetric)": "positions that torch's interpolation has not",
    r"resize_downsample_scales_(linear|cubic)(_align_corners)?$": "resizing by a factor that is not the ratio of the sizes",
    r"scatternd_(add|multiply|max|min)": "scattering that combines values",
    r"flexattention(?!.*_expanded)": "operators of the preview domain",
}
MISCOMPUTED = "mod_float_edge_cases"  # it is NaN where the standard has a limit; every other case is refused

PARAMETERS = {
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "DequantizeLinear": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "Gemm": (1, 2),
    "If": (0,),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "QuantizeLinear": (1, 2),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "ScatterND": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
NUMPY = {"f32": np.float32, "i64": np.int64, "bool": np.bool_}


@pytest.fixture(scope="module")
def cases() -> dict[str, list[tuple[Any, Any]]]:
    """The cases of each operator, each with the node that it is about; expanded cases belong to what they expand."""
    from onnx.backend.test import loader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = loader.load_model_tests(kind="node")
    nodes = {case.name: case.model.graph.node[0] for case in found if len(case.model.graph.node) == 1}
    grouped: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for case in found:
        node = nodes.get(re.sub(r"_expanded(_ver\d+)?$", "", case.name), case.model.graph.node[0])
        grouped[node.op_type].append((case, node))
    return grouped


@pytest.fixture(scope="module")
def tally() -> Counter[str]:
    return Counter()


def reason(case: Any) -> str | None:
    return next((why for pattern, why in OUT_OF_SCOPE.items() if re.search(pattern, case.name.removeprefix("test_"))), None)


def as_array(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def bound(case: Any, node: Any) -> tuple[Any, list[Any], list[Any]]:
    """Return the model with its parameters bound, what is left of the inputs, and the outputs that are expected."""
    slots = PARAMETERS.get(node.op_type, (1,) if node.op_type.startswith("Reduce") else ())
    names = {node.input[slot] for slot in slots if slot < len(node.input)}
    inputs, outputs = ([as_array(value) for value in values] for values in case.data_sets[0])
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    data = []
    for given, value in zip(case.model.graph.input, inputs, strict=True):
        if given.name in names:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), given.name))
        else:
            data.append(value)
    return model, data, outputs


def check(case: Any, node: Any) -> None:
    """Import a case and compare its results. The importer computes in float32, so bfloat16 is compared to its own precision."""
    model, data, expected = bound(case, node)
    graph = from_onnx(model)
    given = [np.asarray(value).astype(NUMPY[type.dtype]) for value, (_, type) in zip(data, graph.inputs, strict=True)]
    results = replay(graph, [torch.from_numpy(value) for value in given])
    coarse = any(value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for value in case.model.graph.output)
    rtol, atol = (2e-2, 1e-2) if coarse else (1e-3, 1e-5)
    assert len(results) == len(expected)
    for have, want in zip(results, expected, strict=True):
        assert tuple(have.shape) == want.shape
        assert have.is_floating_point() == (want.dtype.kind not in "biu" and "int" not in want.dtype.name)
        np.testing.assert_allclose(have.double().numpy(), want.astype(np.float64), rtol=rtol, atol=atol)


@pytest.mark.parametrize("operator", IN_SCOPE)
def test_operator_gives_what_the_standard_expects(operator: str, cases: dict[str, list[tuple[Any, Any]]], tally: Counter[str]) -> None:
    wanted = [(case, node) for case, node in cases[operator] if reason(case) is None]
    assert wanted, f"the standard has no case for {operator}"
    failures = []
    for case, node in wanted:
        tally["in scope"] += 1
        try:
            check(case, node)
        except Exception as problem:
            failures.append(f"{case.name}: {type(problem).__name__}: {' '.join(str(problem).split())[:300]}")
    tally["passed"] += len(wanted) - len(failures)
    assert not failures, "\n".join(failures)


def test_what_is_out_of_scope_is_refused_in_one_line(cases: dict[str, list[tuple[Any, Any]]], tally: Counter[str]) -> None:
    every = [(operator, case, node) for operator, group in cases.items() for case, node in group]
    outside = [(case, node) for operator, case, node in every if operator not in IN_SCOPE or reason(case)]
    tally["out of scope"] += len(outside)
    accepted = []
    for case, node in outside:
        try:
            from_onnx(bound(case, node)[0] if reason(case) else case.model)
            accepted.append(case.name)
        except ModelError as problem:
            assert "\n" not in str(problem), problem
    assert all(MISCOMPUTED in name for name in accepted), accepted


@pytest.mark.parametrize("pattern", OUT_OF_SCOPE)
def test_each_exception_is_needed(pattern: str, cases: dict[str, list[tuple[Any, Any]]]) -> None:
    names = [case.name.removeprefix("test_") for operator in IN_SCOPE for case, _ in cases[operator]]
    assert any(re.search(pattern, name) for name in names)


def test_count(tally: Counter[str], cases: dict[str, list[tuple[Any, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    total = sum(len(group) for group in cases.values())
    line = f"{tally['passed']} passed / {tally['in scope']} in scope / {tally['out of scope']} out of scope"
    with capsys.disabled():
        print(f"\nONNX node tests: {line} (of {total}; onnx {onnx.__version__})")
