"""Transformers trained here on real data: what they learn survives eight bits and the machine."""

from __future__ import annotations

import builtins
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

import crossloom as xl
from crossloom import demo
from crossloom.demo.characters import CHARACTERS, LENGTH, characters, decode, encode, texts, train_text
from crossloom.demo.digits import digits
from crossloom.demo.digits_vit import train_vit
from crossloom.errors import InputError
from crossloom.job.metrics import measure
from crossloom.job.progress import Progress
from crossloom.job.result import Result
from crossloom.machines import Machine
from crossloom.network.zoo.char_lm import VOCABULARY, CharLm

SILENT: Progress = lambda items, what, total: items  # noqa: E731
FEW = 250
"""Steps of the language model in these tests: a quarter of what the demonstration takes."""


def test_the_texts_are_apart() -> None:
    training, test = characters()
    assert len(training) > 8 * len(test) > 8 * 300
    assert training.inputs[0].shape[1:] == test.inputs[0].shape[1:] == (LENGTH,)
    assert training.labels is not None and torch.equal(training.inputs[0].flatten()[1:], training.labels.flatten()[:-1])
    parts = [{" ".join(paragraph.split()) for paragraph in text.split("\n\n")} for text in texts()]
    assert not parts[0] & parts[1]


def test_characters_and_their_numbers() -> None:
    assert len(set(CHARACTERS)) == len(CHARACTERS) == VOCABULARY
    assert decode(encode("“naïve”…\n\t1 – 2")) == '"nave"...\n 1 - 2'


def test_a_python_without_its_texts_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pydoc_data"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match="install its complete standard library"):
        characters()


def test_no_character_sees_a_later_one() -> None:
    network, text = CharLm().eval(), torch.randint(0, VOCABULARY, (1, LENGTH))
    other = text.clone()
    other[0, 40:] = 3
    assert torch.equal(network(text)[0, :40], network(other)[0, :40])


def test_training_twice_gives_the_same_network() -> None:
    training, _ = characters()
    image, _ = digits()
    for one, two in (
        [train_text(training, 3, SILENT, steps=3) for _ in range(2)],
        [train_vit(image.first(100), 3, SILENT, epochs=2) for _ in range(2)],
    ):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_vision_transformer_on_isaac(isaac: Machine) -> None:
    network, example = demo.vit_network()
    result = xl.run(xl.load(network, example, name="digits-vit"), isaac, demo.vit_test(), calibration=demo.vit_training().first(256))
    assert result.accuracy is not None and result.accuracy.float is not None
    assert result.accuracy.float >= 0.97
    assert result.accuracy.machine == result.accuracy.quantized >= result.accuracy.float - 0.01
    assert result.accuracy.perplexity is None
    assert result.counts == result.ledger.actions


def _run_text(network: nn.Module, machine: Machine) -> Result:
    training, test = demo.text_training(), demo.text_test()
    graph = xl.load(network, (torch.zeros(1, LENGTH, dtype=torch.int64),), name="char-lm")
    return xl.run(graph, machine, test, calibration=training.first(128))


def _holds(result: Result, most: float) -> None:
    accuracy = result.accuracy
    assert accuracy is not None and accuracy.perplexity is not None and accuracy.perplexity.float is not None
    assert accuracy.perplexity.float < most
    assert accuracy.perplexity.machine == accuracy.perplexity.quantized == pytest.approx(accuracy.perplexity.float, rel=0.02)
    assert accuracy.machine == accuracy.quantized == pytest.approx(accuracy.float, abs=0.01)
    assert accuracy.perplexity.tokens == accuracy.samples * LENGTH
    assert result.counts == result.ledger.actions


def test_a_language_model_on_isaac(isaac: Machine) -> None:
    """After a quarter of its training it knows twice as much as the frequencies of characters tell."""
    training, test = characters()
    assert test.labels is not None
    often = Counter(training.inputs[0].flatten().tolist())
    chances = torch.tensor([often[number] + 1.0 for number in range(VOCABULARY)])
    frequencies = measure(chances.log().expand(*test.labels.shape, VOCABULARY), test.labels).perplexity
    assert 15 < frequencies < 40
    _holds(_run_text(train_text(training, 0, SILENT, steps=FEW), isaac), frequencies / 2)


@pytest.mark.slow
def test_a_language_model_with_all_its_training(isaac: Machine) -> None:
    """Two bits for a character."""
    result = _run_text(demo.text_network()[0], isaac)
    _holds(result, 4.3)
    assert result.accuracy is not None and result.accuracy.perplexity is not None
    assert math.log2(result.accuracy.perplexity.machine) < 2.1
