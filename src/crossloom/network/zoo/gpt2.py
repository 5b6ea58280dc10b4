"""GPT-2 (Radford et al., 2019, Table 2, smallest model): 12 layers, width 768, 12 heads, 50257 tokens, output weights tied to the embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.zoo.prenorm import Layer

CONTEXT = 1024


class Gpt2(nn.Module):
    """Token and position embeddings, causal layers, and for each token the scores of all possible next tokens."""

    def __init__(self, layers: int = 12, width: int = 768, heads: int = 12, vocabulary: int = 50257) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.01 * torch.randn(CONTEXT, width))
        self.layers = nn.ModuleList(Layer(width, heads, 4 * width, causal=True, gelu="tanh") for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.scores(x)

    def scores(self, x: Tensor) -> Tensor:
        """Return the score of each token, computed with the embedding weights."""
        return nn.functional.linear(self.norm(x), self.tokens.weight)


class Gpt2Step(nn.Module):
    """One decoding step: from a token (N, 1) and each layer's keys and values (N, 12, past, 64) to scores and all keys and values."""

    def __init__(self, network: Gpt2, past: int) -> None:
        super().__init__()
        self.network, self.past = network, past

    def forward(self, token: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        x = self.network.tokens(token) + self.network.positions[self.past]
        grown: list[Tensor] = []
        for place, layer in enumerate(self.network.layers):
            assert isinstance(layer, Layer)
            x, keys, values = layer.step(x, cache[2 * place], cache[2 * place + 1])
            grown += [keys, values]
        return self.network.scores(x), *grown


def gpt2(length: int = 128) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return GPT-2, and an example of `length` tokens (1024 at most)."""
    return Gpt2(), (torch.zeros(1, length, dtype=torch.int64),)


def gpt2_1024() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return GPT-2, and an example of its full context of 1024 tokens."""
    return gpt2(CONTEXT)


def gpt2_step(past: int = 127) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the decoding step of GPT-2 after `past` tokens, and an example: the token, then keys and values of each layer."""
    network = Gpt2()
    return Gpt2Step(network, past), (torch.zeros(1, 1, dtype=torch.int64), *(torch.zeros(1, 12, past, 64) for _ in range(2 * len(network.layers))))


def gpt2_step_1024() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the last decoding step of GPT-2, after 1023 tokens."""
    return gpt2_step(CONTEXT - 1)
