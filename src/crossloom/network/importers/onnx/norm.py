"""Normalisations and softmax."""

from __future__ import annotations

from math import prod

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import (
    Add,
    BatchNorm,
    Expand,
    Function,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    Mul,
    Reduce,
    RmsNorm,
    Slice,
    Softmax,
    Sub,
)


@rule("BatchNormalization")
def batch_norm(
    low: Lowering,
    x: str,
    scale: str,
    bias: str,
    mean: str,
    var: str,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> str:
    if training_mode:
        raise NotImplementedError("batch normalisation in training mode; export the model in evaluation mode")
    return low.add(BatchNorm(epsilon), x, scale, bias, mean, var)


@rule("InstanceNormalization")
def instance_norm(low: Lowering, x: str, scale: str, bias: str, *, epsilon: float = 1e-5) -> str:
    return low.add(GroupNorm(low.shape(x)[1], epsilon), x, scale, bias)


@rule("GroupNormalization")
def group_norm(low: Lowering, x: str, scale: str, bias: str, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1) -> str:
    """Lower a group normalisation. It has one scale per group up to opset 20, and one per channel from opset 21."""
    channels = low.shape(x)[1]
    if low.opset < 21:
        scale, bias = (_per_channel(low, affine, num_groups, channels) for affine in (scale, bias))
    return low.add(GroupNorm(num_groups, epsilon), x, scale, bias)


def _per_channel(low: Lowering, affine: str, groups: int, channels: int) -> str:
    each = low.add(Expand((groups, channels // groups)), low.reshape(affine, (groups, 1)))
    return low.reshape(each, (channels,))


def _spread(low: Lowering, affine: str, shape: tuple[int, ...]) -> str:
    return affine if low.shape(affine) == shape else low.add(Expand(shape), affine)


@rule("LayerNormalization")
def layer_norm(
    low: Lowering, x: str, scale: str, bias: str | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[str, ...]:
    """Lower a layer normalisation. The mean and inverse deviation (for training) are computed by plain arithmetic if requested."""
    axis, dims = low.axis(axis, low.dims(x)), low.dims(x)
    shape = low.shape(x)[axis:]
    affine = [_spread(low, tensor, shape) for tensor in (scale, bias) if tensor is not None]
    y = low.add(LayerNorm(dims - axis, epsilon), x, *affine)
    return (y,) if low.outputs == 1 else (y, *_statistics(low, x, tuple(range(axis, dims)), epsilon))


def _statistics(low: Lowering, x: str, axes: tuple[int, ...], epsilon: float) -> tuple[str, str]:
    mean = low.add(Reduce("mean", axes, True), x)
    centred = low.add(Sub(), x, mean)
    variance = low.add(Reduce("mean", axes, True), low.add(Mul(), centred, centred))
    return mean, low.add(Function("rsqrt"), low.add(Add(), variance, low.scalar(epsilon, x)))


@rule("RMSNormalization")
def rms_norm(low: Lowering, x: str, scale: str, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> str:
    axis = low.axis(axis, low.dims(x))
    shape = low.shape(x)[axis:]
    if prod(low.shape(scale)) > prod(shape) or len(low.shape(scale)) > len(shape):
        raise NotImplementedError("a scale with more dimensions than are normalised")
    return low.add(RmsNorm(len(shape), epsilon), x, _spread(low, scale, shape))


@rule("LRN")
def lrn(low: Lowering, x: str, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> str:
    """Lower a local response normalisation.

    For an even size ONNX has the extra channel above and torch below, so the channels are reversed.
    """
    norm = LocalResponseNorm(size, alpha, beta, bias)
    if size % 2:
        return low.add(norm, x)
    back = Slice(1, low.shape(x)[1] - 1, None, -1)
    return low.add(back, low.add(norm, low.add(back, x)))


@rule("Softmax")
def softmax(low: Lowering, x: str, *, axis: int = -1) -> str:
    return low.add(Softmax(low.axis(axis, low.dims(x))), x)


@rule("LogSoftmax")
def log_softmax(low: Lowering, x: str, *, axis: int = -1) -> str:
    return low.add(Softmax(low.axis(axis, low.dims(x)), log=True), x)
