"""Lowering of an exported program at one batch size: a walk over its nodes that applies the rule of each operator.

Values that depend only on shapes and parameters are computed during the walk with torch itself, so masks, position
indices and relative-position tables become constants.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind

from crossloom.errors import ModelError, one_line
from crossloom.network.graph import Graph
from crossloom.network.importers.builder import GraphBuilder
from crossloom.network.importers.limits import MOST_PARTS, Bounded
from crossloom.network.importers.torch.aten import RULES, Lowering, Missing, Ref
from crossloom.network.importers.torch.aten.pointwise import cast, kind_of, wrapped
from crossloom.network.importers.torch.constant_fold import ARITHMETIC, calculate, computable, parts, retraceable, within_reach
from crossloom.network.importers.torch.decompose import definitions, taken_apart
from crossloom.network.importers.torch.inline import inlined
from crossloom.network.importers.torch.mutation import Order, Tangled, in_place, name_of, order_of, random, without_mutation
from crossloom.network.types import TensorType

_SILENT = {"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size", "sym_constrain_range", "_assert_async"}

_GRIDS = {"fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"}
"""Computed by our own operator, even for weights: torch cannot infer the result shapes of its own, and shapes are checked first."""
_CASTS = {"to", "_to_copy", "type_as", "_to"}
_WRAPPERS = {"TernaryModule": "network", "AveragedModel": "module", "DataParallel": "module"}
"""Modules that wrap a user's module, and its name in them."""
_ROUNDS = 3
"""Maximum number of rounds of decomposition; a definition may itself use operators that have one."""


@dataclass(frozen=True)
class Source:
    """A program whose nodes can be read one by one."""

    program: ExportedProgram
    graph: fx.Graph
    order: Order
    foreign: bool = False

    @classmethod
    def of(cls, program: ExportedProgram, name: str, foreign: bool = False, rewritten: bool = False) -> Source:
        """Return the program ready to be read. A `foreign` one is from a file, so torch must not run it unchecked.

        Raises ModelError if it changes tensors in a way that torch cannot rewrite.
        """
        graph = inlined(program.graph_module)
        try:
            return cls(program, graph, order_of(graph, program.graph_signature.user_inputs), foreign)
        except Tangled as problem:
            may = problem.rewritable and not rewritten and not (foreign and not retraceable(program))
            plain = _rewritten(program) if may else None
            if plain is None:
                raise ModelError(f"{name}: {problem}; replace its in-place operations with out-of-place ones") from problem
            return cls.of(plain, name, foreign, rewritten=True)


def _rewritten(program: ExportedProgram) -> ExportedProgram | None:
    """Return the program without in-place operations, or None if torch fails."""
    try:
        return without_mutation(program)
    except Exception:  # torch's passes raise many types, and the remedy is always the same
        return None


def lower(source: Source, batch: int, name: str, allow_unsupported: bool = False) -> Graph:
    """Return the graph of a program at one batch size. Raises ModelError naming operators without a counterpart."""
    walk = _walked(source, batch, name)
    if walk.missing:
        walk = _without_obstacles(source, walk, batch, name) or walk
    if walk.missing and not allow_unsupported:
        raise ModelError(f"{name}: no counterpart for {_listed(walk.missing)}; run 'crossloom check' for the full list")
    return walk.low.builder.build(walk.outputs)


def _walked(source: Source, batch: int, name: str) -> _Walk:
    walk = _Walk(Lowering(GraphBuilder(name, batch)), source)
    state = {**source.program.state_dict, **source.program.constants}.values()
    with torch.no_grad(), Bounded(name, sum(t.numel() for t in state if isinstance(t, Tensor))):
        walk.run()
    return walk


def _without_obstacles(source: Source, walk: _Walk, batch: int, name: str) -> _Walk | None:
    """Return a walk over the program with its obstacles decomposed by torch, or None if an obstacle remains."""
    program = source.program
    for _ in range(_ROUNDS):
        try:
            table = definitions(walk.in_the_way)
            if not table or (source.foreign and not retraceable(program, table)):
                return None
            program = taken_apart(program, table)
            walk = _walked(Source.of(program, name, source.foreign), batch, name)
        except (ModelError, RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError):
            return None
        if not walk.missing:
            return walk
    return None


def _listed(missing: list[tuple[str, str, str]]) -> str:
    """Return each kind of operator once, with its first place and the reason."""
    named = []
    for kind, times in Counter(kind for kind, _, _ in missing).items():
        place, reason = next((place, reason) for other, place, reason in missing if other == kind)
        named.append(f"{kind}{f', {times} times, first' if times > 1 else ''} at {place} ({reason})")
    return "; ".join(named[:5]) + (f"; and {len(named) - 5} more" if len(named) > 5 else "")


@dataclass
class _Walk:
    """One pass over the nodes of a program.

    `values` holds the latest value of each tensor object. `missing` holds the kind, place and reason of each node that no
    rule covers, and `in_the_way` the operators that are the cause.
    """

    low: Lowering
    source: Source
    values: dict[fx.Node, Any] = field(default_factory=dict)
    missing: list[tuple[str, str, str]] = field(default_factory=list)
    in_the_way: list[Any] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Read all nodes, and store the names of the outputs."""
        cells = self.source.order.cells
        specs = {getattr(spec.arg, "name", ""): spec for spec in self.source.program.graph_signature.input_specs}
        for node in self.source.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node, specs[node.name])
            elif node.op == "call_function":
                self.values[cells[node]] = self._call(node)
            elif node.op == "get_attr":
                raise ModelError(f"{self.low.builder.name}: it branches on its input ({node.target}); compute both branches and select one")
        self.outputs = self._outputs()

    def _outputs(self) -> list[str]:
        """Return the names of the output tensors, each once."""
        specs = self.source.program.graph_signature.output_specs
        returned = next(node for node in self.source.graph.nodes if node.op == "output").args[0]
        values = [
            self._resolve(node)
            for node, spec in zip(returned, specs, strict=True)
            if isinstance(node, fx.Node) and spec.kind == OutputKind.USER_OUTPUT
        ]
        if gone := [value for value in values if isinstance(value, Missing)]:
            raise ModelError(f"{self.low.builder.name}: it returns {gone[0].what}; drop that output")
        names = [self.low.name(value) for value in values if isinstance(value, Ref)]
        if not names:
            raise ModelError(f"{self.low.builder.name}: it returns no tensor; return what it computes")
        return list(dict.fromkeys(names))

    def _placeholder(self, node: fx.Node, spec: InputSpec) -> Any:
        if spec.kind == InputKind.USER_INPUT:
            value = node.meta.get("val")
            if not isinstance(value, Tensor):
                return getattr(spec.arg, "value", value)
            return Ref(self.low.builder.input(node.name, self._type(value)))
        assert spec.target is not None
        program = self.source.program
        state = program.state_dict if spec.target in program.state_dict else program.constants
        return Ref(None, state[spec.target], spec.target, learned=spec.kind == InputKind.PARAMETER)

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = self._resolve(node.args), self._resolve(dict(node.kwargs))
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = name_of(node)
        if name in _SILENT:
            return None
        if node.target in ARITHMETIC:
            return self._calculated(node, name, args)
        if not _known_operator(node):
            return self._unsupported(node, name, "not one of torch's own operators", _leaves((args, kwargs)))
        if name in ("sym_size", "sym_numel"):
            return self.low.shape(args[0])[args[1]] if name == "sym_size" else math.prod(self.low.shape(args[0]))
        self.low.place(_module(node), _origin(node), node.name)
        leaves = _leaves((args, kwargs))
        if gone := [value for value in leaves if isinstance(value, Missing)]:
            return self._unsupported(node, name, f"it needs {gone[0].what}", leaves)
        if leaves and isinstance(leaves[0], Ref) and parts(name, args, self.low.shape(leaves[0])) > MOST_PARTS:
            raise ModelError(
                f"{self.low.builder.name}: {name} at {_origin(node) or node.name} splits a tensor into more than {MOST_PARTS:,} parts; use fewer"
            )
        known = all(ref.value is not None for ref in leaves if isinstance(ref, Ref)) and not random(node) and name not in _GRIDS
        compute = computable(node) if known and within_reach(args) else None
        if compute is not None:
            return self._fold(compute, node, args, kwargs)
        if node in self.source.order.constant:
            return self._unsupported(node, name, "nothing checks the memory that it writes to", leaves)
        return self._apply(name, node, args, kwargs)

    def _calculated(self, node: fx.Node, name: str, args: Any) -> Any:
        """Return the result of arithmetic on sizes."""
        try:
            return calculate(node, args)
        except (ValueError, TypeError, ArithmeticError) as problem:
            raise ModelError(f"{self.low.builder.name}: its arithmetic on sizes is invalid ({problem}); export it again") from problem

    def _apply(self, name: str, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """Apply the operator's rule; an in-place form uses the rule of the plain one.

        A rule may fail with any error if its assumptions on shapes and arguments don't hold; the operator then has no counterpart.
        """
        name = name.removesuffix("_") if in_place(node) else name
        reason = "no rule for this operator"
        if name in RULES:
            try:
                return self._typed(name, node, RULES[name](self.low, *args, **kwargs))
            except (TypeError, AttributeError):  # Python's message names our functions, not the model's
                reason = "called in a form that its rule does not cover"
            except (RuntimeError, ValueError, LookupError, ArithmeticError) as problem:
                reason = one_line(problem)
        self.in_the_way.append(node.target)
        return self._unsupported(node, name, reason, _leaves((args, kwargs)))

    def _typed(self, name: str, node: fx.Node, result: Any) -> Any:
        """Return a rule's result with torch's element type: a tensor changed in place keeps its own, and narrower integers wrap around."""
        dtype = _dtype(node)
        if not isinstance(result, Ref) or dtype is None or dtype.is_complex:
            return result
        result = cast(self.low, result, kind_of(dtype))
        return wrapped(self.low, result, dtype) if name in _CASTS and _narrows(_dtype(node.args[0]), dtype) else result

    def _unsupported(self, node: fx.Node, name: str, reason: str, leaves: list[Any]) -> Any:
        """Add a placeholder node for each result of an operator without a counterpart."""
        names = tuple(self.low.name(value) for value in leaves if isinstance(value, Ref))
        value, origin = node.meta.get("val"), _origin(node)
        values = [v for v in (value if isinstance(value, tuple | list) else (value,)) if isinstance(v, Tensor)]
        if not values:
            raise ModelError(f"{self.low.builder.name}: {name} at {origin or node.name} turns data into a number; use tensors")
        self.missing.append((f"aten.{name}", origin or node.name, reason))
        add = partial(self.low.builder.add_unsupported, f"aten.{name}", reason, names, name=node.name, origin=origin)
        results = [Ref(add(type=self._type(v))) for v in values]
        return results if isinstance(value, tuple | list) else results[0]

    def _fold(self, compute: Callable[..., Any], node: fx.Node, args: Any, kwargs: Any) -> Any:
        """Compute a node with torch. An in-place operation changes a copy unless everything that shares its memory is computed here too.

        Raises ModelError if torch fails.
        """
        learned = any(ref.learned for ref in _leaves((args, kwargs)) if isinstance(ref, Ref))
        args = _map(args, _value)
        if in_place(node) and node not in self.source.order.constant:
            args = (args[0].clone(), *args[1:])
        kwargs = {key: _map(item, _value) for key, item in kwargs.items() if key not in ("device", "pin_memory", "layout")}
        hint = f"{_module(node)}.const".lstrip(".")
        try:
            result = compute(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError, LookupError, MemoryError) as problem:
            place = f"{name_of(node)} at {_origin(node) or node.name}"
            raise ModelError(f"{self.low.builder.name}: {place} cannot be computed ({one_line(problem)}); export it again") from problem
        return _map(result, lambda v: Ref(None, v, hint, learned) if isinstance(v, Tensor) else v)

    def _resolve(self, value: Any) -> Any:
        cells = self.source.order.cells
        return _map(value, lambda v: self.values[cells[v]] if isinstance(v, fx.Node) else v)

    def _type(self, value: Tensor) -> TensorType:
        shape = tuple(self._number(dim) for dim in value.shape)
        if value.dtype.is_floating_point:
            return TensorType("f32", shape)
        return TensorType("bool" if value.dtype == torch.bool else "i64", shape)

    def _number(self, dim: Any) -> int:
        """Return a dimension at this batch size; every free symbol of a batched export is the batch."""
        if isinstance(dim, int):
            return dim
        expression = dim.node.expr
        return int(expression.subs({symbol: self.low.builder.batch for symbol in expression.free_symbols}))


def _known_operator(node: fx.Node) -> bool:
    """Return whether a node calls a torch operator that touches only tensors. A saved program may name any callable of torch."""
    target = node.target
    if not isinstance(target, OpOverload):
        return False
    outside = any(argument.name == "filename" for argument in target._schema.arguments)
    return target.namespace in ("aten", "prims") and not outside


def _map(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple | list):
        mapped = [_map(item, function) for item in value]
        return tuple(mapped) if type(value) is tuple else mapped
    if isinstance(value, dict):
        return {key: _map(item, function) for key, item in value.items()}
    return function(value)


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    _map(value, found.append)
    return found


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Ref) else value


def _dtype(node: Any) -> torch.dtype | None:
    """Return the element type of a node's tensor, or None if it has no tensor or several."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value.dtype if isinstance(value, Tensor) else None


def _narrows(before: torch.dtype | None, after: torch.dtype) -> bool:
    """Return whether integers of one type may exceed another of at most 16 bits. Torch leaves floats beyond the range undefined."""
    if before is None or any(dtype.is_floating_point or dtype.is_complex or dtype == torch.bool for dtype in (before, after)):
        return False
    wide, narrow = torch.iinfo(before), torch.iinfo(after)
    return narrow.bits <= 16 and not (narrow.min <= wide.min and wide.max <= narrow.max)


def _module(node: fx.Node) -> str:
    """Return the path of the innermost module that a node came from, e.g. `layer1.0.conv1`, as named in the user's own module."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ""
    path = str(stack[-1][0]).removeprefix("L__self__").lstrip(".").replace("L['self'].", "").replace("_modules.", "")
    around = _WRAPPERS.get(getattr(stack[0][1], "__name__", str(stack[0][1])).rpartition(".")[2], "")
    return path.removeprefix(around).removeprefix(".") if around and f"{path}.".startswith(f"{around}.") else path


def _origin(node: fx.Node) -> str:
    """Return the module and the source line that a node came from, e.g. `layer1.0 (resnet.py:105)`."""
    module, trace = _module(node), node.meta.get("stack_trace") or ""
    start = trace.rfind('File "')
    if start < 0:
        return module
    file, rest = trace[start + 6 :].split('"', 1)
    where = f"{file.rsplit('/', 1)[-1]}:{rest.split('line ', 1)[-1].split(',')[0]}"
    return f"{module} ({where})" if module else where
