"""Entry point of the ONNX importer: reads a model and lowers it to a graph.

The model is lowered at two batch sizes, and what is the same in both becomes a graph for any batch size (see `unify.py`).
Most files are written for one batch size. The importer then tries to replace it, and accepts the result only if
random data give the same outputs as the original model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.graph import Graph, verify
from crossloom.network.importers.builder import GraphBuilder
from crossloom.network.importers.onnx.rebatch import Choices, Original
from crossloom.network.importers.onnx.source import Port, Source, read
from crossloom.network.importers.onnx.walk import complaints, lower, refusal
from crossloom.network.importers.unify import SIZES, Irregular, unify
from crossloom.network.operators import FakeQuantize, Function
from crossloom.network.replay import replay
from crossloom.network.types import DTYPES, Batch, resolve

_ATTEMPTS = 16

Shape = tuple[int | None, ...]
Shapes = Mapping[str, Sequence[int | None]]


def from_onnx(model: str | Path | Any, name: str | None = None, *, shapes: Shapes | None = None, allow_unsupported: bool = False) -> Graph:
    """Return the graph of an ONNX file or ModelProto; it runs at any batch size if the model can.

    `shapes` sets input dimensions that the model leaves open; None in a shape keeps the model's dimension. The first
    dimension is the batch. Raises ModelError with one line that names the file, the problem and the remedy. All operators
    without a counterpart are reported together; with `allow_unsupported` they stay in the graph as Unsupported nodes.
    """
    source = read(model, name)
    sizes = _sizes(source, shapes or {})
    graph = _at_any_batch(source, sizes) if any(None in shape for shape in sizes) else _as_written(source, sizes)
    if (found := complaints(graph.nodes)) and not allow_unsupported:
        raise ModelError(refusal(source.label, found))
    verify(graph)
    return graph


def _sizes(source: Source, shapes: Shapes) -> list[Shape]:
    """Return the shape of each input, with None for the batch. Raises ModelError for any other open dimension."""
    names = [port.name for port in source.ports]
    if unknown := sorted(set(shapes) - set(names)):
        raise ModelError(f"{source.label}: it has no input {unknown[0]}; its inputs are {', '.join(names) or 'none'}")
    dims = [_given(source, port, shapes.get(port.name)) for port in source.ports]
    batch = {shape[0] for shape in dims if shape and isinstance(shape[0], str)}
    sizes = []
    for port, shape in zip(source.ports, dims, strict=True):
        for i, dim in enumerate(shape):
            if isinstance(dim, str) and i and (not dim or dim not in batch):
                example = tuple(1 if isinstance(d, str) else d for d in shape)
                what = f"dimension {i} of input {port.name} is open ({dim or 'no name'})"
                raise ModelError(f"{source.label}: {what}; fix it, {_as_in({port.name: example})}")
        sizes.append(tuple(None if isinstance(dim, str) else dim for dim in shape))
    return sizes


def _as_in(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return an example of how to fix shapes, in Python and on the command line."""
    options = " ".join(f"--shape {name}={','.join(map(str, shape))}" for name, shape in shapes.items())
    return f"as in shapes={dict(shapes)} or {options}"


def _given(source: Source, port: Port, shape: Sequence[int | None] | None) -> tuple[int | str, ...]:
    """Return an input's dimensions, including those that the caller sets."""
    if port.dims is None:
        if shape is None or None in shape:
            raise ModelError(f"{source.label}: the shape of input {port.name} is unknown; give it, {_as_in({port.name: (1, 3, 224, 224)})}")
        return tuple(int(dim or 0) for dim in shape)
    if shape is None:
        return port.dims
    if len(shape) != len(port.dims):
        raise ModelError(f"{source.label}: input {port.name} has {len(port.dims)} dimensions but shapes gives {len(shape)}; give the same number")
    for i, (have, want) in enumerate(zip(port.dims, shape, strict=True)):
        if want is not None and (want < 1 or (isinstance(have, int) and have != want)):
            is_now = f"is {have} in the model" if isinstance(have, int) else "is open"
            raise ModelError(f"{source.label}: dimension {i} of input {port.name} {is_now} but shapes gives {want}; None keeps the model's dimension")
    return tuple(have if want is None else int(want) for have, want in zip(port.dims, shape, strict=True))


def _filled(sizes: Sequence[Shape], batch: int) -> list[tuple[int, ...]]:
    return [tuple(batch if dim is None else dim for dim in shape) for shape in sizes]


def _at_any_batch(source: Source, sizes: Sequence[Shape]) -> Graph:
    small, large = (lower(source, _filled(sizes, batch), batch)[0] for batch in SIZES)
    try:
        return unify(small, large)
    except Irregular as problem:
        if complaints(small.nodes):
            return lower(source, _filled(sizes, 1), 1)[0]
        fixed = {port.name: shape for port, shape in zip(source.ports, _filled(sizes, 1), strict=True)}
        remedy = f"fix it, {_as_in(fixed)}"
        raise ModelError(f"{source.label}: its open dimension is not a plain batch ({problem}); {remedy}") from problem


def _as_written(source: Source, sizes: Sequence[Shape]) -> Graph:
    """Return the graph of a model written for one batch size; it runs at any size if the results are shown to be the same."""
    shapes = _filled(sizes, 1)
    leading = {shape[0] if shape else None for shape in shapes}
    batch = shapes[0][0] if shapes and shapes[0] else 1
    graph, builder = lower(source, shapes, batch)
    if len(leading) != 1 or None in leading or not batch or complaints(graph.nodes):
        return graph
    why = f"it was written for batch {batch}, and no other size could be shown to compute the same results"
    return _rebatched(source, shapes, graph, builder) or replace(graph, fixed=why)


def _rebatched(source: Source, shapes: Sequence[tuple[int, ...]], graph: Graph, builder: GraphBuilder) -> Graph | None:
    """Return a graph for any batch size that agrees with the given graph at its size, or None if a few attempts find none."""
    opened: list[Shape] = [(None, *shape[1:]) for shape in shapes]
    original = Original(builder, Choices())
    for _ in range(_ATTEMPTS):
        try:
            candidate = unify(*(lower(source, _filled(opened, size), size, original)[0] for size in SIZES))
            if _agree(graph, candidate):
                return candidate
        except (Irregular, ModelError, RuntimeError, IndexError):
            pass
        if not original.choices.advance():
            break
    return None


def _agree(fixed: Graph, free: Graph) -> bool:
    """Return whether the inputs of two runs, in one batch, give the same results as two runs of the fixed graph.

    The data are random, and results may differ by one part in 10⁴. Rounding to a grid is left out, because two sums
    that differ in the last bit may round to different steps.
    """
    if not all(free.types[name].shape and isinstance(free.types[name].shape[0], Batch) for name in free.outputs):
        return False
    random = torch.Generator().manual_seed(0)
    runs = [[_sample(type.dtype, resolve(type.shape), random) for _, type in fixed.inputs] for _ in range(2)]
    separate = [replay(_unrounded(fixed), run) for run in runs]
    together = replay(_unrounded(free), [torch.cat(pair) for pair in zip(*runs, strict=True)])
    return all(_close(torch.cat(pair), y) for pair, y in zip(zip(*separate, strict=True), together, strict=True))


def _unrounded(graph: Graph) -> Graph:
    nodes = (replace(node, op=Function("identity")) if isinstance(node.op, FakeQuantize) else node for node in graph)
    return replace(graph, nodes=tuple(nodes))


def _sample(dtype: str, shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Return random numbers; integers are 0 or 1, which are safe as indices."""
    if dtype == "f32":
        return torch.randn(*shape, generator=random)
    return torch.randint(0, 2, tuple(shape), generator=random).to(DTYPES[dtype])


def _close(want: Tensor, have: Tensor) -> bool:
    """Return whether two results agree to one part in 10⁴ of the largest number; False if all are NaN, which proves nothing."""
    if want.shape != have.shape or not torch.equal(want.isnan(), have.isnan()) or bool(want.isnan().all()):
        return False
    want, have = want.double().nan_to_num(), have.double().nan_to_num()
    return bool((want - have).abs().max() <= 1e-4 * want.abs().max() + 1e-9)
