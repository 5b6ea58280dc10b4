"""Functions of one element, arithmetic with broadcasting, comparisons."""

from __future__ import annotations

import math
from typing import Any

import torch

from crossloom.network.aten.table import Lowering, Ref, rule
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

_PLAIN = {
    "abs": "abs", "atan": "atan", "ceil": "ceil", "cos": "cos", "erf": "erf", "exp": "exp", "floor": "floor", "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish", "log": "log", "log1p": "log1p", "log_sigmoid": "log_sigmoid", "mish": "mish", "neg": "neg",
    "reciprocal": "reciprocal", "round": "round", "rsqrt": "rsqrt", "sigmoid": "sigmoid", "sign": "sign", "silu": "silu", "sin": "sin",
    "sqrt": "sqrt", "tan": "tan", "tanh": "tanh",
}  # fmt: skip


def _plain(name: str) -> Any:
    def lowered(low: Lowering, x: Ref) -> Ref:
        return low.add(Function(name), x)

    return lowered


for _aten, _name in _PLAIN.items():
    rule(_aten)(_plain(_name))


@rule("relu")
def relu(low: Lowering, x: Ref) -> Ref:
    return low.add(Relu(), x)


@rule("relu6")
def relu6(low: Lowering, x: Ref) -> Ref:
    return low.add(Clip(0.0, 6.0), x)


@rule("hardtanh", "clamp", "clip")
def clamp(low: Lowering, x: Ref, low_limit: Any = None, high_limit: Any = None, *, min: Any = None, max: Any = None) -> Ref:
    lower, upper = (low_limit if min is None else min), (high_limit if max is None else max)
    if isinstance(lower, Ref) or isinstance(upper, Ref):
        if lower is not None:
            x = low.add(Maximum(), x, low.operand(lower, x))
        return x if upper is None else low.add(Minimum(), x, low.operand(upper, x))
    return low.add(Clip(-math.inf if lower is None else float(lower), math.inf if upper is None else float(upper)), x)


@rule("clamp_min")
def clamp_min(low: Lowering, x: Ref, limit: Any) -> Ref:
    return relu(low, x) if limit == 0 else clamp(low, x, limit, None)


@rule("clamp_max")
def clamp_max(low: Lowering, x: Ref, limit: Any) -> Ref:
    return clamp(low, x, None, limit)


@rule("gelu")
def gelu(low: Lowering, x: Ref, approximate: Any = "none") -> Ref:
    return low.add(Gelu(approximate), x)


@rule("leaky_relu")
def leaky_relu(low: Lowering, x: Ref, slope: float = 0.01) -> Ref:
    return low.add(LeakyRelu(float(slope)), x)


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
    scaled = low.add(Mul(), x, low.scalar(1.0 / alpha))
    return low.add(Mul(), low.add(Elu(), scaled), low.scalar(float(alpha)))


@rule("softplus")
def softplus(low: Lowering, x: Ref, beta: float = 1, threshold: float = 20) -> Ref:
    if beta != 1:
        scaled = low.add(Function("softplus"), low.add(Mul(), x, low.scalar(float(beta))))
        return low.add(Mul(), scaled, low.scalar(1.0 / beta))
    return low.add(Function("softplus"), x)


@rule("square")
def square(low: Lowering, x: Ref) -> Ref:
    return low.add(Mul(), x, x)


@rule("dropout", "feature_dropout", "alpha_dropout", "alias", "contiguous", "clone", "detach", "lift_fresh_copy", "lift_fresh", "_unsafe_index_put")
def same(low: Lowering, x: Ref, *_: Any, **__: Any) -> Ref:
    return x


@rule("native_dropout")
def native_dropout(low: Lowering, x: Ref, *_: Any) -> list[Ref]:
    return [x, x]


@rule("to", "_to_copy", "type_as", "float", "_to")
def to(low: Lowering, x: Ref, *args: Any, dtype: Any = None, **_: Any) -> Ref:
    for value in args:
        if isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, Ref):
            return low.add(Cast(low.dtype(value)), x) if low.dtype(value) != low.dtype(x) else x  # type: ignore[arg-type]
    if dtype is None:
        return x
    wanted = "f32" if dtype.is_floating_point else "bool" if dtype == torch.bool else "i64"
    return x if wanted == low.dtype(x) else low.add(Cast(wanted), x)  # type: ignore[arg-type]


def _pair(low: Lowering, op: Operator, a: Any, b: Any) -> Ref:
    """Add a node for two operands of which one may be a number; a truth value counts as 0 or 1."""
    a = low.operand(a, b if isinstance(b, Ref) else None)
    b = low.operand(b, a)
    if {low.dtype(a), low.dtype(b)} == {"f32", "i64"} or "bool" in (low.dtype(a), low.dtype(b)):
        wanted = "f32" if "f32" in (low.dtype(a), low.dtype(b)) else "i64"
        a, b = (x if low.dtype(x) == wanted else low.add(Cast(wanted), x) for x in (a, b))  # type: ignore[arg-type]
    return low.add(op, a, b)


@rule("add")
def add(low: Lowering, a: Any, b: Any, alpha: float = 1) -> Ref:
    return _pair(low, Add(), a, b if alpha == 1 else _pair(low, Mul(), b, alpha))


@rule("sub", "subtract")
def sub(low: Lowering, a: Any, b: Any, alpha: float = 1) -> Ref:
    return _pair(low, Sub(), a, b if alpha == 1 else _pair(low, Mul(), b, alpha))


@rule("rsub")
def rsub(low: Lowering, a: Any, b: Any, alpha: float = 1) -> Ref:
    return sub(low, b, a, alpha)


@rule("mul", "multiply")
def mul(low: Lowering, a: Any, b: Any) -> Ref:
    return _pair(low, Mul(), a, b)


@rule("div", "divide", "true_divide")
def div(low: Lowering, a: Any, b: Any, rounding_mode: str | None = None) -> Ref:
    if rounding_mode is None:
        a, b = (low.add(Cast("f32"), x) if isinstance(x, Ref) and low.dtype(x) != "f32" else x for x in (a, b))
        if isinstance(b, int | float):
            b = float(b)
    return _pair(low, Div(rounding_mode or "none"), a, b)  # type: ignore[arg-type]


@rule("floor_divide")
def floor_divide(low: Lowering, a: Any, b: Any) -> Ref:
    return div(low, a, b, "floor")


@rule("remainder")
def remainder(low: Lowering, a: Ref, b: Any) -> Ref:
    return _pair(low, Sub(), a, _pair(low, Mul(), div(low, a, b, "floor"), b))


@rule("pow")
def power(low: Lowering, a: Any, b: Any) -> Ref:
    if isinstance(a, Ref) and b == 2:
        return low.add(Mul(), a, a)
    if isinstance(a, Ref) and b == 0.5:
        return low.add(Function("sqrt"), a)
    return _pair(low, Pow(), a, float(b) if isinstance(b, int) and isinstance(a, Ref) and low.dtype(a) == "f32" else b)


@rule("maximum")
def maximum(low: Lowering, a: Ref, b: Ref) -> Ref:
    return _pair(low, Maximum(), a, b)


@rule("minimum")
def minimum(low: Lowering, a: Ref, b: Ref) -> Ref:
    return _pair(low, Minimum(), a, b)


def _comparison(name: str) -> Any:
    def lowered(low: Lowering, a: Any, b: Any) -> Ref:
        a = low.operand(a, b if isinstance(b, Ref) else None)
        return low.add(Compare(name), a, low.operand(b, a))

    return lowered


for _aten in ("eq", "ne", "lt", "le", "gt", "ge"):
    rule(_aten)(_comparison(_aten))
for _aten, _name in {"logical_and": "and", "logical_or": "or", "logical_xor": "xor", "bitwise_and": "and", "bitwise_or": "or", "__and__": "and", "__or__": "or"}.items():
    rule(_aten)(_comparison(_name))


@rule("logical_not", "bitwise_not")
def logical_not(low: Lowering, x: Ref) -> Ref:
    if low.dtype(x) != "bool":
        raise NotImplementedError("bitwise complement of integers")
    return low.add(Not(), x)


@rule("where")
def where(low: Lowering, condition: Ref, a: Any, b: Any) -> Ref:
    like = next((x for x in (a, b) if isinstance(x, Ref)), None)
    a, b = low.operand(a, like), low.operand(b, like)
    if low.dtype(condition) != "bool":
        condition = low.add(Cast("bool"), condition)
    return low.add(Where(), condition, a, b)


@rule("masked_fill")
def masked_fill(low: Lowering, x: Ref, mask: Ref, value: Any) -> Ref:
    return where(low, mask, low.operand(value, x), x)


@rule("isnan", "isinf")
def never(low: Lowering, x: Ref) -> Ref:
    return low.known(torch.zeros(low.shape(x), dtype=torch.bool))
