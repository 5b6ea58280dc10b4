"""BERT-base (Devlin et al., NAACL 2019): 12 encoder layers, width 768, 12 heads, feed-forward 3072."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    """Encoder layer: self-attention and feed-forward, each followed by a residual addition and layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.project = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        attended = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.project(attended))
        y: Tensor = self.norm(x + self.narrow(nn.functional.gelu(self.widen(x))))
        return y


class Bert(nn.Module):
    """BERT with token and position embeddings, encoder layers, and two classes computed from the first token."""

    def __init__(self, length: int, layers: int = 12, width: int = 768, heads: int = 12) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(30522, width), nn.Parameter(0.02 * torch.randn(length, width))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.pool, self.classify = nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.layers(self.norm(self.tokens(tokens) + self.positions))
        y: Tensor = self.classify(torch.tanh(self.pool(x[:, 0])))
        return y


def bert_base(length: int = 128) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return BERT-base with a two-class classifier, and an example of `length` tokens."""
    return Bert(length), (torch.zeros(1, length, dtype=torch.int64),)


def bert_base_256() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return BERT-base and an example of 256 tokens."""
    return bert_base(256)


def bert_base_512() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return BERT-base and an example of 512 tokens, its longest training sequence."""
    return bert_base(512)
