"""What the words after an option mean, or one line that says what they should be."""

from __future__ import annotations

from typing import Any

from crossloom.errors import InputError


def shapes_of(texts: list[str] | None) -> dict[str, list[int | None]]:
    """Return the shape of each input named, None for what the file says. Raises InputError."""
    shapes: dict[str, list[int | None]] = {}
    for text in texts or []:
        name, equals, dims = (part.strip() for part in text.rpartition("="))
        if not equals or not name:
            raise InputError(f"--shape {text}: write it as NAME=1,3,224,224, with _ for what the file says")
        if name in shapes:
            raise InputError(f"--shape {text}: the shape of {name} is given twice; give it once")
        try:
            shapes[name] = [None if dim.strip() in ("", "_") else int(dim) for dim in dims.split(",")]
        except ValueError as problem:
            raise InputError(f"--shape {text}: write whole numbers separated by commas, with _ for what the file says") from problem
    return shapes


def value_of(text: str) -> Any:
    """Return a number or truth value where the text is one, else the text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return text
    return value if isinstance(value, bool | int | float) else text


def recipe_of(weights: int, activations: int, scheme: str, calibrator: str, sparsity: float | None = None) -> Any:
    """Return how to quantise. Raises InputError."""
    from crossloom.network.calibrate import MinMax, Mse, Percentile
    from crossloom.network.quantize import Recipe

    calibrators = {"minmax": MinMax, "percentile": Percentile, "mse": Mse}
    if calibrator not in calibrators:
        raise InputError(f"--calibrator {calibrator}: choose one of {', '.join(calibrators)}")
    if scheme not in ("symmetric", "affine"):
        raise InputError(f"--scheme {scheme}: choose symmetric or affine")
    return Recipe(weights, activations, scheme=scheme, calibrator=calibrators[calibrator](), sparsity=sparsity)  # type: ignore[arg-type]


def check_device(device: str) -> None:
    """Raise InputError for a device that torch has not, or that is of another kind."""
    import torch

    try:
        kind = torch.device(device)
    except RuntimeError as problem:
        raise InputError(f"--device {device}: no such device; use cpu or cuda") from problem
    if kind.type not in ("cpu", "cuda"):
        raise InputError(f"--device {device}: use cpu or cuda")
    if kind.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {device}: torch finds no such device here; use cpu")
