"""Read a torch module, or a program that `torch.export` saved, and lower it to a graph.

The module is exported once with its batch dimension open and lowered at two batch sizes (see `unify.py`). Where torch
cannot leave the batch open, it is exported twice; where even that fails, the graph runs at the one size it was
exported for. Nothing in a `.pt2` file is executed: `torch.export.load` reads it with `weights_only`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from crossloom.errors import ModelError
from crossloom.network.graph import Graph
from crossloom.network.lower_aten import lower
from crossloom.network.unify import SIZES, Irregular, unify


def from_torch(
    module: nn.Module,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    allow_unsupported: bool = False,
) -> Graph:
    """Return the graph of a module called with example inputs, whose first dimension is the batch.

    The module is put into evaluation mode while it is read. Raises ModelError if torch cannot export it, naming
    what stood in the way, or if it uses operators that have no counterpart (unless `allow_unsupported`).
    """
    keywords = dict(keywords or {})
    name = name or type(module).__name__.lower()
    training = module.training
    module.eval()
    try:
        return _read(module, tuple(inputs), keywords, name, allow_unsupported)
    finally:
        module.train(training)


def from_program(program: ExportedProgram, *, name: str = "exported", allow_unsupported: bool = False) -> Graph:
    """Return the graph of an exported program; it runs at any batch size if it was exported with that dimension open."""
    sizes = _leading(program)
    if sizes is None or all(isinstance(size, int) for size in sizes):
        batch = next((int(size) for size in sizes or () if size), 1)
        return lower(program, batch, name, allow_unsupported)
    try:
        return unify(*(lower(program, size, name, allow_unsupported) for size in SIZES))
    except Irregular as problem:
        raise ModelError(f"{name}: its open dimension is not a plain batch ({problem}); export it with fixed shapes") from problem


def from_pt2(path: str | Path, *, allow_unsupported: bool = False) -> Graph:
    """Return the graph of a file that `torch.export.save` wrote. Raises ModelError if it is not such a file."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .pt2 file written by torch.export.save")
    try:
        program = torch.export.load(path)
    except Exception as problem:
        raise ModelError(f"{path}: not a program saved by torch.export.save ({_short(problem)}); export the model again") from problem
    return from_program(program, name=path.stem, allow_unsupported=allow_unsupported)


def _read(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], name: str, allow: bool) -> Graph:
    tensors = [x for x in (*inputs, *keywords.values()) if isinstance(x, Tensor)]
    if not tensors:
        raise ModelError(f"{name}: no example tensor given; pass inputs such as (torch.zeros(1, 3, 224, 224),)")
    batched = all(x.dim() and x.shape[0] == tensors[0].shape[0] for x in tensors)
    if batched:
        try:
            return _at_any_batch(module, inputs, keywords, name, allow)
        except Irregular:
            pass
    program = _export(module, inputs, keywords, name)
    return lower(program, int(tensors[0].shape[0]) if batched else 1, name, allow)


def _at_any_batch(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], name: str, allow: bool) -> Graph:
    """Return a graph for any batch size. Raises Irregular if there is none."""
    small, large = ((_resized(inputs, size), _resized(keywords, size)) for size in SIZES)
    open_batch = [{0: Dim.AUTO} if isinstance(x, Tensor) else None for x in inputs]
    open_keywords = {key: {0: Dim.AUTO} if isinstance(x, Tensor) else None for key, x in keywords.items()}
    shapes = (*open_batch,), open_keywords
    try:
        program = _export(module, *small, name, shapes)
        sizes = _leading(program) or []
        if sizes and not any(isinstance(size, int) for size in sizes):
            return unify(*(lower(program, size, name, allow) for size in SIZES))
    except (ModelError, Irregular) as problem:
        if isinstance(problem, ModelError) and "no counterpart" in str(problem):
            raise
    try:
        programs = [_export(module, *given, name) for given in (small, large)]
    except ModelError as problem:
        raise Irregular(str(problem)) from problem
    return unify(*(lower(program, size, name, allow) for program, size in zip(programs, SIZES, strict=True)))


def _resized(values: Any, batch: int) -> Any:
    """Return example inputs with the batch repeated or cut to `batch` samples."""
    if isinstance(values, Tensor):
        times = -(-batch // values.shape[0])
        return values.repeat(times, *[1] * (values.dim() - 1))[:batch]
    if isinstance(values, dict):
        return {key: _resized(value, batch) for key, value in values.items()}
    if isinstance(values, tuple):
        return tuple(_resized(value, batch) for value in values)
    return values


def _export(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], name: str, shapes: Any = None) -> ExportedProgram:
    dynamic = None
    if shapes is not None:
        positional, by_name = shapes
        dynamic = {**dict(zip(_parameter_names(module), positional, strict=False)), **by_name} if keywords else positional
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return export(module, inputs, keywords, dynamic_shapes=dynamic, strict=False)
    except Exception as problem:
        raise ModelError(f"{name}: torch.export cannot read it ({_short(problem)}); see torch's export guide, or give an ONNX file") from problem


def _parameter_names(module: nn.Module) -> list[str]:
    import inspect

    return list(inspect.signature(module.forward).parameters)


def _leading(program: ExportedProgram) -> list[Any] | None:
    """Return the first dimension of each user input: an int where it is fixed, else symbolic."""
    wanted = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted and isinstance(node.meta.get("val"), Tensor)]
    return [shape[0] if len(shape) else None for shape in shapes] or None


def _short(problem: BaseException) -> str:
    """Return the first line of an error's text, at most 160 characters."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:160]
