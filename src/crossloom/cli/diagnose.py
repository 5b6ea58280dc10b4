"""`crossloom diagnose`: the accuracy that a network loses on a machine, effect by effect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossloom.cli.options import JobOptions, Json, Runs, progress, say, takes_job

Labelled = Annotated[
    str, typer.Option("--data", help="Samples with labels: an .npz with x and y, a folder of images by class, or package.module:factory.")
]


@takes_job("rate")
def diagnose(
    options: JobOptions,
    data: Labelled,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Save a plot of the ladder and of the layers to this file (.png, .svg or .pdf).")
    ] = None,
    runs: Runs = 5,
    as_json: Json = False,
) -> None:
    """Enable the effects of cells and wires one by one; report which effect costs the most accuracy, and in which layer."""
    from crossloom.files import check_picture
    from crossloom.report.diagnosis import draw_diagnosis, print_diagnosis
    from crossloom.study.diagnose import diagnose_job

    if picture is not None:
        check_picture(picture)
    say(diagnose_job(options.job(), progress), print_diagnosis, draw_diagnosis, picture, as_json)
