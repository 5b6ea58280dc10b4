"""SIMD vectors as a numba type, for loops whose steps depend on each other but not on the inputs of neighbouring lanes.

Numbers lie in flat arrays of float64, LANES of them per place. To vectorise by itself, a compiler would have to prove that the arrays do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

LANES = 8
"""Numbers per place: one 512-bit register, or two of 256 bits."""

_INDEX, _WORD = ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_BYTES = 8
_FUSED = ("contract",)
"""Flags that allow a product to be added without intermediate rounding."""


class Lanes(types.Type):
    """Type of a vector of LANES numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes({LANES})")


_LANES: Any = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _at(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return a pointer to a place of an array."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    offset = builder.mul(arguments[1], ir.Constant(_INDEX, LANES * _BYTES))
    return builder.inttoptr(builder.add(builder.ptrtoint(array.data, _INDEX), offset), _VECTOR.as_pointer())


def _declare_load(context: Any, array: Any, place: Any) -> tuple[Any, Any]:
    """Return the numbers of a place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_at(context, builder, signature, arguments), align=_BYTES)

    return _LANES(array, types.intp), generate


def _declare_store(context: Any, array: Any, place: Any, numbers: Any) -> tuple[Any, Any]:
    """Write the numbers of a place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _at(context, builder, signature, arguments), align=_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, _LANES), generate


def _declare_spread(context: Any, number: Any) -> tuple[Any, Any]:
    """Return one number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(_WORD, 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES))

    return _LANES(types.float64), generate


def _binary(instruction: str) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return the declaration of a lane-by-lane operation on two places."""

    def declare(context: Any, one: Any, other: Any) -> tuple[Any, Any]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=_FUSED)

        return _LANES(_LANES, _LANES), generate

    return declare


load: Any = intrinsic(_declare_load)
store: Any = intrinsic(_declare_store)
spread: Any = intrinsic(_declare_spread)
add: Any = intrinsic(_binary("fadd"))
subtract: Any = intrinsic(_binary("fsub"))
multiply: Any = intrinsic(_binary("fmul"))
