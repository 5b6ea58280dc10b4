"""How a product of stacks of matrices lies in arrays.

Left (N, A…, M, K) times right (N, B…, K, P), where each of B is that of A, or 1 if one matrix serves several: right has G = Π B matrices in
arrays of their own, and each is read with V = M · Π A / G vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

from crossloom.network.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of a product for one inference, and which of the leading dimensions (after the batch) the right operand shares with the left.

    Attributes:
        leading: those of the result.
        shared: for each of them whether the right operand has one matrix for each index.
        vectors: M, rows of one matrix on the left.
        rows: K.
        columns: P.
    """

    leading: tuple[int, ...]
    shared: tuple[bool, ...]
    vectors: int
    rows: int
    columns: int

    @classmethod
    def of(cls, node: Node, graph: Graph) -> Geometry:
        """Return the geometry of a product of two activations."""
        left, right = (graph.types[name].sizes() for name in node.inputs)
        leading = tuple(max(a, b) for a, b in zip(left[1:-2], right[1:-2], strict=True))
        return cls(leading, tuple(size > 1 or whole == 1 for size, whole in zip(right[1:-2], leading, strict=True)), left[-2], left[-1], right[-1])

    @property
    def groups(self) -> int:
        """Matrices that are stored."""
        return prod(size for size, shared in zip(self.leading, self.shared, strict=True) if shared)

    @property
    def per_group(self) -> int:
        """Vectors that each of them is read with."""
        return self.vectors * prod(self.leading) // self.groups

    @property
    def _order(self) -> tuple[int, ...]:
        """The leading dimensions (1, 2, ...), the shared ones first."""
        places = range(len(self.leading))
        return tuple(1 + i for i in (*(p for p in places if self.shared[p]), *(p for p in places if not self.shared[p])))

    def left(self, tensor: Tensor) -> Tensor:
        """Return the left operand as (N, G, V, K)."""
        whole = tensor.expand(tensor.shape[0], *self.leading, self.vectors, self.rows)
        last = len(self.leading) + 1
        return whole.permute(0, *self._order, last, last + 1).reshape(tensor.shape[0], self.groups, -1, self.rows)

    def right(self, tensor: Tensor) -> Tensor:
        """Return the right operand as (N, G, K, P)."""
        return tensor.reshape(tensor.shape[0], self.groups, self.rows, self.columns)

    def result(self, sums: Tensor) -> Tensor:
        """Return the result (N, A…, M, P) of sums (N, G, V, P)."""
        order = self._order
        sizes = [self.leading[i - 1] for i in order]
        back = [1 + order.index(1 + place) for place in range(len(order))]
        last = len(order) + 1
        return sums.reshape(sums.shape[0], *sizes, self.vectors, self.columns).permute(0, *back, last, last + 1)
