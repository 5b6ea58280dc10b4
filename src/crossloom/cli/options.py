"""Options shared by several commands."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.console import Console

from crossloom.errors import InputError

if TYPE_CHECKING:
    from crossloom.job.job import Job
    from crossloom.machines import Machine

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")]
Model = Annotated[str, typer.Argument(help="An .onnx or .pt2 file, package.module:factory, or zoo:NAME.", metavar="MODEL")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change a field of the machine, e.g. adc.bits=7. Repeatable.", metavar="FIELD=VALUE")]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", help="Shape of an input that an .onnx file leaves open; _ keeps the file's value. Repeatable.", metavar="NAME=1,3,224,224"
    ),
]
DataOption = Annotated[str | None, typer.Option("--data", help="An .npz with x and y, a folder of images by class, or package.module:factory.")]
Calibration = Annotated[str | None, typer.Option("--calibration", help="Calibration samples, in any form that --data accepts.")]
Weights = Annotated[int, typer.Option("--weights", help="Bits per weight, 2 to 16.")]
Activations = Annotated[int, typer.Option("--activations", help="Bits per activation, 2 to 16.")]
Scheme = Annotated[str, typer.Option("--scheme", help="Quantisation of activations: symmetric around zero, or affine with a zero point.")]
Ranges = Annotated[str, typer.Option("--calibrator", help="How activation ranges are chosen: minmax, percentile or mse.")]
Sparsity = Annotated[
    float | None,
    typer.Option("--sparsity", help="Ternarise weights to this sparsity without training (cost estimates only). See ternarize."),
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.", min=0, max=(1 << 63) - 1)]
BatchSize = Annotated[int, typer.Option("--batch", help="Samples per batch; does not change the result.", min=1)]
Device = Annotated[str, typer.Option("--device", help="Torch device that computes the values: cpu or cuda.")]
Runs = Annotated[int, typer.Option("--runs", help="Number of seeds; the machine's cells are reprogrammed for each.", min=1, max=100_000)]
Rate = Annotated[float | None, typer.Option("--rate", help="Inference rate (1/s) at which cell lifetime is reported; by default the throughput.")]
On = Annotated[str, typer.Option("--on", help="Name of a machine, or a .yaml file.")]


@dataclass(frozen=True)
class JobOptions:
    """Options of a command that runs a job, each declared only here. `takes_job` adds them to a command."""

    model: Model
    on: On
    data: DataOption = None
    calibration: Calibration = None
    sets: Sets = None
    shape: Shapes = None
    weights: Weights = 8
    activations: Activations = 8
    scheme: Scheme = "symmetric"
    calibrator: Ranges = "minmax"
    sparsity: Sparsity = None
    seed: Seed = 0
    runs: Runs = 1
    batch: BatchSize = 64
    device: Device = "cpu"
    rate: Rate = None

    def job(self, machine: Machine | None = None) -> Job:
        """Return the job on `machine`, by default the one that the options name. Raises InputError, MachineError or ModelError."""
        from crossloom.job.job import Job

        chip = machine or machine_named(self.on, self.sets)
        check_device(self.device)
        recipe = recipe_of(self.weights, self.activations, self.scheme, self.calibrator, self.sparsity)
        network = network_of(self.model, self.shape)
        return Job(network, chip, self.data, self.calibration, recipe, self.seed, self.runs, self.batch, self.device, self.rate)

    def machines(self) -> list[Machine]:
        """Return the machines that `--on` names, separated by commas. Raises InputError."""
        return [machine_named(name.strip(), self.sets) for name in self.on.split(",") if name.strip()]


def takes_job(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the options of a job, except some, to a command. The command gets a `JobOptions` as its first argument.

    The command's own options come after the model and the machine and before the job's other options. If the command declares an option of the
    job itself, with another help text or default, its declaration takes precedence.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command).parameters.values()
        hints = get_type_hints(command, include_extras=True)
        mine = {each.name: each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY) for each in own}
        kinds = get_type_hints(JobOptions, include_extras=True)
        shared = {each.name: _parameter(each, kinds[each.name]) for each in fields(JobOptions) if each.name not in without}
        last = {name: mine.pop(name) for name in ("as_json",) if name in mine}
        first = {name: mine.get(name, shared[name]) for name in ("model", "on")}
        ordered = [*{**first, **mine, **{name: mine.get(name, each) for name, each in shared.items()}, **last}.values()]

        @wraps(command)
        def called(**given: Any) -> None:
            options = JobOptions(**{name: given[name] for name in shared})
            command(options, **{each.name: given[each.name] for each in own})

        called.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in ordered}
        return called

    return decorate


def _parameter(field: Any, annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def machine_named(name: str, sets: list[str] | None) -> Any:
    """Return a machine by name or file, with the fields in `sets` changed (such as `adc.bits=7`). Raises InputError."""
    from crossloom.compiler import check_machine
    from crossloom.machines import load_machine

    machine = load_machine(name)
    for text in sets or []:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {text}: write it as field=value, e.g. --set adc.bits=7")
        machine = machine.with_(**{key.strip(): field_value(key, value.strip())})
    return check_machine(machine)


def field_value(key: str, text: str) -> Any:
    """Return the value of a machine's field; a number format stays text because 6.10 is not 6.1."""
    return text if key.strip().endswith("format") else value_of(text)


def network_of(model: str, shape: list[str] | None) -> Any:
    """Return the network that a command's argument names. Raises ModelError."""
    from crossloom.job.source import load

    with busy("reading the model"):
        return load(model, shapes=shapes_of(shape))


def progress(items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
    """Show a progress bar with the remaining time on standard error. It disappears when done; without a terminal there is none."""
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, description=what, total=total, console=console, transient=True, disable=not console.is_terminal)


def busy(what: str) -> AbstractContextManager[object]:
    """Show a spinner on standard error during a long step; without a terminal there is none."""
    console = Console(stderr=True)
    return console.status(what) if console.is_terminal else nullcontext()


def print_json(document: Any) -> None:
    """Print a document as JSON on standard output."""
    print(json.dumps(document, indent=1, allow_nan=False))


def say(found: Any, print_it: Callable[[Any, Console], None], draw: Callable[[Any], Any], picture: Path | None, as_json: bool) -> None:
    """Print a study's result as a table or as JSON, and draw it if a picture is requested."""
    from crossloom.files import write_picture

    if picture is not None:
        write_picture(draw(found), picture)
    if as_json:
        print_json(found.to_dict())
    else:
        print_it(found, Console())
        if picture is not None:
            print(f"\nPicture: {picture}")


def shapes_of(texts: list[str] | None) -> dict[str, list[int | None]]:
    """Return the shape of each named input, with None for the file's own dimensions. Raises InputError."""
    shapes: dict[str, list[int | None]] = {}
    for text in texts or []:
        name, equals, dims = (part.strip() for part in text.rpartition("="))
        if not equals or not name:
            raise InputError(f"--shape {text}: write it as NAME=1,3,224,224, with _ for the file's own dimensions")
        if name in shapes:
            raise InputError(f"--shape {text}: the shape of {name} is given twice; give it once")
        try:
            shapes[name] = [None if dim.strip() in ("", "_") else int(dim) for dim in dims.split(",")]
        except ValueError as problem:
            raise InputError(f"--shape {text}: write whole numbers separated by commas, with _ for the file's own dimensions") from problem
    return shapes


def value_of(text: str) -> Any:
    """Return the text as a number or Boolean if it is one, else unchanged."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return text
    return value if isinstance(value, bool | int | float) else text


def recipe_of(weights: int, activations: int, scheme: str, calibrator: str, sparsity: float | None = None) -> Any:
    """Return the quantisation recipe. Raises InputError."""
    from crossloom.network.quantize.calibrate import MinMax, Mse, Percentile
    from crossloom.network.quantize.post_training import Recipe

    calibrators = {"minmax": MinMax, "percentile": Percentile, "mse": Mse}
    if calibrator not in calibrators:
        raise InputError(f"--calibrator {calibrator}: choose one of {', '.join(calibrators)}")
    if scheme not in ("symmetric", "affine"):
        raise InputError(f"--scheme {scheme}: choose symmetric or affine")
    return Recipe(weights, activations, scheme=scheme, calibrator=calibrators[calibrator](), sparsity=sparsity)  # type: ignore[arg-type]


def check_device(device: str) -> None:
    """Raise InputError for a device that torch does not have, or that is neither cpu nor cuda."""
    import torch

    try:
        kind = torch.device(device)
    except RuntimeError as problem:
        raise InputError(f"--device {device}: no such device; use cpu or cuda") from problem
    if kind.type not in ("cpu", "cuda"):
        raise InputError(f"--device {device}: use cpu or cuda")
    if kind.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {device}: torch finds no such device here; use cpu")
