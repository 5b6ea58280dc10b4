"""The command-line application, a thin layer over the Python interface.

With `--json`, every command prints one JSON document on standard output and nothing else there; progress and warnings go to
standard error. Exit codes: 0 for success, 2 for bad input (with a one-line message), 1 for an internal error.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from crossloom import __version__
from crossloom.cli.device import devices
from crossloom.cli.diagnose import diagnose
from crossloom.cli.listing import listing
from crossloom.cli.machine import machines
from crossloom.cli.options import Json, busy, machine_named, print_json
from crossloom.cli.periphery import train_peripheral
from crossloom.cli.plugins import plugins
from crossloom.cli.run import check, compare, demo, run
from crossloom.cli.sweep import sweep
from crossloom.cli.ternarize import ternarize
from crossloom.errors import CrossloomError, printable

app = typer.Typer(
    name="crossloom",
    help="Run a trained network on a model of an in-memory machine: accuracy, latency, energy and area.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(machines, name="machine")
app.add_typer(devices, name="device")
for command in (demo, check, run, compare, diagnose, listing, sweep, ternarize, plugins):
    app.command()(command)
app.command("train-peripheral")(train_peripheral)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"crossloom {__version__}")
        raise typer.Exit


@app.command()
def reproduce(paper: Annotated[str | None, typer.Argument(help="Name of a paper; all papers by default.")] = None, as_json: Json = False) -> None:
    """Compare a paper's published figures with those that Crossloom computes, misses first."""
    from crossloom.papers import reproduce as reproduced
    from crossloom.report.terminal.claims import print_claims

    with busy("computing the claims"):
        claims = reproduced(paper)
    if as_json:
        print_json({"claims": [claim.to_dict() for claim in claims]})
    else:
        print_claims(claims, Console())


@app.command()
def cite(machine: Annotated[str, typer.Argument(help="Name of a machine, or a .yaml file.")], as_json: Json = False) -> None:
    """Print the papers behind a machine and its figures, as BibTeX."""
    from crossloom.machines.cite import citations

    entries = citations(machine_named(machine, None))
    if as_json:
        print_json({"machine": machine, "references": entries})
    else:
        print("\n\n".join(entries.values()))


def main() -> None:
    """Run the command line; print an error as one line and exit with its code."""
    if sys.stdout is None:
        _fail("standard output is closed; open it, or redirect it to a file")
    try:
        stopped = app(standalone_mode=False)
        sys.stdout.flush()
        if isinstance(stopped, int) and stopped:
            sys.exit(stopped)
    except CrossloomError as problem:
        _fail(str(problem))
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader has gone, and the interpreter flushes once more at exit
        sys.exit(141)
    except OSError as problem:
        place = problem.filename or "standard output"
        if problem.filename is None:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as above
        _fail(f"{place}: {problem.strerror or problem}; choose another path, or free some space")
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as problem:
        if hasattr(problem, "format_message"):
            _fail(problem.format_message())
        if "CROSSLOOM_TRACEBACK" in os.environ:
            raise
        print(
            f"crossloom: internal error: {type(problem).__name__}: {_one_line(problem)}; set CROSSLOOM_TRACEBACK=1 for the traceback", file=sys.stderr
        )
        sys.exit(1)


def _fail(message: str) -> None:
    print(f"crossloom: {printable(message)}", file=sys.stderr)
    sys.exit(2)


def _one_line(problem: BaseException) -> str:
    return printable(str(problem))[:300]
