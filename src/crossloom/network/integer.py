"""What a quantised graph computes, in integers: the definition that every machine is held against.

A tensor holds integers q that stand for scale · (q − zero). Every operator is one of these:

* **Products** (convolution, linear, matrix product): the sum of products of (q − zero) is exact, the integer bias is added,
  and the accumulator is requantised.
* **Requantise** an accumulator a to a result: q = clamp(round(f32(a) · M) + zero), M = f32(s_x · s_w) / s_y, in IEEE binary32
  with one rounding each (nearest, ties to even), as FBGEMM and onnxruntime's CPU kernels do. Saturates.
* **Addition** and **subtraction**: f32(q_a − z_a) · M_a ± f32(q_b − z_b) · M_b, each operation rounded once, then as above.
* **Multiplication**: the product of integers is exact and requantised.
* **Functions of one element**: a table with one entry for each input integer.
* **Pooling, sums, means**: integer sums are exact and requantised; the largest is chosen among integers.
* **Softmax**: a table of round(2²⁰ · e^(−s·d)) for each distance d from the largest integer, an exact integer sum, and one
  float64 division for each element.
* **Normalisations**: integer sums of q and q² are exact; what follows is float64, element by element.
* **Moves**: integers are moved.
* **Anything else** (bilinear resize, division, powers): float64 on the real values, then rounded to integers.

No result depends on the order of a floating-point sum, so batch size, thread count and blocking cannot change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.graph import Graph, Node, bound
from crossloom.network.operators import (
    Add,
    AvgPool,
    Cast,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Expand,
    Gather,
    GroupNorm,
    LayerNorm,
    Linear,
    MatMul,
    Maximum,
    MaxPool,
    Minimum,
    Move,
    Mul,
    Operator,
    Pad,
    Reduce,
    Relu,
    Reshape,
    Resize,
    RmsNorm,
    Softmax,
    Sub,
    Unary,
    Where,
)
from crossloom.network.quantization import Quantization, carrier
from crossloom.network.replay import batch_of, last_uses

EXP_BITS = 20
"""Fraction bits of the exponential's table in a softmax."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor as an operator reads it: integers with their quantisation, or native values without one."""

    values: Tensor
    q: Quantization | None

    @property
    def centred(self) -> Tensor:
        """q − zero, as float64."""
        centred = self.values.to(torch.float64)
        return centred - self.q.zero if self.q is not None and self.q.zero else centred

    @property
    def real(self) -> Tensor:
        """The real values (float64), or the native values as they are."""
        if self.q is None:
            return self.values
        return self.centred * self.q.scale_of(self.values.dim()).to(self.values.device, torch.float64)


Accumulate = Callable[[Node, Operand, Operand, Tensor | None], Tensor]
"""Computes the exact sums of products of a node from data, weights (or second data) and integer bias."""


def integer_replay(graph: Graph, inputs: Sequence[Tensor], accumulate: Accumulate | None = None) -> tuple[Tensor, ...]:
    """Return the real outputs of a quantised graph for real (or integer) inputs, by way of integers alone."""
    batch = batch_of(graph, inputs)
    tensors = quantized_inputs(graph, inputs)
    device = inputs[0].device
    tensors |= {name: t.to(device) for name, t in graph.constants.items()}
    for node, unused in zip(graph.nodes, last_uses(graph), strict=True):
        tensors[node.name] = evaluate(graph, node, [tensors[name] for name in node.inputs], batch, accumulate)
        for name in unused:
            del tensors[name]
    return real_outputs(graph, tensors)


def quantized_inputs(graph: Graph, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the inputs as the graph's integers."""
    tensors: dict[str, Tensor] = {}
    for (name, _), given in zip(graph.inputs, inputs, strict=True):
        q = graph.quantization.get(name)
        tensors[name] = given if q is None else q.quantize(given).to(carrier(q))
    return tensors


def real_outputs(graph: Graph, tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs as float32 real values."""
    return tuple(graph.quantization[n].dequantize(tensors[n]) if n in graph.quantization else tensors[n] for n in graph.outputs)


def evaluate(graph: Graph, node: Node, tensors: Sequence[Tensor], batch: int, accumulate: Accumulate | None = None) -> Tensor:
    """Return the integers (or native values) of one node. `accumulate` computes the sums of products; exact if None."""
    q = graph.quantization.get(node.name)
    if q is None:
        native = [graph.quantization[n].dequantize(t) if n in graph.quantization else t for n, t in zip(node.inputs, tensors, strict=True)]
        return bound(node.op, batch)(*native)
    operands = [_operand(graph, name, tensor) for name, tensor in zip(node.inputs, tensors, strict=True)]
    if isinstance(node.op, Conv | ConvTranspose | Linear | MatMul):
        bias = operands[2].values if len(operands) > 2 else None
        sums = (accumulate or exact_sums)(node, operands[0], operands[1], bias)
        return requantize(sums, multiplier(operands[0].q, operands[1].q, q, node), q)
    rule = next((rule for kind, rule in _RULES if isinstance(node.op, kind)), _on_reals)
    return rule(bound(node.op, batch), operands, q)


def _operand(graph: Graph, name: str, tensor: Tensor) -> Operand:
    """Return an operand; native real values (a mask times data) become integers where they meet data."""
    q = graph.quantization.get(name)
    if q is not None and tensor.is_floating_point():
        tensor = q.quantize(tensor).to(carrier(q))
    return Operand(tensor, q)


@contextmanager
def plain_arithmetic(tensor: Tensor) -> Iterator[None]:
    """On a GPU, keep libraries from trading exactness for speed: no 19-bit formats, no Winograd transforms."""
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
    """Return the integer sums of products as float64, which holds every integer below 2⁵³ in any order of summation.

    Raises ModelError if a sum could leave that range.
    """
    left, right = data.centred, weight.centred
    terms = right.shape[-1] if isinstance(node.op, Linear) else right.shape[-2] if isinstance(node.op, MatMul) else right[0].numel()
    if terms * float(left.abs().amax()) * float(right.abs().amax()) >= 2.0**53:
        raise ModelError(f"{node.name}: sums of {terms} products leave 53 bits; use fewer bits")
    with plain_arithmetic(left):
        return node.op(left, right) if bias is None else node.op(left, right, bias.to(torch.float64))


def multiplier(data: Quantization | None, weight: Quantization | None, result: Quantization, node: Node) -> Tensor:
    """Return M (float32) of the requantisation, shaped to broadcast over the node's result."""
    assert data is not None and weight is not None
    scale = torch.tensor(data.scale[0]) * torch.tensor(weight.scale)
    scale = scale / torch.tensor(result.scale[0])
    if weight.axis is None:
        return scale.reshape(())
    return scale.reshape(-1) if isinstance(node.op, Linear) else scale.reshape(-1, *[1] * (len(node.type.shape) - 2))


def requantize(sums: Tensor, factor: Tensor | float, q: Quantization) -> Tensor:
    """Return clamp(round(f32(sums) · factor) + zero) in the result's carrier. `sums` may be overwritten if it is float32."""
    factor = torch.as_tensor(factor, dtype=torch.float32, device=sums.device)
    return settle(sums.to(torch.float32).mul_(factor), q)


def settle(steps: Tensor, q: Quantization) -> Tensor:
    """Return real-valued steps rounded (ties to even), moved by zero and saturated. Overwrites `steps`."""
    steps = steps.round_()
    if q.zero:
        steps += q.zero
    return steps.clamp_(q.low, q.high).to(carrier(q))


def _scale(x: Operand) -> float:
    assert x.q is not None
    return x.q.scale[0]


def _ratio(*factors: float, over: float) -> Tensor:
    """Return the product of scales over the result's scale, rounded to float32 at each step."""
    product = torch.tensor(1.0)
    for factor in factors:
        product = product * torch.tensor(factor)
    return product / torch.tensor(over)


def _move(op: Operator, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return op(operands[0].values) if operands[0].q == q else _rescaled(Operand(op(operands[0].values), operands[0].q), q)


def _rescaled(x: Operand, q: Quantization) -> Tensor:
    """Return the same real values in another quantisation."""
    if x.q is None:
        return q.quantize(x.values).to(carrier(q))
    if x.q == q:
        return x.values
    return requantize(x.centred, _ratio(_scale(x), over=q.scale[0]), q)


def _pad(op: Pad, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    assert x.q is not None
    if op.mode != "constant":
        return _rescaled(Operand(op(x.values.to(torch.float32)).to(x.values.dtype), x.q), q)
    fill = float(q.quantize(torch.tensor(op.value)))
    return Pad(op.padding, "constant", fill)(_rescaled(x, q).to(torch.int32)).to(carrier(q))


def _concat(op: Concat, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return op(*(_rescaled(x, q) for x in operands))


def _gather(op: Gather, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return _rescaled(Operand(op(operands[0].values, operands[1].values), operands[0].q), q)


def _where(op: Where, operands: Sequence[Operand], q: Quantization) -> Tensor:
    condition, a, b = operands
    return op(condition.values, _rescaled(a, q), _rescaled(b, q))


def _max_pool(op: MaxPool, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    return _rescaled(Operand(op(x.values.to(torch.float32)).to(x.values.dtype), x.q), q)


def _table(op: Unary, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Look each integer up; a ReLU or clip between equal quantisations only limits."""
    x = operands[0]
    if x.q is None or isinstance(op, Cast):
        return q.quantize(op(x.values)).to(carrier(q))
    if x.q == q and isinstance(op, Relu | Clip):
        low, high = (0.0, torch.inf) if isinstance(op, Relu) else (op.low, op.high)
        lowest, highest = (float(q.quantize(torch.tensor(v))) for v in (low, high))
        return x.values if lowest <= q.low and highest >= q.high else torch.clamp(x.values, int(lowest), int(highest))
    return look_up(table_of(op, x.q, q).to(x.values.device), x.values, x.q)


def table_of(op: Unary, x: Quantization, y: Quantization) -> Tensor:
    """Return the result's integer for each integer from x.low to x.high, computed once in float64."""
    reals = (torch.arange(x.low, x.high + 1, dtype=torch.float64) - x.zero) * x.scale[0]
    steps = torch.nan_to_num(op(reals) / y.scale[0])
    return settle(steps, y)


def look_up(table: Tensor, integers: Tensor, q: Quantization) -> Tensor:
    """Return the table's entry for each integer of a tensor quantised as `q`."""
    index = integers.to(torch.int32) - q.low
    return table.index_select(0, index.reshape(-1)).reshape(integers.shape)


def _sum_of_two(op: Add | Sub, operands: Sequence[Operand], q: Quantization) -> Tensor:
    a, b = (x.centred.to(torch.float32) * _ratio(_scale(x), over=q.scale[0]).to(x.values.device) for x in _both(operands, q))
    return settle(op(a, b), q)


def _product_of_two(op: Mul, operands: Sequence[Operand], q: Quantization) -> Tensor:
    a, b = _both(operands, q)
    return requantize(a.centred * b.centred, _ratio(_scale(a), _scale(b), over=q.scale[0]), q)


def _both(operands: Sequence[Operand], q: Quantization) -> list[Operand]:
    """Return operands with integers; native whole numbers count as integers of scale 1."""
    return [x if x.q is not None else Operand(x.values, Quantization((1.0,), 0, 16)) for x in operands]


def _larger(op: Maximum | Minimum, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return op(*(_rescaled(x, q) for x in operands))


def _average(op: AvgPool, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Integer sum of each window, then one requantisation with the number of elements that count."""
    x = operands[0]
    size = 1
    for k in op.kernel:
        size *= k
    sums = torch.round(AvgPool(op.kernel, op.stride, op.padding, op.ceil, True)(x.centred) * size)
    counts = torch.round(AvgPool(op.kernel, op.stride, op.padding, op.ceil, True)(torch.ones_like(x.centred[:1, :1])) * size)
    if op.count_padding and not op.ceil:
        counts = torch.full_like(counts, size)
    elif op.count_padding:
        return _on_reals(op, operands, q)
    return requantize(sums, _ratio(_scale(x), over=q.scale[0]).to(sums.device) / counts.to(torch.float32), q)


def _reduce(op: Reduce, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    if op.kind in ("max", "min"):
        return _rescaled(Operand(op(x.values), x.q), q)
    if op.kind == "prod":
        return _on_reals(op, operands, q)
    sums = Reduce("sum", op.axes, op.keep)(x.centred)
    count = 1
    for axis in op.axes:
        count *= x.values.shape[axis]
    factor = _ratio(_scale(x), over=q.scale[0])
    return requantize(sums, factor / count if op.kind == "mean" else factor, q)


def _softmax(op: Softmax, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    if op.log or x.q is None:
        return _on_reals(op, operands, q)
    integers = x.values.to(torch.int32)
    if len(operands) > 1:
        integers = torch.where(operands[1].values, integers, x.q.low)
    distance = integers.amax(op.axis, keepdim=True) - integers
    powers = look_up(exp_table(x.q).to(integers.device), distance, Quantization((1.0,), bits=16, signed=False))
    if len(operands) > 1:
        powers = torch.where(operands[1].values, powers, 0.0)
    total = powers.sum(op.axis, keepdim=True).clamp_(min=1.0)
    return settle(powers / total / q.scale[0], q)


def exp_table(q: Quantization) -> Tensor:
    """Return round(2²⁰ · e^(−scale·d)) as float64 for each distance d between two integers."""
    distances = torch.arange(q.high - q.low + 1, dtype=torch.float64)
    return torch.round(torch.exp(-distances * q.scale[0]) * (1 << EXP_BITS))


def _normalize(op: LayerNorm | GroupNorm | RmsNorm, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """(n·q − Σq) / √(n·Σq² − (Σq)² + ε·(n/s)²), times weight, plus bias; without the mean terms for RMS norm."""
    x, affine = operands[0], [p.real.to(torch.float64) for p in operands[1:]]
    values = x.centred
    shape = values.shape
    if isinstance(op, GroupNorm):
        values = values.reshape(shape[0], op.groups, -1)
        affine = [p.reshape(-1, *[1] * (len(shape) - 2)) for p in affine]
    axes = tuple(range(values.dim() - (1 if isinstance(op, GroupNorm) else op.dims), values.dim()))
    n = 1
    for axis in axes:
        n *= values.shape[axis]
    first, second = values.sum(axes, keepdim=True), values.square().sum(axes, keepdim=True)
    if isinstance(op, RmsNorm):
        first = torch.zeros_like(first)
    spread = torch.sqrt(n * second - first.square() + op.eps * (n / _scale(x)) ** 2)
    result = ((n * values - first) / spread).reshape(shape)
    if affine:
        result = result * affine[0]
    if len(affine) > 1:
        result = result + affine[1]
    return settle(result / q.scale[0], q)


def _on_reals(op: Operator, operands: Sequence[Operand], q: Quantization) -> Tensor:
    """Compute on real values in float64 and round once."""
    reals = [x.real.to(torch.float64) if x.q is not None or x.values.is_floating_point() else x.values for x in operands]
    return settle(torch.nan_to_num(op(*reals) / q.scale[0]), q)


def _resize(op: Resize, operands: Sequence[Operand], q: Quantization) -> Tensor:
    x = operands[0]
    if op.mode != "nearest":
        return _on_reals(op, operands, q)
    return _rescaled(Operand(op(x.values.to(torch.float32)).to(x.values.dtype), x.q), q)


def _widen(op: Reshape | Expand, operands: Sequence[Operand], q: Quantization) -> Tensor:
    return _rescaled(Operand(op(operands[0].values), operands[0].q), q)


_RULES: tuple[tuple[Any, Callable[[Any, Sequence[Operand], Quantization], Tensor]], ...] = (
    (Pad, _pad),
    (Concat, _concat),
    (Reshape | Expand, _widen),
    (Move, _move),
    (Gather, _gather),
    (Where, _where),
    (MaxPool, _max_pool),
    (AvgPool, _average),
    (Reduce, _reduce),
    (Unary, _table),
    (Add | Sub, _sum_of_two),
    (Mul, _product_of_two),
    (Maximum | Minimum, _larger),
    (Softmax, _softmax),
    (LayerNorm | GroupNorm | RmsNorm, _normalize),
    (Resize, _resize),
)
