"""`crossloom listing`: the compiled program of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossloom.cli.options import JobOptions, Json, busy, print_json, progress, takes_job


@takes_job("data", "runs", "batch", "device", "rate")
def listing(
    options: JobOptions,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer to print; by default the whole program.")] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", help="Print the layer after this pass of its engine, if the engine has passes of its own; by default the last pass."),
    ] = None,
    piece: Annotated[int, typer.Option("--piece", help="Index of the array (0-based) whose program is printed.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Text file to write instead of printing; must not exist.")] = None,
    as_json: Json = False,
) -> None:
    """Print the compiled program of a network, or one layer of it after any pass of its engine, down to the instructions."""
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
