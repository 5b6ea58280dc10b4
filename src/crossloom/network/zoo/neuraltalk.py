"""NeuralTalk, an LSTM that captions images (Karpathy and Fei-Fei, CVPR 2015), with the sizes listed by Han et al. (EIE, ISCA 2016, Table III)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NeuralTalk(nn.Module):
    """Captioning LSTM: one step for the image features, then one step and the scores of all vocabulary words for each word.

    One matrix computes the input, forget and output gates and the candidate from the step's input and the previous hidden state.
    """

    def __init__(self, features: int = 4096, width: int = 600, vocabulary: int = 8791) -> None:
        super().__init__()
        self.encode = nn.Linear(features, width)
        self.gates = nn.Linear(2 * width, 4 * width)
        self.decode = nn.Linear(width, vocabulary)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        x = self.encode(image)
        hidden = cell = torch.zeros_like(x)
        scores = []
        for step in range(words.shape[1] + 1):
            if step:
                x = words[:, step - 1]
            take, keep, give, new = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
            hidden = torch.sigmoid(give) * torch.tanh(cell)
            if step:
                scores.append(self.decode(hidden))
        return torch.stack(scores, 1)


def neuraltalk(words: int = 8) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network, and an example: the features of an image and the embeddings of `words` words. The LSTM runs `words` + 1 steps.

    A caption has no fixed length; eight words are our choice.
    """
    return NeuralTalk(), (torch.zeros(1, 4096), torch.zeros(1, words, 600))
