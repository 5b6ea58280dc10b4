"""Elementwise functions, arithmetic and comparisons."""

from __future__ import annotations

import math
from functools import partial
from typing import TypeGuard

import torch

from crossloom.network.graph import Node
from crossloom.network.importers.onnx.quantize import as_integers, narrowed
from crossloom.network.importers.onnx.table import Integers, Lowering, rule
from crossloom.network.operators import (
    Add,
    Cast,
    Clip,
    Compare,
    Div,
    Elu,
    Function,
    Gelu,
    LeakyRelu,
    Linear,
    Maximum,
    Minimum,
    Mul,
    Not,
    Operator,
    Pow,
    Relu,
    Sub,
    Where,
)

_FUNCTIONS = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "HardSwish": "hard_swish",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}
_COMPARISONS = {
    "Equal": "eq",
    "Less": "lt",
    "LessOrEqual": "le",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "And": "and",
    "Or": "or",
    "Xor": "xor",
}


def _unary(op: Operator, low: Lowering, x: str) -> str:
    return low.add(op, x)


def _binary(op: Operator, low: Lowering, a: str, b: str) -> str:
    return low.add(op, a, b)


for _kind, _name in _FUNCTIONS.items():
    rule(_kind)(partial(_unary, Function(_name)))
for _kind, _name in _COMPARISONS.items():
    rule(_kind)(partial(_binary, Compare(_name)))
for _kind, _op in {"Sub": Sub(), "Mul": Mul()}.items():
    rule(_kind)(partial(_binary, _op))
rule("Relu")(partial(_unary, Relu()))
rule("Not")(partial(_unary, Not()))


@rule("Add")
def add(low: Lowering, a: str, b: str) -> str:
    """Add two tensors. A vector added to a layer without bias is its bias: exporters split layers over three dimensions into two nodes."""
    for x, vector in ((a, b), (b, a)):
        layer, bias = low.maker(x), low.value(vector)
        if bias is not None and low.dims(x) > 1 and tuple(bias.shape) == low.shape(x)[-1:] and _lacks_bias(layer):
            return low.add(Linear(), *layer.inputs, vector)
    return low.add(Add(), a, b)


def _lacks_bias(node: Node | None) -> TypeGuard[Node]:
    return node is not None and isinstance(node.op, Linear) and len(node.inputs) == 2


@rule("Div")
def div(low: Lowering, a: str, b: str) -> str:
    return low.add(Div() if low.floating(a) else Div("trunc"), a, b)


@rule("Mod")
def mod(low: Lowering, a: str, b: str, *, fmod: int = 0) -> str:
    """Return a − b · (a/b rounded): rounded down for the sign of the divisor, towards zero for the sign of the dividend."""
    quotient = low.add(Div("trunc" if fmod else "floor"), a, b)
    return low.add(Sub(), a, low.add(Mul(), quotient, b))


@rule("Pow")
def power(low: Lowering, base: str, exponent: str) -> str:
    """Raise to a power. The result has the type of the base, regardless of the exponent."""
    if low.floating(base) == low.floating(exponent):
        return low.add(Pow(), base, exponent)
    if low.floating(base):
        return low.add(Pow(), base, low.add(Cast("f32"), exponent))
    return low.add(Cast("i64"), low.add(Pow(), low.add(Cast("f32"), base), exponent))


def _chain(op: Operator, low: Lowering, *tensors: str) -> str:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = low.add(op, result, tensor)
    return result


for _kind, _op in {"Sum": Add(), "Max": Maximum(), "Min": Minimum()}.items():
    rule(_kind)(partial(_chain, _op))


@rule("Mean")
def mean(low: Lowering, *tensors: str) -> str:
    total = _chain(Add(), low, *tensors)
    return low.add(Mul(), total, low.scalar(1.0 / len(tensors), total))


@rule("Where")
def where(low: Lowering, condition: str, a: str, b: str) -> str:
    return low.add(Where(), condition, a, b)


@rule("Identity")
def identity(low: Lowering, x: str) -> str:
    return x


@rule("Dropout")
def dropout(low: Lowering, x: str, ratio: str | None = None, training: str | None = None, *, seed: int = 0) -> tuple[str, ...]:
    if training is not None and bool(low.known(training, "training mode").any()):
        raise NotImplementedError("dropout in training mode; export the model in evaluation mode")
    if low.outputs == 1:
        return (x,)
    return x, low.constant(torch.ones(low.shape(x), dtype=torch.bool))


@rule("LeakyRelu")
def leaky_relu(low: Lowering, x: str, *, alpha: float = 0.01) -> str:
    return low.add(LeakyRelu(alpha), x)


@rule("PRelu")
def prelu(low: Lowering, x: str, slope: str) -> str:
    """Return max(x, 0) + slope · min(x, 0), which is a leaky ReLU if all slopes are equal."""
    value = low.value(slope)
    if value is not None and value.numel() and bool((value == value.reshape(-1)[0]).all()):
        return low.add(LeakyRelu(float(value.reshape(-1)[0])), x)
    negative = low.add(Mul(), low.add(Clip(-math.inf, 0.0), x), slope)
    return low.add(Add(), low.add(Relu(), x), negative)


@rule("Elu")
def elu(low: Lowering, x: str, *, alpha: float = 1.0) -> str:
    return low.add(Elu(alpha), x)


@rule("Selu")
def selu(low: Lowering, x: str, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> str:
    return low.add(Elu(alpha, gamma), x)


@rule("Celu")
def celu(low: Lowering, x: str, *, alpha: float = 1.0) -> str:
    """Return alpha · elu(x / alpha)."""
    if alpha == 1.0:
        return low.add(Elu(), x)
    return low.add(Elu(1.0, alpha), low.add(Mul(), x, low.scalar(1.0 / alpha, x)))


@rule("Gelu")
def gelu(low: Lowering, x: str, *, approximate: str = "none") -> str:
    return low.add(Gelu("tanh" if approximate == "tanh" else "none"), x)


@rule("Swish")
def swish(low: Lowering, x: str, *, alpha: float = 1.0) -> str:
    if alpha == 1.0:
        return low.add(Function("silu"), x)
    gate = low.add(Function("sigmoid"), low.add(Mul(), x, low.scalar(alpha, x)))
    return low.add(Mul(), x, gate)


@rule("HardSigmoid")
def hard_sigmoid(low: Lowering, x: str, *, alpha: float = 0.2, beta: float = 0.5) -> str:
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return low.add(Function("hard_sigmoid"), x)
    line = low.add(Add(), low.add(Mul(), x, low.scalar(alpha, x)), low.scalar(beta, x))
    return low.add(Clip(0.0, 1.0), line)


@rule("Clip", take_integers=True)
def clip(low: Lowering, x: str | Integers, low_end: str | None = None, high_end: str | None = None) -> str | Integers:
    """Limit real numbers, or narrow the integers of a quantised tensor to fewer bits."""
    if isinstance(x, Integers):
        known = all(end is None or low.value(end) is not None for end in (low_end, high_end))
        ends = (low.value(end) if end is not None else None for end in (low_end, high_end))
        if known and (fewer := narrowed(x, *ends)):
            return fewer
        x = as_integers(low, x)
    bounds = [None if end is None else low.value(end) for end in (low_end, high_end)]
    if low.floating(x) and all(end is None or value is not None for end, value in zip((low_end, high_end), bounds, strict=True)):
        least, most = (default if value is None else float(value) for value, default in zip(bounds, (-math.inf, math.inf), strict=True))
        if (least, most) == (-math.inf, math.inf):
            return x
        return low.add(Relu() if (least, most) == (0.0, math.inf) else Clip(least, most), x)
    x = x if low_end is None else low.add(Maximum(), x, low_end)
    return x if high_end is None else low.add(Minimum(), x, high_end)


@rule("IsNaN")
def is_nan(low: Lowering, x: str) -> str:
    return low.add(Compare("ne"), x, x)
