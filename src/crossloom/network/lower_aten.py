"""Lower an exported program at one batch size: walk its nodes and apply the rule of each operator.

What depends only on shapes and parameters is computed on the way with torch itself, so masks, position numbers
and relative-position tables arrive as constants.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from crossloom.errors import ModelError
from crossloom.network.aten import RULES, Lowering, Ref
from crossloom.network.builder import GraphBuilder
from crossloom.network.graph import Graph
from crossloom.network.operators.base import Unsupported
from crossloom.network.types import TensorType

_SILENT = {"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size", "sym_constrain_range", "_assert_async"}
_NEVER_FOLDED = {"rand", "randn", "bernoulli", "rand_like", "randn_like"}


def lower(program: ExportedProgram, batch: int, name: str, allow_unsupported: bool = False) -> Graph:
    """Return the graph of a program at one batch size. Raises ModelError naming operators without a counterpart."""
    if _mutates(program.graph):
        program = program.run_decompositions({})
    walk = _Walk(Lowering(GraphBuilder(name, batch)), program, {})
    with torch.no_grad():
        outputs = walk.run()
    missing = [node for node in walk.low.builder.nodes if isinstance(node.op, Unsupported)]
    if missing and not allow_unsupported:
        named = "; ".join(f"{node.op.kind} at {node.origin or node.name}" for node in missing[:5] if isinstance(node.op, Unsupported))
        raise ModelError(f"{name}: no counterpart for {named}; run 'crossloom check' for the whole list")
    return walk.low.builder.build(outputs)


def _mutates(graph: fx.Graph) -> bool:
    """Whether a tensor is changed in place while something else still reads it or a view of it."""
    for node in graph.nodes:
        if node.op == "call_function" and getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            changed = node.args[0]
            if isinstance(changed, fx.Node) and (len(changed.users) > 1 or _is_view(changed)):
                return True
    return False


def _is_view(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(a.alias_info is not None and not a.alias_info.is_write for a in schema.arguments)


@dataclass
class _Walk:
    """One pass over the nodes of a program."""

    low: Lowering
    program: ExportedProgram
    values: dict[fx.Node, Any]

    def run(self) -> list[str]:
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node)
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "get_attr":
                raise ModelError(f"{self.low.builder.name}: it branches on its input ({node.target}); remove control flow or script it out")
        return self._outputs()

    def _outputs(self) -> list[str]:
        """Return the names of the tensors that the user gets, each once."""
        specs = self.program.graph_signature.output_specs
        returned = next(node for node in self.program.graph.nodes if node.op == "output").args[0]
        values = [self.values[n] for n, spec in zip(returned, specs, strict=True) if isinstance(n, fx.Node) and spec.kind == OutputKind.USER_OUTPUT]
        names = [self.low.name(value) for value in values if isinstance(value, Ref)]
        return list(dict.fromkeys(names))

    def _placeholder(self, node: fx.Node) -> Any:
        spec = next(s for s in self.program.graph_signature.input_specs if getattr(s.arg, "name", None) == node.name)
        if spec.kind == InputKind.USER_INPUT:
            value = node.meta.get("val")
            if not isinstance(value, Tensor):
                return getattr(spec.arg, "value", value)
            return Ref(self.low.builder.input(node.name, self._type(value)))
        assert spec.target is not None
        state = self.program.state_dict if spec.target in self.program.state_dict else self.program.constants
        return self.low.known(state[spec.target], spec.target)

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = self._resolve(node.args), self._resolve(dict(node.kwargs))
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        if target is operator.getitem:
            return args[0][args[1]]
        opname = getattr(target, "_opname", getattr(target, "__name__", str(target)))
        if opname in _SILENT:
            return None
        if opname == "sym_size" and isinstance(args[0], Ref):
            return self.low.shape(args[0])[args[1]]
        refs = [value for value in _leaves((args, kwargs)) if isinstance(value, Ref)]
        if all(ref.value is not None for ref in refs) and opname not in _NEVER_FOLDED:
            return self._fold(target, args, kwargs)
        self.low.place(_place(node), node.name)
        plain = opname[:-1] if opname.endswith("_") and not opname.endswith("__") else opname
        result = self._apply(plain, node, args, kwargs)
        if opname != plain and isinstance(node.args[0], fx.Node):
            self.values[node.args[0]] = result
        return result

    def _apply(self, opname: str, node: fx.Node, args: Any, kwargs: Any) -> Any:
        rule = RULES.get(opname)
        reason = "no rule for this operator"
        if rule is not None:
            try:
                return rule(self.low, *args, **kwargs)
            except (NotImplementedError, TypeError) as problem:
                reason = str(problem)
        names = tuple(self.low.name(v) for v in _leaves((args, kwargs)) if isinstance(v, Ref))
        value = node.meta.get("val")
        values = value if isinstance(value, tuple | list) else (value,)
        results = [
            Ref(self.low.builder.add_unsupported(f"aten.{opname}", reason, names, self._type(v), name=node.name, origin=_origin(node)))
            for v in values
            if isinstance(v, Tensor)
        ]
        return results if isinstance(value, tuple | list) else results[0]

    def _fold(self, target: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        kwargs = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory", "layout")}
        result = target(*_map(args, _value), **_map(kwargs, _value))
        return _map(result, lambda v: self.low.known(v) if isinstance(v, Tensor) else v)

    def _resolve(self, value: Any) -> Any:
        return _map(value, lambda v: self.values[v] if isinstance(v, fx.Node) else v)

    def _type(self, value: Tensor) -> TensorType:
        shape = tuple(self._number(dim) for dim in value.shape)
        meta = torch.empty(0, dtype=value.dtype)
        if meta.is_floating_point():
            return TensorType("f32", shape)
        return TensorType("bool" if value.dtype == torch.bool else "i64", shape)

    def _number(self, dim: Any) -> int:
        """Return a dimension at this batch size; every free symbol of a batched export is the batch."""
        if isinstance(dim, int):
            return dim
        expression = dim.node.expr
        return int(expression.subs({symbol: self.low.builder.batch for symbol in expression.free_symbols}))


def _map(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_map(item, function) for item in value) if type(value) in (tuple, list) else [_map(item, function) for item in value]
    if isinstance(value, dict):
        return {key: _map(item, function) for key, item in value.items()}
    return function(value)


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    _map(value, found.append)
    return found


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Ref) else value


def _module(node: fx.Node) -> str:
    """Return the path of the innermost module that a node came from, e.g. `layer1.0.conv1`."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path = str(list(stack.values())[-1][0]).removeprefix("L__self__").lstrip(".")
    return path.replace("L['self'].", "").replace("_modules.", "")


def _place(node: fx.Node) -> tuple[str, str]:
    module = _module(node)
    return module, _origin(node)


def _origin(node: fx.Node) -> str:
    module = _module(node)
    trace = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip().startswith("File")]
    where = ""
    if trace:
        parts = trace[-1].split('"')
        file, line = parts[1].rsplit("/", 1)[-1], parts[2].split("line ")[-1].split(",")[0]
        where = f"{file}:{line}"
    return f"{module} ({where})" if module and where else module or where
