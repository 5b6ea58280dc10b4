"""An ONNX model as stored on disk, read and checked. Nothing in it is executed, and weights come only from its own folder."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from crossloom.errors import InputError, ModelError, one_line
from crossloom.network.importers.onnx.casts import graph_dtype
from crossloom.network.importers.onnx.constants import from_proto
from crossloom.network.importers.onnx.table import Reordered

FREE_RESIZE = 11
"""The first opset in which Resize specifies how positions are computed."""
OLDEST = 13
_MOST_INLINED = 1_000_000
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Port:
    """An input of the model. `dims` holds numbers, or names (perhaps empty) of open dimensions; it is None if the rank is unknown."""

    name: str
    dtype: str
    kind: int
    dims: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Source:
    """A model with one opset, no local functions, and its weights as tensors. `label` names it in messages.

    `reordered` caches weights with their dimensions in another order for the next time the model is lowered.
    """

    label: str
    name: str
    graph: Any
    opset: int
    ports: tuple[Port, ...]
    weights: Mapping[str, Tensor]
    kinds: Mapping[str, int]
    reordered: Reordered = field(default_factory=dict)


def read(model: str | Path | Any, name: str | None = None) -> Source:
    """Return the model in a file or a ModelProto. Raises a ModelError of one line for anything wrong with it."""
    try:
        import onnx
    except ImportError as problem:
        raise InputError("reading ONNX needs the package onnx: pip install 'crossloom[onnx]'") from problem
    if isinstance(model, str | Path):
        label, fallback, proto = str(model), Path(model).stem, _load(Path(model))
    elif isinstance(model, onnx.ModelProto):
        label = fallback = model.graph.name or "the ONNX model"
        proto = model
    else:
        raise InputError(f"from_onnx takes a path or an onnx.ModelProto, not {type(model).__name__}; save the model to a file")
    _refuse_external(proto.graph, proto.functions, label)
    proto, opset = _current(proto, label)
    weights = {tensor.name: _weight(tensor, label) for tensor in proto.graph.initializer}
    if proto.graph.sparse_initializer:
        raise ModelError(f"{label}: it holds sparse initializers; store them as dense tensors")
    kinds = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    ports = tuple(_port(value, label) for value in proto.graph.input if value.name not in weights)
    return Source(label, re.sub(r"\s+", "_", name or fallback), proto.graph, opset, ports, weights, kinds)


def _load(path: Path) -> Any:
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    if not path.is_file():
        raise ModelError(f"{path}: no such file; give the path of an .onnx file")
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except Exception as problem:  # the protobuf library's own DecodeError; its module differs between versions
        raise ModelError(f"{path}: not an ONNX file, or truncated ({one_line(problem)}); export or download it again") from problem
    if not model.ir_version or not model.opset_import or not (model.graph.node or model.graph.output):
        raise ModelError(f"{path}: not an ONNX file (it holds no graph); export or download it again")
    try:
        load_external_data_for_model(model, str(path.parent.resolve()))
    except (onnx.checker.ValidationError, ValueError, OSError) as problem:
        remedy = "keep the data file beside the model, under the name it was exported with"
        raise ModelError(f"{path}: cannot read its external weights ({one_line(problem)}); {remedy}") from problem
    return model


def _refuse_external(graph: Any, functions: Iterable[Any], label: str) -> None:
    """Raise ModelError if any tensor is still in another file: onnx would look for it in the current folder."""
    from onnx.external_data_helper import uses_external_data

    for tensor in _tensors([graph, *functions]):
        if uses_external_data(tensor):
            raise ModelError(f"{label}: the tensor {tensor.name or 'of a node'} is in another file; give the path of the model instead")


def _tensors(graphs: list[Any]) -> Iterator[Any]:
    """Yield all tensors of graphs and functions: weights, and those in their nodes and in nested graphs."""
    while graphs:
        graph = graphs.pop()
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [inner for inner in (attribute.g, *attribute.graphs) if inner.node or inner.initializer]


def _current(model: Any, label: str) -> tuple[Any, int]:
    """Return the model with functions inlined, at an opset that the rules support, and that opset."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), newest)
    if opset > newest:
        raise ModelError(f"{label}: opset {opset} is newer than the installed onnx supports ({newest}); run pip install -U onnx")
    if opset < OLDEST:
        model, opset = _converted(model, opset, label), OLDEST
    return (_inlined(model, label) if model.functions else model), opset


def _converted(model: Any, opset: int, label: str) -> Any:
    from onnx import version_converter

    try:
        converted = version_converter.convert_version(model, OLDEST)
        return _resized_as_before(converted) if opset < FREE_RESIZE else converted
    except Exception as problem:  # a RuntimeError or its own ConvertError
        remedy = f"export it with opset {OLDEST} or later"
        raise ModelError(f"{label}: opset {opset} could not be converted to {OLDEST} ({one_line(problem)}); {remedy}") from problem


def _resized_as_before(model: Any) -> Any:
    """Make explicit how Resize and Upsample computed positions before this became a choice; the converter omits it, and the default differs."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "Resize":
            own = [attribute for attribute in node.attribute if attribute.name not in ("coordinate_transformation_mode", "nearest_mode")]
            del node.attribute[:]
            node.attribute.extend(own)
            node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
    return model


def _inlined(model: Any, label: str) -> Any:
    from onnx import inliner

    if _inlined_nodes(model) > _MOST_INLINED:
        raise ModelError(f"{label}: its functions call each other more than {_MOST_INLINED:,} times; export it without functions")
    try:
        return inliner.inline_local_functions(model, convert_version=True)
    except Exception as problem:
        raise ModelError(f"{label}: its functions cannot be inlined ({one_line(problem)}); export it without functions") from problem


def _inlined_nodes(model: Any) -> float:
    """Return the number of nodes of a model once its functions are inlined; infinity if a function calls itself."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    counts: dict[tuple[str, str], float] = {}

    def count(nodes: Iterable[Any], within: frozenset[tuple[str, str]]) -> float:
        total = 0.0
        for node in nodes:
            key = node.domain, node.op_type
            if key in within or len(within) > _DEEPEST:
                return math.inf
            if key in bodies and key not in counts:
                counts[key] = count(bodies[key].node, within | {key})
            total += counts.get(key, 1)
            total += sum(count(graph.node, within) for attribute in node.attribute for graph in (attribute.g, *attribute.graphs))
        return total

    return count(model.graph.node, frozenset())


def _weight(tensor: Any, label: str) -> Tensor:
    try:
        value = from_proto(tensor)
    except (NotImplementedError, ValueError, TypeError) as problem:
        raise ModelError(f"{label}: the initializer {tensor.name} cannot be read ({one_line(problem)}); export the model again") from problem
    if value.is_floating_point() and bool(value.isnan().any()):
        raise ModelError(f"{label}: the initializer {tensor.name} holds NaN; train or export the model again")
    return value


def _port(value: Any, label: str) -> Port:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ModelError(f"{label}: the input {value.name} is not a tensor ({kind or 'no type'}); export the model with tensors only")
    given = value.type.tensor_type
    try:
        dtype = graph_dtype(given.elem_type)
    except (NotImplementedError, ValueError) as problem:
        raise ModelError(f"{label}: the input {value.name} has {one_line(problem)}; export it with numbers or booleans") from problem
    if not given.HasField("shape"):
        return Port(value.name, dtype, given.elem_type, None)
    # Some tools write -1 where the standard requires a name or no entry.
    dims = tuple(int(d.dim_value) if d.HasField("dim_value") and d.dim_value >= 0 else str(d.dim_param) for d in given.shape.dim)
    return Port(value.name, dtype, given.elem_type, dims)
