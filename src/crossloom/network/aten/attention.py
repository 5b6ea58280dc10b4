"""Attention, taken apart: scores, mask, softmax, weighted sum."""

from __future__ import annotations

import math
from typing import Any

import torch

from crossloom.network.aten.moves import repeat_interleave, swap_last
from crossloom.network.aten.table import Lowering, Ref, rule
from crossloom.network.operators import Add, MatMul, Mul, Softmax, Where


@rule("scaled_dot_product_attention")
def scaled_dot_product_attention(
    low: Lowering,
    query: Ref,
    key: Ref,
    value: Ref,
    mask: Ref | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Ref:
    """softmax(Q·Kᵀ·scale + mask)·V; with grouped queries each key and value serves several heads."""
    if enable_gqa:
        times = low.shape(query)[-3] // low.shape(key)[-3]
        key, value = repeat_interleave(low, key, times, -3), repeat_interleave(low, value, times, -3)
    factor = 1.0 / math.sqrt(low.shape(query)[-1]) if scale is None else float(scale)
    scores = low.add(MatMul(), low.add(Mul(), query, low.scalar(factor)), swap_last(low, key))
    if is_causal:
        rows, columns = low.shape(scores)[-2:]
        mask = low.known(torch.ones(rows, columns, dtype=torch.bool).tril(), "causal")
    if mask is not None:
        scores = _masked(low, scores, mask)
    return low.add(MatMul(), low.add(Softmax(low.dims(scores) - 1), scores), value)


def _masked(low: Lowering, scores: Ref, mask: Ref) -> Ref:
    if low.dtype(mask) == "bool":
        return low.add(Where(), mask, scores, low.scalar(-math.inf))
    return low.add(Add(), scores, mask)


@rule("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(low: Lowering, query: Ref, key: Ref, value: Ref, dropout: float = 0.0, is_causal: bool = False, *, attn_mask: Any = None, scale: Any = None) -> list[Ref]:
    y = scaled_dot_product_attention(low, query, key, value, attn_mask, 0.0, is_causal, scale=scale)
    return [y, y]
