"""Loading of networks and machines: from a file, a module, a named factory, or by the name of a built-in or plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from crossloom.errors import InputError, ModelError
from crossloom.machines import Machine, load_machine
from crossloom.network.fold import drop_unused, fold_batch_norm
from crossloom.network.graph import Graph

Inputs = Sequence[Any] | Mapping[str, Any] | Tensor
Shapes = Mapping[str, Sequence[int | None]]


def load(
    model: str | Path | nn.Module | ExportedProgram | Graph,
    inputs: Inputs | None = None,
    *,
    name: str | None = None,
    shapes: Shapes | None = None,
    allow_unsupported: bool = False,
) -> Graph:
    """Return a network as a graph with batch norms folded.

    Args:
        model: a torch module (with example `inputs`, batch first), a program exported by `torch.export`, a path to an `.onnx` or `.pt2` file,
            `package.module:factory` (a callable that returns a module and its example inputs), or `zoo:NAME`.
        inputs: example inputs for a module: a tensor, a sequence of positional arguments, or a mapping of keyword arguments.
        name: name for the network.
        shapes: shapes of inputs whose dimensions an ONNX file leaves open; None in a shape keeps the file's value.
        allow_unsupported: keep unsupported operators instead of raising an error.

    Raises:
        ModelError: the network cannot be found or imported; the message gives the place and the remedy.
    """
    graph = model if isinstance(model, Graph) else _imported(model, inputs, name, shapes, allow_unsupported)
    return fold_batch_norm(drop_unused(graph))


def machine(name: str | Path) -> Machine:
    """Return a machine by name (built-in or from a plugin) or from a YAML file, with its settings checked.

    Raises MachineError with the file, the field and the remedy.
    """
    from crossloom.compiler import check_machine

    return check_machine(load_machine(name))


def _imported(model: Any, inputs: Inputs | None, name: str | None, shapes: Shapes | None, allow: bool) -> Graph:
    text = str(model) if isinstance(model, str | Path) else ""
    if shapes and not text.endswith(".onnx"):
        raise InputError(
            f"shapes apply only to .onnx files that leave dimensions open; a module takes them from its example inputs, not from {dict(shapes)}"
        )
    if isinstance(model, nn.Module):
        return _module(model, inputs, name, allow)
    if isinstance(model, ExportedProgram):
        from crossloom.network.importers.torch.from_torch import from_program

        return from_program(model, name=name or "exported", allow_unsupported=allow)
    if not text:
        raise ModelError(f"a {type(model).__name__} is not a network; give a torch module with example inputs, or the path of an .onnx or .pt2 file")
    if text.startswith("zoo:"):
        from crossloom.network.zoo import build

        member, given = build(text.removeprefix("zoo:"))
        return _module(member, given, name or text.removeprefix("zoo:"), allow)
    if text.endswith(".onnx"):
        from crossloom.network.importers.onnx.from_onnx import from_onnx

        return from_onnx(text, name=name, shapes=shapes, allow_unsupported=allow)
    if text.endswith(".pt2"):
        from crossloom.network.importers.torch.from_torch import from_pt2

        return from_pt2(text, allow_unsupported=allow)
    if ":" in text:
        made = made_by(text, "model")
        module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, inputs)
        return _module(module, example, name or text.rpartition(":")[2], allow)
    raise ModelError(f"{text}: not an .onnx or .pt2 file, package.module:factory or zoo:NAME; a state_dict file holds no network: use torch.export")


def _module(module: Any, inputs: Inputs | None, name: str | None, allow: bool) -> Graph:
    from crossloom.network.importers.torch.from_torch import from_torch

    if not isinstance(module, nn.Module):
        raise ModelError(f"{name or 'model'}: expected a torch module, got {type(module).__name__}; the factory returns (module, inputs)")
    if inputs is None:
        raise ModelError(f"{name or type(module).__name__}: example inputs are needed, such as (torch.zeros(1, 3, 224, 224),)")
    if isinstance(inputs, Mapping):
        return from_torch(module, (), inputs, name=name, allow_unsupported=allow)
    given = (inputs,) if hasattr(inputs, "shape") else tuple(inputs)
    return from_torch(module, given, name=name, allow_unsupported=allow)


def made_by(text: str, what: str) -> Any:
    """Return the result of calling `package.module:name`, searched for in the current directory too. Raises InputError."""
    factory = _named(text, what)
    if not callable(factory):
        raise InputError(f"{what} {text}: it is of type {type(factory).__name__}, not a callable; name a function that returns the {what}")
    try:
        return factory()
    except (Exception, SystemExit) as problem:
        raise InputError(
            f"{what} {text}: it raised {type(problem).__name__} ({' '.join(str(problem).split())[:120]}); call it on its own to find the cause"
        ) from problem


def _named(text: str, what: str) -> Any:
    import sys

    module, _, attribute = text.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = import_module(module)
    except (Exception, SystemExit) as problem:
        raise InputError(
            f"{what} {text}: cannot import {module} ({type(problem).__name__}: {problem}); run from its directory or install it"
        ) from problem
    if not hasattr(found, attribute):
        raise InputError(f"{what} {text}: {module} has no {attribute}; name a callable of that module")
    return getattr(found, attribute)
