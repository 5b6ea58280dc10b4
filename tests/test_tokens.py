"""Accuracy and perplexity of networks with an answer for each token, held against numbers worked out by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import crossloom as xl
from crossloom.errors import DataError
from crossloom.job.data import load_data
from crossloom.job.metrics import Metrics, measure
from crossloom.job.result import Result
from crossloom.machines import Machine
from crossloom.report.numbers.headline import headlines
from crossloom.report.terminal.results import print_comparison, print_result
from tests.test_cli import crossloom

CHANCES = ((0.5, 0.25, 0.25), (0.1, 0.8, 0.1))
"""What comes after either token, by the network below."""
TOKENS = torch.tensor([[0, 1], [0, 1]])
LABELS = torch.tensor([[0, 1], [2, -100]])
"""The first two are the likeliest, the third is not, the fourth does not count: chances of 0.5, 0.8 and 0.25, whose product is 0.1."""
NETWORK = "tests.test_tokens:network"


def network() -> tuple[nn.Module, tuple[Tensor]]:
    """Two tokens in, for each the logarithms of the chances of three that may come next."""
    table, same = nn.Embedding(2, 3), nn.Linear(3, 3, bias=False)
    table.weight.data = torch.tensor(CHANCES).log()
    same.weight.data = torch.eye(3)
    return nn.Sequential(table, same), (torch.zeros(1, 2, dtype=torch.int64),)


@pytest.fixture(scope="module")
def result() -> Result:
    return xl.run(xl.load(*network(), name="pairs"), xl.machine("isaac-ce"), (TOKENS, LABELS))


def test_the_numbers_are_those_worked_out_by_hand(result: Result) -> None:
    accuracy = result.accuracy
    assert accuracy is not None and accuracy.perplexity is not None
    assert (accuracy.float, accuracy.quantized, accuracy.machine, accuracy.samples) == (2 / 3, 2 / 3, 2 / 3, 2)
    assert accuracy.perplexity.tokens == 3
    assert accuracy.perplexity.float == pytest.approx(10 ** (1 / 3), rel=1e-6)
    assert accuracy.perplexity.quantized == pytest.approx(10 ** (1 / 3), rel=0.02)
    assert accuracy.perplexity.machine == accuracy.perplexity.quantized


def test_a_tally_is_the_same_in_parts() -> None:
    scores, labels = torch.randn(6, 5, 7), torch.randint(0, 7, (6, 5))
    labels[2, 1:3] = -100
    whole = measure(scores, labels)
    parts = sum((measure(scores[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)), Metrics())
    assert (parts.right, parts.answers) == (whole.right, whole.answers) == (int((scores.argmax(-1) == labels).sum()), 28)
    assert parts.nats == pytest.approx(whole.nats, rel=1e-12)
    wanted = nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten()).exp()
    assert whole.perplexity == pytest.approx(float(wanted), rel=1e-5)


def test_scores_may_be_impossible_but_not_undefined() -> None:
    impossible = torch.tensor([[[0.0, -torch.inf], [0.0, 0.0]]])
    assert 1e300 < measure(impossible, torch.tensor([[1, 0]])).perplexity < float("inf")
    with pytest.raises(DataError, match="NaN"):
        measure(torch.full((1, 2, 2), torch.nan), torch.tensor([[1, 0]]))


def test_one_label_for_each_sample_has_no_perplexity() -> None:
    assert measure(torch.eye(3), torch.tensor([0, 1, 0])) == Metrics(2, 3, 0.0)
    with pytest.raises(DataError, match="one row of scores per label"):
        measure(torch.zeros(3, 4, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(DataError, match="one score per class"):
        measure(torch.zeros(3), torch.tensor([0, 1, 0]))


def test_every_view_of_a_result_shows_it(result: Result) -> None:
    assert result.accuracy is not None and result.accuracy.perplexity is not None
    shown = f"{result.accuracy.perplexity.machine:.4g}"
    line = next(line for line in headlines(result) if line.key == "perplexity")
    assert line.value == shown and line.detail == f"float 2.154, quantised {shown}; 3 tokens"
    console = Console(width=80, file=io.StringIO(), record=True)
    print_result(result, console)
    print_comparison([result, replace(result, accuracy=None)], console)
    text = console.export_text()
    assert f"Perplexity   {shown}" in text and "perplexity" in text
    assert f"perplexity  float 2.154, quantised {shown}, machine {shown} (3 tokens)" in str(result)
    assert "Perplexity" in result._repr_html_()
    several = xl.run(result.program.graph, result.program.machine, (TOKENS, LABELS), runs=2)
    assert next(line for line in headlines(several) if line.key == "perplexity").detail == f"quantised {shown}; 3 tokens; of the first run"
    assert json.loads(result.to_json())["accuracy"]["perplexity"]["tokens"] == 3


def test_machines_are_compared_with_the_same_floating_point(isaac: Machine) -> None:
    first, second = xl.compare(xl.load(*network()), [isaac, isaac.with_(adc_bits=6)], (TOKENS, LABELS))
    assert first.accuracy is not None and second.accuracy is not None
    assert first.accuracy.perplexity is not None and second.accuracy.perplexity is not None
    assert first.accuracy.perplexity.float == second.accuracy.perplexity.float


def test_a_ladder_takes_tokens(isaac: Machine) -> None:
    found = xl.diagnose(xl.load(*network()), isaac.with_(cell="pcm"), (TOKENS, LABELS), runs=1)
    assert found.rungs[0].accuracy.mean == pytest.approx(2 / 3)


def test_labels_of_a_calibration_are_left_out() -> None:
    assert load_data((TOKENS, ["a", "b"]), xl.load(*network()), labels=False).labels is None
    assert xl.quantize(xl.load(*network()), (TOKENS, torch.zeros(2, 9))).quantized


BAD = {
    "one label for each sample": (np.array([0, 1]), "each of a sample's [2] tokens"),
    "labels of another length": (np.zeros((2, 3), np.int64), "got int64 of shape (2, 3); label each token, -100"),
    "a score for each class": (np.zeros((2, 2, 3), np.int64), "argmax(2)"),
    "fractions": (np.zeros((2, 2)), "whole number"),
    "more labels than samples": (np.zeros((3, 2), np.int64), "2 samples but 3 labels"),
    "a class too many": (np.array([[0, 3], [0, 0]]), "labels range from 0 to 3, but the network has 3 classes"),
    "a negative class": (np.array([[0, -1], [0, -100]]), "labels range from -1 to 0"),
    "nothing that counts": (np.full((2, 2), -100), "every label is -100"),
}


@pytest.mark.parametrize("case", BAD)
def test_labels_that_do_not_fit_are_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, expected = BAD[case]
    np.savez(tmp_path / "data.npz", x=TOKENS.numpy(), y=labels)
    code, out, err = crossloom(capsys, "run", NETWORK, "--on", "isaac-ce", "--data", str(tmp_path / "data.npz"))
    assert code == 2 and out == ""
    assert len(err.strip().splitlines()) == 1 and expected in err
