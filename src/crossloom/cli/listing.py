"""`crossloom listing`: what the compiler made of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossloom.cli.options import JobOptions, Json, busy, print_json, progress, takes_job


@takes_job("data", "runs", "batch", "device", "rate")
def listing(
    options: JobOptions,
    layer: Annotated[str | None, typer.Option("--layer", help="One layer; the whole program if left out.")] = None,
    after: Annotated[
        str | None, typer.Option("--after", help="A pass of the layer's engine, for engines that have passes of their own; the last if left out.")
    ] = None,
    piece: Annotated[int, typer.Option("--piece", help="Index of the array (0-based) whose program is printed.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="A text file to write instead; must not exist.")] = None,
    as_json: Json = False,
) -> None:
    """Print what the compiler made of a network: its program, or one layer, pass after pass down to the instructions."""
    from crossloom.compiler.listing import listing as lines_of
    from crossloom.files import check_new, write_whole

    if out is not None:
        check_new(out)
    job = options.job()
    with busy("compiling"):
        lines = list(lines_of(job.program(progress), layer, after, piece))
    if out is not None:
        write_whole(out, "\n".join(lines) + "\n")
    if as_json:
        print_json({"model": job.network.name, "machine": job.machine.name, "layer": layer, "after": after, "piece": piece, "lines": lines})
    elif out is None:
        print("\n".join(lines))
