"""Attention, decomposed into scores, mask, softmax and weighted sum."""

from __future__ import annotations

import math

import torch

from crossloom.network.importers.onnx.table import Lowering, rule
from crossloom.network.operators import Add, Expand, MatMul, Mul, Softmax, Transpose, Where


@rule("Attention")
def attention(
    low: Lowering,
    query: str,
    key: str,
    value: str,
    mask: str | None = None,
    past_key: str | None = None,
    past_value: str | None = None,
    lengths: str | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int = 0,
    q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int = 1,
    left_window_size: int = -1,
    right_window_size: int = -1,
) -> str:
    """Return softmax(Q·Kᵀ·scale + mask)·V. Rarer features (a cache, windows, a soft cap) are left to the standard's own definition."""
    if past_key or past_value or lengths or softcap or max(left_window_size, right_window_size) >= 0 or low.outputs > 1:
        raise NotImplementedError("attention with a cache, lengths, a window or a soft cap")
    flat = low.dims(query) == 3
    if flat:
        query, key, value = (_heads(low, x, count) for x, count in ((query, q_num_heads), (key, kv_num_heads), (value, kv_num_heads)))
    times = low.shape(query)[1] // low.shape(key)[1]
    key, value = _repeated(low, key, times), _repeated(low, value, times)
    factor = 1.0 / math.sqrt(low.shape(query)[-1]) if scale is None else scale
    scores = low.add(MatMul(), low.add(Mul(), query, low.scalar(factor, query)), low.add(Transpose((0, 1, 3, 2)), key))
    scores = _masked(low, scores, mask) if mask is not None else scores
    scores = _causal(low, scores) if is_causal else scores
    y = low.add(MatMul(), low.add(Softmax(3), scores), value)
    if not flat:
        return y
    n, heads, length, width = low.shape(y)
    return low.reshape(low.add(Transpose((0, 2, 1, 3)), y), (n, length, heads * width))


def _heads(low: Lowering, x: str, count: int) -> str:
    n, length, width = low.shape(x)
    return low.add(Transpose((0, 2, 1, 3)), low.reshape(x, (n, length, count, width // count)))


def _repeated(low: Lowering, x: str, times: int) -> str:
    """Repeat each head for the query heads that share it."""
    n, heads, length, width = low.shape(x)
    if times == 1:
        return x
    spread = low.add(Expand((n, heads, times, length, width)), low.reshape(x, (n, heads, 1, length, width)))
    return low.reshape(spread, (n, heads * times, length, width))


def _causal(low: Lowering, scores: str) -> str:
    seen = low.constant(torch.ones(low.shape(scores)[-2:], dtype=torch.bool).tril())
    return low.add(Where(), seen, scores, low.scalar(-math.inf, scores))


def _masked(low: Lowering, scores: str, mask: str) -> str:
    if low.shape(mask)[-1] != low.shape(scores)[-1]:
        raise NotImplementedError("a mask shorter than the keys")
    if low.floating(mask):
        return low.add(Add(), scores, mask)
    seen = low.value(mask)
    if seen is None or not bool(seen.any(-1).all()):
        raise NotImplementedError("a boolean mask that may hide every key")
    return low.add(Where(), mask, scores, low.scalar(-math.inf, scores))
