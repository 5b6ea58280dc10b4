"""The sign of a number, including signed zeros, and the angle that depends on it."""

from __future__ import annotations

import math

from crossloom.network.importers.torch.aten.pointwise import cast, div, sub, where
from crossloom.network.importers.torch.aten.table import Lowering, Ref, rule
from crossloom.network.operators import Compare, Function


@rule("signbit")
def signbit(low: Lowering, x: Ref) -> Ref:
    """Return whether a number is below zero or is −0, whose reciprocal is −∞. The sign of NaN is taken as plus."""
    below = low.add(Compare("lt"), x, low.scalar(0, x))
    if low.dtype(x) != "f32":
        return below
    return low.add(Compare("or"), below, low.add(Compare("lt"), low.add(Function("reciprocal"), x), low.scalar(0.0)))


@rule("copysign")
def copysign(low: Lowering, size: Ref, sign: Ref) -> Ref:
    return _signed(low, low.add(Function("abs"), cast(low, size, "f32")), sign)


def _signed(low: Lowering, size: Ref, sign: Ref) -> Ref:
    return where(low, signbit(low, sign), low.add(Function("neg"), size), size)


@rule("atan2", "arctan2")
def atan2(low: Lowering, y: Ref, x: Ref) -> Ref:
    """Return the angle of |y| over |x| in the first quadrant, moved to the quadrant of the signs.

    The ratio is taken as zero where both are zero, and as one where both are infinite: if |y| = |x|, it is y ≠ 0.
    """
    y, x = cast(low, y, "f32"), cast(low, x, "f32")
    rise, run = low.add(Function("abs"), y), low.add(Function("abs"), x)
    equal = cast(low, low.add(Compare("ne"), y, low.scalar(0.0)), "f32")
    angle = low.add(Function("atan"), where(low, low.add(Compare("eq"), rise, run), equal, div(low, rise, run)))
    return _signed(low, where(low, signbit(low, x), sub(low, math.pi, angle), angle), y)
