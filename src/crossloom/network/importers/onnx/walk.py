"""Lowering of a model at one batch size: a walk over its nodes that applies the rule of each operator.

A node that no rule can express has two fallbacks. If all its inputs are known, onnx's own reference computes it. If the
standard defines it by other operators, they are lowered instead. Any node that remains becomes an Unsupported node, so
that one run finds every obstacle.
"""

from __future__ import annotations

import ast
import re
from collections import ChainMap
from collections.abc import Container, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from crossloom.errors import ModelError, one_line
from crossloom.network.graph import Graph, Node
from crossloom.network.importers.builder import GraphBuilder
from crossloom.network.importers.limits import Bounded
from crossloom.network.importers.onnx import single
from crossloom.network.importers.onnx.qlinear import MICROSOFT
from crossloom.network.importers.onnx.quantize import as_integers, rounded
from crossloom.network.importers.onnx.rebatch import Original
from crossloom.network.importers.onnx.source import Source
from crossloom.network.importers.onnx.table import RULES, TAKE_INTEGERS, Integers, Lowering, Rule
from crossloom.network.operators import Unsupported
from crossloom.network.types import TensorType

_STANDARD = ("", "ai.onnx")
_REMEDIES = dict.fromkeys(
    ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"),
    "its scales are chosen at run time; quantise statically, or give the model in floating point",
)
_MOVES = {"DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze"}
_MOVES |= {"Tile", "Transpose", "Unsqueeze"}
"""Operators that may act on integers that are not dequantised, as in onnxruntime's operator format."""
_SAME_ELSEWHERE = {("com.microsoft", name) for name in ("QuantizeLinear", "DequantizeLinear", "Gelu", *MICROSOFT)}


_NO_MORE_THAN_GIVEN = {"NonZero", "Unique", "Compress"}
"""Their results have at most as many elements for each dimension as their input; the exact number depends on the data."""
MOST_BY_REFERENCE = 1 << 26
"""Maximum number of elements of a tensor that onnx's reference computes; parts of it are Python loops."""
_LONGEST = 10_000
"""Maximum number of characters in the list of modules that a node came from."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A tensor whose shape is unknown; `complaint` describes the node that should compute it."""

    complaint: str


class Stopped(Exception):
    """An obstacle that ends the walk, such as a node that reads a missing tensor."""


Value = str | Integers | Missing


def lower(source: Source, shapes: Sequence[tuple[int, ...]], batch: int, original: Original | None = None) -> tuple[Graph, GraphBuilder]:
    """Return the graph at given input shapes, and its builder.

    `original` holds the builder at the file's own batch size if this is another one; the first obstacle then ends the
    walk. Raises ModelError if an operator without a counterpart hides the shapes of the nodes after it.
    """
    walk = Walk(source, Lowering(GraphBuilder(source.name, batch), source.opset, original, reordered=source.reordered))
    with torch.no_grad(), Bounded(source.label, sum(weight.numel() for weight in source.weights.values())):
        try:
            outputs = walk.run(shapes)
        except Stopped as stop:
            found = list(dict.fromkeys([*complaints(walk.low.builder.nodes), str(stop)]))
            raise ModelError(refusal(source.label, found, "; what follows cannot be read without them, so replace them in the model")) from stop
    return walk.low.builder.build(outputs), walk.low.builder


def complaints(nodes: Sequence[Node]) -> list[str]:
    """Return a phrase for each node of the source model that has no counterpart."""
    found = [f"{n.op.kind} at {n.origin or n.name} ({n.op.reason})" for n in nodes if isinstance(n.op, Unsupported)]
    return list(dict.fromkeys(found))


def refusal(label: str, found: Sequence[str], remedy: str = "; replace them in the model, or run 'crossloom check' on it") -> str:
    """Return an error message that lists the first five obstacles."""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"{label}: no counterpart for {'; '.join(found[:5])}{more}{remedy}"


def in_order(nodes: Sequence[Any], known: Container[str]) -> list[Any]:
    """Return the nodes, each after those whose results it reads; the standard requires this order, but not every tool obeys."""
    made_by = {name: node for node in nodes for name in node.output if name}
    done: set[str] = set()
    ordered: list[Any] = []
    for last in nodes:
        stack = [last]
        while stack:
            node = stack[-1]
            missing = [name for name in _read(node) if name in made_by and name not in done and name not in known]
            if missing and len(stack) <= len(nodes):
                stack.append(made_by[missing[0]])
                continue
            stack.pop()
            if done.isdisjoint(node.output):
                ordered.append(node)
                done.update(node.output)
    return ordered


def _read(node: Any) -> Iterator[str]:
    """Yield the tensors that a node reads, including those in its branches."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read(inner)


@dataclass
class Walk:
    """One pass over the nodes of a model; `values` maps its tensor names to ours."""

    source: Source
    low: Lowering
    values: MutableMapping[str, Value] = field(default_factory=dict)

    def run(self, shapes: Sequence[tuple[int, ...]]) -> list[str]:
        """Lower the whole model and return the names of its outputs."""
        for port, shape in zip(self.source.ports, shapes, strict=True):
            self.values[port.name] = self.low.builder.input(_plain(port.name), TensorType(port.dtype, shape))
            self.low.kinds[str(self.values[port.name])] = port.kind
        for name, weight in self.source.weights.items():
            self.values[name] = self.low.constant(weight, _plain(name), self.source.kinds[name])
        for node in in_order(self.source.graph.node, self.values):
            self.node(node)
        return [as_integers(self.low, self.value(output.name)) for output in self.source.graph.output]

    def value(self, name: str) -> str | Integers:
        """Return our tensor for one of the model's. Raises Stopped if it is missing, ModelError if nothing computes it."""
        value = self.values.get(name)
        if isinstance(value, Missing):
            raise Stopped(value.complaint)
        if value is None:
            raise ModelError(f"{self.source.label}: nothing computes the tensor {name}; check the file with onnx.checker")
        return value

    def node(self, node: Any, origin: str = "") -> None:
        """Lower one node and store its results."""
        outputs = list(node.output)
        low, first = self.low, len(self.low.builder.nodes)
        low.node, low.origin, low.outputs = (
            _plain((outputs or [""])[0] or node.name),
            origin or _origin(node),
            len([o for o in outputs if o]),
        )
        inputs = [self.value(name) if name else None for name in node.input]
        results = self._apply(node, inputs)
        for i, name in enumerate(outputs):
            result = results[i] if i < len(results) else Missing(f"output {i} of {node.op_type} at {_origin(node)}")
            self.values[name] = low.rename(result, _plain(name), first) if isinstance(result, str) and name else result

    def _apply(self, node: Any, inputs: list[str | Integers | None]) -> Sequence[Value]:
        reason = _foreign(node) or _REMEDIES.get(node.op_type, "no rule for this operator")
        try:
            if node.op_type == "If" and node.domain in _STANDARD:
                return self._branch(node)
            rule = RULES.get(node.op_type) if not _foreign(node) else None
            if rule is not None and node.op_type in _MOVES and isinstance(inputs[0], Integers):
                return self._moved(rule, node, inputs[0], inputs[1:])
            if rule is not None:
                given = inputs if node.op_type in TAKE_INTEGERS else [None if x is None else as_integers(self.low, x) for x in inputs]
                results = rule(self.low, *_trimmed(given), **_attributes(node))
                return results if isinstance(results, tuple) else (results,)
        except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as problem:
            reason = one_line(problem)
        plain = [None if x is None else as_integers(self.low, x) for x in inputs]
        return self._computed(node, plain) or self._defined(node, plain) or self._unsupported(node, plain, reason)

    def _moved(self, rule: Rule, node: Any, x: Integers, rest: list[str | Integers | None]) -> Sequence[Value]:
        """Move integers without changing them: the real numbers that they represent move, and keep their grid."""
        plain = [None if each is None else as_integers(self.low, each) for each in rest]
        results = rule(self.low, *_trimmed([rounded(self.low, x), *plain]), **_attributes(node))
        return [Integers(result, x.quantization) for result in (results if isinstance(results, tuple) else (results,))]

    def _branch(self, node: Any) -> Sequence[Value]:
        """Lower the branch that a known condition selects."""
        condition = self.low.known(as_integers(self.low, self.value(node.input[0])), "condition")
        graph = _attributes(node)["then_branch" if bool(condition.reshape(())) else "else_branch"]
        return self._inside(graph, "")

    def _inside(self, graph: Any, origin: str) -> Sequence[Value]:
        """Lower a nested graph and return its outputs; it can read our tensors, and its own stay local."""
        outer, self.values = self.values, ChainMap({}, self.values)
        try:
            for tensor in graph.initializer:
                self.values[tensor.name] = RULES["Constant"](self.low, value=tensor)
            for node in in_order(graph.node, self.values):
                self.node(node, origin)
            return [self.values[output.name] for output in graph.output]
        finally:
            self.values = outer

    def _computed(self, node: Any, inputs: list[str | None]) -> Sequence[Value]:
        """Compute a node whose inputs are all known with onnx's reference; return an empty list if that is not possible."""
        tensors = [None if x is None else self.low.value(x) for x in inputs]
        if any(t is None and x is not None for t, x in zip(tensors, inputs, strict=True)) or not any(inputs) or _foreign(node):
            return []
        if not self._small(node, inputs):
            return []
        kinds = [None if x is None else self.low.kinds.get(x) for x in inputs]
        return [self.low.constant(t, kind=kind) for t, kind in single.evaluate(node, self.source.opset, tensors, kinds)]

    def _small(self, node: Any, inputs: list[str | None]) -> bool:
        """Return whether a node is cheap to compute: it holds no graphs that may run repeatedly, and the size of each result is bounded."""
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return False
        known = [None if x is None else self.low.value(x) for x in inputs]
        types = single.outputs(node, self.source.opset, self._types(inputs), known)
        if node.op_type in _NO_MORE_THAN_GIVEN:
            types = [self.low.builder.types[x] for x in inputs if x is not None]
        return all(type is not None and type.count() <= MOST_BY_REFERENCE for name, type in zip(node.output, types, strict=False) if name)

    def _defined(self, node: Any, inputs: list[str | None]) -> Sequence[Value]:
        """Lower a node by the standard's definition in other operators; return an empty list if none works."""
        graph = None if _foreign(node) else single.definition(node, self.source.opset, self._types(inputs))
        if graph is None:
            return []
        before, origin = len(self.low.builder.nodes), self.low.origin
        place = self.low.node, self.low.origin, self.low.outputs
        try:
            found = dict(zip((o.name for o in graph.output), self._inside(graph, origin), strict=True))
        except Stopped:
            return []
        finally:
            self.low.node, self.low.origin, self.low.outputs = place
        return [] if complaints(self.low.builder.nodes[before:]) else [found.get(name, Missing(name)) for name in node.output]

    def _unsupported(self, node: Any, inputs: list[str | None], reason: str) -> Sequence[Value]:
        """Add a placeholder node for each output, of known type, of a node without a counterpart."""
        complaint = f"{node.op_type} at {self.low.origin} ({reason})"
        if self.low.original is not None:
            raise Stopped(complaint)
        known = [None if x is None else self.low.value(x) for x in inputs]
        types = [None] * len(node.output) if _foreign(node) else single.outputs(node, self.source.opset, self._types(inputs), known)
        names = [x for x in inputs if x is not None]
        return [
            Missing(complaint)
            if type is None
            else self.low.builder.add_unsupported(node.op_type, reason, tuple(names), type, _plain(name), origin=self.low.origin)
            for name, type in zip(node.output, types, strict=True)
        ]

    def _types(self, inputs: list[str | None]) -> list[tuple[TensorType, int | None] | None]:
        return [None if x is None else (self.low.builder.types[x], self.low.kinds.get(x)) for x in inputs]


def _foreign(node: Any) -> str:
    """Return why a node is outside the standard, or an empty string."""
    if node.domain in _STANDARD or (node.domain, node.op_type) in _SAME_ELSEWHERE:
        return ""
    return f"the domain {node.domain} is not part of the ONNX standard; export without runtime-specific optimisation"


def _trimmed(inputs: Sequence[Any]) -> list[Any]:
    """Drop omitted inputs at the end, so that defaults apply."""
    kept = list(inputs)
    while kept and kept[-1] is None:
        kept.pop()
    return kept


def _attributes(node: Any) -> dict[str, Any]:
    """Return the attributes by name: text as str, lists as tuples, floats as the shortest decimal with the same float32 value."""
    return {attribute.name: _attribute(attribute) for attribute in node.attribute}


def _attribute(attribute: Any) -> Any:
    from onnx import AttributeProto, helper

    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.FLOAT:
        return _float(value)
    if attribute.type == AttributeProto.FLOATS:
        return tuple(_float(v) for v in value)
    if attribute.type == AttributeProto.STRING:
        return value.decode()
    return tuple(value) if attribute.type == AttributeProto.INTS else value


def _float(value: float) -> float:
    import numpy as np

    return float(str(np.float32(value)))


def _plain(name: str) -> str:
    """Return a tensor's name in the graph's notation."""
    return re.sub(r"[^\w.]+", "_", name.removesuffix("_output_0")).strip("_") or "t"


def _origin(node: Any) -> str:
    """Return the place in the source model: the module path that torch's exporter records, else the node's name."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "")
    try:
        written = ast.literal_eval(scopes) if 0 < len(scopes) <= _LONGEST else []
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        written = []
    paths = [path for path in written[:-1] if path and isinstance(path, str)] if isinstance(written, list) else []
    return paths[-1] if paths else str(node.name or next(filter(None, node.output), node.op_type))
