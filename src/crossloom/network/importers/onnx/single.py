"""Queries to onnx about one node: its value on known inputs, its definition and the types of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crossloom.network.importers.onnx.casts import graph_dtype
from crossloom.network.types import TensorType, resolve

Typed = tuple[TensorType, int | None]


def evaluate(node: Any, opset: int, tensors: Sequence[Tensor | None], kinds: Sequence[int | None]) -> list[tuple[Tensor, int]]:
    """Return the outputs and their element types from onnx's reference; an empty list if it fails or they are random."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type.startswith(("Random", "Bernoulli", "Multinomial")):
        return []
    feeds = {name: _array(t, kind) for name, t, kind in zip(node.input, tensors, kinds, strict=True) if t is not None}
    try:
        results: Any = ReferenceEvaluator(node, opsets={"": opset}).run(None, feeds)
        return [(torch.from_numpy(array.copy()), helper.np_dtype_to_tensor_dtype(array.dtype)) for array in results]
    except Exception:  # onnx's own code raises many types for what it does not support
        return []


def definition(node: Any, opset: int, types: Sequence[Typed | None]) -> Any | None:
    """Return the graph of other operators by which the standard defines the node, or None."""
    from onnx import OperatorSetIdProto, defs, inliner

    try:
        schema = defs.get_schema(node.op_type, opset)
        body = _body(schema, node, opset, types)
        if body is None:
            return None
        call = _call(schema, node)
        body.domain = call.domain
        next(entry for entry in body.opset_import if not entry.domain).version = opset
        model = _model(call, opset, types)
        model.opset_import.append(OperatorSetIdProto(domain=call.domain, version=1))
        model.functions.append(body)
        graph = inliner.inline_local_functions(model).graph
    except Exception:  # defs.SchemaError, or a failure inside the inliner
        return None
    return None if any(inner.op_type == node.op_type for inner in graph.node) else graph


def _body(schema: Any, node: Any, opset: int, types: Sequence[Typed | None]) -> Any | None:
    """Return the function that defines an operator, in its newest version up to the model's opset, otherwise in its oldest."""
    from onnx import FunctionProto, TypeProto, helper

    def best(versions: Sequence[int]) -> int:
        return max((version for version in versions if version <= opset), default=min(versions))

    if schema.has_function:
        return FunctionProto.FromString(schema.get_function_with_opset_version(best(schema.function_opset_versions)))
    if not schema.has_context_dependent_function:
        return None
    protos = [TypeProto() if t is None else helper.make_tensor_type_proto(_kind(t), resolve(t[0].shape, 1)) for t in types]
    version = best(schema.context_dependent_function_opset_versions)
    written = [proto.SerializeToString() for proto in protos]
    return FunctionProto.FromString(schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), written))


def _call(schema: Any, node: Any) -> Any:
    """Return the node as a call of a local function, with default values for the attributes that it omits."""
    from onnx import NodeProto

    call = NodeProto()
    call.CopyFrom(node)
    call.domain = "definition"
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.name:
            call.attribute.append(attribute.default_value)
    return call


def outputs(node: Any, opset: int, types: Sequence[Typed | None], known: Sequence[Tensor | None]) -> list[TensorType | None]:
    """Return the types of the outputs from onnx's shape inference; None where it cannot infer one."""
    from onnx import numpy_helper, shape_inference

    model = _model(node, opset, types)
    for name, tensor, type in zip(node.input, known, types, strict=True):
        if tensor is not None and type is not None and tensor.numel() <= 64:
            model.graph.initializer.append(numpy_helper.from_array(_array(tensor, type[1]), name))
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # shape_inference.InferenceError and others
        return [None] * len(node.output)
    found = {value.name: value.type.tensor_type for value in inferred.graph.output}
    return [_type(found.get(name)) for name in node.output]


def _type(found: Any) -> TensorType | None:
    if found is None or not found.HasField("shape") or any(not dim.HasField("dim_value") for dim in found.shape.dim):
        return None
    try:
        return TensorType(graph_dtype(found.elem_type), tuple(int(dim.dim_value) for dim in found.shape.dim))
    except NotImplementedError:
        return None


def _model(node: Any, opset: int, types: Sequence[Typed | None]) -> Any:
    """Return a model that contains only this node."""
    from onnx import TypeProto, ValueInfoProto, helper

    inputs = {
        name: helper.make_tensor_value_info(name, _kind(type), resolve(type[0].shape, 1))
        for name, type in zip(node.input, types, strict=True)
        if type is not None
    }
    results = [ValueInfoProto(name=name, type=TypeProto()) for name in node.output if name]
    graph = helper.make_graph([node], "single", list(inputs.values()), results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _kind(type: Typed) -> int:
    """Return the ONNX element type: the model's own type where it is narrower than ours, but float32 for every real type."""
    wide = {"f32": 1, "i64": 7, "bool": 9}[type[0].dtype]
    return wide if type[1] is None or wide != 7 or graph_dtype(type[1]) != "i64" else type[1]


def _array(tensor: Tensor, kind: int | None) -> Any:
    from onnx import helper

    array = tensor.numpy()
    return array if kind is None else array.astype(helper.tensor_dtype_to_np_dtype(kind))
