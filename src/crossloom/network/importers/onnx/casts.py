"""Casts between element types. The graph has three families: real numbers, integers and booleans."""

from __future__ import annotations

from typing import Literal

from crossloom.network.importers.onnx.quantize import limits, width
from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Cast, Clip, Div, Function, Mul, Sub
from crossloom.network.types import DTYPES


@rule("Cast")
def cast_(low: Lowering, x: str, *, to: int, saturate: int = 1, round_mode: str = "up") -> str:
    """Cast to the family of an element type. Values are not rounded to half precision, but narrow integers wrap around."""
    target = graph_dtype(to)
    value = low.value(x)
    if value is not None and (target != "i64" or width(to) is None):
        return low.constant(value.to(DTYPES[target]), kind=to)
    y = x if low.builder.types[x].dtype == target else low.add(Cast(target), x)
    y = _wrapped(low, y, to) if target == "i64" and not _fits(low, x, to) else y
    if y != x:
        low.kinds[y] = to
    return y


@rule("CastLike")
def cast_like(low: Lowering, x: str, like: str, *, saturate: int = 1, round_mode: str = "up") -> str:
    wide = {"f32": 1, "i64": 7, "bool": 9}[low.builder.types[like].dtype]
    return cast_(low, x, to=low.kinds.get(like, wide))


def _fits(low: Lowering, x: str, kind: int) -> bool:
    """Return whether all values of `x` are known to fit an integer type, from their own type or because they were clipped."""
    wide = width(kind)
    if wide is None or low.builder.types[x].dtype == "bool":
        return True
    lowest, highest = limits(*wide)
    own = width(low.kinds.get(x, kind)) if x in low.kinds and not low.floating(x) else None
    if own is not None:
        return lowest <= limits(*own)[0] and limits(*own)[1] <= highest
    maker = low.maker(x)
    if maker is not None and maker.op == Function("round"):
        maker = low.maker(maker.inputs[0])
    return maker is not None and isinstance(maker.op, Clip) and lowest <= maker.op.low and maker.op.high <= highest


def _wrapped(low: Lowering, x: str, kind: int) -> str:
    """Keep the low-order bits: x − 2ᵇ · ⌊(x − lowest) / 2ᵇ⌋."""
    bits, signed = width(kind) or (64, True)
    span = low.scalar(1 << bits, x)
    turns = low.add(Div("floor"), low.add(Sub(), x, low.scalar(limits(bits, signed)[0], x)), span)
    return low.add(Sub(), x, low.add(Mul(), turns, span))


def graph_dtype(kind: int) -> Literal["f32", "i64", "bool"]:
    """Return "f32", "i64" or "bool" for an ONNX element type. Raises NotImplementedError for any other family."""
    from onnx import TensorProto

    name = TensorProto.DataType.Name(kind)
    if name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE"):
        return "f32"
    if name == "BOOL":
        return "bool"
    if name.startswith(("INT", "UINT")):
        return "i64"
    raise NotImplementedError(f"elements of type {name.lower()}")
