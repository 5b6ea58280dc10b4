"""Pre-norm transformer layer, as used since GPT-2 (Radford et al., 2019, Section 2.3): layer norm in the branches, not on the residual path."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Gelu = Literal["none", "tanh"]
"""Form of the GELU: exact ("none"), or the tanh approximation used by GPT-2."""


class Layer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)). A causal layer does not attend to later tokens."""

    def __init__(self, width: int, heads: int, wide: int, *, causal: bool = False, eps: float = 1e-5, gelu: Gelu = "none") -> None:
        super().__init__()
        self.heads, self.causal, self.gelu = heads, causal, gelu
        self.attention_norm, self.norm = (nn.LayerNorm(width, eps=eps) for _ in range(2))
        self.query, self.key, self.value, self.project = (nn.Linear(width, width) for _ in range(4))
        self.widen, self.narrow = nn.Linear(width, wide), nn.Linear(wide, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self._heads(x)
        return self._after(x, nn.functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal))

    def step(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the result for one more token, and the keys and values (N, heads, tokens, head width) of all tokens so far."""
        query, key, value = self._heads(x)
        keys, values = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return self._after(x, nn.functional.scaled_dot_product_attention(query, keys, values)), keys, values

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.attention_norm(x)
        query, key, value = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        return query, key, value

    def _after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        y: Tensor = x + self.narrow(nn.functional.gelu(self.widen(self.norm(x)), approximate=self.gelu))
        return y
