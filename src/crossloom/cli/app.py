"""The command line: a thin layer over the same calls.

Every command takes `--json` and then prints one JSON document on standard output and nothing else there; progress and warnings go
to standard error. Exit code 0 is success, 2 bad input with one clear line, 1 an internal error.
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
    help="What would this in-memory machine compute for your network, when, and at what price?",
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
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(f"crossloom {__version__}")
        raise typer.Exit


@app.command()
def reproduce(paper: Annotated[str | None, typer.Argument(help="A paper by name; all if left out.")] = None, as_json: Json = False) -> None:
    """Compare what a paper prints with what is computed here, misses first."""
    from crossloom.papers import reproduce as reproduced
    from crossloom.report.terminal.claims import print_claims

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
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as above
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
        print(f"crossloom: internal error: {type(problem).__name__}: {_one_line(problem)}; set CROSSLOOM_TRACEBACK=1 to see where", file=sys.stderr)
        sys.exit(1)


def _fail(message: str) -> None:
    print(f"crossloom: {printable(message)}", file=sys.stderr)
    sys.exit(2)


def _one_line(problem: BaseException) -> str:
    return printable(str(problem))[:300]
