"""`crossloom listing`: what the compiler made of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossloom.cli.options import (
    Activations,
    Calibration,
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
    busy,
    machine_named,
    network_of,
    print_json,
    progress,
    recipe_of,
)


def listing(
    model: Model,
    on: On,
    layer: Annotated[str | None, typer.Option("--layer", help="One layer; the whole program if left out.")] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            help="A pass of the layer's engine (rtm-ap: loops, folded, interchanged, unrolled, shared, widths, ordered, code); the last if left out.",
        ),
    ] = None,
    piece: Annotated[int, typer.Option("--piece", help="Which of the arrays that work for the layer at once.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="A text file to write instead; must not exist.")] = None,
    calibration: Calibration = None,
    sets: Sets = None,
    shape: Shapes = None,
    weights: Weights = 8,
    activations: Activations = 8,
    scheme: Scheme = "symmetric",
    calibrator: Ranges = "minmax",
    sparsity: Sparsity = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print what the compiler made of a network: its program, or one layer, pass after pass down to the instructions."""
    from crossloom.compiler import compile_network
    from crossloom.compiler.listing import listing as lines_of
    from crossloom.files import check_new, write_whole
    from crossloom.job.run import quantized_for

    if out is not None:
        check_new(out)
    machine = machine_named(on, sets)
    network = network_of(model, shape)
    with busy("compiling"):
        quantized = quantized_for(network, None, calibration, recipe_of(weights, activations, scheme, calibrator, sparsity), seed, [], progress)
        lines = list(lines_of(compile_network(quantized, machine), layer, after, piece))
    if out is not None:
        write_whole(out, "\n".join(lines) + "\n")
    if as_json:
        print_json({"model": quantized.name, "machine": machine.name, "layer": layer, "after": after, "piece": piece, "lines": lines})
    elif out is None:
        print("\n".join(lines))
