"""Attention, decomposed into scores, mask, softmax and weighted sum."""

from __future__ import annotations

import math
from typing import Any

import torch

from crossloom.network.importers.torch.aten.moves import repeat_interleave, swap_last
from crossloom.network.importers.torch.aten.pointwise import add, mul, where
from crossloom.network.importers.torch.aten.products import matmul
from crossloom.network.importers.torch.aten.table import Lowering, Missing, Ref, rule
from crossloom.network.operators import Compare, Softmax

# A masked score vanishes in the exponential; unlike −∞, this value survives a subtraction.
_MASKED = torch.finfo(torch.float32).min


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
    """Return softmax(Q·Kᵀ·scale + mask)·V; with grouped queries each key and value serves several heads."""
    if dropout:
        raise NotImplementedError("a random choice; call module.eval(), and pass dropout_p=0.0 when not training")
    if enable_gqa:
        times = low.shape(query)[-3] // low.shape(key)[-3]
        key, value = (x if times == 1 else repeat_interleave(low, x, times, -3) for x in (key, value))
    factor = 1.0 / math.sqrt(low.shape(query)[-1]) if scale is None else float(scale)
    scores = matmul(low, mul(low, query, factor), swap_last(low, key))
    if is_causal:
        rows, columns = low.shape(scores)[-2:]
        mask = low.known(torch.ones(rows, columns, dtype=torch.bool).tril(), "causal")
    return matmul(low, _probabilities(low, scores, mask), value)


def _probabilities(low: Lowering, scores: Ref, mask: Ref | None) -> Ref:
    softmax = Softmax(low.dims(scores) - 1)
    if mask is None:
        return low.add(softmax, scores)
    if low.dtype(mask) == "bool":
        seen, masked = mask, where(low, mask, scores, _MASKED)
    else:
        seen, masked = low.add(Compare("ne"), mask, low.scalar(-math.inf)), add(low, scores, mask)
    shares = low.add(softmax, masked)
    if seen.value is not None and bool(seen.value.any(-1).all()):
        return shares
    return where(low, seen, shares, 0.0)  # a query whose keys are all masked gets zeros, as in torch


@rule("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(
    low: Lowering,
    query: Ref,
    key: Ref,
    value: Ref,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Any = None,
    scale: Any = None,
) -> list[Any]:
    y = scaled_dot_product_attention(low, query, key, value, attn_mask, dropout, is_causal, scale=scale)
    return [y, Missing("the normalising sums of attention")]
