"""Arithmetic with broadcasting, comparisons and type conversions."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from crossloom.network.importers.torch.aten.table import Lowering, Ref, broadcast, rule
from crossloom.network.operators import (
    Add,
    Cast,
    Clip,
    Compare,
    Div,
    Expand,
    Function,
    Maximum,
    Minimum,
    Mul,
    Not,
    Operator,
    Pow,
    Sub,
    Where,
)

Kind = Literal["f32", "i64", "bool"]


@rule("alias", "contiguous", "clone", "detach", "lift_fresh_copy", "lift_fresh", "resolve_conj", "resolve_neg", "requires_grad")
def same(low: Lowering, x: Ref, *_: Any, **__: Any) -> Ref:
    return x


def cast(low: Lowering, x: Ref, kind: str) -> Ref:
    """Return `x` as "f32", "i64" or "bool"."""
    return x if low.dtype(x) == kind else low.add(Cast(kind), x)  # type: ignore[arg-type]


def kind_of(dtype: torch.dtype) -> Kind:
    """Return the graph's name for a torch type; all floating-point types are float32 here."""
    return "f32" if dtype.is_floating_point else "bool" if dtype == torch.bool else "i64"


@rule("to", "_to_copy", "type_as", "_to")
def to(low: Lowering, x: Ref, *args: Any, dtype: Any = None, **_: Any) -> Ref:
    for value in args:
        if isinstance(value, Ref):
            return cast(low, x, low.dtype(value))
        dtype = value if isinstance(value, torch.dtype) else dtype
    return x if dtype is None else cast(low, x, kind_of(dtype))


def counted(low: Lowering, x: Ref) -> Ref:
    """Return `x` with zeros and ones in place of booleans."""
    return cast(low, x, "i64") if low.dtype(x) == "bool" else x


def wrapped(low: Lowering, x: Ref, dtype: torch.dtype) -> Ref:
    """Return integers wrapped to the range of a narrower type: x − 2ᵇ · ⌊(x − lowest) / 2ᵇ⌋."""
    narrow = torch.iinfo(dtype)
    turns = div(low, sub(low, x, narrow.min), 1 << narrow.bits, "floor")
    return sub(low, x, mul(low, turns, 1 << narrow.bits))


def _changes_nothing(low: Lowering, x: Ref, other: Ref, neutral: float) -> bool:
    """Return whether `other` is known to be `neutral` throughout and does not widen `x`; weights, and tensors with only a shape, count as unknown."""
    if other.value is None or other.value.is_meta or other.learned or x.value is not None:
        return False
    shape = low.shape(x)
    if low.dtype(other) != low.dtype(x) or broadcast(shape, other.value.shape) != shape:
        return False
    return bool((other.value == neutral).all())


def _alike(low: Lowering, a: Any, b: Any) -> tuple[Ref, Ref]:
    """Return two operands, one of which may be a number, as tensors of the same type."""
    a = low.operand(a, b if isinstance(b, Ref) else None)
    b = low.operand(b, a)
    kinds = {low.dtype(a), low.dtype(b)}
    wanted = next(kind for kind in ("f32", "i64", "bool") if kind in kinds)
    return cast(low, a, wanted), cast(low, b, wanted)


def _pair(low: Lowering, op: Operator, a: Any, b: Any, logical: str = "") -> Ref:
    """Add a node for two operands of the same type. For booleans it is a Compare, or a node on zeros and ones."""
    a, b = _alike(low, a, b)
    if low.dtype(a) == "bool":
        if logical:
            return low.add(Compare(logical), a, b)
        a, b = cast(low, a, "i64"), cast(low, b, "i64")
    return low.add(op, a, b)


@rule("add")
def add(low: Lowering, a: Any, b: Any, alpha: float = 1) -> Ref:
    left, right = _alike(low, a, b if alpha == 1 else _pair(low, Mul(), b, alpha))
    if _changes_nothing(low, left, right, 0):
        return left
    return right if _changes_nothing(low, right, left, 0) else _pair(low, Add(), left, right, "or")


@rule("sub", "subtract")
def sub(low: Lowering, a: Any, b: Any, alpha: float = 1) -> Ref:
    left, right = _alike(low, a, b if alpha == 1 else _pair(low, Mul(), b, alpha))
    return left if _changes_nothing(low, left, right, 0) else _pair(low, Sub(), left, right)


@rule("rsub")
def rsub(low: Lowering, a: Any, b: Any, alpha: float = 1) -> Ref:
    return sub(low, b, a, alpha)


@rule("mul", "multiply")
def mul(low: Lowering, a: Any, b: Any) -> Ref:
    left, right = _alike(low, a, b)
    if _changes_nothing(low, left, right, 1):
        return left
    return right if _changes_nothing(low, right, left, 1) else _pair(low, Mul(), left, right, "and")


@rule("div", "divide", "true_divide")
def div(low: Lowering, a: Any, b: Any, rounding_mode: Any = None) -> Ref:
    left, right = _alike(low, a, b)
    if rounding_mode is None:
        left, right = cast(low, left, "f32"), cast(low, right, "f32")
        if _changes_nothing(low, left, right, 1):
            return left
    return _pair(low, Div(rounding_mode or "none"), left, right)


@rule("floor_divide")
def floor_divide(low: Lowering, a: Any, b: Any) -> Ref:
    return div(low, a, b, "floor")


@rule("remainder")
def remainder(low: Lowering, a: Any, b: Any) -> Ref:
    return sub(low, a, mul(low, div(low, a, b, "floor"), b))


@rule("fmod")
def fmod(low: Lowering, a: Ref, b: Any) -> Ref:
    return sub(low, a, mul(low, div(low, a, b, "trunc"), b))


@rule("pow")
def power(low: Lowering, a: Any, b: Any) -> Ref:
    """Raise to a power. Integers to an integer power stay integers; booleans count as zeros and ones."""
    if isinstance(a, Ref) and not isinstance(b, Ref):
        if b == 2:
            a = cast(low, a, "f32") if isinstance(b, float) else counted(low, a)
            return low.add(Mul(), a, a)
        if b in (0.5, -0.5):
            return low.add(Function("sqrt" if b > 0 else "rsqrt"), cast(low, a, "f32"))
    return _pair(low, Pow(), a, b)


@rule("float_power")
def float_power(low: Lowering, a: Any, b: Any) -> Ref:
    a, b = (cast(low, v, "f32") if isinstance(v, Ref) else float(v) for v in (a, b))
    return power(low, a, b)


@rule("addcmul")
def addcmul(low: Lowering, x: Ref, a: Ref, b: Ref, *, value: float = 1) -> Ref:
    return add(low, x, mul(low, mul(low, a, b), value))


@rule("addcdiv")
def addcdiv(low: Lowering, x: Ref, a: Ref, b: Ref, *, value: float = 1) -> Ref:
    return add(low, x, mul(low, div(low, a, b), value))


@rule("lerp")
def lerp(low: Lowering, a: Ref, b: Ref, weight: Any) -> Ref:
    return add(low, a, mul(low, sub(low, b, a), weight))


@rule("maximum")
def maximum(low: Lowering, a: Any, b: Any) -> Ref:
    return _pair(low, Maximum(), a, b, "or")


@rule("minimum")
def minimum(low: Lowering, a: Any, b: Any) -> Ref:
    return _pair(low, Minimum(), a, b, "and")


@rule("fmax")
def fmax(low: Lowering, a: Ref, b: Ref) -> Ref:
    return maximum(low, _unless_nan(low, a, b), _unless_nan(low, b, a))


@rule("fmin")
def fmin(low: Lowering, a: Ref, b: Ref) -> Ref:
    return minimum(low, _unless_nan(low, a, b), _unless_nan(low, b, a))


def _unless_nan(low: Lowering, x: Ref, other: Ref) -> Ref:
    """Return `x` with each NaN replaced by the element of `other`."""
    if low.dtype(x) != "f32" or (x.value is not None and not bool(x.value.isnan().any())):
        return x
    return where(low, low.add(Compare("ne"), x, x), other, x)


@rule("hardtanh", "clamp", "clip")
def clamp(low: Lowering, x: Ref, lowest: Any = None, highest: Any = None, *, min: Any = None, max: Any = None) -> Ref:
    lowest, highest = (lowest if min is None else min), (highest if max is None else max)
    if low.dtype(x) == "f32" and not isinstance(lowest, Ref) and not isinstance(highest, Ref):
        return low.add(Clip(-math.inf if lowest is None else float(lowest), math.inf if highest is None else float(highest)), x)
    x = x if lowest is None else maximum(low, x, lowest)
    return x if highest is None else minimum(low, x, highest)


def finite(low: Lowering, x: Ref) -> Ref:
    """Return `x` with each infinity replaced by the largest number of its sign, so that it can be subtracted from itself."""
    largest = torch.finfo(torch.float32).max
    return low.add(Clip(-largest, largest), x)


def _comparison(name: str) -> Any:
    def lowered(low: Lowering, a: Any, b: Any) -> Ref:
        return low.add(Compare(name), *_alike(low, a, b))

    return lowered


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    rule(_name)(_comparison(_name))


def _logical(name: str, bitwise: bool) -> Any:
    def lowered(low: Lowering, a: Any, b: Any) -> Ref:
        a, b = _alike(low, a, b)
        if bitwise and low.dtype(a) != "bool":
            raise NotImplementedError(f"{name} of the bits of integers")
        return low.add(Compare(name), cast(low, a, "bool"), cast(low, b, "bool"))

    return lowered


for _name in ("and", "or", "xor"):
    rule(f"logical_{_name}")(_logical(_name, bitwise=False))
    rule(f"bitwise_{_name}", f"__{_name}__", f"__i{_name}__")(_logical(_name, bitwise=True))


@rule("logical_not")
def logical_not(low: Lowering, x: Ref) -> Ref:
    return low.add(Not(), cast(low, x, "bool"))


@rule("bitwise_not")
def bitwise_not(low: Lowering, x: Ref) -> Ref:
    if low.dtype(x) != "bool":
        raise NotImplementedError("complement of the bits of integers")
    return low.add(Not(), x)


@rule("where")
def where(low: Lowering, condition: Ref, a: Any, b: Any) -> Ref:
    """Select between two operands; a condition that is known and uniform is resolved here."""
    left, right = _alike(low, a, b)
    condition = cast(low, condition, "bool")
    if condition.value is not None and (bool(condition.value.all()) or not condition.value.any()):
        chosen = left if bool(condition.value.all()) else right
        shape = broadcast(low.shape(condition), low.shape(left), low.shape(right))
        return chosen if low.shape(chosen) == tuple(shape) else low.add(Expand(tuple(shape)), chosen)
    return low.add(Where(), condition, left, right)


@rule("masked_fill")
def masked_fill(low: Lowering, x: Ref, mask: Ref, value: Any) -> Ref:
    return where(low, mask, cast(low, low.operand(value, x), low.dtype(x)), x)
