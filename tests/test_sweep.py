"""Sweeps over fields of a machine: each point is the run of that version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import crossloom as xl
from crossloom.errors import InputError, MachineError
from crossloom.machines import Machine
from crossloom.report.sweep import draw_sweep
from tests.layers import seeded
from tests.test_cli import crossloom


class Tokens(nn.Module):
    """Scores of five classes for each of four tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.fc(x)
        return y


def tokens() -> tuple[xl.Graph, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    module, x = Tokens().eval(), seeded(1, 12, 4, 16)
    return xl.load(module, (x[:1],), name="tokens"), (x, module(x).argmax(-1))


def test_points_are_the_runs_of_their_versions(isaac: Machine) -> None:
    network, data = tokens()
    found = xl.sweep(network, isaac.with_(flip=False), {"adc.bits": [3, 8], "array.rows": [16, 128]}, data)
    assert [dict(point.values) for point in found.points] == [{"adc.bits": a, "array.rows": r} for a in (3, 8) for r in (16, 128)]
    for point in found.points:
        one = xl.run(network, isaac.with_(flip=False).with_(**point.values), data)
        assert one.accuracy is not None and one.accuracy.perplexity is not None and point.score is not None
        assert (point.score.accuracy, point.score.perplexity) == (one.accuracy.machine, one.accuracy.perplexity.machine)
        assert (point.latency_s, point.energy_j, point.area_mm2) == (one.latency, one.energy, one.area)
        assert found.quantized_score is not None and found.quantized_score.perplexity == one.accuracy.perplexity.quantized
        assert found.float_score is not None and found.float_score.accuracy == 1.0
    assert len({point.score.perplexity for point in found.points if point.score}) > 1
    assert len(draw_sweep(found).axes) == 1


def test_versions_that_cannot_run_say_why(isaac: Machine) -> None:
    network, data = tokens()
    found = xl.sweep(network, isaac, {"array.columns": [2, 128]}, data)
    narrow, wide = found.points
    assert "takes 4 columns and an array has 2" in narrow.fails and narrow.score is None
    assert not wide.fails and wide.energy_j > 0


def test_a_value_that_makes_no_sense_fails_alone(isaac: Machine) -> None:
    network, data = tokens()
    found = xl.sweep(network, isaac, {"crossbar.cell": ["ideal", "nope"]}, data)
    assert [bool(point.fails) for point in found.points] == [False, True]
    with pytest.raises(InputError, match="no version of isaac-ce runs tokens; the first fails with: "):
        xl.sweep(network, isaac, {"crossbar.cell": ["nope"]}, data)


def test_costs_alone_without_samples(isaac: Machine) -> None:
    found = xl.sweep(tokens()[0], isaac, {"adc.bits": [6, 8]})
    assert found.quantized_score is None and all(point.score is None for point in found.points)
    assert found.points[0].energy_j < found.points[1].energy_j
    assert "energy" in draw_sweep(found).axes[0].get_ylabel()


def test_what_cannot_be_swept(isaac: Machine) -> None:
    network, (x, _) = tokens()
    with pytest.raises(InputError, match="1 to 4096 combinations of values, got 0"):
        xl.sweep(network, isaac, {})
    with pytest.raises(InputError, match="got 10000"):
        xl.sweep(network, isaac, {"adc.bits": list(range(100)), "array.rows": list(range(100))})
    with pytest.raises(InputError, match="give labels"):
        xl.sweep(network, isaac, {"adc.bits": [8]}, x)
    with pytest.raises(MachineError, match=r"no field adc\.bit"):
        xl.sweep(network, isaac, {"adc.bit": [8]})


def test_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "sweep.svg"
    code, out, _ = crossloom(capsys, "sweep", "zoo:digits", "--on", "star", "--over", "adc.bits=6,8", "--json", "--picture", str(picture))
    document = json.loads(out)
    assert code == 0 and document["fields"] == ["adc.bits"] and [point["values"]["adc.bits"] for point in document["points"]] == [6, 8]
    assert picture.read_text().startswith("<?xml")
    code, shown, _ = crossloom(capsys, "sweep", "zoo:digits", "--on", "star", "--over", "softmax.format=5.2,6.2")
    assert code == 0 and "5.2" in shown and "throughput" in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--over", "adc.bits"), "--over adc.bits: write it as field=value,value"),
        (("--over", "adc.bits=6", "--over", "adc.bits=7"), "--over names a field twice"),
        (("--over", "adc.bits=6", "--picture", "x.doc"), "must end in .png, .svg or .pdf"),
        (("--over", "softmax.format=six"), "format 'six' is not of the form"),
    ],
)
def test_wrong_options_get_one_line(options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = crossloom(capsys, "sweep", "crossloom.network.zoo.digits_vit:digits_vit", "--on", "star", *options)
    assert code == 2 and len(err.strip().splitlines()) == 1 and says in err
