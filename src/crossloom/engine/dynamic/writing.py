"""How an operand is written: how many lines of cells, and how many of them one after the other.

An index of the rows (a key of V, a token of X) is a word line in each array of its row tile; an index of the columns (a token of Kᵀ) is as
many bit lines as a weight has slices, in each row tile. Lines of one array are written one after the other, arrays side by side; a line takes
one write at any length.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossloom.engine.base import Counts
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.dynamic.stored import readers_of
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Store, Transpose


@dataclass(frozen=True, slots=True)
class Writing:
    """The writing of one operand.

    Attributes:
        written: indices (rows or columns of its matrices) that one inference writes; the others are there already.
        whole: indices in all.
        lines: lines of cells for one index, in all arrays of a copy.
        serial: of these, those in one array.
        moved: bytes that one inference brings to the arrays.
    """

    written: int
    whole: int
    lines: int
    serial: int
    moved: int

    @classmethod
    def of(cls, node: Node, graph: Graph, tiling: Tiling) -> Writing:
        """Return the writing of a store whose first reader has it in this tiling."""
        assert isinstance(node.op, Store)
        sizes = node.type.sizes()
        whole = sizes[node.op.axis]
        written = whole - node.op.kept
        by_rows = _along_rows(node, graph)
        per_array = 1 if by_rows else tiling.slices + tiling.spare
        lines = tiling.groups * per_array * (tiling.column_tiles if by_rows else tiling.row_tiles)
        moved = -(-node.type.count(1) * written * graph.quantization[node.name].bits // (8 * whole))
        return cls(written, whole, lines, per_array, moved)

    @property
    def share(self) -> float:
        """How often one inference writes each cell."""
        return self.written / self.whole

    @property
    def serial_lines(self) -> int:
        """Lines that are written one after the other for one inference."""
        return self.written * self.serial

    def actions(self, copies: int, inferences: int) -> Counts:
        """Return the actions of a number of inferences."""
        return Counts(
            {
                "buffer.read": inferences * self.moved,
                "bus.transfer": inferences * self.moved,
                "array.write_row": inferences * copies * self.written * self.lines,
            }
        )


def _along_rows(node: Node, graph: Graph) -> bool:
    """Whether the indices that are written one after the other are rows of the matrices as the first reader has them."""
    assert isinstance(node.op, Store)
    return (node.op.axis == -2) != _turned(readers_of(node, graph)[0].inputs[1], node, graph)


def _turned(name: str, store: Node, graph: Graph) -> bool:
    """Whether moves between a store and its reader exchange the last two dimensions."""
    turned = False
    while name != store.name:
        found = graph.node(name)
        if isinstance(found.op, Transpose):
            dims = len(found.op.order)
            turned ^= found.op.order[-2:] == (dims - 1, dims - 2)
        name = found.inputs[0]
    return turned
