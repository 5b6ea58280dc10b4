"""Measurements become cells: what went in comes out, and what is wrong is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from crossloom.cli.app import app
from crossloom.device import cell, cell_text, fit_cell, read_measurements
from crossloom.device.fit import Measurements
from crossloom.device.programming import Measured
from crossloom.errors import CrossloomError

TRUTH = ((0.5, -1.0), (0.4, 1.5)), ((0.0, -2.0), (0.8, 2.5))
DAY = 86400.0


def made(samples: int = 300) -> Measurements:
    """Return measurements as written and a day later, by a known law, each cell keeping its place."""
    random = np.random.default_rng(0)
    target = np.repeat(np.linspace(5, 50, 10), samples)
    place, x = random.standard_normal(len(target)), target / 50
    polynomial = np.polynomial.polynomial.polyval
    first, later = (target + polynomial(x, bias) + polynomial(x, sigma) * place for bias, sigma in TRUTH)
    times = np.repeat([0.0, DAY], len(target))
    return Measurements(np.concatenate((target, target)), np.concatenate((first, later)), times)


def written(folder: Path, measurements: Measurements) -> Path:
    path = folder / "measured.csv"
    rows = zip(measurements.target_us, measurements.measured_us, measurements.time_s, strict=True)
    path.write_text("target,measured,time\n" + "\n".join(f"{a},{b},{c}" for a, b, c in rows))
    return path


def test_a_known_law_is_found() -> None:
    """Coefficients of a straight line through 3000 points are known to about σ·√(2/3000)."""
    found, qualities = fit_cell(made(), "mine", "here")
    for quality, (bias, sigma) in zip(qualities, TRUTH, strict=True):
        assert quality.bias_us == pytest.approx(bias, abs=0.2)
        assert quality.sigma_us == pytest.approx(sigma, abs=0.2)
        assert quality.spread == pytest.approx(1.0, abs=0.02)
        assert quality.p_value > 0.01
    assert (found.low_s, found.high_s) == pytest.approx((5e-6, 50e-6))
    assert found.longest_s == DAY


def test_the_cell_does_what_was_measured() -> None:
    found, _ = fit_cell(made(), "mine", "here")
    target = torch.full((20_000,), 25e-6, dtype=torch.float64)
    cells = found.write(target, torch.Generator().manual_seed(1))
    for time, (bias, sigma) in zip((0.0, DAY), TRUTH, strict=True):
        g = cells.conductance_s(time) * 1e6
        assert float(g.mean()) == pytest.approx(25 + bias[0] + bias[1] / 2, abs=0.1)
        assert float(g.std()) == pytest.approx(sigma[0] + sigma[1] / 2, rel=0.05)
    between = [float(cells.conductance_s(time).std()) for time in (0.0, DAY / 10, DAY / 2, DAY, 9 * DAY)]
    assert between == sorted(between)
    assert between[-1] == between[-2]


def test_other_distributions_are_called_so() -> None:
    random = np.random.default_rng(0)
    target = np.repeat(np.linspace(5, 50, 10), 300)
    _, (quality,) = fit_cell(Measurements(target, target + random.exponential(2.0, len(target)) - 2.0, np.zeros(len(target))), "mine", "here")
    assert quality.p_value < 0.01


def test_a_file_holds_the_whole_cell(tmp_path: Path) -> None:
    found, _ = fit_cell(made(50), "mine", "here")
    path = tmp_path / "mine.yaml"
    path.write_text(cell_text(found))
    again = cell(str(path))
    assert again.programming == found.programming
    assert again.drift == found.drift
    assert (again.low_s, again.high_s) == pytest.approx((found.low_s, found.high_s))
    with pytest.raises(CrossloomError, match="use it by its name"):
        cell_text(cell("pcm"))


def test_units(tmp_path: Path) -> None:
    data = made(20)
    path = written(tmp_path, Measurements(data.target_us * 1000, data.measured_us * 1000, data.time_s))
    np.testing.assert_allclose(read_measurements(path, "nS").target_us, data.target_us)


def test_on_the_command_line(tmp_path: Path) -> None:
    path, out, picture = written(tmp_path, made(50)), tmp_path / "mine.yaml", tmp_path / "fit.png"
    done = CliRunner().invoke(app, ["device", "fit", str(path), "--out", str(out), "--picture", str(picture), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert [fit["samples"] for fit in answer["fits"]] == [500, 500]
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = CliRunner().invoke(app, ["device", "show", str(out), "--json"])
    assert {row["time_s"] for row in json.loads(shown.stdout)["rows"]} == {0.0, 1.0, 3600.0, DAY}
    listed = CliRunner().invoke(app, ["device", "list"])
    assert "pcm" in listed.output
    assert isinstance(cell(str(out)).programming, Measured)


WRONG = {
    "no such file": (None, "no such file"),
    "other columns": ("a,b\n1,2\n", "has no column target"),
    "an empty file": ("", "has no column target"),
    "text for a number": ("target,measured\n1,x\n", "line 2: measured is 'x', not a number"),
    "nan": ("target,measured\n1,2\n1,nan\n", "line 3: measured is nan; it must be finite"),
    "a time before writing": ("target,measured,time\n1,2,-3\n", "time is -3"),
    "one target": ("target,measured\n" + "5,5.1\n" * 50, "measure at several"),
    "too few": ("target,measured\n" + "5,5.1\n6,6.1\n" * 5, "10 measurements at 0 s; a fit needs at least 20"),
    "no measurements": ("target,measured\n", "no measurements"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_measurements(name: str, tmp_path: Path) -> None:
    content, problem = WRONG[name]
    path, out = tmp_path / "measured.csv", tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    done = CliRunner().invoke(app, ["device", "fit", str(path), "--out", str(out)])
    assert isinstance(done.exception, CrossloomError)
    assert problem in str(done.exception)
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("cell: a\n", "source: Field required"),
        ("cell: a\nsource: b\nlow: 1 uS\nhigh: 5 mV\nsigma_us: [1]\n", "has the unit 'mV'"),
        ("cell: a\nsource: b\nlow: 9 uS\nhigh: 5 uS\nsigma_us: [1]\n", "0 <= low < high"),
        ("cell: a\nsource: b\nlow: 1 uS\nhigh: 5 uS\nsigma_us: [x]\n", "line 5: sigma_us.0"),
        (
            "cell: a\nsource: b\nlow: 1 uS\nhigh: 5 uS\nsigma_us: [1]\nlater: [{after: 0 s, bias_us: [0], sigma_us: [1]}]\n",
            "must be positive and increasing",
        ),
        ("cell: [\n", "not valid YAML"),
    ],
)
def test_wrong_cell_files(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(CrossloomError, match=problem.replace("[", r"\[")):
        cell(str(path))
