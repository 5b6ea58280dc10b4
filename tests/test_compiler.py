"""What holds between passes, what the text of a program says, and options that a machine's file leaves out."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

import pytest
import torch

import crossloom as xl
from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.errors import MachineError, ModelError
from crossloom.machines import load_machine
from crossloom.network.operators import Conv, Relu
from crossloom.program.dependencies import All
from crossloom.program.placement import WholeArrays, placement
from crossloom.program.program import Program
from crossloom.program.stage import ArrayMapping, Dependency, Timing
from crossloom.program.verify import BrokenProgram, verify
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.associative_layers import digits_like, ternary
from tests.layers import chain, seeded


@pytest.fixture(scope="module")
def program() -> Program:
    graph, _ = digits_like()
    return compile_network(graph, load_machine("isaac-ce"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"timing": Timing(1e-6, -1e-9)}, "impossible numbers"),
        ({"timing": Timing(-1e-6, 1e-9)}, "impossible numbers"),
        ({"mapping": ArrayMapping(copies=0)}, "impossible numbers"),
        ({"positions": 0}, "impossible numbers"),
        ({"actions": {"adc.convert": -1}}, "negative number of times"),
        ({"dependencies": (Dependency("nowhere", All()),)}, "comes later or not at all"),
        ({"name": "other"}, "name of its last node"),
    ],
)
def test_a_program_that_contradicts_itself_is_refused(program: Program, change: dict[str, Any], says: str) -> None:
    verify(program)
    first, *rest = program.stages
    with pytest.raises(BrokenProgram, match=says):
        verify(replace(program, stages=(replace(first, **change), *rest)))


def test_nodes_run_once_and_all_of_them(program: Program) -> None:
    with pytest.raises(BrokenProgram, match="runs in no stage"):
        verify(replace(program, stages=program.stages[:1]))
    with pytest.raises(BrokenProgram, match="runs twice"):
        verify(replace(program, stages=(program.stages[0], *program.stages)))


@pytest.mark.parametrize("name", ["isaac-ce", "hurry", "misca", "rtm-ap", "star", "neural-pim"])
def test_the_text_says_what_differs_from_defaults_and_parses_back(name: str) -> None:
    graph, _ = digits_like()
    machine = load_machine(name)
    compiled = compile_network(graph, machine)
    text = str(compiled)
    again = parse_program(text, graph, machine)
    assert str(again) == text
    assert again.stages == compiled.stages and again.floor == compiled.floor and again.array_types == compiled.array_types
    default = ArrayMapping(arrays=0)
    for stage in compiled.stages:
        lines = text.split(f"stage {stage.name} (")[1].split("\nstage ")[0].split("\nfloor ")[0]
        assert ("  residency" in lines) == (stage.residency != type(stage.residency)())
        assert ("  mapping" in lines) == (stage.mapping != default)
        assert ("  slots" in lines) == (stage.slots is not None)
        for group in ("timing", "mapping", "residency", "slots"):
            value = getattr(stage, group)
            said = next((line for line in lines.splitlines() if line.startswith(f"  {group}")), "")
            if is_dataclass(value):
                for each in fields(value):
                    assert bool(re.search(rf"\b{each.name}=", said)) == (each.default is MISSING or getattr(value, each.name) != each.default)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("stage x (x) crossbar", "is not 'stage name"),
        ("  timing interval_s=1", "tuple index out of range|list index out of range"),
        ("stage x (x) on crossbar: speed=3", "speed"),
        ("stage x (x) on crossbar\n  timing interval_s", "name=value"),
        ("stage x (x) on crossbar\n  timing ), open('x'", "name=value"),
        ("stage x (x) on crossbar\n  placement Tilling(rows=3)", "Tilling"),
        ("stage x (x) on crossbar\n  placement __import__('os')", "line 3"),
        ("block x 0 0 Block(rows=1, columns=1)", "before the line"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, says: str) -> None:
    graph, _ = digits_like()
    with pytest.raises(ModelError, match=says):
        parse_program(f"program x on isaac-ce, 1 chips\n{line}\n", graph, load_machine("isaac-ce"))


def test_two_placements_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two placements named WholeArrays"):
        placement(type("WholeArrays", (), {}))
    assert placement(WholeArrays) is WholeArrays


def test_options_that_a_file_leaves_out_can_be_set() -> None:
    machine = load_machine("rtm-ap")
    assert "pipeline" not in machine.compile
    for changed in (machine.with_(**{"compile.pipeline": "none"}), machine.with_(compile_pipeline="none")):
        assert changed.compile["pipeline"] == "none"
    with pytest.raises(MachineError, match="no such option; choose from replicate"):
        compile_network(digits_like()[0], machine.with_(**{"compile.overflw": "reload"}))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("engines: {crossbar: {flipp: true}}", "did you mean flip"),
        ("engines: {crossbar: {range: lots}}", "engines.crossbar.range"),
        ("engines: {crossbars: {}}", "no engine named crossbars"),
        ("engines: {digital: {compute: vector.operate}}", "no such kind of work"),
        ("engines: {digital: {operate: vector.dance}}", "there is no action vector.dance"),
        ("engines: {dynamic: {operand_sets: 0}}", "operand_sets"),
        ("compile: {chips: 0.5}", "compile.chips must be a whole number"),
        ("compile: {overflow: spill}", "compile.overflow must be one of"),
    ],
)
def test_a_wrong_setting_fails_when_the_machine_is_loaded(tmp_path: Any, section: str, says: str) -> None:
    path = tmp_path / "chip.yaml"
    path.write_text(f"machine: chip\nextends: isaac-ce\ntitle: a chip\n{section}\n", encoding="utf-8")
    with pytest.raises(MachineError, match=says):
        xl.machine(path)


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossloom.engine.crossbar import engine

    calls: list[str] = []
    plain = engine.crossbars
    monkeypatch.setattr(engine, "crossbars", lambda machine: calls.append(machine.name) or plain(machine))
    graph, x = digits_like()
    machine = load_machine("isaac-ce")
    compiled = compile_network(graph, machine)
    read_ledger(compiled, read_timeline(compiled))
    Values.of(compiled)([x])
    compile_network(graph, machine)
    assert calls == ["isaac-ce"]


def few_banks(**changes: Any) -> Any:
    fixed = {"associative.layers": "side_by_side", "bank.count": 1, "tile.count": 1, "compile.overflow": "reload"}
    return load_machine("rtm-ap").with_(**fixed).with_(**changes)


def test_layers_without_weights_in_cells_follow_each_other_on_few_arrays() -> None:
    """A convolution that is larger than the chip, and a chip that holds one layer after the other: nothing is written in between."""
    weight = torch.tensor(ternary((16, 16, 3, 3), 0.8, 5)).float()
    layer, relu = (Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), (weight,)), (Relu(), ())
    x = seeded(3, 1, 16, 48, 48)
    graph = xl.quantize(chain(layer, relu, layer, relu, shape=(16, 48, 48)), x, weights=2, activations=4)
    machine = few_banks()
    there = int(machine.part("array").total)
    roomy = compile_network(graph, load_machine("rtm-ap").with_(**{"associative.layers": "side_by_side", "compile.chips": 64}))
    few = compile_network(graph, machine)
    assert roomy.arrays > there and all(stage.arrays <= there for stage in few.stages)
    held = [stage for stage in few.stages if stage.arrays]
    assert len(few.segments) == 2 or any(stage.residency.chunks > 1 for stage in held)
    assert not any(stage.residency.programming_s for stage in held)
    (note,) = (note for note in few.notes if "segments" in note)
    assert "nothing is written in between" in note and "layers of the arrays" not in note
    assert read_timeline(few).latency_s > read_timeline(roomy).latency_s
    for each in (few, roomy):
        assert torch.equal(Values.of(each)([x])[0][0], Values.exactly(each)([x])[0][0])
    counts = [dict(stage.actions) for stage in few.stages]
    moved = ("router.hop",)
    assert [{k: v for k, v in each.items() if k not in moved} for each in counts] == [
        {k: v for k, v in stage.actions.items() if k not in moved} for stage in roomy.stages
    ]


def test_planes_are_planes_and_not_layers(capsys: pytest.CaptureFixture[str]) -> None:
    graph, _ = digits_like()
    machine = load_machine("crossstack").with_(**{"crossbar.stack": "deep-net", "compile.overflow": "reload", "tile.count": 1, "ima.count": 1})
    notes = " ".join(compile_network(graph, machine).notes)
    assert "segments" in notes or "planes of the arrays" in notes
    assert "layers of the arrays" not in notes
    assert json.dumps(notes)
