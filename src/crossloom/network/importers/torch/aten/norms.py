"""Normalisations and softmax."""

from __future__ import annotations

import math
from typing import Any

import torch

from crossloom.network.importers.torch.aten.pointwise import cast, where
from crossloom.network.importers.torch.aten.table import Lowering, Missing, Ref, axis_of, rule
from crossloom.network.operators import BatchNorm, Compare, GroupNorm, LayerNorm, RmsNorm, Softmax

_STATISTICS = (Missing("the mean of a normalisation"), Missing("the variance of a normalisation"))


def _affine(low: Lowering, channels: int, weight: Ref | None, bias: Ref | None) -> tuple[Ref, Ref]:
    return (
        weight if weight is not None else low.known(torch.ones(channels), "weight"),
        bias if bias is not None else low.known(torch.zeros(channels), "bias"),
    )


@rule("batch_norm")
def batch_norm(
    low: Lowering,
    x: Ref,
    weight: Ref | None,
    bias: Ref | None,
    mean: Ref | None,
    var: Ref | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Ref:
    if training or mean is None or var is None:
        raise NotImplementedError("it needs the statistics of the batch; call module.eval() and track running statistics")
    return low.add(BatchNorm(float(eps)), x, *_affine(low, low.shape(x)[1], weight, bias), mean, var)


@rule("_native_batch_norm_legit_no_training")
def batch_norm_inference(low: Lowering, x: Ref, weight: Ref | None, bias: Ref | None, mean: Ref, var: Ref, momentum: float, eps: float) -> list[Any]:
    y = low.add(BatchNorm(float(eps)), x, *_affine(low, low.shape(x)[1], weight, bias), mean, var)
    return [y, *_STATISTICS]


@rule("layer_norm")
def layer_norm(low: Lowering, x: Ref, shape: list[int], weight: Ref | None = None, bias: Ref | None = None, eps: float = 1e-5, *_: Any) -> Ref:
    if weight is None and bias is None:
        return low.add(LayerNorm(len(shape), float(eps)), x)
    weight = weight if weight is not None else low.known(torch.ones(list(shape)), "weight")
    return low.add(LayerNorm(len(shape), float(eps)), x, weight, *((bias,) if bias is not None else ()))


@rule("native_layer_norm")
def native_layer_norm(low: Lowering, x: Ref, shape: list[int], weight: Ref | None, bias: Ref | None, eps: float) -> list[Any]:
    y = layer_norm(low, x, shape, weight, bias, eps)
    return [y, *_STATISTICS]


@rule("group_norm")
def group_norm(low: Lowering, x: Ref, groups: int, weight: Ref | None = None, bias: Ref | None = None, eps: float = 1e-5, *_: Any) -> Ref:
    return low.add(GroupNorm(groups, float(eps)), x, *_affine(low, low.shape(x)[1], weight, bias))


@rule("native_group_norm")
def native_group_norm(low: Lowering, x: Ref, weight: Ref | None, bias: Ref | None, n: Any, c: int, space: Any, groups: int, eps: float) -> list[Any]:
    y = group_norm(low, x, groups, weight, bias, eps)
    return [y, *_STATISTICS]


@rule("instance_norm")
def instance_norm(
    low: Lowering,
    x: Ref,
    weight: Ref | None,
    bias: Ref | None,
    mean: Ref | None,
    var: Ref | None,
    use_input: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Ref:
    if not use_input and mean is not None and var is not None:
        return low.add(BatchNorm(float(eps)), x, *_affine(low, low.shape(x)[1], weight, bias), mean, var)
    channels = low.shape(x)[1]
    return low.add(GroupNorm(channels, float(eps)), x, *_affine(low, channels, weight, bias))


@rule("rms_norm")
def rms_norm(low: Lowering, x: Ref, shape: list[int], weight: Ref | None = None, eps: float | None = None) -> Ref:
    op = RmsNorm(len(shape), torch.finfo(torch.float32).eps if eps is None else float(eps))
    return low.add(op, x, *((weight,) if weight is not None else ()))


@rule("_fused_rms_norm")
def fused_rms_norm(low: Lowering, x: Ref, shape: list[int], weight: Ref | None, eps: float | None) -> list[Any]:
    return [rms_norm(low, x, shape, weight, eps), _STATISTICS[1]]


@rule("softmax", "_softmax")
def softmax(low: Lowering, x: Ref, axis: int, *_: Any, **__: Any) -> Ref:
    return low.add(Softmax(axis_of(axis, low.dims(x))), cast(low, x, "f32"))


@rule("_safe_softmax")
def safe_softmax(low: Lowering, x: Ref, axis: int, *_: Any, **__: Any) -> Ref:
    """Return the softmax, with zeros instead of NaN where everything is masked."""
    seen = low.add(Compare("ne"), x, low.scalar(-math.inf))
    return where(low, seen, softmax(low, x, axis), 0.0)


@rule("log_softmax", "_log_softmax")
def log_softmax(low: Lowering, x: Ref, axis: int, *_: Any, **__: Any) -> Ref:
    return low.add(Softmax(axis_of(axis, low.dims(x)), log=True), cast(low, x, "f32"))
