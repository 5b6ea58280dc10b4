"""`crossloom run`, `compare`, `demo` and `check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crossloom.cli.options import JobOptions, Json, Model, On, Seed, Sets, Shapes, busy, machine_named, print_json, progress, shapes_of, takes_job
from crossloom.errors import InputError, printable


def demo(
    on: On = "isaac-ce",
    out: Annotated[Path | None, typer.Option("--out", help="Run folder to write; by default the next free runs/demo-N.")] = None,
    sets: Sets = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a small network on real images of digits, run it on a machine, print the result and write the report."""
    from crossloom.demo import demo as demonstrate
    from crossloom.report.folder import check_free

    folder = check_free(out) if out is not None else _next_free(Path("runs"), "demo")
    result = demonstrate(machine_named(on, sets), seed, progress)
    saved = result.save(folder)
    _say_result(result, as_json, saved)


def check(
    model: Model,
    on: On = "isaac-ce",
    shape: Shapes = None,
    as_json: Json = False,
) -> None:
    """Check that a network can be imported; print its operators, the engine that runs each, and what is not supported."""
    from crossloom.job.check import check as checked
    from crossloom.report.terminal.checks import print_check

    with busy("reading the model"):
        found = checked(model, machine_named(on, None), shapes=shapes_of(shape))
    if as_json:
        print_json(found)
    else:
        print_check(found, Console())


@takes_job()
def run(
    options: JobOptions,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder to write, with result, layers, machine, program, report and trace.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print how each layer is computed, and why.")] = False,
    as_json: Json = False,
) -> None:
    """Run a network on a machine and print accuracy, latency, energy and area."""
    from crossloom.job.run import run_job
    from crossloom.report.folder import check_free

    folder = check_free(out) if out is not None else None
    result = run_job(options.job(), progress)
    with busy("writing the report"):
        saved = result.save(folder) if folder is not None else None
    _say_result(result, as_json, saved, explain)


@takes_job()
def compare(
    options: JobOptions,
    on: Annotated[str, typer.Option("--on", help="Names of machines or .yaml files, separated by commas.", metavar="A,B,C")],
    as_json: Json = False,
) -> None:
    """Run a network on several machines and print the results side by side."""
    from crossloom.job.run import compare_jobs
    from crossloom.report.terminal.results import print_comparison

    machines = options.machines()
    if not machines:
        raise InputError("compare needs at least one machine; name them separated by commas")
    results = compare_jobs(options.job(machines[0]), machines, progress)
    if as_json:
        print_json({"results": [result.to_dict() for result in results]})
    else:
        print_comparison(results, Console())


def _say_result(result: Any, as_json: bool, saved: Path | None, explain: bool = False) -> None:
    from crossloom.report.terminal.checks import print_plans
    from crossloom.report.terminal.results import print_result

    if as_json:
        for warning in result.warnings:
            print(f"warning: {printable(warning)}", file=sys.stderr)
        print_json(result.to_dict())
    else:
        print_result(result, Console())
        if explain:
            print_plans(result, Console())
        if saved is not None:
            report = saved / "report.html"
            missing = saved / "report.missing.txt"
            print(f"\nReport: {report}" if report.exists() else f"\nNo report: {missing.read_text(encoding='utf-8').strip()}")


def _next_free(parent: Path, stem: str) -> Path:
    parent.mkdir(exist_ok=True)
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"
