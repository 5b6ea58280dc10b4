"""`crossloom ternarize`: training of a network with ternary weights, written to a file that the other commands read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from crossloom.cli.options import Json, Seed, busy, print_json, progress
from crossloom.errors import InputError, printable

if TYPE_CHECKING:
    from crossloom.job.data import Data
    from crossloom.network.graph import Graph

Trainable = Annotated[str, typer.Argument(help="package.module:factory of (module, example inputs), or zoo:NAME.", metavar="MODULE")]
Training = Annotated[str, typer.Option("--data", help="Samples with labels to train on: an .npz with x and y, a folder, or package.module:factory.")]
Test = Annotated[str | None, typer.Option("--test", help="Samples with labels for measuring the accuracy before and after.")]
Out = Annotated[Path, typer.Option("--out", help="File to write (.pt2); must not exist.")]
Scope = Annotated[str, typer.Option("--scope", help="Where the share of zeros holds: in each layer (layer) or over the whole network (network).")]
Distil = Annotated[
    float,
    typer.Option("--distil", help="Share of the loss that comes from the network's own floating-point outputs, 0 to 1; at 1 no labels are needed."),
]


def ternarize(
    model: Trainable,
    data: Training,
    out: Out,
    test: Test = None,
    sparsity: Annotated[float, typer.Option("--sparsity", help="Share of zero weights, at least 0 and below 1.")] = 0.85,
    scope: Scope = "layer",
    activations: Annotated[int, typer.Option("--activations", help="Bits per activation, 2 to 8.")] = 4,
    epochs: Annotated[int, typer.Option("--epochs", help="Number of epochs.")] = 20,
    batch: Annotated[int, typer.Option("--batch", help="Training batch size.")] = 64,
    rate: Annotated[float, typer.Option("--rate", help="Peak learning rate.")] = 0.01,
    distil: Distil = 0.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a network to ternary weights (-1, 0 and 1) and activations of a few bits, and write it to a file."""
    from crossloom.files import write_whole
    from crossloom.job.data import load_data
    from crossloom.network.quantize.ternary import Sparse
    from crossloom.training.ternarize import in_integers, trained
    from crossloom.training.ternary_recipe import Distillation, TernaryRecipe
    from crossloom.training.ternary_task import left_out, task_of, untrained

    _check_out(out)
    method = Sparse(sparsity, scope)  # type: ignore[arg-type]
    taught = Distillation(distil) if distil else None
    recipe = TernaryRecipe(method, activations, epochs=epochs, batch=batch, rate=rate, seed=seed, distil=taught)
    with busy("reading the model"):
        task = task_of(model, data, None, recipe)
        samples = None if test is None else load_data(test, task.graph)
        draft = in_integers(untrained(task), task)
        _written(draft)  # fail before the training if the result cannot be written
    notes = left_out(draft)
    start = _begin(draft, recipe.epochs, task.batches.extent, notes)
    network = in_integers(trained(task, progress), task)
    write_whole(out, _written(network))
    print(f"trained in {monotonic() - start:.0f} s", file=sys.stderr)
    accuracy = _accuracy(task.graph, network, samples)
    if as_json:
        print_json({"model": model, "file": str(out), **_settings(recipe), **_weights(network), "accuracy": accuracy, "warnings": notes})
    else:
        _say(network, accuracy)
        print(f"written to {out}")


def _check_out(out: Path) -> None:
    from crossloom.files import check_new

    if out.suffix != ".pt2":
        raise InputError(f"--out {out}: the file name must end in .pt2, by which the other commands recognise the format")
    check_new(out)


def _begin(draft: Graph, epochs: int, extent: str, notes: Sequence[str]) -> float:
    """Print on standard error the extent of the training and what is left out, and return the time (s)."""
    from crossloom.network.quantize.ternary import ternary_layers

    layers = [layer for layer in ternary_layers(draft) if layer.ternary]
    weights = sum(layer.weights for layer in layers)
    much = (
        f"{epochs} {'epoch' if epochs == 1 else 'epochs'} of {extent}, {len(layers)} {'layer' if len(layers) == 1 else 'layers'}, {weights} weights"
    )
    for line in (f"training {draft.name}: {much}", *(f"! {note}" for note in notes)):
        print(printable(line), file=sys.stderr, flush=True)
    return monotonic()


def _written(network: Graph) -> bytes:
    """Return the content of the file. Raises ModelError if torch cannot write the network."""
    import torch

    from crossloom.network.to_torch_export import to_program

    content = BytesIO()
    torch.export.save(to_program(network), content)
    return content.getvalue()


def _accuracy(before: Graph, after: Graph, samples: Data | None) -> dict[str, float | int] | None:
    """Return the accuracies in floating point and in integers, or None without labelled samples."""
    from crossloom.job.metrics import Metrics, measure

    if samples is None or samples.labels is None:
        return None
    found = []
    for graph in (before, after):
        batches = samples.batches(graph.batch or 256)
        answers = ((graph(*inputs), labels) for inputs, labels in batches)
        found.append(sum((measure(y if not isinstance(y, tuple) else y[0], labels) for y, labels in answers if labels is not None), Metrics()).share)
    return {"float": found[0], "ternary": found[1], "samples": len(samples)}


def _settings(recipe: Any) -> dict[str, Any]:
    """Return the settings of the training."""
    chosen = {name: getattr(recipe.method, name) for name in ("sparsity", "scope")}
    return chosen | {name: getattr(recipe, name) for name in ("activations", "epochs", "batch", "rate", "seed")}


def _weights(network: Graph) -> dict[str, Any]:
    """Return the number of weights and the share of zeros, in total and for each layer."""
    from crossloom.network.quantize.ternary import ternary_layers

    layers = ternary_layers(network)
    weights = sum(layer.weights for layer in layers)
    zeros = sum(layer.zeros * layer.weights for layer in layers) / weights
    return {"weights": weights, "zeros": zeros, "layers": [asdict(layer) for layer in layers]}


def _say(network: Graph, accuracy: dict[str, float | int] | None) -> None:
    found = _weights(network)
    table = Table("layer", "weights", "zeros", "ternary")
    for layer in found["layers"]:
        table.add_row(layer["name"], str(layer["weights"]), f"{layer['zeros']:.1%}", "yes" if layer["ternary"] else "no")
    print(printable(f"{network.name}: {found['weights']} weights, {found['zeros']:.1%} of them zero"))
    Console().print(table)
    if accuracy is not None:
        print(f"accuracy on {accuracy['samples']} samples: {accuracy['ternary']:.1%}, in floating point {accuracy['float']:.1%}")
