"""`crossloom diagnose`: where a network's accuracy goes on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossloom.cli.options import (
    Activations,
    BatchSize,
    Calibration,
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
    check_device,
    machine_named,
    network_of,
    print_json,
    progress,
    recipe_of,
)


def diagnose(
    model: Model,
    on: On,
    data: Annotated[
        str, typer.Option("--data", help="Samples with labels: an .npz with x and y, a folder of images by class, or package.module:factory.")
    ],
    calibration: Calibration = None,
    sets: Sets = None,
    shape: Shapes = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the ladder and the layers into this file (.png, .svg, .pdf).")] = None,
    weights: Weights = 8,
    activations: Activations = 8,
    scheme: Scheme = "symmetric",
    calibrator: Ranges = "minmax",
    sparsity: Sparsity = None,
    seed: Seed = 0,
    runs: Runs = 5,
    batch: BatchSize = 64,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Switch the effects of cells and wires on one after the other, and say which costs accuracy, and in which layer."""
    from crossloom.files import check_picture, write_picture
    from crossloom.report.diagnosis import draw_diagnosis, print_diagnosis
    from crossloom.study.diagnose import diagnose as diagnosed

    if picture is not None:
        check_picture(picture)
    machine = machine_named(on, sets)
    check_device(device)
    network = network_of(model, shape)
    found = diagnosed(
        network,
        machine,
        data,
        calibration=calibration,
        recipe=recipe_of(weights, activations, scheme, calibrator, sparsity),
        runs=runs,
        seed=seed,
        batch=batch,
        device=device,
        progress=progress,
    )
    if picture is not None:
        write_picture(draw_diagnosis(found), picture)
    if as_json:
        print_json(found.to_dict())
    else:
        print_diagnosis(found, Console())
        if picture is not None:
            print(f"\nPicture: {picture}")
