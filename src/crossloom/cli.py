"""The command line: a thin layer over the same calls.

Every command takes `--json` and then prints one JSON document on standard output and nothing else there; progress and warnings go
to standard error. Exit code 0 is success, 2 bad input with one clear line, 1 a fault of ours.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crossloom import __version__
from crossloom.cli_device import devices
from crossloom.cli_diagnose import diagnose
from crossloom.cli_listing import listing
from crossloom.cli_options import (
    Activations,
    BatchSize,
    Calibration,
    DataOption,
    Device,
    Json,
    Model,
    On,
    Ranges,
    Runs,
    Scheme,
    Seed,
    Sets,
    Shapes,
    Sparsity,
    Weights,
    busy,
    machine_named,
    network_of,
    print_json,
    progress,
)
from crossloom.cli_periphery import train_peripheral
from crossloom.cli_sweep import sweep
from crossloom.cli_ternarize import ternarize
from crossloom.errors import CrossloomError, printable
from crossloom.options import check_device, recipe_of, shapes_of

app = typer.Typer(
    name="crossloom",
    help="What would this in-memory machine compute for your network, when, and at what price?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
machines = typer.Typer(help="The machines that Crossloom knows: list, show, explain.", no_args_is_help=True)
app.add_typer(machines, name="machine")
app.add_typer(devices, name="device")
app.command()(diagnose)
app.command()(listing)
app.command()(sweep)
app.command()(ternarize)
app.command("train-peripheral")(train_peripheral)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(f"crossloom {__version__}")
        raise typer.Exit


@app.command()
def demo(
    on: On = "isaac-ce",
    out: Annotated[Path | None, typer.Option("--out", help="Run folder to write; the next free runs/demo-N if left out.")] = None,
    sets: Sets = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a small network on real images of digits, run it on a machine, print the result, write the report."""
    from crossloom.demo import demo as demonstrate
    from crossloom.report.folder import check_free

    folder = check_free(out) if out is not None else _next_free(Path("runs"), "demo")
    result = demonstrate(machine_named(on, sets), seed, progress)
    saved = result.save(folder)
    _say_result(result, as_json, saved)


@app.command()
def check(
    model: Model,
    on: On = "isaac-ce",
    shape: Shapes = None,
    as_json: Json = False,
) -> None:
    """Say whether a network can be imported, what it consists of, which engine runs what, and what is not supported."""
    from crossloom.job.check import check as checked
    from crossloom.report.checks import print_check

    with busy("reading the model"):
        found = checked(model, machine_named(on, None), shapes=shapes_of(shape))
    if as_json:
        print_json(found)
    else:
        print_check(found, Console())


@app.command()
def run(
    model: Model,
    on: On,
    data: DataOption = None,
    calibration: Calibration = None,
    sets: Sets = None,
    shape: Shapes = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder to write: result, layers, machine, program, report, trace.")] = None,
    weights: Weights = 8,
    activations: Activations = 8,
    scheme: Scheme = "symmetric",
    calibrator: Ranges = "minmax",
    sparsity: Sparsity = None,
    seed: Seed = 0,
    runs: Runs = 1,
    batch: BatchSize = 64,
    device: Device = "cpu",
    rate: Annotated[float | None, typer.Option("--rate", help="Inferences per second at which cells wear out; by default the throughput.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print which plan each layer got, and why.")] = False,
    as_json: Json = False,
) -> None:
    """Run a network on a machine: accuracy, latency, energy, area."""
    from crossloom.job.run import run as run_on
    from crossloom.report.folder import check_free

    folder = check_free(out) if out is not None else None
    machine = machine_named(on, sets)
    check_device(device)
    network = network_of(model, shape)
    result = run_on(
        network,
        machine,
        data,
        calibration=calibration,
        recipe=recipe_of(weights, activations, scheme, calibrator, sparsity),
        seed=seed,
        runs=runs,
        batch=batch,
        device=device,
        rate=rate,
        progress=progress,
    )
    with busy("writing the report"):
        saved = result.save(folder) if folder is not None else None
    _say_result(result, as_json, saved, explain)


@app.command()
def compare(
    model: Model,
    on: Annotated[str, typer.Option("--on", help="Machines by name or .yaml file, separated by commas.", metavar="A,B,C")],
    data: DataOption = None,
    calibration: Calibration = None,
    sets: Sets = None,
    shape: Shapes = None,
    weights: Weights = 8,
    activations: Activations = 8,
    scheme: Scheme = "symmetric",
    calibrator: Ranges = "minmax",
    sparsity: Sparsity = None,
    seed: Seed = 0,
    batch: BatchSize = 64,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Run a network on several machines, side by side."""
    from crossloom.job.run import compare as compare_on
    from crossloom.report.terminal import print_comparison

    chips = [machine_named(name.strip(), sets) for name in on.split(",") if name.strip()]
    check_device(device)
    network = network_of(model, shape)
    results = compare_on(
        network,
        chips,
        data,
        calibration=calibration,
        recipe=recipe_of(weights, activations, scheme, calibrator, sparsity),
        seed=seed,
        batch=batch,
        device=device,
        progress=progress,
    )
    if as_json:
        print_json({"results": [result.to_dict() for result in results]})
    else:
        print_comparison(results, Console())


@machines.command("list")
def machine_list(as_json: Json = False) -> None:
    """List the machines that come with Crossloom."""
    from crossloom.machines import published

    if as_json:
        print_json({"machines": [{"name": name, "title": title} for name, title in published().items()]})
        return
    for name, title in published().items():
        print(f"{name:12} {title}")


@machines.command("show")
def machine_show(name: Annotated[str, typer.Argument(help="A machine by name, or a .yaml file.")], sets: Sets = None, as_json: Json = False) -> None:
    """Print a machine's parts with count, area, power and source."""
    from crossloom.report.terminal import print_machine

    machine = machine_named(name, sets)
    if as_json:
        print_json(_machine_dict(machine))
    else:
        print_machine(machine, Console())


@machines.command("explain")
def machine_explain(
    name: Annotated[str, typer.Argument(help="A machine by name, or a .yaml file.")],
    field: Annotated[str | None, typer.Argument(help="A part or field, by the end of its path, e.g. adc or adc.convert.energy.")] = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Print where each figure of a machine comes from, and what can be changed."""
    from crossloom.machines.explain import explain
    from crossloom.report.terminal import print_explain

    machine = machine_named(name, sets)
    if as_json:
        print_json({"machine": machine.name, "fields": explain(machine, field)})
    else:
        print_explain(machine, field, Console())


@app.command()
def reproduce(paper: Annotated[str | None, typer.Argument(help="A paper by name; all if left out.")] = None, as_json: Json = False) -> None:
    """Compare what a paper prints with what is computed here, misses first."""
    from crossloom.papers import reproduce as reproduced
    from crossloom.report.claims import print_claims

    with busy("computing the claims"):
        claims = reproduced(paper)
    if as_json:
        print_json({"claims": [claim.to_dict() for claim in claims]})
    else:
        print_claims(claims, Console())


@app.command()
def cite(machine: Annotated[str, typer.Argument(help="A machine by name, or a .yaml file.")], as_json: Json = False) -> None:
    """Print the papers behind a machine and its numbers, as BibTeX."""
    from crossloom.machines.cite import citations

    entries = citations(machine_named(machine, None))
    if as_json:
        print_json({"machine": machine, "references": entries})
    else:
        print("\n\n".join(entries.values()))


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    if sys.stdout is None:
        _fail("standard output is closed; the answer has nowhere to go")
    try:
        stopped = app(standalone_mode=False)
        sys.stdout.flush()
        if isinstance(stopped, int) and stopped:
            sys.exit(stopped)
    except CrossloomError as problem:
        _fail(str(problem))
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - whoever read along has left; the interpreter flushes once more at its end
        sys.exit(141)
    except OSError as problem:
        place = problem.filename or "standard output"
        if problem.filename is None:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - likewise
        _fail(f"{place}: {problem.strerror or problem}; choose another place, or make room")
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as problem:
        if hasattr(problem, "format_message"):
            _fail(problem.format_message())
        if "CROSSLOOM_TRACEBACK" in os.environ:
            raise
        print(f"crossloom: a fault of ours: {type(problem).__name__}: {_one_line(problem)}; set CROSSLOOM_TRACEBACK=1 to see where", file=sys.stderr)
        sys.exit(1)


def _fail(message: str) -> None:
    print(f"crossloom: {printable(message)}", file=sys.stderr)
    sys.exit(2)


def _one_line(problem: BaseException) -> str:
    return printable(str(problem))[:300]


def _next_free(parent: Path, stem: str) -> Path:
    parent.mkdir(exist_ok=True)
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"


def _say_result(result: Any, as_json: bool, saved: Path | None, explain: bool = False) -> None:
    from crossloom.report.checks import print_plans
    from crossloom.report.terminal import print_result

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


def _machine_dict(machine: Any) -> dict[str, Any]:
    rows = [
        {
            "unit": part.unit,
            "component": part.name,
            "count": part.total,
            "area_mm2": part.area_mm2.value * part.total,
            "power_w": part.power_w.value * part.total,
            "source": part.area_mm2.source
            if part.area_mm2.source == part.power_w.source
            else f"area: {part.area_mm2.source}; power: {part.power_w.source}",
            "mark": part.power_w.mark,
            "extension": part.extension,
        }
        for part in machine.parts.values()
    ]
    return {"machine": machine.name, "totals": {"area_mm2": machine.area_mm2, "power_w": machine.power_w}, "rows": rows}
