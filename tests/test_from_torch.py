"""Every layer and function in scope, one small module for each: the graph computes what torch computes, at any batch size."""

from __future__ import annotations

import json
import logging
import operator
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from crossloom.errors import ModelError
from crossloom.network.graph import Graph, infer, verify
from crossloom.network.importers.torch import lower_aten
from crossloom.network.importers.torch.aten import RULES
from crossloom.network.importers.torch.aten.pointwise import kind_of
from crossloom.network.importers.torch.from_torch import from_program, from_pt2, from_torch
from crossloom.network.importers.torch.pt2 import _harmless
from crossloom.network.operators import BatchNorm, Conv, Linear, MatMul, Unsupported
from crossloom.network.text import parse_graph
from crossloom.network.types import Batch, TensorType
from tests.hostile import answers

TOLERANCE = 1e-5


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any], **tensors: Tensor) -> None:
        super().__init__()
        self.function = function
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, **dict(self.named_buffers()))


@pytest.fixture(autouse=True)
def untraced() -> None:
    """Keep torch from writing a structured log of each export for pytest to capture: it takes a quarter of the time."""
    logging.getLogger("torch.__trace").handlers.clear()


Case = tuple[Callable[[], nn.Module], tuple[Any, ...]]
CASES: dict[str, Case] = {}


def layer(name: str, make: Callable[[], nn.Module], *shapes: Any) -> None:
    """Add a case: a module and the shapes of its inputs without the batch. A shape may be a function of the batch instead."""
    assert name not in CASES
    CASES[name] = (make, shapes)


def function(name: str, compute: Callable[..., Any], *shapes: Any, **tensors: Tensor) -> None:
    """Add a case: a function of tensors of these shapes."""
    layer(name, lambda: Apply(compute, **tensors), *shapes)


def sample(shapes: tuple[Any, ...], batch: int) -> tuple[Tensor, ...]:
    return tuple(shape(batch) if callable(shape) else torch.randn(batch, *shape) for shape in shapes)


def ids(*shape: int, high: int = 7) -> Callable[[int], Tensor]:
    return lambda batch: torch.randint(high, (batch, *shape))


def flags(*shape: int) -> Callable[[int], Tensor]:
    return lambda batch: torch.rand(batch, *shape) > 0.4


def beyond(*shape: int) -> Callable[[int], Tensor]:
    """Integers beyond sixteen bits, of both signs."""
    return lambda batch: torch.randint(-(10**6), 10**6, (batch, *shape))


def above(*shape: int) -> Callable[[int], Tensor]:
    return lambda batch: torch.rand(batch, *shape) + 0.1


def extreme(*shape: int, among: tuple[float, ...] = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0)) -> Callable[[int], Tensor]:
    """Numbers of which half are replaced by these."""

    def make(batch: int) -> Tensor:
        chosen = torch.tensor(among)[torch.randint(len(among), (batch, *shape))]
        return torch.where(torch.rand(batch, *shape) < 0.5, chosen, torch.randn(batch, *shape))

    return make


IMAGE, ROW, SEQUENCE = (4, 9, 8), (6,), (5, 8)

# Products
layer("conv1d", lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (4, 11))
layer("conv2d", lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), IMAGE)
layer("conv3d", lambda: nn.Conv3d(2, 3, 3, padding=1, stride=(1, 2, 1)), (2, 4, 5, 6))
layer("conv2d same", lambda: nn.Conv2d(4, 6, 4, padding="same"), IMAGE)
layer("conv2d same dilated", lambda: nn.Conv2d(4, 6, (2, 3), padding="same", dilation=(1, 2)), IMAGE)
layer("conv2d valid", lambda: nn.Conv2d(4, 6, 3, padding="valid"), IMAGE)
layer("conv2d dilated", lambda: nn.Conv2d(4, 6, 3, dilation=2, padding=2), IMAGE)
layer("conv2d groups", lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), IMAGE)
layer("conv2d depthwise", lambda: nn.Conv2d(4, 8, 3, groups=4), IMAGE)
layer("conv2d uneven", lambda: nn.Conv2d(4, 6, (1, 3), stride=(2, 1), padding=(0, 1)), IMAGE)
for mode in ("circular", "reflect", "replicate"):
    layer(f"conv2d {mode}", lambda mode=mode: nn.Conv2d(4, 6, 3, padding=1, padding_mode=mode), IMAGE)
layer("conv_transpose1d", lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 7))
layer("conv_transpose2d", lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), IMAGE)
layer("conv_transpose2d groups", lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2), IMAGE)
layer("conv_transpose3d", lambda: nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 3, 4, 3))
layer("linear", lambda: nn.Linear(6, 5), ROW)
layer("linear sequence", lambda: nn.Linear(8, 3, bias=False), SEQUENCE)
layer("bilinear", lambda: nn.Bilinear(6, 5, 4), ROW, (5,))
function("matmul weight", lambda x, w: x @ w, SEQUENCE, w=torch.randn(8, 3))
function("matmul", operator.matmul, SEQUENCE, (8, 4))
function("matmul broadcast", operator.matmul, (3, 5, 8), (1, 8, 4))
function("matmul vector", lambda x, v: x @ v, SEQUENCE, v=torch.randn(8))
function("bmm", torch.bmm, SEQUENCE, (8, 4))
function("baddbmm", lambda c, a, b: torch.baddbmm(c, a, b, beta=0.5, alpha=2.0), (5, 4), SEQUENCE, (8, 4))
function("addmm", lambda x, b, w: torch.addmm(b, x, w), ROW, b=torch.randn(3), w=torch.randn(6, 3))
function("addmm scaled", lambda x, b, w: torch.addmm(b, x, w, beta=2.0, alpha=0.5), ROW, b=torch.randn(3), w=torch.randn(6, 3))
for equation, shapes in {
    "bik,bkj->bij": (SEQUENCE, (8, 4)),
    "bid,bjd->bij": (SEQUENCE, (4, 8)),
    "bhid,bhjd->bhij": ((2, 5, 8), (2, 5, 8)),
    "bic->bci": (SEQUENCE,),
    "bic->bi": (SEQUENCE,),
    "bik,bkj": (SEQUENCE, (8, 4)),
    "b...k,bk->b...": (SEQUENCE, (8,)),
    "bic,bjc->bij": (SEQUENCE, (3, 8)),
    "bi,bic,bc->b": ((5,), SEQUENCE, (8,)),
    "bi,bj->bij": ((5,), (3,)),
    "bi,bjk->bi": ((5,), (3, 2)),
    "bi,bi->bi": ((5,), (5,)),
    "bi,bj,bk->bkji": ((5,), (3,), (2,)),
    "bii->bi": ((5, 5),),
    "bii,bij->bj": ((5, 5), (5, 3)),
    "biji->b": ((5, 3, 5),),
    "b...,b...i->b...": (SEQUENCE, (8, 2)),
    "...ik,...kj->...ij": ((2, 5, 8), (1, 8, 4)),
    "b...->b": (SEQUENCE,),
    "bA,ba,bA": ((5,), (3,), (5,)),
    "bij,bjk->bik": ((5, 1), (3, 2)),
}.items():
    function(f"einsum {equation}", lambda *x, e=equation: torch.einsum(e, *x), *shapes)
function("einsum of fewer dims", lambda x, w: torch.einsum("...ni,...i->...n", x, w), SEQUENCE, w=torch.randn(8))
function("einsum of three", lambda x, v, w: torch.einsum("ij,bnj,ki->bkn", w, x, v), SEQUENCE, v=torch.randn(2, 3), w=torch.randn(3, 8))
function("einsum weight right", lambda x, w: torch.einsum("bnd,de->bne", x, w), SEQUENCE, w=torch.randn(8, 3))
function("einsum weight left", lambda x, w: torch.einsum("ed,bnd->ben", w, x), SEQUENCE, w=torch.randn(3, 8))
function("tensordot", lambda x, w: torch.tensordot(x, w, dims=([2], [0])), SEQUENCE, w=torch.randn(8, 3))
function("outer", lambda x, v: torch.outer(x[:, 0], v), ROW, v=torch.randn(4))
function("inner", lambda x, w: torch.inner(x, w), SEQUENCE, w=torch.randn(3, 8))
function("inner vector", lambda x, v: torch.inner(x, v) * torch.inner(v, x), SEQUENCE, v=torch.randn(8))
function("inner number", lambda x: torch.inner(x, torch.tensor(2.0)), SEQUENCE)
function("inner many dims", lambda x, w: torch.inner(x, w), SEQUENCE, w=torch.randn(2, 3, 8))
function("inner data", torch.inner, SEQUENCE, lambda batch: torch.randn(7, 8))
function("addbmm", lambda a, b: torch.addbmm(torch.ones(5, 4), a, b, beta=0.5, alpha=2.0), SEQUENCE, (8, 4))
function("addbmm weight", lambda x, b, w: torch.addbmm(b, x.transpose(0, 1), w), SEQUENCE, b=torch.randn(3), w=torch.randn(5, 8, 3))

# Normalisations
layer("batch_norm1d", lambda: nn.BatchNorm1d(6), ROW)
layer("batch_norm2d", lambda: nn.BatchNorm2d(4), IMAGE)
layer("batch_norm2d plain", lambda: nn.BatchNorm2d(4, affine=False), IMAGE)
layer("batch_norm3d", lambda: nn.BatchNorm3d(2), (2, 3, 4, 3))
layer("layer_norm", lambda: nn.LayerNorm(8), SEQUENCE)
layer("layer_norm two dims", lambda: nn.LayerNorm((5, 8)), SEQUENCE)
layer("layer_norm plain", lambda: nn.LayerNorm(8, elementwise_affine=False), SEQUENCE)
layer("layer_norm without bias", lambda: nn.LayerNorm(8, bias=False), SEQUENCE)
layer("group_norm", lambda: nn.GroupNorm(2, 4), IMAGE)
layer("group_norm plain", lambda: nn.GroupNorm(2, 4, affine=False), IMAGE)
layer("instance_norm", lambda: nn.InstanceNorm2d(4, affine=True), IMAGE)
layer("instance_norm tracking", lambda: nn.InstanceNorm2d(4, track_running_stats=True), IMAGE)
layer("rms_norm", lambda: nn.RMSNorm(8, eps=1e-6), SEQUENCE)
layer("rms_norm default eps", lambda: nn.RMSNorm(8), SEQUENCE)
layer("local_response_norm", lambda: nn.LocalResponseNorm(3), IMAGE)
layer("weight_norm", lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), ROW)
layer("spectral_norm", lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)), ROW)
function("normalize", lambda x: F.normalize(x, dim=1), SEQUENCE)
function("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, dim=-1), SEQUENCE, SEQUENCE)


# Activations: the functions of a name in one module, for each export costs a twentieth of a second
class All(nn.Module):
    """Several modules on the same input."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return tuple(part(x) for part in self.parts)


layer("relus", lambda: All(nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.PReLU(), nn.PReLU(5), nn.RReLU(), nn.Threshold(0.1, -0.2)), SEQUENCE)
layer("exponential units", lambda: All(nn.ELU(0.7), nn.SELU(), nn.CELU(0.8), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish()), SEQUENCE)
layer("squashing", lambda: All(nn.Sigmoid(), nn.Tanh(), nn.Hardsigmoid(), nn.Hardtanh(-0.5, 0.8), nn.Hardswish(), nn.Softsign()), SEQUENCE)
layer("softplus", lambda: All(nn.Softplus(), nn.Softplus(beta=2), nn.LogSigmoid()), SEQUENCE)
layer("shrinking", lambda: All(nn.Tanhshrink(), nn.Softshrink(0.3), nn.Hardshrink(0.3)), SEQUENCE)
layer("softmax", lambda: All(nn.Softmax(-1), nn.LogSoftmax(1), nn.Softmin(-1)), SEQUENCE)
layer("softmax2d", lambda: nn.Softmax2d(), IMAGE)
layer("glu", lambda: nn.GLU(), SEQUENCE)
layer("dropouts", lambda: nn.Sequential(nn.Dropout(), nn.Dropout1d(), nn.AlphaDropout(), nn.Identity(), nn.ReLU()), SEQUENCE)
layer("in place", lambda: nn.Sequential(nn.ReLU(inplace=True), nn.SiLU(inplace=True), nn.Dropout(inplace=True)), SEQUENCE)

ANYWHERE = "abs neg exp erf sin cos tan atan floor ceil round sign square trunc frac exp2 expm1"
ABOVE_ZERO = "sqrt rsqrt log log1p log2 log10 reciprocal"
function("functions", lambda x: tuple(getattr(torch, name)(x) for name in ANYWHERE.split()), SEQUENCE)
function("functions above zero", lambda x: tuple(getattr(torch, name)(x) for name in ABOVE_ZERO.split()), above(5, 8))
function("round", lambda x: (torch.round(x, decimals=2), torch.round(x * 100, decimals=-1), torch.round(x, decimals=0)), SEQUENCE)
function("nan_to_num", lambda x: torch.nan_to_num(torch.log(x), nan=0.5), SEQUENCE)
function("isinf", lambda x: torch.isinf(1 / torch.relu(x)).sum(-1), SEQUENCE)

# What is no plain number
INFINITIES = (float("inf"), -float("inf"), -float("inf"))
function("shrinking of NaN", lambda x: (F.threshold(x, 0.1, -0.2), F.hardshrink(x, 0.3), F.softshrink(x, 0.3)), extreme(40))
function("fmax and fmin", lambda x, y: (torch.fmax(x, y), torch.fmin(x, y), torch.fmax(x, torch.tensor(0.5))), extreme(40), extreme(40))
function("fmax of integers", lambda i, a: (torch.fmax(i, i - 1), torch.fmin(a, ~a)), ids(6), flags(6))
function("maximum of NaN", lambda x, y: (torch.maximum(x, y), torch.minimum(x, y), x.clamp(-y, y)), extreme(40), extreme(40))
function("logsumexp of infinities", lambda x: (x.logsumexp(-1), x.logsumexp((1, 2), True)), extreme(9, 2, among=INFINITIES))
function("logsumexp of NaN", lambda x: x.logsumexp(-1), extreme(9, 2))
function("logsumexp of nothing", lambda x: torch.where(x > 9, x, -float("inf")).logsumexp(-1), ROW)
function("logaddexp of infinities", torch.logaddexp, extreme(40), extreme(40))
function("variance of too few", lambda x: (x.var(-1, correction=8), x.std(-1, correction=9), (0 * x).var(1, correction=7)), SEQUENCE)

function("signs", lambda x, i: (torch.signbit(x.nan_to_num()), torch.signbit(i - 3), torch.copysign(i, x.nan_to_num())), extreme(6), ids(6))
function("atan2", torch.atan2, (40,), (40,))
function("atan2 of anything", lambda y, x: (torch.atan2(y, x), torch.atan2(x, torch.tensor(-2.0))), extreme(90), extreme(90))
function("atan2 of zeros", lambda y, x: torch.atan2(y, x).reciprocal(), extreme(30, among=(0.0, -0.0)), extreme(30, among=(0.0, -0.0)))
function("atan2 of integers", lambda i, j: torch.atan2(i - 2, j - 3), ids(40, high=5), ids(40))

# Pools
layer("max_pool1d", lambda: nn.MaxPool1d(3, 2), (4, 11))
layer("max_pool2d", lambda: nn.MaxPool2d(3, 2, 1), IMAGE)
layer("max_pool2d ceil", lambda: nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE)
layer("max_pool2d dilated", lambda: nn.MaxPool2d(2, 1, dilation=2), IMAGE)
layer("max_pool3d", lambda: nn.MaxPool3d(2), (2, 4, 5, 6))
layer("avg_pool1d", lambda: nn.AvgPool1d(3, 2, 1), (4, 11))
layer("avg_pool2d", lambda: nn.AvgPool2d((3, 2), 2, (1, 0)), IMAGE)
layer("avg_pool2d ceil", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE)
layer("avg_pool2d inside", lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE)
layer("avg_pool2d ceil inside", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE)
layer("avg_pool2d divisor", lambda: nn.AvgPool2d(3, 2, 1, divisor_override=5), IMAGE)
layer("avg_pool3d", lambda: nn.AvgPool3d(2), (2, 4, 5, 6))
function("pools of one size", lambda x: (F.max_pool2d(x, [3]), F.avg_pool2d(x, [3], [2]), F.avg_pool2d(x, [2], divisor_override=3)), IMAGE)
layer("lp_pool2d", lambda: nn.LPPool2d(2, 3), IMAGE)
for size in (1, 4, (3, None), (9, 8), (7, 5)):
    layer(f"adaptive_avg_pool2d {size}", lambda size=size: nn.AdaptiveAvgPool2d(size), IMAGE)
layer("adaptive_avg_pool1d", lambda: nn.AdaptiveAvgPool1d(3), (4, 11))
layer("adaptive_avg_pool3d", lambda: nn.AdaptiveAvgPool3d(1), (2, 3, 4, 3))
layer("adaptive_max_pool1d", lambda: nn.AdaptiveMaxPool1d(3), (4, 11))
layer("adaptive_max_pool2d 1", lambda: nn.AdaptiveMaxPool2d(1), IMAGE)
layer("adaptive_max_pool2d", lambda: nn.AdaptiveMaxPool2d((4, 3)), IMAGE)

# Arithmetic
for sign, compute in {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}.items():
    function(f"{sign} tensors", lambda x, y, f=compute: (f(x, y), f(x, y[:, :1]), f(y[..., None], y[:, :1, None])), SEQUENCE, above(5, 8))
    function(f"{sign} constants", lambda x, v, f=compute: (f(x, 3), f(2.5, x), f(x, v), f(v, x)), above(5, 8), v=torch.rand(8) + 0.5)
function("add alpha", lambda x, y: torch.add(x, y, alpha=0.3), ROW, ROW)
function("sub alpha", lambda x, y: torch.sub(x, y, alpha=2), ROW, ROW)
function("integers", lambda i: i * 3 + 1 - i // 2 + i % 3, ids(6))
function("integers meet numbers", lambda i: i * 0.5 + i / 4, ids(6))
function("powers of integers", lambda i: (i**2, i**3, i**2.0, i**3.0, i**0.5, 2**i, 2.0**i, i.square()), ids(6))
function("powers of truth", lambda a: (a**2, a**3, a**2.0, 2**a, a.square()), flags(6))
function(
    "float_power", lambda i, x: (torch.float_power(i, 2), torch.float_power(i, i), torch.float_power(2, i), torch.float_power(x, 3)), ids(6), ROW
)
function("whole numbers are whole", lambda i: ((i - 3).trunc(), (i - 3).fix(), i.floor(), i.round(), i.nan_to_num(nan=0.5)), ids(6))
function("truth is no NaN", lambda a: torch.nan_to_num(a), flags(6))
function("floor_divide", lambda x: x // 0.3, ROW)
function("remainder", lambda x: x % 0.7, ROW)
function("fmod", lambda x: torch.fmod(x, 0.7), ROW)
function("div trunc", lambda x: torch.div(x, 0.3, rounding_mode="trunc"), ROW)
function("pow 2", lambda x: x**2, ROW)
function("pow 3", lambda x: x**3, ROW)
function("pow half", lambda x: x**0.5 + x**-0.5, above(6))
function("pow tensor", torch.pow, above(6), ROW)
function("number to the x", lambda x: 2.0**x, ROW)
function("maximum", torch.maximum, ROW, ROW)
function("minimum number", lambda x: torch.minimum(x, torch.tensor(0.2)), ROW)
function("clamp", lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.3) + torch.clamp_min(x, 0), ROW)
function("clamp tensors", lambda x, v: torch.clamp(x, -v, v), ROW, v=torch.rand(6))
function("clamp integers", lambda i: i.clamp(2, 4), ids(6))
function("addcmul", lambda x, y: torch.addcmul(x, x, y, value=0.5) + torch.addcdiv(x, y, y.abs() + 1), ROW, ROW)
function("lerp", lambda x, y: torch.lerp(x, y, 0.3), ROW, ROW)
function("logaddexp", torch.logaddexp, ROW, ROW)
function("comparisons", lambda x, y: (x > y).float() + (x <= 0.2).float() + (x == x).float() + (x != y).float(), ROW, ROW)
function("logic", lambda a, b: (a & ~b) | torch.logical_xor(a, b), flags(6), flags(6))
function("truth in arithmetic", lambda a, x: x * a + (a + a).sum(), flags(6), ROW)
function("where", lambda a, x: torch.where(a, x, 0.0) + torch.where(x > 0, x, -x), flags(6), ROW)
function("masked_fill", lambda x, a: x.masked_fill(a, -1e4).softmax(-1), ROW, flags(6))
function("casts", lambda i, x: i.float() + x.to(torch.int64).to(x.dtype) + (x > 0).long(), ids(6), ROW)
for narrow in (torch.uint8, torch.int8, torch.int16):
    function(f"cast to {narrow}", lambda i, t=narrow: (i.to(t).float() + 0.5, (i // 7).to(t), i.type_as(torch.zeros(1, dtype=t)) > 5), beyond(40))
function("cast of a cast", lambda x: ((x * 300).long().to(torch.uint8), (x > 0).to(torch.uint8), (x * 3).to(torch.int8)), ROW)
function("half precision", lambda x: (x.half().float() > 10) | (x.to(torch.float64) < -10), ROW)

# Moves
function("cat", lambda x, y: torch.cat([x, y, x], 1), SEQUENCE, (3, 8))
function("stack", lambda x, y: torch.stack([x, y], -1), ROW, ROW)
function("split", lambda x: sum(torch.split(x, 2, -1)), SEQUENCE)
function("split sizes", lambda x: torch.split(x, [1, 3, 4], 2)[1:], SEQUENCE)
function("chunk", lambda x: torch.chunk(x, 3, 1), SEQUENCE)
function("tensor_split", lambda x: torch.tensor_split(x, 3, 2) + torch.tensor_split(x, [2, 5], 2), SEQUENCE)
function("tensor_split backwards", lambda x: torch.tensor_split(x, [5, -6, 9], 2), SEQUENCE)
function("unbind", lambda x: x.unbind(1), SEQUENCE)
function("slices", lambda x: x[:, 1:-1, ::2] + x[:, -3:, 1::2], SEQUENCE)
function("select", lambda x: x[:, -1] + x[..., 0, :] + x.select(1, 2), SEQUENCE)
function("narrow", lambda x: x.narrow(2, 1, 4) + x.narrow(2, -4, 4), SEQUENCE)
function("flip", lambda x: x.flip(1, 2), SEQUENCE)
function("roll", lambda x: x.roll((1, -2), (1, 2)), SEQUENCE)
function("transpose", lambda x: x.transpose(1, 2) @ x + x.mT @ x, SEQUENCE)
function("permute", lambda x: x.permute(0, 3, 1, 2), IMAGE)
function("movedim", lambda x: x.movedim((1, 2), (3, 1)), IMAGE)
function("reshape", lambda x: x.reshape(-1, 40).view(x.shape[0], 8, -1), SEQUENCE)
function("reverse", lambda x: (x.T, x[0].T, x[0, 0].T), IMAGE)
function("flatten number", lambda x: x[..., None] * torch.ones(()).flatten() + x.sum().flatten(), ROW)
function("flatten", lambda x: x.flatten(1).unflatten(1, (2, -1)), SEQUENCE)
function("merge samples", lambda x: F.relu(x.reshape(-1, 8)).reshape(x.shape), SEQUENCE)
function("squeeze", lambda x: x.unsqueeze(1).squeeze(1).unsqueeze(-1).squeeze(), SEQUENCE)
function("expand", lambda x: x[:, None].expand(-1, 3, -1) + x.unsqueeze(1).expand(x.shape[0], 3, 6), ROW)
function("expand constant", lambda x, c: torch.cat([c.expand(x.shape[0], -1, -1), x], 1), SEQUENCE, c=torch.randn(1, 1, 8))
function("repeat", lambda x: x.repeat(1, 3).tile(2), ROW)
function("repeat constant", lambda x, c: torch.cat([c.repeat(2 * x.shape[0], 1), x.reshape(-1, 2)], 1), (4,), c=torch.randn(1, 3))
function("repeat_interleave", lambda x: x.repeat_interleave(3, dim=1), SEQUENCE)
function("repeat_interleave flat", lambda x: x.repeat_interleave(2), SEQUENCE)
function("repeat_interleave counts", lambda x: x.repeat_interleave(torch.tensor([1, 2, 0, 1, 3]), 1), SEQUENCE)
function("broadcast_to", lambda x, y: x.broadcast_to(y.shape) + torch.broadcast_tensors(x, y)[0], (1, 8), SEQUENCE)
function("diagonal", lambda x: x[:, :, :5].diagonal(dim1=1, dim2=2) + x.diagonal(1, 1, 2), SEQUENCE)
function("diagonal past the edge", lambda x: (x.diagonal(8, 1, 2), x.diagonal(9, 1, 2), x.diagonal(-6, 1, 2)), SEQUENCE)
function("triangles", lambda x: x.tril() + x.triu(1) + x.tril(-2), SEQUENCE)
function("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2) + F.pixel_shuffle(x, 2), IMAGE)
function("pixel_unshuffle", lambda x: F.pixel_unshuffle(x[:, :, :8], 2), IMAGE)
function("pixel_shuffle of fewer and more dims", lambda x: (F.pixel_shuffle(x, 2), F.pixel_shuffle(x[:, 0], 2)), (2, 4, 9, 8))
function("pixel_unshuffle of fewer and more dims", lambda x: (F.pixel_unshuffle(x, 2), F.pixel_unshuffle(x[:, 0, 0], 2)), (2, 4, 6, 8))
layer("channel_shuffle", lambda: nn.ChannelShuffle(2), IMAGE)
for mode in ("constant", "reflect", "replicate", "circular"):
    function(f"pad {mode}", lambda x, m=mode: F.pad(x, (1, 2, 0, 1), mode=m), IMAGE)
    function(f"pad {mode} 1d", lambda x, m=mode: F.pad(x, (2, 1), mode=m), SEQUENCE)
function("pad value", lambda x: F.pad(x, (0, 0, 1, 1), value=-2.0), SEQUENCE)
function("pad negative", lambda x: F.pad(x, (-1, 2)), SEQUENCE)
layer("zero_pad", lambda: nn.ZeroPad2d((0, 1, 2, 0)), IMAGE)
layer("unfold", lambda: nn.Unfold(3, dilation=2, padding=1, stride=2), IMAGE)
function("unfold without channels", lambda x: F.unfold(x, (3, 2), padding=1), (9, 8))
function("tensor unfold", lambda x: x.unfold(1, 3, 2).unfold(2, 2, 2), SEQUENCE)
function("meshgrid", lambda v: sum(torch.meshgrid(v[0], v[0, :2] * 2, indexing="xy")), lambda batch: torch.ones(batch, 3))

# Resizing
for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
    function(f"resize {mode} x2", lambda x, m=mode: F.interpolate(x, scale_factor=2, mode=m), IMAGE)
    function(f"resize {mode} size", lambda x, m=mode: F.interpolate(x, (5, 13), mode=m), IMAGE)
for mode in ("nearest", "nearest-exact", "bilinear"):
    function(f"resize {mode} x1.3", lambda x, m=mode: F.interpolate(x, scale_factor=1.3, mode=m), IMAGE)
    function(f"resize {mode} x0.4", lambda x, m=mode: F.interpolate(x, scale_factor=0.4, mode=m), IMAGE)
function("resize aligned", lambda x: F.interpolate(x, (5, 13), mode="bilinear", align_corners=True), IMAGE)
function("resize recomputed", lambda x: F.interpolate(x, scale_factor=1.3, mode="bicubic", recompute_scale_factor=True), IMAGE)
function("resize 1d", lambda x: F.interpolate(x, 9, mode="linear") + F.interpolate(x, 9), SEQUENCE)
function("resize 3d", lambda x: F.interpolate(x, (2, 6, 5), mode="trilinear"), (2, 4, 3, 5))

# Choosing by index
layer("embedding", lambda: nn.Embedding(7, 5, padding_idx=0), ids(6))
function("gather", lambda x, i: x.gather(1, i), SEQUENCE, ids(2, 8, high=5))
function("index_select", lambda x: x.index_select(1, torch.tensor([0, 3, 3])), SEQUENCE)
function("index constant", lambda x: x[:, [4, -1, 0]], SEQUENCE)
function("index pair", lambda x: x[:, [0, -1], [2, -3]], SEQUENCE)
function("index apart", lambda x: x[:, [0, 1], :, [2, 3]], IMAGE)
function("index table", lambda i, t: t[i], ids(6), t=torch.randn(7, 3))
function("index known mask", lambda x: x[:, torch.tensor([True, False, True, True, False])], SEQUENCE)
function("index known mask of two dims", lambda x: x[:, torch.ones(5, 8).tril().bool()], SEQUENCE)
function("index by sample", lambda x, i: x[torch.arange(x.shape[0]), i], SEQUENCE, ids(high=5))
function("index by sample, several", lambda x, i: x[torch.arange(x.shape[0])[:, None], i, i % 3], SEQUENCE, ids(2, high=5))
function("last token", lambda x, i: x[torch.arange(x.shape[0]), i.argmax(-1)], SEQUENCE, ids(5))
function("take_along_dim", lambda x, i: torch.take_along_dim(x, i[:, :, None], 1), SEQUENCE, ids(2, high=5))
function("one_hot", lambda i: F.one_hot(i, 7).float(), ids(6))
function(
    "slice_scatter of nothing", lambda x: torch.slice_scatter(x, x[:, 4:2] * 2, 1, 4, 2) + _assigned(x, (slice(None), slice(-1, -3)), 3.0), SEQUENCE
)
function("masked assignment", lambda x: _assigned(x, x > 0.5, 2.0), ROW)


def _assigned(x: Tensor, place: Any, value: Any) -> Tensor:
    x = x.clone()
    x[place] = value
    return x


# Reductions
for reduce in (torch.sum, torch.mean, torch.amax, torch.amin, torch.var, torch.std):
    function(f"{reduce.__name__} last", lambda x, f=reduce: f(x, -1), SEQUENCE)
    function(f"{reduce.__name__} kept", lambda x, f=reduce: f(x, (1, 2), keepdim=True), SEQUENCE)
function("var biased", lambda x: x.var(1, unbiased=False) + torch.var(x, dim=1, correction=0), SEQUENCE)
function("var_mean", lambda x: torch.var_mean(x, dim=-1, keepdim=True), SEQUENCE)
function("std_mean", lambda x: torch.std_mean(x, dim=-1, correction=0), SEQUENCE)
function("prod", lambda x: x.prod(-1), ROW)
function("cumsum", lambda x: x.cumsum(1), SEQUENCE)
function("max with places", lambda x: x.max(-1), SEQUENCE)
function("min with places", lambda x: x.min(1, keepdim=True), SEQUENCE)
function("argmax", lambda x: (x.argmax(-1), x.argmin(1)), SEQUENCE)
function("argmax of all", lambda x: (x.argmax(), x.argmax(None, True), x.argmin(None, True)), SEQUENCE)
function("logsumexp", lambda x: (torch.logsumexp(x, -1), torch.logsumexp(x * 100, (1, 2), keepdim=True)), SEQUENCE)
function("any and all", lambda a: a.any(-1) | a.all(1), flags(4, 4))
function("count", lambda a: a.sum(-1) + a.cumsum(-1)[:, -1], flags(6))
function(
    "norms",
    lambda x: x.norm(dim=-1) + torch.linalg.vector_norm(x, 1, dim=-1) + torch.linalg.vector_norm(x, float("inf"), -1),
    SEQUENCE,
)
function("norm of order 3", lambda x: torch.linalg.vector_norm(x, 3, dim=-1), SEQUENCE)

# Attention
HEADS = (2, 5, 8)
sdpa = F.scaled_dot_product_attention
function("sdpa", sdpa, HEADS, HEADS, HEADS)
function("sdpa causal", lambda q, k, v: sdpa(q, k, v, is_causal=True, scale=0.3), HEADS, HEADS, HEADS)
function("sdpa truth mask", lambda q, k, v, m: sdpa(q, k, v, m), HEADS, HEADS, HEADS, flags(1, 5, 5))
function("sdpa blind row", lambda q, m: sdpa(q, q, q, m), HEADS, m=torch.tensor([[False] * 5, *[[True] * 5] * 4]))
function("sdpa number mask", lambda q, k, v, m: sdpa(q, k, v, m), HEADS, HEADS, HEADS, (1, 5, 5))
function("sdpa blind row of numbers", lambda q, m: sdpa(q, q, q, m), HEADS, m=torch.zeros(5, 5).index_fill(0, torch.tensor([1, 3]), -float("inf")))
function("sdpa number mask that hides", lambda q, m: sdpa(q, q[:, :, :2], q[:, :, :2], m), HEADS, extreme(1, 5, 2, among=(-float("inf"),)))
function("sdpa mask made of numbers", lambda q, a: sdpa(q, q, q, torch.zeros(a.shape).masked_fill(a, -float("inf"))[:, None, None]), HEADS, flags(5))
function("sdpa grouped", lambda q, k, v: sdpa(q, k, v, enable_gqa=True), (4, 5, 8), HEADS, HEADS)
layer("multihead attention", lambda: _Attention(need_weights=True), SEQUENCE)
layer("multihead attention, fast", lambda: _Attention(need_weights=False), SEQUENCE)
layer("multihead attention, mask", lambda: _Attention(need_weights=False), SEQUENCE, lambda batch: _some(batch, 5))
layer("transformer encoder", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SEQUENCE)
layer(
    "transformer encoder, pre-norm",
    lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.1, F.gelu, batch_first=True, norm_first=True),
    SEQUENCE,
)
layer("transformer decoder", lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), SEQUENCE, (3, 8))


class _Attention(nn.Module):
    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Any:
        y, weights = self.attention(x, x, x, key_padding_mask=hidden, need_weights=self.need_weights)
        return (y, weights) if self.need_weights else y


def _some(batch: int, length: int) -> Tensor:
    """A padding mask that hides something, but not everything, of each sequence."""
    return torch.arange(length) >= torch.randint(1, length + 1, (batch, 1))


# In place
function("relu_ of a sum", lambda x, y: (x + y).relu_().add_(x).mul_(2), ROW, ROW)
function("read after change", lambda x: _chain(x * 2), ROW)
function("change through a view", lambda x: _through_view(x * 1.5), SEQUENCE)
function("view before change", lambda x: _view_before(x * 1.5), SEQUENCE)
function("comparison in place", lambda x, y: _twice((x * 2).gt_(y), (x * 2).le_(0.3), (x + y).logical_not_(), (x + y).eq_(x + y)), ROW, ROW)
function("comparison of integers in place", lambda i: _twice((i * 2).ge_(3), (i > 2).logical_or_(i > 4)), ids(6))
function("comparison in place through a view", lambda x: _through_comparison(x * 1.5), SEQUENCE)
function("change of an input", lambda x: x.add_(1) * 2, ROW)
function("slice assignment", lambda x: _assigned(x, (slice(None), slice(1, 3)), x[:, :2] * 2), SEQUENCE)
function("strided assignment", lambda x: _assigned(x, (slice(None), slice(None), slice(1, None, 2)), 0.5), SEQUENCE)
function("row assignment", lambda x: _assigned(x, (slice(None), 1), x[:, 0]), SEQUENCE)
function("constant made in place", lambda x: x + _regions(x), SEQUENCE)
function("constant changed after use", lambda x: _counter(x), ROW)
function("shift right", lambda i: _shifted(i), ids(6))


def _chain(x: Tensor) -> Tensor:
    y = x.relu_()
    y.add_(1)
    z = x * y  # all three names are one tensor
    y.neg_()
    return z + x


def _through_view(x: Tensor) -> Tensor:
    x[:, 1].mul_(3)
    x.view(x.shape[0], -1)[:, :2].zero_()
    return x.exp()


def _twice(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What changed in place is added to itself: the sum of truth values would be another."""
    return tuple(x + x for x in tensors)


def _through_comparison(x: Tensor) -> Tensor:
    x[:, 1].gt_(0.2)
    return x + x


def _view_before(x: Tensor) -> Tensor:
    first = x[:, 0]
    x.add_(1)
    return first * 2 + x[:, 1]


def _regions(x: Tensor) -> Tensor:
    mask = x.new_zeros(5, 8)
    for i, rows in enumerate((slice(0, 2), slice(2, 4), slice(4, 5))):
        mask[rows, 3:] = i
    return mask


def _counter(x: Tensor) -> Tensor:
    count = torch.zeros(6)
    y = x + count
    count += 1
    return y * 2 + count


def _shifted(i: Tensor) -> Tensor:
    shifted = i.new_zeros(i.shape)
    shifted[:, 1:] = i[:, :-1].clone()
    shifted[:, 0] = 3
    return shifted


# Modes and masks
class _Modes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            y = self.first(x).relu_()
        with torch.enable_grad():
            y = self.second(y) + y
        return y * 2


layer("gradient and autocast regions", _Modes, ROW)
function(
    "additive mask",
    lambda x, m: (x + (1.0 - m.float()[:, None]) * torch.finfo(x.dtype).min).softmax(-1),
    (4, 5),
    lambda b: ~_some(b, 5),
)
function("causal mask by position", lambda x: x.masked_fill(torch.ones(5, 8).triu(1).bool(), float("-inf")).softmax(-1), SEQUENCE)
function("positions from a mask", lambda m: m.long().cumsum(-1) * m, flags(6))


def replayed(graph: Graph, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Assert that the graph computes what the module does."""
    with torch.no_grad():
        wanted = module(*(x.clone() for x in inputs))
        given = graph(*(x.clone() for x in inputs))
    wanted, given = (tuple(y) if isinstance(y, tuple | list) else (y,) for y in (wanted, given))
    assert len(wanted) == len(given)
    for want, have in zip(wanted, given, strict=True):
        assert (want.shape, kind_of(want.dtype)) == (have.shape, kind_of(have.dtype))
        have = have.to(want.dtype)
        finite = want[want.isfinite()] if want.is_floating_point() else torch.ones(1)
        scale = max(float(finite.abs().max()) if finite.numel() else 0.0, 1e-3)
        torch.testing.assert_close(have, want, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True)


def whole(graph: Graph) -> None:
    """Assert that the graph is consistent: its text parses back, and its types are what its operators give."""
    verify(graph)
    text = str(graph)
    assert str(parse_graph(text)) == text
    for batch in (2, 5):
        for node in graph.nodes:
            made = infer(node.op, [graph.types[name] for name in node.inputs], batch)
            assert made == TensorType(node.type.dtype, node.type.sizes(batch)), node


@pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_layer(name: str) -> None:
    torch.manual_seed(0)
    make, shapes = CASES[name]
    module = make().eval()
    graph = from_torch(module, sample(shapes, 1))
    assert graph.batch is None
    for batch in (2, 3, 4):
        replayed(graph, module, sample(shapes, batch))
    whole(graph)


@settings(max_examples=15, deadline=None)
@given(
    space=st.integers(1, 3),
    groups=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.one_of(st.integers(0, 3), st.just("same"), st.just("valid")),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    transposed=st.booleans(),
)
def test_any_convolution(
    space: int,
    groups: int,
    widths: tuple[int, int],
    kernel: int,
    stride: int,
    padding: Any,
    dilation: int,
    bias: bool,
    transposed: bool,
) -> None:
    """Whatever the parameters, the graph holds one product with the module's own weight."""
    if isinstance(padding, str):
        stride, transposed = 1 if padding == "same" else stride, False
    kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d) if transposed else (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    module = kinds[space - 1](groups * widths[0], groups * widths[1], kernel, **options).eval()
    shape = (groups * widths[0], *(8 + i for i in range(space)))
    graph = from_torch(module, (torch.randn(1, *shape),))
    assert graph.batch is None and len(graph.nodes) == 1
    assert torch.equal(graph.constants["weight"], module.weight)
    replayed(graph, module, (torch.randn(3, *shape),))
    whole(graph)


# Each step makes a tensor of those before it, or changes one; whatever aliases what, the graph has to agree with torch.
STEPS: tuple[Callable[[Tensor, Tensor], Any], ...] = (
    lambda a, b: a[:, :2],
    lambda a, b: a.view(a.shape),
    lambda a, b: a.flip(1),
    lambda a, b: a[:, 1:].clone(),
    lambda a, b: a.add_(1.0),
    lambda a, b: a.mul_(b[:, :1].clone()),
    lambda a, b: a[:, 1].neg_(),
    lambda a, b: a[:, :2].copy_(b[:, :1].clone()),
    lambda a, b: a.relu_(),
    lambda a, b: a + b[:, :1],
    lambda a, b: F.dropout(a, 0.5, training=False),
    lambda a, b: torch.zeros(a.shape[1]) + 0.5,
    lambda a, b: a.new_ones(a.shape),
    lambda a, b: a.reshape(-1).reshape(a.shape),
    lambda a, b: torch.cat(a.chunk(2, 1)[::-1], 1),
)


def _program(steps: list[tuple[int, int, int]]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        tensors = [x * 2, torch.arange(8.0).reshape(2, 4)[:1].expand(x.shape).clone()]
        for step, first, second in steps:
            made = STEPS[step](tensors[first % len(tensors)], tensors[second % len(tensors)])
            tensors.append(made if made.dim() == 2 and made.shape[1] > 1 else tensors[0] * made.sum())
        return torch.stack([t.sum(1) for t in tensors], 1)

    return run


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=10))
def test_any_order_of_views_and_changes(steps: list[tuple[int, int, int]]) -> None:
    module = Apply(_program(steps))
    replayed(from_torch(module, (torch.randn(3, 4),)), module, (torch.randn(3, 4),))


# What comes out, not only what it computes


def kinds(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


@pytest.mark.parametrize("equation", ["bnd,de->bne", "bnd,ed->bne", "bnd,de->ben"])
def test_einsum_with_a_weight_is_a_linear_layer(equation: str) -> None:
    graph = from_torch(Apply(lambda x, w: torch.einsum(equation, x, w), w=torch.randn(8, 8)), (torch.randn(1, 5, 8),))
    assert any(isinstance(node.op, Linear) for node in graph.nodes)
    assert not any(isinstance(node.op, MatMul) for node in graph.nodes)


def test_masks_that_hide_nothing_vanish() -> None:
    def attend(x: Tensor) -> Tensor:
        seen = torch.ones(x.shape[0], 1, 5, 5, dtype=torch.bool)
        y = sdpa(x, x, x, seen)
        return sdpa(y, y, y, torch.zeros(5, 5).masked_fill(~seen, float("-inf"))) * 1.0 + 0

    graph = from_torch(Apply(attend), (torch.randn(1, 2, 5, 8),))
    assert kinds(graph) == ["Mul", "Transpose", "MatMul", "Softmax", "MatMul"] * 2


def test_weights_of_zero_and_one_stay() -> None:
    module = Apply(lambda x: x)
    module.scale, module.shift = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))
    module.function = lambda x: x * module.scale.reshape(1, 6) + module.shift
    assert kinds(from_torch(module, (torch.randn(1, 6),))) == ["Mul", "Add"]


def test_a_constant_for_each_sample_is_repeated_by_broadcasting() -> None:
    position = nn.Parameter(torch.randn(1, 5, 8))
    module = Apply(lambda x: x + position.expand(x.shape[0], -1, -1))
    module.position = position
    graph = from_torch(module, (torch.randn(1, 5, 8),))
    assert kinds(graph) == ["Add"]
    replayed(graph, module, (torch.randn(7, 5, 8),))


def test_names_and_places_are_those_of_the_model() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    graph = from_torch(module, (torch.randn(1, 1, 5, 5),), name="small")
    assert graph.name == "small"
    assert [node.name for node in graph.nodes] == ["0", "1", "2"]
    assert graph.node("0").inputs[1:] == ("0.weight", "0.bias")
    assert graph.node("0").origin.startswith("0 (conv.py:")
    assert graph.node("0").type == TensorType("f32", (Batch(), 2, 3, 3))
    assert isinstance(graph.node("0").op, Conv) and isinstance(graph.node("1").op, BatchNorm)


def test_weights_are_not_copied() -> None:
    module = nn.Linear(6, 5)
    graph = from_torch(module, (torch.randn(1, 6),))
    assert graph.constants["weight"].data_ptr() == module.weight.data_ptr()


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.BatchNorm1d(6), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(6)), Apply(lambda x: _counter(x)))
    module.train()
    module[1].eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    from_torch(module, (torch.randn(1, 6),))
    assert [part.training for part in module.modules()] == [True, True, False, False, False, True]
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def test_state_that_changes_in_place_is_not_touched() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return x + self.calls

    module = Counting()
    graph = from_torch(module, (torch.zeros(1, 6),))
    assert float(module.calls) == 0
    torch.testing.assert_close(graph(torch.zeros(3, 6)), torch.ones(3, 6))


def test_keywords_and_structures_as_inputs() -> None:
    class Two(nn.Module):
        def forward(self, pair: dict[str, Tensor], mask: Tensor | None = None, *, scale: Tensor, fixed: Tensor) -> Any:
            return {"sum": (pair["a"] + pair["b"] + fixed) * scale, "mask": mask}

    module, samples = Two(), {"a": torch.randn(1, 6), "b": torch.randn(1, 6)}
    graph = from_torch(module, (samples,), {"scale": torch.randn(1, 1), "fixed": torch.randn(6)})
    assert [str(type) for _, type in graph.inputs] == ["f32[N, 6]", "f32[N, 6]", "f32[N, 1]", "f32[6]"]
    inputs = torch.randn(3, 6), torch.randn(3, 6), torch.randn(3, 1), torch.randn(6)
    torch.testing.assert_close(graph(*inputs), (inputs[0] + inputs[1] + inputs[3]) * inputs[2])


def test_one_batch_size_only() -> None:
    """Where the samples are mixed there is no graph for any batch size; the one that was asked for still runs."""
    module = Apply(lambda x: torch.cumsum(x, 0) + torch.arange(x.shape[0])[:, None])
    graph = from_torch(module, (torch.randn(4, 6),))
    assert graph.batch == 4
    replayed(graph, module, (torch.randn(4, 6),))
    whole(graph)


# Saved programs


@pytest.mark.parametrize("opened", [True, False])
def test_pt2(tmp_path: Path, opened: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(36, 5)).eval()
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if opened else None
    path = tmp_path / "small.pt2"
    torch.export.save(torch.export.export(module, (torch.randn(2, 3, 5, 5),), dynamic_shapes=shapes), path)
    graph = from_pt2(path)
    assert graph.name == "small" and graph.batch == (None if opened else 2)
    replayed(graph, module, (torch.randn(7 if opened else 2, 3, 5, 5),))
    whole(graph)


def test_program_with_other_dimensions_open() -> None:
    open_length = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("length")},)
    program = torch.export.export(nn.Linear(8, 3), (torch.randn(2, 5, 8),), dynamic_shapes=open_length)
    with pytest.raises(ModelError, match="dimensions other than the batch are open"):
        from_program(program)


@pytest.mark.parametrize("content", [b"", b"not a program", b"PK\x03\x04 and no archive"])
def test_pt2_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.pt2"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"wrong\.pt2: not a program that torch.export.save wrote") as caught:
        from_pt2(path)
    assert "\n" not in str(caught.value)


def test_pt2_that_is_a_state_dict(tmp_path: Path) -> None:
    torch.save(nn.Linear(6, 5).state_dict(), tmp_path / "weights.pt2")
    with pytest.raises(ModelError, match=r"weights\.pt2: not a program"):
        from_pt2(tmp_path / "weights.pt2")


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _saved(path: Path) -> dict[str, bytes]:
    """Save a small program and return the files of its archive."""
    torch.export.save(torch.export.export(nn.Linear(6, 5), (torch.randn(2, 6),), dynamic_shapes=({0: torch.export.Dim("batch")},)), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def _pickled(value: Any) -> bytes:
    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _trapped_inputs(files: dict[str, bytes], trap: Path) -> None:
    files["model/data/sample_inputs/model.pt"] = _pickled(((_Trap(trap),), {}))


def _trapped_weight(files: dict[str, bytes], trap: Path) -> None:
    config = json.loads(files["model/data/weights/model_weights_config.json"])
    config["config"]["weight"]["use_pickle"] = True
    files["model/data/weights/model_weights_config.json"] = json.dumps(config).encode()
    files["model/data/weights/weight_0"] = _pickled(_Trap(trap))


def _trapped_object(files: dict[str, bytes], trap: Path) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    files["model/data/constants/model_constants_config.json"] = json.dumps({"config": {"thing": entry}}).encode()
    files["model/data/constants/opaque_obj_0"] = _pickled(_Trap(trap))


def _trapped_size(files: dict[str, bytes], trap: Path) -> None:
    code = json.dumps(f"open({str(trap)!r}, 'w')")
    files["model/models/model.json"] = re.sub(rb'"expr_str": "[^"]*"', f'"expr_str": {code}'.encode(), files["model/models/model.json"])


def _trapped_name(files: dict[str, bytes], trap: Path) -> None:
    name = json.dumps(f"input=open({str(trap)!r}, 'w')").encode()
    files["model/models/model.json"] = files["model/models/model.json"].replace(b'"input"', name)


def _trapped_target(files: dict[str, bytes], trap: Path) -> None:
    files["model/models/model.json"] = files["model/models/model.json"].replace(b"torch.ops.aten.linear.default", b"torch.hub.load")


@pytest.mark.parametrize("spoil", [_trapped_inputs, _trapped_weight, _trapped_object, _trapped_size, _trapped_name, _trapped_target])
def test_pt2_runs_nothing(tmp_path: Path, spoil: Callable[[dict[str, bytes], Path], None]) -> None:
    path, trap = tmp_path / "model.pt2", tmp_path / "sprung"
    files = _saved(path)
    _write(path, files)
    assert from_pt2(path).batch is None
    spoil(files, trap)
    _write(path, files)
    with pytest.raises(ModelError, match=r"model.pt2: .* may run code when it is loaded; export the plain network"):
        from_pt2(path)
    assert not trap.exists()


def test_a_program_cannot_write_a_file(tmp_path: Path) -> None:
    """There are operators of torch that touch files, and what depends on no input is computed on reading."""
    program = torch.export.export(Apply(lambda x: x + torch.zeros(6)), (torch.randn(2, 6),))
    (zeros,) = (node for node in program.graph.nodes if "zeros" in str(node.target))
    zeros.target, zeros.args, zeros.kwargs = torch.ops.aten.from_file.default, (str(tmp_path / "written"), True, 6), {}
    with pytest.raises(ModelError, match=r"aten.from_file at .*not one of torch's own operators"):
        from_program(program)
    assert not (tmp_path / "written").exists()


# Saved programs that mean harm: each is a plain one whose zeros were exchanged for something else


def _given(kind: int = 1, **arguments: Any) -> list[dict[str, Any]]:
    return [{"name": name, "arg": arg, "kind": kind} for name, arg in arguments.items()]


def _node(target: str, name: str, inputs: list[Any], output: str = "as_tensor") -> dict[str, Any]:
    given = [{"name": key, "arg": arg, "kind": 1} for key, arg in inputs]
    result = {"as_sym_int": {"as_name": name}} if output == "as_sym_int" else {"as_tensor": {"name": name}}
    return {"target": target, "inputs": given, "outputs": [result], "metadata": {}, "is_hop_single_tensor_return": None, "name": name}


def _described(like: dict[str, Any], sizes: list[int]) -> dict[str, Any]:
    return {**like, "sizes": [{"as_int": size} for size in sizes], "strides": [{"as_int": 1}] * len(sizes)}


def _harmed(path: Path, steps: Callable[[dict[str, Any]], list[dict[str, Any]]], **sizes: list[int]) -> Path:
    """Save x + zeros(4), with `steps` between the zeros and the sum; the last of them is what is added."""
    torch.export.save(torch.export.export(Apply(lambda x: x + torch.zeros(4)), (torch.randn(2, 4),)), path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (place,) = (name for name in files if name.endswith("models/model.json"))
    content = json.loads(files[place])
    graph = content["graph_module"]["graph"]
    zeros, add = graph["nodes"]
    graph["nodes"] = [zeros, *(new := steps(zeros)), add]
    graph["tensor_values"] |= {name: _described(graph["tensor_values"]["zeros"], shape) for name, shape in sizes.items()}
    graph["sym_int_values"] |= {node["name"]: {"as_int": 5} for node in new if "as_sym_int" in node["outputs"][0]}
    if new and "as_tensor" in new[-1]["outputs"][0]:
        add["inputs"][1]["arg"]["as_tensor"]["name"] = new[-1]["name"]
    files[place] = json.dumps(content).encode()
    _write(path, files)
    return path


def _tensor_of(name: str) -> tuple[str, Any]:
    return "self", {"as_tensor": {"name": name}}


def _window(target: str, *more: tuple[str, Any]) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """A view of 4 zeros that reaches far beyond them, is written to, and summed up."""
    arguments = [_tensor_of("zeros"), ("size", {"as_ints": [200]}), ("stride", {"as_ints": [1]}), *more]
    return lambda zeros: [
        _node(f"torch.ops.aten.{target}.default", "wide", arguments),
        _node("torch.ops.aten.fill_.Scalar", "full", [_tensor_of("wide"), ("value", {"as_float": 7.0})]),
        _node("torch.ops.aten.sum.default", "total", [_tensor_of("full")]),
    ]


def _enlarged(shape: list[int]) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    def steps(zeros: dict[str, Any]) -> list[dict[str, Any]]:
        zeros["inputs"][0]["arg"]["as_ints"] = shape
        return []

    return steps


def _repeated(zeros: dict[str, Any]) -> list[dict[str, Any]]:
    """A few numbers that are counted as many, and only then become many."""
    return [
        _node("torch.ops.aten.expand.default", "wide", [_tensor_of("zeros"), ("size", {"as_ints": [10**7, 10**5, 4]})]),
        _node("torch.ops.aten.clone.default", "many", [_tensor_of("wide")]),
        _node("torch.ops.aten.sum.default", "total", [_tensor_of("many")]),
    ]


def _sized(function: str, *arguments: Any) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    return lambda zeros: [_node(f"_operator.{function}", "number", [("", argument) for argument in arguments], "as_sym_int")]


def _resized_by(scale: float) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Interpolation with a scale that has nothing to do with the size asked for."""
    return lambda zeros: [
        _node("torch.ops.aten.reshape.default", "image", [_tensor_of("zeros"), ("shape", {"as_ints": [1, 1, 4]})]),
        _node(
            "torch.ops.aten.upsample_nearest1d.default",
            "wide",
            [_tensor_of("image"), ("output_size", {"as_ints": [4]}), ("scales", {"as_float": scale})],
        ),
        _node("torch.ops.aten.sum.default", "total", [_tensor_of("wide")]),
    ]


def _lengths(zeros: dict[str, Any]) -> list[dict[str, Any]]:
    """Fewer lengths than there are rows."""
    rows = ("v", {"as_tensor": {"name": "rows"}}), ("g", {"as_tensor": {"name": "one"}}), ("dim", {"as_int": 0})
    return [
        _node("torch.ops.aten.reshape.default", "rows", [_tensor_of("zeros"), ("shape", {"as_ints": [4, 1]})]),
        _node("torch.ops.aten.sum.default", "one", [_tensor_of("zeros")]),
        _node("torch.ops.aten._weight_norm.default", "scaled", list(rows)),
        _node("torch.ops.aten.sum.default", "total", [_tensor_of("scaled")]),
    ]


def _least(zeros: dict[str, Any]) -> list[dict[str, Any]]:
    """The least integer, divided by -1."""
    zeros["target"], zeros["inputs"] = "torch.ops.aten.full.default", [*zeros["inputs"][:1], *_given(fill_value={"as_int": -(2**63)})]
    zeros["inputs"] += _given(2, dtype={"as_scalar_type": 5})
    quotient = _node("torch.ops.aten.div.Scalar_mode", "quotient", [_tensor_of("zeros"), ("other", {"as_int": -1})])
    quotient["inputs"] += _given(2, rounding_mode={"as_string": "trunc"})
    return [quotient]


_WIDE = {"wide": [200], "full": [200], "total": []}
HARMFUL: dict[str, tuple[Callable[[dict[str, Any]], list[dict[str, Any]]], dict[str, list[int]], str]] = {
    "alias": (_window("_reshape_alias"), _WIDE, r"_reshape_alias at wide cannot be computed .*invalid for input of size 4"),
    "strides": (_window("as_strided"), _WIDE, r"as_strided at wide cannot be computed .*reaches outside the tensor"),
    "offset": (_window("as_strided", ("storage_offset", {"as_int": -8})), _WIDE, "reaches outside the tensor"),
    "terabytes": (_enlarged([10**5, 10**5, 100]), {}, r"zeros.default would make 1e\+12 elements, more than the limit"),
    "gigabytes": (_enlarged([10**5, 10**5]), {}, r"zeros.default would make 1e\+10 elements"),
    "overflow": (_enlarged([2**40, 2**40]), {}, "zeros"),
    "repeated": (_repeated, {"wide": [10**7, 10**5, 4], "many": [10**7, 10**5, 4], "total": []}, r"clone.default would make 4e\+12 elements"),
    "power": (_sized("pow", {"as_int": 7}, {"as_int": 10**10}), {}, "arithmetic on sizes is invalid .pow with 10000000000"),
    "list": (_sized("mul", {"as_ints": [1]}, {"as_int": 10**10}), {}, "mul of operands that are not numbers"),
    "by zero": (_sized("floordiv", {"as_int": 1}, {"as_int": 0}), {}, "arithmetic on sizes is invalid"),
    "attribute": (_sized("methodcaller", {"as_string": "clear"}), {}, "its target is '_operator.methodcaller', which torch.export never writes"),
    "scale": (_resized_by(1e-300), {"image": [1, 1, 4], "wide": [1, 1, 4], "total": []}, "|read"),
    "lengths": (_lengths, {"rows": [4, 1], "one": [], "scaled": [4, 1], "total": []}, "_weight_norm at scaled cannot be computed"),
    "parts": (
        lambda zeros: [_node("torch.ops.aten.tensor_split.sections", "many", [_tensor_of("zeros"), ("sections", {"as_int": 2**31})])],
        {"many": [4]},
        "tensor_split at many splits a tensor into more than 65,536 parts",
    ),
    "list of numbers": (
        lambda zeros: [_node("torch.ops.aten.mul.left_t", "many", [("l", {"as_ints": [1]}), ("n", {"as_int": 10**11})])],
        {"many": [4]},
        "aten.mul at many|read|not a program|contradicts",
    ),
    "least": (_least, {"quotient": [4]}, "divides the smallest integer by -1"),
    "storage": (
        lambda zeros: [_node("torch.ops.aten.set_.source_Tensor", "other", [_tensor_of("zeros"), ("source", {"as_tensor": {"name": "zeros"}})])],
        {"other": [4]},
        "aten.set_ at other .no",
    ),
}


def test_files_that_mean_harm_get_one_line_each(tmp_path: Path) -> None:
    paths = [_harmed(tmp_path / f"{name.replace(' ', '_')}.pt2", steps, **sizes) for name, (steps, sizes, _) in HARMFUL.items()]
    plain = _harmed(tmp_path / "plain.pt2", lambda zeros: [])
    *found, last = answers([*paths, plain])
    assert last == "read"
    for (name, (_, _, expected)), line in zip(HARMFUL.items(), found, strict=True):
        assert re.search(expected, line), (name, line)
        assert len(line) < 500 and line.isprintable()


@pytest.mark.parametrize(
    "size",
    [
        "9**9**9**9",
        "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
        "Pow(Add(Symbol('s0'), Symbol('s1')), Integer(10000))",
        "s0**(s1**s2)",
        "*".join(f"(s{i}+s{i + 1})" for i in range(30)),
        "1" * 400,
        "+".join(["s0"] * 5000),
    ],
    ids=range(7),
)
def test_sizes_that_would_never_be_computed(tmp_path: Path, size: str) -> None:
    path = tmp_path / "model.pt2"
    files = _saved(path)
    name = "model/models/model.json"
    files[name] = re.sub(rb'"expr_str": "[^"]*"', f'"expr_str": {json.dumps(size)}'.encode(), files[name])
    _write(path, files)
    with pytest.raises(ModelError, match=r"a size is given by .*, which torch.export never writes"):
        from_pt2(path)


@pytest.mark.parametrize(
    "size",
    [
        "Symbol('s0', integer=True)",
        "FloorDiv(Add(Pow(Add(FloorDiv(Add(Symbol('s0'), Integer(-1)), Integer(2)), Integer(1)), Integer(2)), Integer(-1)), Integer(2))",
        "FloorDiv(Mul(s0, Pow(s1, Integer(-1))), 4)",
        "Max(1, 2*s0**2)",
    ],
)
def test_sizes_as_torch_writes_them(size: str) -> None:
    assert _harmless(size)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    files = _saved(tmp_path / "model.pt2")
    files["model/models/model.json"] += b" " * 10**6
    with zipfile.ZipFile(tmp_path / "model.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match=r"model.pt2: its parts are compressed, which torch never does"):
        from_pt2(tmp_path / "model.pt2")


def test_a_weight_without_content_is_refused(tmp_path: Path) -> None:
    files = _saved(tmp_path / "model.pt2")
    config = json.loads(files["model/data/weights/model_weights_config.json"])
    config["config"]["weight"]["tensor_meta"]["sizes"] = [{"as_int": 10**6}, {"as_int": 10**6}]
    files["model/data/weights/model_weights_config.json"] = json.dumps(config).encode()
    files["model/data/weights/weight_0"] = b""
    _write(tmp_path / "model.pt2", files)
    with pytest.raises(ModelError, match="weight has no content"):
        from_pt2(tmp_path / "model.pt2")


def test_a_weight_that_repeats_its_memory_is_refused(tmp_path: Path) -> None:
    files = _saved(tmp_path / "model.pt2")
    name = "model/data/weights/model_weights_config.json"
    config = json.loads(files[name])
    config["config"]["weight"]["tensor_meta"] |= {"sizes": [{"as_int": 10**6}] * 2, "strides": [{"as_int": 0}] * 2}
    files[name] = json.dumps(config).encode()
    _write(tmp_path / "model.pt2", files)
    with pytest.raises(ModelError, match="the tensor weight is not stored element by element"):
        from_pt2(tmp_path / "model.pt2")


def test_parts_that_contradict_each_other_are_no_fault_of_ours(tmp_path: Path) -> None:
    files = _saved(tmp_path / "model.pt2")
    content = json.loads(files["model/models/model.json"])
    content["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = "elsewhere"
    files["model/models/model.json"] = json.dumps(content).encode()
    _write(tmp_path / "model.pt2", files)
    with pytest.raises(ModelError, match=r"contradicts itself|not a program that torch.export.save wrote"):
        from_pt2(tmp_path / "model.pt2")


def test_memory_that_nobody_has_written_is_zeros() -> None:
    graph = from_torch(Apply(lambda x: x + torch.empty(3, 4).as_strided((4,), (2,), 1)), (torch.randn(2, 4),))
    assert graph(torch.ones(2, 4)).tolist() == [[1.0] * 4] * 2


def test_pt2_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pt2: no such file"):
        from_pt2(tmp_path / "nowhere.pt2")


# What cannot be read: one line that names the thing, the place and the remedy


def _branching(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "branch": (lambda: Apply(_branching), (6,), r"control flow depends on the data at test_from_torch.py:\d+; .*torch.where"),
    "cond": (lambda: Apply(lambda x: torch.cond(x.sum() > 0, torch.neg, torch.abs, (x,))), (6,), "branches on its input"),
    "item": (lambda: Apply(lambda x: x * x.max().item()), (6,), "turns data into a number|depends on the data"),
    "statistics": (
        lambda: nn.BatchNorm2d(3, track_running_stats=False),
        (3, 4, 4),
        r"aten.batch_norm at .*statistics of the batch",
    ),
    "training": (
        lambda: Apply(lambda x: F.dropout(x, 0.5, training=True)),
        (6,),
        r"aten.dropout at .*random choice; call module.eval\(\)",
    ),
    "noise": (lambda: Apply(lambda x: x + torch.randn_like(x)), (6,), "aten.randn_like at .*pass random numbers in as an input"),
    "order": (lambda: Apply(lambda x: x.topk(2).values), (6,), r"aten.topk at test_from_torch.py:\d+ .*order of the data"),
    "selection": (lambda: Apply(lambda x: x[x > 0].sum()), (6,), "aten.index at .*size of the result depends on the data"),
    "indices": (
        lambda: nn.MaxPool2d(2, return_indices=True),
        (3, 4, 4),
        "it returns the indices of a max pool",
    ),
    "unpool": (
        lambda: Apply(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
        (3, 4, 4),
        "aten.max_unpool2d at .*it needs the indices of a max pool",
    ),
    "bits": (lambda: Apply(lambda i: i & 3), ids(6), "aten.__and__ at .*bits of integers|aten.bitwise_and at .*bits of integers"),
    "bits of a number": (lambda: Apply(lambda x: x.view(torch.int32)), (6,), r"aten.view at .*\(it reads the bits of one type as another; use x.to"),
    "counts": (
        lambda: Apply(lambda i: i.repeat_interleave(i[0], 1, output_size=20)),
        ids(6),
        "aten.repeat_interleave at .*counts that depend on the data",
    ),
    "fourier": (lambda: Apply(lambda x: torch.fft.rfft(x).abs()), (6,), r"aten.fft_rfft at .*no rule for this operator"),
    "wrong example": (
        lambda: nn.Linear(6, 5),
        (7,),
        r"torch.export cannot read it \(.*same reduction dim.*; see torch's export guide",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusal(case: str) -> None:
    make, shape, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as caught:
        from_torch(make(), sample((shape,), 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ValueError("needs 4 sizes.\nand got 3"), "needs 4 sizes"),
        (IndexError("x" * 200), "x" * 160),
        (RuntimeError(), "RuntimeError"),
        (TypeError("_rule() missing 1 required positional argument"), "called in a form that its rule does not cover"),
        (AttributeError("'int' object has no attribute 'value'"), "called in a form that its rule does not cover"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_rule_that_fails_names_its_operator(monkeypatch: pytest.MonkeyPatch, problem: Exception, reason: str) -> None:
    def fail(*_: Any) -> Any:
        raise problem

    monkeypatch.setitem(RULES, "fft_rfft", fail)
    module = Apply(lambda x: torch.fft.rfft(x).abs())
    with pytest.raises(ModelError, match=rf"^apply: no counterpart for aten.fft_rfft at test_from_torch.py:\d+ \({reason}\); run") as caught:
        from_torch(module, (torch.randn(2, 6),))
    assert "\n" not in str(caught.value)


def test_what_torch_cannot_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise AssertionError("torch's own words\non several lines")

    monkeypatch.setattr(lower_aten, "without_mutation", fail)
    with pytest.raises(
        ModelError, match=r"^apply: a tensor changes while others .* are read; replace its in-place operations with out-of-place ones$"
    ):
        from_torch(Apply(lambda x: _through_view(x * 1.5)), (torch.randn(2, 5, 8),))


def test_no_example_tensor() -> None:
    with pytest.raises(ModelError, match="linear: no example tensor given; pass inputs such as"):
        from_torch(nn.Linear(6, 5), ())


def test_unsupported_operators_are_listed_once_each() -> None:
    module = Apply(lambda x: torch.fft.rfft(x).abs() + torch.fft.rfft(x * 2).abs() + x.sort().values[:, :4])
    with pytest.raises(ModelError, match=r"aten.fft_rfft, 2 times, first at .*; aten.sort at .*; run 'crossloom check'"):
        from_torch(module, (torch.randn(1, 6),))


class Sorted(nn.Module):
    """A layer between two whose result depends on the order of the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sort(-1)[0]


def test_unsupported_operators_as_nodes() -> None:
    module = nn.Sequential(nn.Linear(8, 4), Sorted())
    graph = from_torch(module, (torch.randn(1, 5, 8),), allow_unsupported=True)
    node = next(node for node in graph.nodes if isinstance(node.op, Unsupported))
    assert isinstance(node.op, Unsupported)
    assert node.op.kind == "aten.sort" and "order of the data" in node.op.reason
    assert node.type == TensorType("f32", (Batch(), 5, 4)) and node.origin.startswith("1 (")
    assert str(parse_graph(str(graph))) == str(graph)
    with pytest.raises(ModelError, match=r"aten\.sort has no counterpart"):
        graph(torch.randn(1, 5, 8))
