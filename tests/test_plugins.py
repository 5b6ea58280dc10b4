"""Engines, machines, parts, cells and networks of another package: installed, listed, compiled, printed, parsed back, priced and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "examples" / "own_engine"
ROUND_TRIP = """
import torch
import crossloom as xl
from crossloom.compiler.parse import parse_program
from crossloom.job.data import random_inputs
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values

graph = xl.quantize(xl.load("zoo:our-net"), random_inputs(xl.load("zoo:our-net"), 8, 0))
chip = xl.machine("our-macro").with_(**{"tile.count": 1, "array.count": arrays, "compile.overflow": overflow})
program = xl.compile(graph, chip)
text = str(program)
again = parse_program(text, graph, chip)
assert str(again) == text, "the text does not parse back"
assert again.stages == program.stages
timeline = read_timeline(again)
ledger = read_ledger(again, timeline)
x = random_inputs(graph, 3, 1).inputs
(found,), counts = Values.of(again)(x)
assert torch.equal(found, graph(*x)), "adder trees are exact"
assert counts == {name: 3 * count for name, count in ledger.actions.items()}, "what is performed is what is priced"
conv, pool, flatten, linear = program.stages
assert conv.engine == linear.engine == "adder_tree" and conv.in_array_nodes == 1
# 9 rows and 8 columns take one array of 128 x 16; a position takes 8 cycles of 2 ns
assert conv.placement.arrays == 1 and conv.actions["array.cycle"] == 64 * 8
written = sum(stage.actions.get("array.write_row", 0) for stage in program.stages)
assert bool(written) == bool(ledger.actions.get("array.write_row")) == (len(program.segments) > 1)
print(program.chips, len(program.segments), written)
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pip has installed the package."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source")
    words = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    return folder / "site"


def crossloom(*words: str, site: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line with what lies in a folder installed."""
    return python("from crossloom.cli.app import main; main()", *words, site=site)


def python(code: str, *words: str, site: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return subprocess.run([sys.executable, "-c", code, *words], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300)


def test_what_a_package_brings_is_listed(installed: Path) -> None:
    rows = json.loads(crossloom("plugins", "--json", site=installed).stdout)["plugins"]
    assert {row["kind"]: row["brings"] for row in rows} == {
        "engines": ["adder_tree"],
        "machines": ["our-macro.yaml"],
        "components": ["our_lab.yaml"],
        "cells": ["our-cell.yaml"],
        "networks": ["zoo:our-net"],
    }
    assert all(row["package"] == "our-lab 0.1" and not row["problem"] for row in rows)
    table = crossloom("plugins", site=installed).stdout
    assert "our-macro.yaml" in table and "our_lab.engine:ADDER_TREE" in table


def test_nothing_installed_is_said(tmp_path: Path) -> None:
    assert "No plugins" in crossloom("plugins", site=tmp_path).stdout


@pytest.mark.parametrize(("arrays", "overflow", "says"), [(128, "chips", "1 1 0"), (1, "chips", "2 1 0"), (1, "reload", "1 2 137")])
def test_a_foreign_engine_compiles_prints_parses_prices_and_runs(installed: Path, arrays: int, overflow: str, says: str) -> None:
    """On one array the two layers take two chips, or are written in turn: 9 and 128 rows."""
    found = python(f"arrays, overflow = {arrays}, {overflow!r}\n{ROUND_TRIP}", site=installed)
    assert not found.stderr and found.stdout.strip() == says, found.stdout + found.stderr


def test_the_command_line_knows_machine_network_and_paper(installed: Path) -> None:
    found = json.loads(crossloom("run", "zoo:our-net", "--on", "our-macro", "--json", site=installed).stdout)
    assert found["machine"] == "our-macro" and {layer["engine"] for layer in found["layers"]} == {"adder_tree", "digital"}
    assert "our-macro" in crossloom("machine", "list", site=installed).stdout
    assert "@misc{ours2026" in crossloom("cite", "our-macro", site=installed).stdout
    assert "our-cell" in crossloom("device", "list", site=installed).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "zoo:our-net", "--on", "our-macro", "--set", "adder_tree.pipline_stages=2"), "did you mean pipeline_stages?"),
        (("run", "zoo:our-net", "--on", "our-macro", "--set", "adder_tree.pipeline_stages=99"), "less than or equal to 32, got 99"),
        (("run", "zoo:their-net", "--on", "our-macro"), "our-net"),
        (("run", "zoo:our-net", "--on", "their-macro"), "our-macro"),
    ],
)
def test_wrong_input_gets_one_line(installed: Path, words: tuple[str, ...], says: str) -> None:
    found = crossloom(*words, site=installed)
    assert found.returncode == 2 and says in found.stderr and len(found.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("group", "where", "words", "says"),
    [
        ("engines", "our_missing:ENGINE", ("plugins",), "cannot be imported"),
        ("engines", "os:sep", ("run", "zoo:digits", "--on", "{machine}"), "is not an engine"),
        ("machines", "os:sep", ("machine", "list"), "must name a package"),
        ("networks", "our_missing:net", ("check", "zoo:broken"), "cannot be imported"),
        ("networks", "os:getcwd", ("check", "zoo:broken"), "must return a torch module"),
        ("networks", "os:sep", ("check", "zoo:broken"), "raised TypeError"),
    ],
)
def test_a_broken_package_is_named(tmp_path: Path, group: str, where: str, words: tuple[str, ...], says: str) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[crossloom.{group}]\nbroken = {where}\n", encoding="utf-8")
    machine = tmp_path / "chip.yaml"
    machine.write_text("machine: chip\nextends: isaac-ce\ntitle: a chip\nengines: {broken: {}}\n", encoding="utf-8")
    found = crossloom(*(word.format(machine=machine) for word in words), site=tmp_path)
    said = " ".join((found.stdout + found.stderr).split())
    assert "broken 1.0" in said and says in said
    assert found.returncode == (0 if words == ("plugins",) else 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [("broken.adc: 3\n", "broken.adc: must map names to values"), ("isaac.adc: {about: mine}\n", "isaac.adc already"), ("- 1\n", "not a mapping")],
)
def test_components_that_are_wrong_are_named(tmp_path: Path, text: str, says: str) -> None:
    package = tmp_path / "broken_parts"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "parts.yaml").write_text(text, encoding="utf-8")
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[crossloom.components]\nparts = broken_parts\n", encoding="utf-8")
    found = crossloom("machine", "show", "isaac-ce", site=tmp_path)
    assert found.returncode == 2 and says in found.stderr and len(found.stderr.strip().splitlines()) == 1
