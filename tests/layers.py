"""Small graphs and modules, for tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossloom.network.graph import Graph, Node, infer
from crossloom.network.operators import Operator
from crossloom.network.types import Batch, TensorType


def one_layer(op: Operator, shape: tuple[int, ...], *constants: Tensor, inputs: int = 1) -> Graph:
    """Return a graph of one node with `inputs` inputs of one sample's shape, followed by constants."""
    type = TensorType("f32", (Batch(), *shape))
    named = {f"c{i}": constant for i, constant in enumerate(constants)}
    result = infer(op, [type] * inputs + [TensorType.of(c) for c in constants], 2)
    node = Node("y", op, (*(f"x{i}" for i in range(inputs)), *named), TensorType(result.dtype, (Batch(), *result.shape[1:])))
    return Graph("layer", tuple((f"x{i}", type) for i in range(inputs)), (node,), ("y",), named)


def chain(*ops: tuple[Operator, tuple[Tensor, ...]], shape: tuple[int, ...]) -> Graph:
    """Return a graph of nodes one after the other."""
    type = TensorType("f32", (Batch(), *shape))
    name, nodes, constants = "x", [], {}
    before = type
    for i, (op, own) in enumerate(ops):
        names = {f"n{i}.c{k}": constant for k, constant in enumerate(own)}
        result = infer(op, [before, *(TensorType.of(c) for c in own)], 2)
        after = TensorType(result.dtype, (Batch(), *result.shape[1:]))
        nodes.append(Node(f"n{i}", op, (name, *names), after))
        constants |= names
        name, before = f"n{i}", after
    return Graph("chain", (("x", type),), tuple(nodes), (name,), constants)


def seeded(seed: int, *shape: int) -> Tensor:
    """Return standard normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Residual(nn.Module):
    """Two convolutions with a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))
