"""One job behind the verbs and the commands: what it checks, that the verbs agree, that options are declared once."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
import typer.main

import crossloom as xl
from crossloom.cli.app import app
from crossloom.cli.options import JobOptions
from crossloom.errors import DataError, InputError
from crossloom.job.job import Job
from crossloom.job.run import compare_jobs, run_job
from crossloom.network.graph import Graph
from crossloom.study.sweep import sweep_job

VERBS = ("load", "machine", "quantize", "compile", "run", "compare", "sweep", "diagnose", "ternarize", "ternary_module", "reproduce")
COMMANDS = ("run", "compare", "sweep", "diagnose", "listing")


@pytest.fixture(scope="module")
def network() -> Graph:
    return xl.load("zoo:digits")


def samples(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 1, 8, 8, generator=generator), torch.randint(0, 10, (count,), generator=generator)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_typed_to_the_last_keyword(verb: str) -> None:
    signature = inspect.signature(getattr(xl, verb))
    assert signature.return_annotation is not inspect.Signature.empty
    for name, each in signature.parameters.items():
        assert each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL), name
        assert each.annotation is not inspect.Parameter.empty, name


def test_a_job_is_a_value() -> None:
    assert dataclasses.fields(Job) and Job.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert {each.name for each in dataclasses.fields(Job)} == {
        *("network", "machine", "data", "calibration", "recipe"),
        *("seed", "runs", "batch", "device", "rate"),
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"runs": 0}, "runs must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"rate": 0.0}, "positive number of inferences per second"),
        ({"rate": float("inf")}, "positive number of inferences per second"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(network: Graph, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Job(network, xl.machine("isaac-ce"), **change)


def test_the_verbs_are_the_job(network: Graph) -> None:
    job = Job(network, xl.machine("isaac-ce"), samples(), seed=3, batch=5)
    alone = run_job(job)
    assert alone.to_dict() == xl.run(network, "isaac-ce", samples(), seed=3, batch=5).to_dict()
    chips = [xl.machine(name) for name in ("isaac-ce", "pipelayer")]
    together = compare_jobs(job, chips)
    assert [each.to_dict() for each in together] == [
        each.to_dict() for each in xl.compare(network, ["isaac-ce", "pipelayer"], samples(), seed=3, batch=5)
    ]
    assert together[0].to_dict() == alone.to_dict()
    assert together[1].accuracy is not None and together[1].accuracy.float == alone.accuracy.float  # type: ignore[union-attr]
    assert str(job.program()) == str(alone.program)
    swept = sweep_job(job, {"adc.bits": [8]})
    assert swept.points[0].energy_j == alone.energy and swept.points[0].score.accuracy == alone.accuracy.machine  # type: ignore[union-attr]


def test_samples_that_make_no_whole_batches_are_refused(network: Graph) -> None:
    fixed = replace(network, batch=5, fixed="shapes are written into it")
    with pytest.raises(DataError, match="runs only at batch 5, and 12 samples are not a multiple"):
        _ = Job(fixed, xl.machine("isaac-ce"), samples()).size


def test_an_option_is_declared_once() -> None:
    group = typer.main.get_command(app)
    assert hasattr(group, "commands")
    shared = {each.name for each in dataclasses.fields(JobOptions)}
    helps: dict[str, set[str]] = {}
    for name in COMMANDS:
        for option in group.commands[name].params:
            if option.name in shared and (name, option.name) not in {("compare", "on"), ("diagnose", "data")}:
                helps.setdefault(option.name, set()).add(str(option.help))
    assert set(helps) == shared
    assert {name: texts for name, texts in helps.items() if len(texts) > 1} == {}
