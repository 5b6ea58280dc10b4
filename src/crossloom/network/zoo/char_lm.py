"""Small causal character-level language model after GPT-2 (Radford et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.zoo.prenorm import Layer

VOCABULARY = 96
"""Number of characters: the newline and the 95 printable ASCII characters."""


class CharLm(nn.Module):
    """Character and position embeddings, two causal layers of four heads, and a score for each possible next character: 249 thousand weights."""

    def __init__(self, length: int = 64, width: int = 96, layers: int = 2, heads: int = 4, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.Sequential(*(Layer(width, heads, 4 * width, causal=True) for _ in range(layers)))
        self.norm, self.next = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, characters: Tensor) -> Tensor:
        y: Tensor = self.next(self.norm(self.layers(self.characters(characters) + self.positions)))
        return y


def char_lm() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network and an example of 64 characters."""
    return CharLm(), (torch.zeros(1, 64, dtype=torch.int64),)
