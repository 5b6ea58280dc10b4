"""A small language model that learns English of the kind that comes with Python: the texts behind `help()`.

Every CPython has them (`pydoc_data.topics`; 345 thousand characters in Python 3.11). They differ from one version of Python to the next, and so does
what the model learns. The last tenth of the topics is kept for the test. Topics share sections; what a test topic holds is not trained on.
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
"""Characters that the model looks back on."""
STEPS = 1000
BATCH = 32
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""The vocabulary, in the order of its numbers."""
_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "...", "\t": " "})


def topics() -> dict[str, str]:
    """Return Python's help texts by topic. Raises InputError where Python came without them."""
    try:
        from pydoc_data.topics import topics
    except ImportError as problem:
        raise InputError("this Python came without its help texts (pydoc_data.topics); install the whole of its standard library") from problem
    return dict(topics)


def texts() -> tuple[str, str]:
    """Return the text for training and that for the test, each paragraph once; none is in both."""
    found = topics()
    names = sorted(found)
    split = len(names) - max(1, len(names) // 10)
    test = _paragraphs([found[name] for name in names[split:]], set())
    training = _paragraphs([found[name] for name in names[:split]], set(test))
    return "\n\n".join(training.values()), "\n\n".join(test.values())


def _paragraphs(texts: list[str], known: set[str]) -> dict[str, str]:
    """Return the paragraphs of some texts that are not known, by their words; indentation makes no other paragraph."""
    found: dict[str, str] = {}
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            words = " ".join(paragraph.split())
            if words and words not in known:
                found.setdefault(words, paragraph.strip("\n"))
    return found


def encode(text: str) -> Tensor:
    """Return the numbers of a text's characters; typographic ones become plain, and the few others are left out."""
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    return torch.tensor([numbers[character] for character in text.translate(_PLAIN) if character in numbers], dtype=torch.int64)


def decode(numbers: Tensor) -> str:
    """Return the text that numbers stand for."""
    return "".join(CHARACTERS[number] for number in numbers.tolist())


def characters() -> tuple[Data, Data]:
    """Return training and test windows (N, 64) that follow each other; the labels (N, 64) are the characters that come next."""
    training, test = (_windows(encode(text)) for text in texts())
    return training, test


def _windows(numbers: Tensor) -> Data:
    count = (len(numbers) - 1) // LENGTH
    inputs, labels = (numbers[start : start + count * LENGTH].reshape(count, LENGTH) for start in (0, 1))
    return Data((inputs,), labels)


def train_text(data: Data, seed: int, progress: Progress, steps: int = STEPS) -> nn.Module:
    """Return the language model of the zoo after 1000 steps on 32 windows each, taken anywhere in the text."""
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
