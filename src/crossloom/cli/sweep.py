"""`crossloom sweep`: what a field of a machine does to accuracy and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crossloom.cli.options import (
    Activations,
    BatchSize,
    Calibration,
    DataOption,
    Device,
    Json,
    Model,
    On,
    Ranges,
    Scheme,
    Seed,
    Sets,
    Shapes,
    Sparsity,
    Weights,
    check_device,
    field_value,
    machine_named,
    network_of,
    print_json,
    progress,
    recipe_of,
)
from crossloom.errors import InputError

Over = Annotated[
    list[str], typer.Option("--over", help="A field of the machine and its values, e.g. adc.bits=5,6,7,8. Repeatable.", metavar="FIELD=A,B,C")
]


def sweep(
    model: Model,
    on: On,
    over: Over,
    data: DataOption = None,
    calibration: Calibration = None,
    sets: Sets = None,
    shape: Shapes = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the sweep into this file (.png, .svg, .pdf).")] = None,
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
    """Run a network on every combination of some fields' values: accuracy, latency, energy, area of each."""
    from crossloom.files import check_picture, write_picture
    from crossloom.report.sweep import draw_sweep, print_sweep
    from crossloom.study.sweep import sweep as swept

    fields = dict(_values(text) for text in over)
    if len(fields) < len(over):
        raise InputError("--over names a field twice; give all its values at once, separated by commas")
    if picture is not None:
        check_picture(picture)
    machine = machine_named(on, sets)
    check_device(device)
    found = swept(
        network_of(model, shape),
        machine,
        fields,
        data,
        calibration=calibration,
        recipe=recipe_of(weights, activations, scheme, calibrator, sparsity),
        seed=seed,
        batch=batch,
        device=device,
        progress=progress,
    )
    if picture is not None:
        write_picture(draw_sweep(found), picture)
    if as_json:
        print_json(found.to_dict())
    else:
        print_sweep(found, Console())
        if picture is not None:
            print(f"\nPicture: {picture}")


def _values(text: str) -> tuple[str, list[Any]]:
    """Return a field and its values. Raises InputError."""
    field, equals, values = text.partition("=")
    if not equals or not field.strip() or not values.strip():
        raise InputError(f"--over {text}: write it as field=value,value, e.g. --over adc.bits=6,7,8")
    return field.strip(), [field_value(field, value.strip()) for value in values.split(",")]
