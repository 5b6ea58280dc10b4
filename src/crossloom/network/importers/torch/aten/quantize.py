"""Rounding to a grid in torch's quantisation-aware training. It becomes a FakeQuantize, whose grid later passes read."""

from __future__ import annotations

from typing import Any

import torch

from crossloom.network.importers.torch.aten.table import Lowering, Ref, rule
from crossloom.network.operators import FakeQuantize
from crossloom.network.quantization import Quantization


@rule("fake_quantize_per_tensor_affine", "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams", "fake_quantize_per_tensor_affine_cachemask")
def per_tensor(low: Lowering, x: Ref, scale: Any, zero: Any, *limits: Any) -> Ref:
    return low.add(FakeQuantize(_grid(scale, zero, limits[-2:], None)), x)


@rule("fake_quantize_per_channel_affine", "fake_quantize_per_channel_affine_cachemask")
def per_channel(low: Lowering, x: Ref, scale: Any, zero: Any, axis: int, *limits: Any) -> Ref:
    return low.add(FakeQuantize(_grid(scale, zero, limits, axis)), x)


@rule("_fake_quantize_learnable_per_tensor_affine")
def learned_per_tensor(low: Lowering, x: Ref, scale: Any, zero: Any, lowest: int, highest: int, *_: Any) -> Ref:
    return low.add(FakeQuantize(_grid(scale, zero, (lowest, highest), None)), x)


@rule("_fake_quantize_learnable_per_channel_affine")
def learned_per_channel(low: Lowering, x: Ref, scale: Any, zero: Any, axis: int, lowest: int, highest: int, *_: Any) -> Ref:
    return low.add(FakeQuantize(_grid(scale, zero, (lowest, highest), axis)), x)


@rule("_fused_moving_avg_obs_fq_helper_functional", "_fused_moving_avg_obs_fq_helper", "fused_moving_avg_obs_fake_quant")
def observed(
    low: Lowering, x: Ref, watch: Ref, rounds: Ref, least: Ref, most: Ref, scale: Ref, zero: Ref, share: float, lowest: int, highest: int, *more: Any
) -> Any:
    """Round with the step from training, without further observation. Functional forms also return the observer's state."""
    if rounds.value is None or not bool(rounds.value.any()):
        rounded = x
    else:
        axis, per_row = (more[0] if more else -1), bool(more[1]) if len(more) > 1 else False
        rounded = low.add(FakeQuantize(_grid(scale, zero, (lowest, highest), axis if per_row else None)), x)
    return [rounded, low.known(torch.ones((), dtype=torch.bool), "mask"), least, most, scale, zero]


def _grid(scale: Any, zero: Any, limits: Any, axis: int | None) -> Quantization:
    """Return the grid. Raises NotImplementedError if its scale depends on the data, or its limits match no number of bits."""
    scales, zeros = _numbers(scale), _numbers(zero)
    lowest, highest = (int(limit) for limit in limits)
    if len(set(zeros)) != 1:
        raise NotImplementedError("a grid whose zero point differs between channels; use symmetric weights")
    for bits in range(1, 17):
        for signed, narrow in ((True, False), (True, True), (False, False)):
            grid = Quantization(tuple(scales), round(zeros[0]), bits, signed=signed, axis=axis if len(scales) > 1 else None, narrow=narrow)
            if (grid.low, grid.high) == (lowest, highest):
                return grid
    raise NotImplementedError(f"a grid from {lowest} to {highest} matches no number of bits up to 16")


def _numbers(value: Any) -> list[float]:
    if not isinstance(value, Ref):
        return [float(value)]
    if value.value is None:
        raise NotImplementedError("a grid whose step depends on the data; fix it after training")
    return [float(v) for v in value.value.reshape(-1).tolist()]
