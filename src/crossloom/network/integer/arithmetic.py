"""Building blocks of the integer semantics: operands, exact sums, requantisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.graph import Node
from crossloom.network.operators import Linear, MatMul, product_of
from crossloom.network.quantization import Quantization, carrier


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand: integers with their quantisation, or native values without one."""

    values: Tensor
    q: Quantization | None

    @property
    def centred(self) -> Tensor:
        """q − zero, as float64."""
        centred = self.values.to(torch.float64)
        return centred - self.q.zero if self.q is not None and self.q.zero else centred

    @property
    def real(self) -> Tensor:
        """The real values (float64), or the native values unchanged."""
        if self.q is None:
            return self.values
        return self.centred * self.q.scale_of(self.values.dim()).to(self.values.device, torch.float64)


@contextmanager
def plain_arithmetic(tensor: Tensor) -> Iterator[None]:
    """On a GPU, prevent libraries from trading exactness for speed: no 19-bit formats, no Winograd transforms."""
    if not tensor.is_cuda:
        yield
        return
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def exact_sums(node: Node, data: Operand, weight: Operand, bias: Tensor | None) -> Tensor:
    """Return the integer sums of products as float64, which is exact below 2⁵³ in any order of summation.

    Raises ModelError if a sum could exceed that range.
    """
    left, right = data.centred, weight.centred
    terms = right.shape[-1] if isinstance(node.op, Linear) else right.shape[-2] if isinstance(node.op, MatMul) else right[0].numel()
    if terms * float(left.abs().amax()) * float(right.abs().amax()) >= 2.0**53:
        raise ModelError(f"{node.name}: sums of {terms} products can exceed 53 bits; use fewer bits")
    with plain_arithmetic(left):
        return node.op(left, right) if bias is None else node.op(left, right, bias.to(torch.float64))


def multiplier(data: Quantization | None, weight: Quantization | None, result: Quantization, node: Node) -> Tensor:
    """Return the requantisation multiplier M (float32), shaped to broadcast over the node's result."""
    assert data is not None and weight is not None
    scale = torch.tensor(data.scale[0]) * torch.tensor(weight.scale)
    scale = scale / torch.tensor(result.scale[0])
    if weight.axis is None:
        return scale.reshape(())
    return scale.reshape(-1) if isinstance(product_of(node.op), Linear) else scale.reshape(-1, *[1] * (len(node.type.shape) - 2))


def requantize(sums: Tensor, factor: Tensor | float, q: Quantization) -> Tensor:
    """Return clamp(round(f32(sums) · factor) + zero) in the result's storage type. `sums` may be overwritten if it is float32."""
    factor = torch.as_tensor(factor, dtype=torch.float32, device=sums.device)
    return settle(sums.to(torch.float32).mul_(factor), q)


def settle(steps: Tensor, q: Quantization) -> Tensor:
    """Return real-valued steps rounded (ties to even), shifted by the zero point and saturated. Overwrites `steps`."""
    steps = steps.round_()
    if q.zero:
        steps += q.zero
    return steps.clamp_(q.low, q.high).to(carrier(q))


def scale_of(x: Operand) -> float:
    """Return the scale of an operand quantised per tensor."""
    assert x.q is not None and x.q.axis is None
    return x.q.scale[0]


def ratio(*factors: float, over: float) -> Tensor:
    """Return the product of scales over the result's scale, rounded to float32 at each step."""
    product = torch.tensor(1.0)
    for factor in factors:
        product = product * torch.tensor(factor)
    return product / torch.tensor(over)


def rescaled(x: Operand, q: Quantization) -> Tensor:
    """Return the same real values in another quantisation."""
    if x.q is None:
        return q.quantize(x.values).to(carrier(q))
    if x.q == q:
        return x.values
    return requantize(x.centred, ratio(scale_of(x), over=q.scale[0]), q)
