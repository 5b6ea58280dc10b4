"""Analysis of in-place operations: whether a walk may read the nodes of a program one by one.

A walk keeps one value for each tensor object, and `relu_(x)` gives `x` another value. That is correct unless `x` shares
memory with a tensor that is read later. Torch then has to rewrite the program without mutation, which takes seconds.
Memory that depends on no input is different: the walk computes it with torch itself, including views.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tag, Tensor, fx
from torch.export import ExportedProgram

# These return their argument itself outside training; neither their schemas nor torch's rewriting account for it.
_DROPOUTS = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"}
# These sometimes share memory with their arguments; again, nothing declares it.
_MAY_ALIAS = {"type_as", "broadcast_tensors", "meshgrid", "atleast_1d", "atleast_2d", "atleast_3d"}
# These read only the shape and the type of their first argument.
_SHAPE_ONLY = {"full_like", "zeros_like", "ones_like", "empty_like", "new_full", "new_zeros", "new_ones", "new_empty"}


@dataclass(frozen=True)
class Order:
    """The way to read a program: the node that created each tensor object, and the in-place nodes that torch itself may run."""

    cells: dict[fx.Node, fx.Node]
    constant: frozenset[fx.Node]


class Tangled(Exception):
    """A program that cannot be computed node by node. `rewritable` is True if torch's rewriting can make that possible."""

    def __init__(self, rewritable: bool) -> None:
        super().__init__("a tensor changes while others that share its memory are read")
        self.rewritable = rewritable


@dataclass(eq=False)
class _Memory:
    """Nodes that may share memory, and the in-place operations among them."""

    members: list[fx.Node] = field(default_factory=list)
    changes: list[fx.Node] = field(default_factory=list)


def order_of(graph: fx.Graph, inputs: Collection[str]) -> Order:
    """Return how to read a program with these inputs. Raises Tangled if it cannot be computed node by node."""
    nodes = list(graph.nodes)
    memories, cells = _memories(nodes)
    when = {node: i for i, node in enumerate(nodes)}
    varying = _varying(nodes, inputs)
    constant: set[fx.Node] = set()
    changed = _changed(memories)
    for memory in changed:
        known = varying.isdisjoint(memory.members)
        own = all(node.op == "call_function" or node in varying for node in memory.members)  # not the module's state
        if not own or not (_finished(memory, varying, when) if known else _in_order(memory, cells, when)):
            raise Tangled(rewritable=not any(name_of(node) in _MAY_ALIAS for m in changed for node in m.members))
        constant.update(memory.changes if known else ())
    return Order(cells, frozenset(constant))


def name_of(node: fx.Node) -> str:
    """Return the plain name of the operator that a node calls, without overload: `add_`, `conv2d`."""
    return str(getattr(node.target, "_opname", getattr(node.target, "__name__", node.target)))


def in_place(node: fx.Node) -> bool:
    """Return whether a node changes its first argument."""
    return node.op == "call_function" and bool(getattr(getattr(node.target, "_schema", None), "is_mutable", False))


def random(node: fx.Node) -> bool:
    """Return whether a node returns a different result each time."""
    return Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def without_mutation(program: ExportedProgram) -> ExportedProgram:
    """Return the program as torch rewrites it, without in-place operations."""
    for node in program.graph.nodes:
        if _inactive_dropout(node):
            node.target, node.args = torch.ops.aten.alias.default, node.args[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rewritten: ExportedProgram = program.run_decompositions({})
    return rewritten


def _inactive_dropout(node: fx.Node) -> bool:
    return node.op == "call_function" and name_of(node) in _DROPOUTS and node.args[2] is False


def _changed(memories: dict[fx.Node, _Memory]) -> Iterable[_Memory]:
    return [memory for memory in dict.fromkeys(memories.values()) if memory.changes]


def _memories(nodes: list[fx.Node]) -> tuple[dict[fx.Node, _Memory], dict[fx.Node, fx.Node]]:
    """Return the memory of each node, and the node that created its tensor object."""
    memories: dict[fx.Node, _Memory] = {}
    cells: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        memory = _Memory([node], [node] if in_place(node) else [])
        for other in dict.fromkeys(memories[source] for source in _sources(node)):
            memory.members += other.members
            memory.changes += other.changes
        memories.update(dict.fromkeys(memory.members, memory))
        same = node.args[0] if in_place(node) or _inactive_dropout(node) else None
        cells[node] = cells[same] if isinstance(same, fx.Node) else node
    return memories, cells


def _sources(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the arguments that a node's result may share memory with."""
    if node.op != "call_function":
        return
    if name_of(node) in _MAY_ALIAS or _inactive_dropout(node) or node.target is operator.getitem:
        yield from node.all_input_nodes
        return
    schema = getattr(node.target, "_schema", None)
    arguments = schema.arguments if schema is not None else []
    shared = {argument.name for argument in arguments if argument.alias_info is not None}
    given = zip((argument.name for argument in arguments), node.args, strict=False)
    for name, value in chain(given, node.kwargs.items()):
        if name in shared:
            yield from (v for v in (value if isinstance(value, list | tuple) else (value,)) if isinstance(v, fx.Node))


def _varying(nodes: list[fx.Node], inputs: Collection[str]) -> set[fx.Node]:
    """Return the nodes whose values are not known before the network runs, including the output."""
    varying: set[fx.Node] = set()
    for node in nodes:
        number = not isinstance(node.meta.get("val"), Tensor | tuple | list)
        if node.op == "placeholder":
            varies = node.name in inputs
        elif node.op == "call_function":
            depends = any(source in varying for source in node.all_input_nodes)
            varies = random(node) or (depends and not number and name_of(node) not in _SHAPE_ONLY)
        else:
            varies = True
        if varies:
            varying.add(node)
    return varying


def _in_order(memory: _Memory, cells: dict[fx.Node, fx.Node], when: dict[fx.Node, int]) -> bool:
    """Return whether the memory is never read through one object after it has changed through another."""
    return not any(
        when[user] > when[change] > when[other]
        for change in memory.changes
        for other in memory.members
        if cells[other] is not cells[change]
        for user in other.users
    )


def _finished(memory: _Memory, varying: set[fx.Node], when: dict[fx.Node, int]) -> bool:
    """Return whether the memory no longer changes once a node of the network has read it as a constant."""
    last = max(when[change] for change in memory.changes)
    return all(when[user] > last for node in memory.members for user in node.users if user in varying)
