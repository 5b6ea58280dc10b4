"""The examples and the README's commands do what they say."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import crossloom as xl

ROOT = Path(__file__).parents[1]


def test_own_network(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "own_network.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    energies = [float(re.search(r"([\d.]+) uJ", line)[1]) for line in lines]
    assert energies == sorted(energies, reverse=True)


def test_training_for_a_chip(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "train_for_a_chip.py"), run_name="__main__")
    before, after = (float(re.search(r": ([\d.]+)%", line)[1]) for line in capsys.readouterr().out.splitlines())
    assert after > before + 4


def test_a_ternary_network(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "ternary_network.py"), run_name="__main__")
    first, *layers = capsys.readouterr().out.splitlines()
    before, after = map(float, re.findall(r"([\d.]+)%", first))
    assert before - after < 3
    assert [float(re.search(r"([\d.]+)%", line)[1]) for line in layers] == pytest.approx([85.0] * 5, abs=0.4)


def test_own_machine() -> None:
    machine = xl.machine(ROOT / "examples" / "own_machine.yaml")
    result = xl.run(xl.load("zoo:digits"), machine)
    assert {row["plan"] for row in result.plans} == {"integer product"}


def test_the_readme_names_commands_and_machines_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    from crossloom.machines import published

    for name in re.findall(r"`(isaac-\w+|dadiannao)`", text):
        assert name in published()
    help_text = subprocess.run([sys.executable, "-m", "crossloom", "--help"], capture_output=True, text=True, check=True).stdout
    for command in set(re.findall(r"^crossloom (\w+)", text, re.MULTILINE)):
        assert command in help_text


def test_importing_is_light() -> None:
    """`import crossloom` pulls neither torch nor anything heavy."""
    code = "import sys, crossloom; print(sorted({'torch', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_public_face() -> None:
    assert set(dir(xl)) >= {"__version__", "compare", "quantize"}
    assert all(callable(getattr(xl, name)) for name in xl.__all__)
    with pytest.raises(AttributeError, match="simulate"):
        _ = xl.simulate


def test_attention_streams(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "streams.png"
    monkeypatch.setattr(sys, "argv", ["attention_streams.py", str(picture)])
    runpy.run_path(str(ROOT / "examples" / "attention_streams.py"), run_name="__main__")
    found = [(float(times[1]), float(times[2])) for times in re.finditer(r": (\d+) us, ([\d.]+) uJ", capsys.readouterr().out)]
    assert len(found) == 3 and found[0][0] < found[1][0] < found[2][0]
    assert len({energy for _, energy in found}) == 1
    assert picture.stat().st_size > 10_000


def test_the_machines_of_the_tutorial_load_and_run(tmp_path: Path) -> None:
    """Each YAML block of docs/own_machine.md is a machine file, or one with the blocks before it."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "own_machine.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    variant, parts, tree = blocks
    with_parts = variant.replace("set:\n", parts.split("set:\n")[0] + "set:\n  adc.use: mine.adc\n")
    for name, text in {"variant": variant, "parts": with_parts, "tree": tree}.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    graph = xl.load("zoo:digits")
    found = {name: xl.run(graph, tmp_path / f"{name}.yaml") for name in ("variant", "parts", "tree")}
    assert found["parts"].program.machine.part("adc").component == "mine.adc"
    assert any("has no" in warning and "router" in warning for warning in found["tree"].warnings)
    assert found["tree"].energy > 0 and found["variant"].program.machine.part("adc").whole("bits") == 7
