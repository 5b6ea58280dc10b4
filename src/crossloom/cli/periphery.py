"""`crossloom train-peripheral`: training and measurement of small RRAM networks as peripheral circuits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from crossloom.errors import InputError

Kind = Literal["nns-a", "nnadc"]


def train_peripheral(
    kind: Annotated[Kind, typer.Argument(help="nns-a: shift-and-add; nnadc: 8-bit converter with three ranges.")],
    out: Annotated[Path, typer.Option("--out", help="File to write (JSON); must not exist.")],
    digit_bits: Annotated[int, typer.Option(help="nns-a: bits per digit, 1, 2 or 4.")] = 4,
    hidden: Annotated[int, typer.Option(help="Hidden neurons; 0 for the usual number (nns-a: 12, nnadc: 8).", min=0, max=256)] = 0,
    steps: Annotated[int, typer.Option(help="Training steps (Adam).", min=1, max=10**6)] = 2000,
    seed: Annotated[int, typer.Option(help="Random seed of weights, inputs and sampled circuits.", min=0, max=2**63 - 1)] = 0,
    plain: Annotated[
        bool, typer.Option(help="nns-a: one row per signal, as in the paper, instead of rows in proportion to its share of the sum.")
    ] = False,
    aware: Annotated[bool, typer.Option(help="Vary cells, transistors and samples during training.")] = True,
    draws: Annotated[int, typer.Option(help="Number of circuits sampled to measure the errors.", min=10, max=100_000)] = 1000,
    picture: Annotated[Path | None, typer.Option(help="Save a plot of errors or nonlinearity to this file (.png, .svg or .pdf).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")] = False,
) -> None:
    """Train a small network of RRAM cells and inverters, measure it on sampled circuits, and write its levels to a file."""
    from crossloom.files import check_new, check_picture, write_picture, write_whole
    from crossloom.periphery.make import make

    check_new(out)
    if picture is not None:
        check_picture(picture)
    if digit_bits not in (1, 2, 4):
        raise InputError(f"--digit-bits must be 1, 2 or 4, got {digit_bits}")
    command = "crossloom train-peripheral " + " ".join(_words(kind, digit_bits, hidden, steps, seed, plain, aware))
    print("training ...", file=sys.stderr)
    made = make(kind, command, digit_bits=digit_bits, hidden=hidden, steps=steps, seed=seed, plain=plain, aware=aware, draws=draws)
    if picture is not None:
        from crossloom.report.figures.periphery import draw_peripheral

        write_picture(draw_peripheral(made.peripheral), picture)
    write_whole(out, made.text)
    if as_json:
        print(json.dumps({"kind": kind, "file": str(out), "command": command, "measured": made.measured}))
        return
    _print(kind, out, made.measured)


def _words(kind: str, digit_bits: int, hidden: int, steps: int, seed: int, plain: bool, aware: bool) -> list[str]:
    """Return the command-line options that reproduce the file."""
    words = [kind]
    words += [f"--digit-bits {digit_bits}"] if kind == "nns-a" else []
    words += [f"--hidden {hidden}"] if hidden else []
    words += ["--plain"] if plain and kind == "nns-a" else []
    words += [] if aware else ["--no-aware"]
    return [*words, f"--steps {steps}", f"--seed {seed}"]


def _print(kind: str, out: Path, measured: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    for title, figures in measured.items():
        table = Table("figure", "value", title=title, title_justify="left")
        for name, value in figures.items():
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
        Console().print(table)
    Console().print(f"{kind} written to {out}")
