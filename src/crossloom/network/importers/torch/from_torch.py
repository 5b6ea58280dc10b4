"""Entry point of the torch importer: reads a module, or a program saved by `torch.export`, and lowers it to a graph.

The module is exported and lowered at two batch sizes, and what differs is the batch (see `unify.py`). This demands less of
a model than an export with an open batch dimension, and costs no more. If the two have no common form, the graph runs only
at the requested batch size.
"""

from __future__ import annotations

import logging
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export
from torch.utils._pytree import tree_leaves, tree_map

from crossloom.errors import ModelError, one_line
from crossloom.network.graph import Graph
from crossloom.network.importers.torch.lower_aten import Source, lower
from crossloom.network.importers.torch.pt2 import load_program
from crossloom.network.importers.unify import SIZES, Irregular, unify


def from_torch(
    module: nn.Module,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    allow_unsupported: bool = False,
) -> Graph:
    """Return the graph of a module called with example inputs, whose first dimension is the batch.

    The module is put into evaluation mode while it is read. An example tensor has no batch if its first dimension
    differs from the first tensor's. Raises ModelError if torch cannot export the module, naming the obstacle, or if it
    uses operators without a counterpart (unless `allow_unsupported`).
    """
    reader = _Reader(module, name or type(module).__name__.lower(), allow_unsupported)
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        return reader.read(*tree_map(_tensor, (tuple(inputs), dict(keywords or {}))))
    finally:
        for part, mode in training.items():
            part.training = mode


def from_program(program: ExportedProgram, *, name: str = "exported", allow_unsupported: bool = False) -> Graph:
    """Return the graph of an exported program. It runs at any batch size if it was exported with that dimension open."""
    return _from_program(program, name, allow_unsupported)


def _from_program(program: ExportedProgram, name: str, allow_unsupported: bool, foreign: bool = False) -> Graph:
    shapes = _input_shapes(program)
    free = {symbol for shape in shapes for dim in shape if not isinstance(dim, int) for symbol in dim.node.expr.free_symbols}
    source = Source.of(program, name, foreign)
    if not free:
        graph = lower(source, next((int(shape[0]) for shape in shapes if shape), 1), name, allow_unsupported)
        return replace(graph, fixed="it was exported for one batch size; export it with dynamic_shapes that leave the first dimension open")
    if len(free) > 1 or any(not isinstance(dim, int) for shape in shapes for dim in shape[1:]):
        raise ModelError(f"{name}: dimensions other than the batch are open; export it with only the first dimension open")
    try:
        return _unified(source, source, name, allow_unsupported)
    except Irregular as problem:
        raise ModelError(f"{name}: its open dimension is not a plain batch ({problem}); export it with fixed shapes") from problem


def from_pt2(path: str | Path, *, allow_unsupported: bool = False) -> Graph:
    """Return the graph of a file that `torch.export.save` wrote. Raises ModelError if it is not such a file."""
    path = Path(path)
    with quiet():
        program = load_program(path)
    try:
        return _from_program(program, path.stem, allow_unsupported, foreign=True)
    except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError) as problem:
        # Its parts are inconsistent: the format requires consistency, but torch checks little of it.
        raise ModelError(f"{path}: its program contradicts itself ({one_line(problem)}); export it again") from problem


@dataclass(frozen=True)
class _Reader:
    """The export of one module and the lowering of the exported program."""

    module: nn.Module
    name: str
    allow_unsupported: bool

    def read(self, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Graph:
        """Return the graph, for any batch size if possible."""
        tensors = [x for x in tree_leaves((inputs, keywords)) if isinstance(x, Tensor)]
        if not tensors:
            raise ModelError(f"{self.name}: no example tensor given; pass inputs such as (torch.zeros(1, 3, 224, 224),)")
        batch = next((int(x.shape[0]) for x in tensors if x.dim()), 0)
        if not batch:
            raise ModelError(f"{self.name}: the example inputs hold no samples; give them a first dimension of at least one sample")
        try:
            return self._at_any_batch(inputs, keywords, batch)
        except Irregular as problem:
            graph = lower(self._source(inputs, keywords), batch, self.name, self.allow_unsupported)
            return replace(graph, fixed=str(problem))

    def _at_any_batch(self, inputs: tuple[Any, ...], keywords: dict[str, Any], batch: int) -> Graph:
        """Return a graph for any batch size. Raises Irregular if there is none."""
        examples = [tree_map(lambda x, size=size: _resized(x, batch, size), (inputs, keywords)) for size in SIZES]
        try:
            small, large = (self._source(*example) for example in examples)
        except ModelError as problem:
            raise Irregular(str(problem)) from problem
        return _unified(small, large, self.name, self.allow_unsupported)

    def _source(self, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Source:
        """Export the module for exactly these shapes. Raises ModelError if torch cannot."""
        try:
            with torch.no_grad(), quiet(), _masks_as_they_are():
                program = export(self.module, inputs, keywords, strict=False)
        except Exception as problem:
            raise ModelError(f"{self.name}: {_obstacle(problem)}") from problem
        return Source.of(program, self.name)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress torch's logs, warnings and printed errors; the caller learns of them from one exception."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _masks_as_they_are() -> Iterator[None]:
    """Keep torch's transformer layers from checking whether a mask is causal, which an export cannot trace.

    The check only lets a kernel omit the mask; the result is the same with it.
    """
    place, name = torch.nn.modules.transformer, "_detect_is_causal_mask"
    detect = getattr(place, name, None)
    setattr(place, name, lambda mask, is_causal=None, size=None: bool(is_causal))
    try:
        yield
    finally:
        setattr(place, name, detect)


def _unified(small: Source, large: Source, name: str, allow_unsupported: bool) -> Graph:
    sources = zip((small, large), SIZES, strict=True)
    return unify(*(lower(source, size, name, allow_unsupported) for source, size in sources))


def _tensor(value: Any) -> Any:
    """Return a copy of an array or tensor: torch treats the same tensor, passed twice, as one input."""
    return torch.as_tensor(value).detach().clone() if isinstance(value, np.ndarray | Tensor) else value


def _batched(value: Any, batch: int) -> bool:
    """Return whether an example input's first dimension has one entry for each sample."""
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == batch


def _resized(value: Any, batch: int, size: int) -> Any:
    """Return an example input with its samples repeated or truncated to `size` samples."""
    if not _batched(value, batch):
        return value
    return value.repeat(-(-size // batch), *[1] * (value.dim() - 1))[:size]


def _input_shapes(program: ExportedProgram) -> list[tuple[Any, ...]]:
    """Return the shape of each input tensor; a dimension is an int if it is fixed, otherwise symbolic."""
    wanted = set(program.graph_signature.user_inputs)
    given = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]
    return [tuple(value.shape) for value in given if isinstance(value, Tensor)]


def _obstacle(problem: Exception) -> str:
    """Return why torch cannot export a module, where in its source, and the remedy."""
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if _of_the_user(f.filename)]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    if "data-dependent" in str(problem):
        return f"its control flow depends on the data{where}; compute both branches and select with torch.where, or give an ONNX file"
    return f"torch.export cannot read it{where} ({one_line(problem)}); see torch's export guide, or give an ONNX file"


def _of_the_user(file: str) -> bool:
    inside = file == __file__ or (file.startswith(("<", sysconfig.get_path("stdlib"))) and "site-packages" not in file)
    return not inside and "/torch/" not in file.replace("\\", "/")
