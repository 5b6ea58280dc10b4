"""Small language model trained on Python's help texts, those shown by `help()`.

Every CPython includes them (`pydoc_data.topics`; 345 thousand characters in Python 3.11). They differ between Python versions, and so does the
trained model. The last tenth of the topics is the test set. Topics share sections, so paragraphs of test topics are excluded from training.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from crossloom.errors import InputError
from crossloom.job.data import Data
from crossloom.job.progress import Progress
from crossloom.network.zoo.char_lm import CharLm
from crossloom.training.descent import Descent, one_thread, seeded

LENGTH = 64
"""Context length of the model, in characters."""
STEPS = 1000
BATCH = 32
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""The vocabulary, ordered by token number."""
_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "...", "\t": " "})


def topics() -> dict[str, str]:
    """Return Python's help texts by topic. Raises InputError if they are not installed."""
    try:
        from pydoc_data.topics import topics
    except ImportError as problem:
        raise InputError("this Python has no help texts (pydoc_data.topics); install its complete standard library") from problem
    return dict(topics)


def texts() -> tuple[str, str]:
    """Return the training text and the test text. Each paragraph occurs once, in only one of them."""
    found = topics()
    names = sorted(found)
    split = len(names) - max(1, len(names) // 10)
    test = _paragraphs([found[name] for name in names[split:]], set())
    training = _paragraphs([found[name] for name in names[:split]], set(test))
    return "\n\n".join(training.values()), "\n\n".join(test.values())


def _paragraphs(texts: list[str], known: set[str]) -> dict[str, str]:
    """Return the paragraphs that are not in `known`, keyed by their words. Paragraphs that differ only in white space count as the same."""
    found: dict[str, str] = {}
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            words = " ".join(paragraph.split())
            if words and words not in known:
                found.setdefault(words, paragraph.strip("\n"))
    return found


def encode(text: str) -> Tensor:
    """Return a text's token numbers. Typographic characters become plain ones; the few characters outside the vocabulary are dropped."""
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    return torch.tensor([numbers[character] for character in text.translate(_PLAIN) if character in numbers], dtype=torch.int64)


def decode(numbers: Tensor) -> str:
    """Return the text of a sequence of token numbers."""
    return "".join(CHARACTERS[number] for number in numbers.tolist())


def characters() -> tuple[Data, Data]:
    """Return consecutive training and test windows (N, 64). The labels (N, 64) are the next characters."""
    training, test = (_windows(encode(text)) for text in texts())
    return training, test


def _windows(numbers: Tensor) -> Data:
    count = (len(numbers) - 1) // LENGTH
    inputs, labels = (numbers[start : start + count * LENGTH].reshape(count, LENGTH) for start in (0, 1))
    return Data((inputs,), labels)


def train_text(data: Data, seed: int, progress: Progress, steps: int = STEPS) -> nn.Module:
    """Return the zoo's language model, by default after 1000 training steps of 32 windows at random positions in the text."""
    assert data.labels is not None
    text = torch.cat([data.inputs[0].flatten(), data.labels[-1, -1:]])
    network = seeded(CharLm, seed).train()
    generator = torch.Generator().manual_seed(seed)
    descent = Descent.of(network, steps, rate=4e-3, decay=0.1)
    with one_thread():
        for _ in progress(range(steps), "training", steps):
            start = torch.randint(0, len(text) - LENGTH, (BATCH, 1), generator=generator)
            window = text[start + torch.arange(LENGTH + 1)]
            descent.step(nn.functional.cross_entropy(network(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten()))
    return network.eval()
