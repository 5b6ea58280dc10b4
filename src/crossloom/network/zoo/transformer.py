"""The Transformer (Vaswani et al., NIPS 2017): an encoder and a decoder of six layers each, in the sizes base and big of Table 3.

Both languages share about 37,000 tokens, and one matrix both embeds and scores them (Sections 3.4 and 5.1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

VOCABULARY = 37000


class Attention(nn.Module):
    """Multi-head attention from one sequence to another or to itself."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value, self.project = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        query, key, value = (
            part(of).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part, of in ((self.query, x), (self.key, seen), (self.value, seen))
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        y: Tensor = self.project(attended.transpose(1, 2).flatten(2))
        return y


class EncoderLayer(nn.Module):
    """Encoder layer: self-attention and feed-forward, each followed by a residual addition and layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend = Attention(width, heads)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attend(x, x))
        y: Tensor = self.norm(x + self.narrow(torch.relu(self.widen(x))))
        return y


class DecoderLayer(nn.Module):
    """Decoder layer: causal self-attention, attention to the encoder's result, and feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend, self.look = Attention(width, heads, causal=True), Attention(width, heads)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.attention_norm, self.look_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attend(x, x))
        x = self.look_norm(x + self.look(x, source))
        y: Tensor = self.norm(x + self.narrow(torch.relu(self.widen(x))))
        return y


class Transformer(nn.Module):
    """Encoder and decoder: from source and target tokens to the scores of the next token at each target position."""

    def __init__(self, width: int, heads: int, layers: int = 6, length: int = 512) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, width), nn.Buffer(waves(length, width))
        self.encoder = nn.Sequential(*(EncoderLayer(width, heads) for _ in range(layers)))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(layers))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        seen, x = self.encoder(self._embedded(source)), self._embedded(target)
        for layer in self.decoder:
            x = layer(x, seen)
        return nn.functional.linear(x, self.tokens.weight)

    def _embedded(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.tokens(tokens) * math.sqrt(self.positions.shape[1]) + self.positions[: tokens.shape[1]]
        return y


def waves(length: int, width: int) -> Tensor:
    """Return the positional encoding (length, width): sines and cosines with wavelengths from 2π to 20000π (Section 3.5)."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def _example(length: int) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(1, length, dtype=torch.int64) for _ in range(2))


def transformer_base(length: int = 128) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the base model, and an example of `length` source and target tokens."""
    return Transformer(512, 8), _example(length)


def transformer_big(length: int = 128) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the big model, and an example of `length` source and target tokens."""
    return Transformer(1024, 16), _example(length)
