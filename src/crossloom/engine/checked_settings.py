"""What a machine file says under `engines`, checked: one clear line for the first setting that is wrong."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from crossloom.errors import MachineError
from crossloom.machines import Machine

Model = TypeVar("Model", bound=BaseModel)
_KINDS = ("str", "float")
"""Kinds of a number with or without a unit, which pydantic takes for steps on the way to it."""


def checked(model: type[Model], section: str, machine: Machine) -> Model:
    """Return a machine's settings of an engine. Raises MachineError that names the setting, what is wrong with it, and what was given."""
    try:
        return model.model_validate(dict(machine.engines.get(section, {})))
    except ValidationError as problem:
        error = problem.errors()[0]
        field = ".".join(str(step) for step in error["loc"] if step not in _KINDS)
        raise MachineError(f"machine {machine.name}: engines.{section}.{field}: {_says(error, model)}") from problem


def _says(error: Any, model: type[BaseModel]) -> str:
    """Return what is wrong, in words."""
    if error["type"] == "extra_forbidden":
        known = [info.alias or name for name, info in model.model_fields.items()]
        near = get_close_matches(str(error["loc"][-1]), known, 3)
        return f"there is no such setting; {'did you mean ' + ' or '.join(near) + '?' if near else 'there are ' + ', '.join(known)}"
    if any(step in _KINDS for step in error["loc"]):
        return f"give a number, or a number and a unit in quotes, got {error['input']!r}"
    return f"{error['msg'].removeprefix('Value error, ')}, got {error['input']!r}"
