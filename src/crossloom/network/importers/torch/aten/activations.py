"""Elementwise functions."""

from __future__ import annotations

import math
from typing import Any

import torch

from crossloom.network.importers.torch.aten.pointwise import cast, clamp, finite, maximum, mul, power, where
from crossloom.network.importers.torch.aten.table import Lowering, Missing, Ref, rule
from crossloom.network.operators import (
    Add,
    Clip,
    Compare,
    Div,
    Elu,
    Function,
    Gelu,
    LeakyRelu,
    Minimum,
    Mul,
    Relu,
    Sub,
    Where,
)

_PLAIN = {
    "abs": "abs", "absolute": "abs", "atan": "atan", "ceil": "ceil", "cos": "cos", "erf": "erf", "exp": "exp", "floor": "floor",
    "hardsigmoid": "hard_sigmoid", "hardswish": "hard_swish", "log": "log", "log1p": "log1p", "log_sigmoid": "log_sigmoid",
    "mish": "mish", "neg": "neg", "negative": "neg", "reciprocal": "reciprocal", "rsqrt": "rsqrt",
    "acos": "acos", "acosh": "acosh", "asin": "asin", "asinh": "asinh", "atanh": "atanh", "cosh": "cosh", "expm1": "expm1",
    "arccos": "acos", "arcsin": "asin", "arctan": "atan", "fix": "trunc", "sinc": "sinc", "sinh": "sinh", "trunc": "trunc",
    "sigmoid": "sigmoid", "sign": "sign", "silu": "silu", "sin": "sin", "softsign": "softsign", "special_expit": "sigmoid",
    "special_erf": "erf", "sqrt": "sqrt", "tan": "tan", "tanh": "tanh",
}  # fmt: skip


def _plain(name: str) -> Any:
    def lowered(low: Lowering, x: Ref) -> Ref:
        moves_whole_numbers = name in ("abs", "ceil", "floor", "neg", "sign", "trunc")
        return low.add(Function(name), x if moves_whole_numbers else cast(low, x, "f32"))

    return lowered


for _aten, _name in _PLAIN.items():
    rule(_aten)(_plain(_name))


@rule("round")
def round_(low: Lowering, x: Ref, *, decimals: int = 0) -> Ref:
    """Round to whole numbers or, with `decimals`, to whole multiples of a power of ten."""
    if decimals == 0 or low.dtype(x) != "f32":
        return low.add(Function("round"), x)
    finer = low.scalar(10.0 ** abs(decimals))
    shift, back = (Mul(), Div()) if decimals > 0 else (Div(), Mul())
    return low.add(back, low.add(Function("round"), low.add(shift, x, finer)), finer)


@rule("relu")
def relu(low: Lowering, x: Ref) -> Ref:
    return low.add(Relu(), x)


@rule("relu6")
def relu6(low: Lowering, x: Ref) -> Ref:
    return low.add(Clip(0.0, 6.0), x)


@rule("clamp_min")
def clamp_min(low: Lowering, x: Ref, limit: Any) -> Ref:
    return relu(low, x) if not isinstance(limit, Ref) and limit == 0 else clamp(low, x, limit, None)


@rule("clamp_max")
def clamp_max(low: Lowering, x: Ref, limit: Any) -> Ref:
    return clamp(low, x, None, limit)


@rule("gelu")
def gelu(low: Lowering, x: Ref, approximate: Any = "none") -> Ref:
    return low.add(Gelu(approximate), x)


@rule("leaky_relu")
def leaky_relu(low: Lowering, x: Ref, slope: float = 0.01) -> Ref:
    return low.add(LeakyRelu(float(slope)), x)


@rule("rrelu")
def rrelu(low: Lowering, x: Ref, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *_: Any) -> Ref:
    if training:
        raise NotImplementedError("a random slope; call module.eval()")
    return low.add(LeakyRelu((lower + upper) / 2), x)


@rule("prelu", "_prelu_kernel")
def prelu(low: Lowering, x: Ref, weight: Ref) -> Ref:
    if weight.value is not None and weight.value.numel() == 1:
        return low.add(LeakyRelu(float(weight.value)), x)
    shaped = low.reshape(weight, [1, -1, *[1] * (low.dims(x) - 2)]) if low.dims(weight) == 1 else weight
    negative = low.add(Mul(), low.add(Minimum(), x, low.scalar(0.0)), shaped)
    return low.add(Add(), low.add(Relu(), x), negative)


@rule("elu")
def elu(low: Lowering, x: Ref, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Ref:
    if input_scale != 1:
        raise NotImplementedError("elu with an input scale")
    return low.add(Elu(float(alpha), float(scale)), x)


@rule("selu")
def selu(low: Lowering, x: Ref) -> Ref:
    return low.add(Elu(1.6732632423543772, 1.0507009873554805), x)


@rule("celu")
def celu(low: Lowering, x: Ref, alpha: float = 1.0) -> Ref:
    return mul(low, low.add(Elu(), mul(low, x, 1.0 / alpha)), float(alpha))


@rule("softplus")
def softplus(low: Lowering, x: Ref, beta: float = 1, threshold: float = 20) -> Ref:
    if threshold != 20:
        raise NotImplementedError(f"softplus with threshold {threshold}")
    return mul(low, low.add(Function("softplus"), mul(low, x, float(beta))), 1.0 / beta)


@rule("threshold")
def threshold(low: Lowering, x: Ref, limit: float, value: float) -> Ref:
    if limit == value == 0:
        return relu(low, x)
    return where(low, low.add(Compare("le"), x, low.scalar(float(limit))), float(value), x)  # compared this way round, NaN stays


@rule("softshrink")
def softshrink(low: Lowering, x: Ref, limit: float = 0.5) -> Ref:
    """Return x minus its clipped value: zero within the limits, closer to zero by the limit outside."""
    return low.add(Sub(), x, low.add(Clip(-float(limit), float(limit)), x))


@rule("hardshrink")
def hardshrink(low: Lowering, x: Ref, limit: float = 0.5) -> Ref:
    small = low.add(Compare("le"), low.add(Function("abs"), x), low.scalar(float(limit)))
    return where(low, small, 0.0, x)


@rule("glu")
def glu(low: Lowering, x: Ref, axis: int = -1) -> Ref:
    from crossloom.network.importers.torch.aten.moves import chunk

    value, gate = chunk(low, x, 2, axis)
    return low.add(Mul(), value, low.add(Function("sigmoid"), gate))


def _scaled_log(base: float) -> Any:
    def lowered(low: Lowering, x: Ref) -> Ref:
        return low.add(Div(), low.add(Function("log"), x), low.scalar(math.log(base)))

    return lowered


rule("log2")(_scaled_log(2.0))
rule("log10")(_scaled_log(10.0))


@rule("exp2", "special_exp2")
def exp2(low: Lowering, x: Ref) -> Ref:
    return low.add(Function("exp"), mul(low, x, math.log(2.0)))


@rule("square")
def square(low: Lowering, x: Ref) -> Ref:
    return power(low, x, 2)


@rule("frac")
def frac(low: Lowering, x: Ref) -> Ref:
    return low.add(Sub(), x, low.add(Function("trunc"), x))


@rule("isnan")
def isnan(low: Lowering, x: Ref) -> Ref:
    return low.add(Compare("ne"), x, x)


@rule("isinf")
def isinf(low: Lowering, x: Ref) -> Ref:
    return low.add(Compare("eq"), low.add(Function("abs"), x), low.scalar(math.inf))


@rule("nan_to_num")
def nan_to_num(low: Lowering, x: Ref, nan: float | None = None, high: float | None = None, lowest: float | None = None) -> Ref:
    if low.dtype(x) != "f32":
        return x
    largest = torch.finfo(torch.float32).max
    limits = {math.inf: largest if high is None else high, -math.inf: -largest if lowest is None else lowest}
    x = low.add(Where(), isnan(low, x), low.scalar(float(nan or 0.0)), x)
    for infinite, limit in limits.items():
        x = low.add(Where(), low.add(Compare("eq"), x, low.scalar(infinite)), low.scalar(float(limit)), x)
    return x


@rule("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(low: Lowering, x: Ref, probability: float, training: bool) -> Ref:
    if training and probability:
        raise NotImplementedError("a random choice; call module.eval(), and pass training=self.training to functions")
    return x


@rule("native_dropout")
def native_dropout(low: Lowering, x: Ref, probability: float, training: bool | None) -> list[Any]:
    return [dropout(low, x, probability, bool(training)), Missing("the mask of a dropout")]


@rule("logaddexp")
def logaddexp(low: Lowering, a: Ref, b: Ref) -> Ref:
    """Return the larger operand plus log(1 + e^(−difference)): no exponential overflows."""
    apart = low.add(Function("neg"), low.add(Function("abs"), low.add(Sub(), finite(low, a), finite(low, b))))
    return low.add(Add(), maximum(low, a, b), low.add(Function("log1p"), low.add(Function("exp"), apart)))
