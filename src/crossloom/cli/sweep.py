"""`crossloom sweep`: accuracy and costs over the values of a machine's fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossloom.cli.options import JobOptions, Json, field_value, progress, say, takes_job
from crossloom.errors import InputError

Over = Annotated[
    list[str], typer.Option("--over", help="Field of the machine and its values, e.g. adc.bits=5,6,7,8. Repeatable.", metavar="FIELD=A,B,C")
]


@takes_job("runs", "rate")
def sweep(
    options: JobOptions,
    over: Over,
    picture: Annotated[Path | None, typer.Option("--picture", help="Save a plot of the sweep to this file (.png, .svg or .pdf).")] = None,
    as_json: Json = False,
) -> None:
    """Run a network for every combination of field values and print accuracy, latency, energy and area of each."""
    from crossloom.files import check_picture
    from crossloom.report.sweep import draw_sweep, print_sweep
    from crossloom.study.sweep import sweep_job

    fields = dict(_values(text) for text in over)
    if len(fields) < len(over):
        raise InputError("--over names a field twice; give all its values in one --over, separated by commas")
    if picture is not None:
        check_picture(picture)
    say(sweep_job(options.job(), fields, progress), print_sweep, draw_sweep, picture, as_json)


def _values(text: str) -> tuple[str, list[Any]]:
    """Return a field and its values. Raises InputError."""
    field, equals, values = text.partition("=")
    if not equals or not field.strip() or not values.strip():
        raise InputError(f"--over {text}: write it as field=value,value, e.g. --over adc.bits=6,7,8")
    return field.strip(), [field_value(field, value.strip()) for value in values.split(",")]
