"""`crossloom ternarize`: from a trained network to one with ternary weights, in a file that the other commands read."""

from __future__ import annotations

from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from crossloom.cli_options import Json, Seed, busy, print_json, progress
from crossloom.errors import InputError

if TYPE_CHECKING:
    from crossloom.job.data import Data
    from crossloom.network.graph import Graph

Trainable = Annotated[str, typer.Argument(help="package.module:factory of (module, example inputs), or zoo:NAME.", metavar="MODULE")]
Training = Annotated[str, typer.Option("--data", help="Samples with labels to train on: an .npz with x and y, a folder, or package.module:factory.")]
Test = Annotated[str | None, typer.Option("--test", help="Samples with labels to measure the accuracy on, before and after.")]
Out = Annotated[Path, typer.Option("--out", help="File to write (.pt2); must not exist.")]
Scope = Annotated[str, typer.Option("--scope", help="Whether the share of zeros is that of each layer, or of the network.")]
Distil = Annotated[
    float, typer.Option("--distil", help="Share of the loss that is learned from the network's own answers; at 1 no labels are needed.")
]


def ternarize(
    model: Trainable,
    data: Training,
    out: Out,
    test: Test = None,
    sparsity: Annotated[float, typer.Option("--sparsity", help="Share of weights that are zero, at least 0 and below 1.")] = 0.85,
    scope: Scope = "layer",
    activations: Annotated[int, typer.Option("--activations", help="Bits of what layers read, 2 to 8.")] = 4,
    epochs: Annotated[int, typer.Option("--epochs", help="Times that the data are gone through.")] = 20,
    batch: Annotated[int, typer.Option("--batch", help="Samples in a step of the training.")] = 64,
    rate: Annotated[float, typer.Option("--rate", help="Highest rate of the training.")] = 0.01,
    distil: Distil = 0.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a network to weights of -1, 0 and 1 and activations of a few bits, and write it to a file."""
    from crossloom.job.data import load_data
    from crossloom.job.ternarize import in_integers, task_of, trained
    from crossloom.job.ternary_recipe import Distillation, TernaryRecipe
    from crossloom.network.ternary import Sparse
    from crossloom.report.file import write_whole

    _check_out(out)
    method = Sparse(sparsity, scope)  # type: ignore[arg-type]
    taught = Distillation(distil) if distil else None
    recipe = TernaryRecipe(method, activations, epochs=epochs, batch=batch, rate=rate, seed=seed, distil=taught)
    with busy("reading the model"):
        task = task_of(model, data, None, recipe)
        samples = None if test is None else load_data(test, task.graph)
        _written(in_integers(task.module, task))  # what cannot be written had better be known before the training
    network = in_integers(trained(task, progress), task)
    write_whole(out, _written(network))
    _say(model, out, recipe, network, _accuracy(task.graph, network, samples), as_json)


def _check_out(out: Path) -> None:
    from crossloom.report.files import check_new

    if out.suffix != ".pt2":
        raise InputError(f"--out {out}: its name must end in .pt2, by which the other commands know what it holds")
    check_new(out)


def _written(network: Graph) -> bytes:
    """Return the content of the file. Raises ModelError if torch cannot write the network."""
    import torch

    from crossloom.network.to_program import to_program

    content = BytesIO()
    torch.export.save(to_program(network), content)
    return content.getvalue()


def _accuracy(before: Graph, after: Graph, samples: Data | None) -> dict[str, float | int] | None:
    """Return the shares of right answers in floating point and in integers, if there are samples with labels."""
    from crossloom.job.scores import Tally, tally

    if samples is None or samples.labels is None:
        return None
    found = []
    for graph in (before, after):
        batches = samples.batches(graph.batch or 256)
        answers = ((graph(*inputs), labels) for inputs, labels in batches)
        found.append(sum((tally(y if not isinstance(y, tuple) else y[0], labels) for y, labels in answers if labels is not None), Tally()).share)
    return {"float": found[0], "ternary": found[1], "samples": len(samples)}


def _say(model: str, out: Path, recipe: Any, network: Graph, accuracy: dict[str, float | int] | None, as_json: bool) -> None:
    from crossloom.network.ternary import ternary_layers

    layers = ternary_layers(network)
    weights = sum(layer.weights for layer in layers)
    zeros = sum(layer.zeros * layer.weights for layer in layers) / weights
    if as_json:
        settings = {"sparsity": recipe.method.sparsity, "scope": recipe.method.scope, "activations": recipe.activations}
        training = {"epochs": recipe.epochs, "batch": recipe.batch, "rate": recipe.rate, "seed": recipe.seed}
        rows = [asdict(layer) for layer in layers]
        print_json(
            {"model": model, "file": str(out), **settings, **training, "weights": weights, "zeros": zeros, "accuracy": accuracy, "layers": rows}
        )
        return
    table = Table("layer", "weights", "zeros", "ternary", title=f"{network.name}: {weights} weights, {zeros:.1%} of them zero", title_justify="left")
    for layer in layers:
        table.add_row(layer.name, str(layer.weights), f"{layer.zeros:.1%}", "yes" if layer.ternary else "no")
    Console().print(table)
    if accuracy is not None:
        print(f"accuracy on {accuracy['samples']} samples: {accuracy['ternary']:.1%}, in floating point {accuracy['float']:.1%}")
    print(f"written to {out}")
