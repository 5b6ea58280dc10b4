"""Counter-based random numbers: fixed by seed, layer, inference and position, independent of what else is computed.

A stream has a key of 64 bits, and its i-th number is a function of key and i alone: SplitMix64 (Steele, Lea, Flood; OOPSLA 2014), whose
output for state key + i·γ is the state well mixed. So a batch may be cut in any way, on any number of threads, on any device. Sixteen bits
make one normal number, by a table of 65,536 quantiles scaled to variance 1; none is larger than 4.3, which of a converter's steps nobody sees.
"""

from __future__ import annotations

import hashlib
from functools import cache

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = (value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""The constants of SplitMix64 as signed integers."""
_QUANTILES = 1 << 16


def key_of(*parts: object) -> int:
    """Return 63 bits for what names a stream."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def keys(parent: Tensor, index: Tensor) -> Tensor:
    """Return a key for each index below a parent key; shapes broadcast."""
    return _mixed(_mixed(parent.clone()) + index * _GOLDEN)


def normals(key: Tensor, first: int, count: int) -> Tensor:
    """Return numbers `first` to `first + count` of the streams (N,) as float32, (N, count); `first` is a multiple of four."""
    words = torch.arange(first // 4 + 1, first // 4 + 1 + -(-count // 4), device=key.device) * _GOLDEN
    bits = _mixed(key.unsqueeze(1) + words)
    index = bits.view(torch.uint16).to(torch.int32)
    return _quantiles(str(key.device)).index_select(0, index.reshape(-1)).reshape(len(key), -1)[:, :count]


@cache
def _quantiles(device: str) -> Tensor:
    """Return the normal quantiles of (i + 1/2)/65536, scaled to variance 1."""
    share = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    found = torch.special.ndtri(share)
    scaled: Tensor = found / found.square().mean().sqrt()
    return scaled.to(torch.float32).to(device)


def _mixed(state: Tensor) -> Tensor:
    """Return SplitMix64's output for states (int64); overwrites them. Shifts are of unsigned numbers, so the sign's copies are masked."""
    shifted = torch.empty_like(state)  # one for all: fresh memory costs more than the arithmetic
    for shift, factor in ((30, _FIRST), (27, _SECOND), (31, 1)):
        torch.bitwise_right_shift(state, shift, out=shifted).bitwise_and_((1 << (64 - shift)) - 1)
        state.bitwise_xor_(shifted)
        if factor != 1:
            state.mul_(factor)
    return state
