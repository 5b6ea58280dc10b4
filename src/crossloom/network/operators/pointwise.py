"""Element-wise operators of one tensor, or of several with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossloom.network.operators.base import Operator, Unary


@dataclass(frozen=True, slots=True)
class Relu(Unary):
    """max(x, 0)."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.relu(tensors[0])


@dataclass(frozen=True, slots=True)
class Clip(Unary):
    """x limited to [low, high]; ReLU6 is Clip(0, 6)."""

    low: float
    high: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.clamp(tensors[0], self.low, self.high)


@dataclass(frozen=True, slots=True)
class LeakyRelu(Unary):
    """x where positive, slope · x elsewhere."""

    slope: float

    def __call__(self, *tensors: Tensor) -> Tensor:
        return F.leaky_relu(tensors[0], self.slope)


@dataclass(frozen=True, slots=True)
class Elu(Unary):
    """x where positive, alpha · (eˣ − 1) elsewhere, the result times scale (SELU uses both)."""

    alpha: float = 1.0
    scale: float = 1.0

    def __call__(self, *tensors: Tensor) -> Tensor:
        return F.elu(tensors[0], self.alpha) * self.scale


@dataclass(frozen=True, slots=True)
class Gelu(Unary):
    """Gaussian error linear unit, exact or in its tanh approximation."""

    approximate: Literal["none", "tanh"] = "none"

    def __call__(self, *tensors: Tensor) -> Tensor:
        return F.gelu(tensors[0], approximate=self.approximate)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "acosh": torch.acosh,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "identity": torch.clone,
    "log": torch.log,
    "log1p": torch.log1p,
    "log_sigmoid": F.logsigmoid,
    "mish": F.mish,
    "neg": torch.neg,
    "reciprocal": torch.reciprocal,
    "round": torch.round,
    "rsqrt": torch.rsqrt,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "sinc": torch.sinc,
    "sinh": torch.sinh,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "trunc": torch.trunc,
}


@dataclass(frozen=True, slots=True)
class Function(Unary):
    """A function of one variable without parameters, selected by its name in `FUNCTIONS`."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in FUNCTIONS:
            raise ValueError(f"Function: {self.name!r} is not one of {', '.join(FUNCTIONS)}")

    def __call__(self, *tensors: Tensor) -> Tensor:
        return FUNCTIONS[self.name](tensors[0])


@dataclass(frozen=True, slots=True)
class Cast(Unary):
    """x converted to another type: "f32", "i64" (rounding towards zero) or "bool"."""

    to: Literal["f32", "i64", "bool"]

    def __call__(self, *tensors: Tensor) -> Tensor:
        return tensors[0].to({"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}[self.to])


@dataclass(frozen=True, slots=True)
class Add(Operator):
    """a + b with broadcasting, for example a residual addition."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.add(*tensors)


@dataclass(frozen=True, slots=True)
class Sub(Operator):
    """a − b with broadcasting."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.sub(*tensors)


@dataclass(frozen=True, slots=True)
class Mul(Operator):
    """a · b with broadcasting, for example a gate, a mask or a scale."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.mul(*tensors)


@dataclass(frozen=True, slots=True)
class Div(Operator):
    """a / b with broadcasting, optionally rounded ("floor" or "trunc")."""

    rounding: Literal["none", "floor", "trunc"] = "none"

    def __call__(self, *tensors: Tensor) -> Tensor:
        a, b = tensors
        if self.rounding == "trunc" and not a.is_floating_point():
            negative = b == -1  # dividing the smallest integer by -1 would trap
            return torch.where(negative, -a, torch.div(a, torch.where(negative, 1, b), rounding_mode="trunc"))
        return torch.div(a, b, rounding_mode=None if self.rounding == "none" else self.rounding)


@dataclass(frozen=True, slots=True)
class Pow(Operator):
    """a to the power of b, with broadcasting."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.pow(*tensors)


@dataclass(frozen=True, slots=True)
class Maximum(Operator):
    """The larger of a and b, with broadcasting."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.maximum(*tensors)


@dataclass(frozen=True, slots=True)
class Minimum(Operator):
    """The smaller of a and b, with broadcasting."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.minimum(*tensors)


COMPARISONS = {
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "xor": torch.logical_xor,
}


@dataclass(frozen=True, slots=True)
class Compare(Operator):
    """A comparison or logical operation, selected by its name in `COMPARISONS`, with broadcasting. Masks are built from these."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in COMPARISONS:
            raise ValueError(f"Compare: {self.name!r} is not one of {', '.join(COMPARISONS)}")

    def __call__(self, *tensors: Tensor) -> Tensor:
        return COMPARISONS[self.name](*tensors)


@dataclass(frozen=True, slots=True)
class Not(Operator):
    """Logical negation."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        return torch.logical_not(tensors[0])


@dataclass(frozen=True, slots=True)
class Where(Operator):
    """b where the condition a holds, c elsewhere, with broadcasting."""

    def __call__(self, *tensors: Tensor) -> Tensor:
        condition, a, b = tensors
        return torch.where(condition, a, b)
