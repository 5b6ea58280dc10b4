"""Text form of a graph, for printing and parsing; constants appear only by name and type.

graph small
input x: f32[N, 3, 8, 8]
const w: f32[4, 3, 3, 3]
conv: f32[N, 4, 8, 8] = Conv(stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1) (x, w)
relu: f32[N, 4, 8, 8] = Relu() (conv)  # layer1.act
output relu
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from crossloom.errors import ModelError
from crossloom.network.graph import Graph, Node, verify
from crossloom.network.operators import OPERATORS, Operator
from crossloom.network.quantization import Quantization
from crossloom.network.types import DTYPES, Batch, TensorType

_KINDS: dict[str, Any] = {"Quantization": Quantization, **OPERATORS}
"""Types that may be nested in an operator's attributes."""


def print_graph(graph: Graph) -> str:
    """Return the text form, one line for each input, constant, node and output."""
    lines = [f"graph {graph.name}" + (f" batch {graph.batch}" if graph.batch else "")]
    lines += [f"input {name}: {type}" for name, type in graph.inputs]
    lines += [f"const {name}: {TensorType.of(tensor)}" for name, tensor in graph.constants.items()]
    for node in graph.nodes:
        line = f"{node.name}: {node.type} = {node.op} ({', '.join(node.inputs)})"
        lines.append(f"{line}  # {node.origin}" if node.origin else line)
    lines += [f"output {name}" for name in graph.outputs]
    return "\n".join(lines) + "\n"


_NODE = re.compile(r"(?P<name>[^\s:]+): (?P<type>\w+\[.*?\]) = (?P<op>\w+\(.*\)) \((?P<inputs>[^()]*)\)(  # (?P<origin>.*))?")
_TENSOR = re.compile(r"(?P<name>[^\s:]+): (?P<type>\w+\[.*\])")


def parse_graph(text: str, constants: Mapping[str, Tensor] | None = None) -> Graph:
    """Return the graph that a text describes. Constants without a value are filled with zeros.

    Raises ModelError with the number of the line that cannot be read.
    """
    name, batch = "graph", None
    inputs: list[tuple[str, TensorType]] = []
    nodes: list[Node] = []
    outputs: list[str] = []
    tensors: dict[str, Tensor] = {}
    for number, line in enumerate(text.splitlines(), 1):
        keyword, _, rest = line.strip().partition(" ")
        try:
            if keyword == "graph":
                name, _, size = rest.partition(" batch ")
                batch = int(size) if size else None
            elif keyword in ("input", "const"):
                tensor, type = _tensor(rest)
                if keyword == "input":
                    inputs.append((tensor, type))
                else:
                    tensors[tensor] = _constant(tensor, type, constants or {})
            elif keyword == "output":
                outputs.append(rest)
            elif keyword:
                nodes.append(_node(line.strip()))
        except (ValueError, SyntaxError, KeyError, TypeError) as error:
            raise ModelError(f"graph text, line {number}: {error}; see crossloom.network.text for the format") from error
    graph = Graph(name, tuple(inputs), tuple(nodes), tuple(outputs), tensors, batch=batch)
    verify(graph)
    return graph


def parse_operator(text: str) -> Operator:
    """Return the operator that a text such as `Relu()` or `Clip(low=0.0, high=6.0)` describes. Raises ValueError."""
    call = ast.parse(text, mode="eval").body
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in OPERATORS and not call.args):
        raise ValueError(f"{text!r} is not an operator with named attributes")
    attributes = {keyword.arg: _value(keyword.value) for keyword in call.keywords if keyword.arg}
    return OPERATORS[call.func.id](**attributes)


def _tensor(text: str) -> tuple[str, TensorType]:
    match = _TENSOR.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not 'name: type[shape]'")
    return match["name"], parse_type(match["type"])


def parse_type(text: str) -> TensorType:
    """Return the type that a text such as `f32[N, 3]` describes. Raises ValueError."""
    dtype, _, shape = text.partition("[")
    if dtype not in DTYPES:
        raise ValueError(f"{dtype!r} is not one of {', '.join(DTYPES)}")
    return TensorType(dtype, tuple(_value(dim) for dim in ast.parse("[" + shape, mode="eval").body.elts))  # type: ignore[attr-defined]


def _constant(name: str, type: TensorType, given: Mapping[str, Tensor]) -> Tensor:
    return given[name] if name in given else torch.zeros(type.sizes(), dtype=DTYPES[type.dtype])


def _node(line: str) -> Node:
    match = _NODE.fullmatch(line)
    if not match:
        raise ValueError(f"{line!r} is not 'name: type = Operator(...) (inputs)'")
    names = tuple(name.strip() for name in match["inputs"].split(",") if name.strip())
    return Node(match["name"], parse_operator(match["op"]), names, parse_type(match["type"]), match["origin"] or "")


def _value(tree: ast.expr) -> Any:
    """Evaluate a literal, where `N` and `k * N` are multiples of the batch size, and `Quantization(...)` and operators may be nested."""
    if isinstance(tree, ast.Name) and tree.id in ("N", "inf", "nan"):
        return Batch() if tree.id == "N" else float(tree.id)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_value(tree.operand)
    if isinstance(tree, ast.BinOp) and isinstance(tree.left, ast.Constant) and isinstance(tree.right, ast.Name):
        return Batch(int(tree.left.value))  # type: ignore[arg-type]
    if isinstance(tree, ast.Tuple | ast.List):
        return tuple(_value(item) for item in tree.elts)
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and (kind := _KINDS.get(tree.func.id)):
        return kind(**{keyword.arg: _value(keyword.value) for keyword in tree.keywords if keyword.arg})
    return ast.literal_eval(tree)
