"""NeuralTalk, an LSTM that captions images (Karpathy and Fei-Fei, CVPR 2015), in the sizes that Han et al. list (EIE, ISCA 2016, Table III)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NeuralTalk(nn.Module):
    """Image features start the LSTM, each word takes it one step further, and after each word all words of the vocabulary get a score.

    Input, forget and output gate and the candidate come from one matrix, which takes the step's input and the hidden state before it.
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
    """Return the network, and for an example the features of an image and the embeddings of `words` words: one step of the LSTM more than words.

    A caption has no fixed length; eight words are our choice.
    """
    return NeuralTalk(), (torch.zeros(1, 4096), torch.zeros(1, words, 600))
