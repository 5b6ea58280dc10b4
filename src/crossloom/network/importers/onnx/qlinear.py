"""Integer operators with scales as inputs: QLinearConv and its relatives, which onnxruntime's quantiser writes in its operator format.

Each is expanded: dequantise the operands, compute, quantise the result. Those in `MICROSOFT` are onnxruntime's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from crossloom.network.importers.onnx.quantize import as_integers, dequantize_linear, quantize_linear
from crossloom.network.importers.onnx.table import RULES, Integers, Lowering, rule

Value = str | Integers

MICROSOFT = frozenset(
    {
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
    }
)


def _quantized(low: Lowering, real: str, scale: Value, zero: Value | None) -> Integers | str:
    return quantize_linear(low, real, as_integers(low, scale), None if zero is None else as_integers(low, zero))


def _bias(low: Lowering, bias: Value | None, x_scale: Value, w_scale: Value) -> list[str]:
    """Return the bias in real numbers; it has the unit of the accumulator (input scale times weight scale)."""
    if bias is None:
        return []
    unit = low.known(as_integers(low, x_scale), "input scale") * low.known(as_integers(low, w_scale), "weight scale")
    return [low.constant(low.known(as_integers(low, bias), "bias").to(torch.float32) * unit)]


@rule("QLinearConv", take_integers=True)
def qlinear_conv(
    low: Lowering,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    w: Value,
    w_scale: Value,
    w_zero: Value,
    y_scale: Value,
    y_zero: Value,
    bias: Value | None = None,
    **attributes: Any,
) -> Value:
    weight = dequantize_linear(low, w, w_scale, w_zero, axis=0)
    real = RULES["Conv"](low, dequantize_linear(low, x, x_scale, x_zero), weight, *_bias(low, bias, x_scale, w_scale), **attributes)
    return _quantized(low, real, y_scale, y_zero)


@rule("QLinearMatMul", take_integers=True)
def qlinear_matmul(
    low: Lowering, a: Value, a_scale: Value, a_zero: Value, b: Value, b_scale: Value, b_zero: Value, y_scale: Value, y_zero: Value
) -> Value:
    right = dequantize_linear(low, b, b_scale, b_zero, axis=-1)
    return _quantized(low, RULES["MatMul"](low, dequantize_linear(low, a, a_scale, a_zero), right), y_scale, y_zero)


@rule("QGemm", take_integers=True)
def qgemm(
    low: Lowering,
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    c: Value | None = None,
    y_scale: Value | None = None,
    y_zero: Value | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Value:
    if alpha != 1.0:
        raise NotImplementedError(f"QGemm with alpha {alpha:g}; fold it into the scale of the weights")
    right = dequantize_linear(low, b, b_scale, b_zero, axis=0 if transB else 1)
    real = RULES["Gemm"](low, dequantize_linear(low, a, a_scale, a_zero), right, *_bias(low, c, a_scale, b_scale), transA=transA, transB=transB)
    return real if y_scale is None else _quantized(low, real, y_scale, y_zero)


def _two(plain: str) -> Callable[..., Value]:
    def lowered(
        low: Lowering, a: Value, a_scale: Value, a_zero: Value, b: Value, b_scale: Value, b_zero: Value, y_scale: Value, y_zero: Value | None = None
    ) -> Value:
        left, right = dequantize_linear(low, a, a_scale, a_zero), dequantize_linear(low, b, b_scale, b_zero)
        return _quantized(low, RULES[plain](low, left, right), y_scale, y_zero)

    return lowered


def _one(plain: str, ignored: tuple[str, ...] = ()) -> Callable[..., Value]:
    def lowered(
        low: Lowering,
        x: Value,
        x_scale: Value,
        x_zero: Value,
        y_scale: Value,
        y_zero: Value | None = None,
        *,
        channels_last: int = 0,
        **attributes: Any,
    ) -> Value:
        if channels_last:
            raise NotImplementedError("its channels come last; export with channels first")
        wanted = {name: value for name, value in attributes.items() if name not in ignored}
        return _quantized(low, RULES[plain](low, dequantize_linear(low, x, x_scale, x_zero), **wanted), y_scale, y_zero)

    return lowered


for _name in ("Add", "Mul"):
    rule(f"QLinear{_name}", take_integers=True)(_two(_name))
for _name in ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax"):
    rule(f"QLinear{_name}", take_integers=True)(_one(_name, ("opset",)))


@rule("QLinearConcat", take_integers=True)
def qlinear_concat(low: Lowering, y_scale: Value, y_zero: Value, *operands: Value, axis: int) -> Value:
    real = [dequantize_linear(low, *operands[i : i + 3]) for i in range(0, len(operands), 3)]
    return _quantized(low, RULES["Concat"](low, *real, axis=axis), y_scale, y_zero)
