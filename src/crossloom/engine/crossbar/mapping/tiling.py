"""Where the weights of one copy of a layer lie in arrays.

A layer is one matrix, or one for each group of a grouped convolution. A matrix larger than an array is cut into row tiles and
column tiles. Matrices much smaller than an array lie on a diagonal of it, each on rows and columns of its own, so that one read
serves all of them: a depthwise 3×3 layer puts 14 channels into 128 rows instead of a dense matrix of zeros. A layer with a residual
on its bit lines is cut by its results into matrices that see the same input. Of overlapped windows each has columns of its own on the rows of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from math import prod

from crossloom.engine.crossbar.mapping.encode import weight_slices
from crossloom.engine.crossbar.mapping.residual import Added, column_groups
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.errors import ModelError
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv, ConvTranspose, Interleave, Linear, ProductAdd, Unary, product_of
from crossloom.network.quantization import Quantization
from crossloom.periphery.adder import SLICES
from crossloom.program.floorplan import CellBlock
from crossloom.program.placement import placement


@placement
@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Sizes of one copy of a layer.

    Attributes:
        groups, rows, columns: number of matrices and the size of each, in weights.
        slices: columns of cells for each weight.
        array_rows, array_columns: size of an array.
        packed: matrices in one array, if more than one fits.
        unit: columns beside the data that hold ones, for each matrix.
        spare: bit lines that a weight leaves unused, where an accumulator is wired to a group of them; they are the rightmost of an array.
        blank: weights that are zero whatever the layer's are: beside the diagonals of a residual, and around the kernels of overlapped windows.
        stagger: of overlapped windows, how many, the points of one and the points from one to the next (`overlap.py`); empty without.
        observed_range: the largest magnitude of each line that is converted, as samples showed it; empty if nobody looked.
        input_vectors: of one inference; None where a position reads as many as it has.
        holds: names of the weights, and of a residual's gains; or of the operand that is written.
        written: the arrays hold an operand of the inference, in whatever tiling each of its readers has.
    """

    groups: int
    rows: int
    columns: int
    slices: int
    array_rows: int
    array_columns: int
    packed: int
    unit: int
    spare: int = 0
    blank: int = 0
    stagger: tuple[int, ...] = ()
    observed_range: tuple[int, ...] = ()
    input_vectors: int | None = None
    holds: tuple[str, ...] = ()
    written: bool = False

    @property
    def contents(self) -> Hashable:
        """What lies in the arrays: the names of the weights, and how they lie."""
        return self.holds if self.written else replace(self, input_vectors=None)

    @property
    def positions_per_step(self) -> int:
        """One: a read gives the results of one position."""
        return 1

    @property
    def streams_input(self) -> bool:
        """No: inputs are read from a buffer."""
        return False

    @property
    def releases_arrays(self) -> bool:
        """No: weights stay."""
        return False

    @property
    def written_rows(self) -> int:
        """Word lines of one array that hold something."""
        return min(self.rows * self.packed, self.array_rows)

    @property
    def summary(self) -> Mapping[str, int]:
        """The matrices of a layer, and the arrays that one copy of each takes; nothing for an operand, which each reader has as it needs it."""
        if self.written:
            return {}
        return {name: getattr(self, name) for name in ("groups", "rows", "columns", "slices", "row_tiles", "column_tiles")}

    @property
    def weights_per_array(self) -> int:
        """Weights in one row of an array."""
        return self.array_columns // (self.slices + self.spare)

    @property
    def row_tiles(self) -> int:
        """Arrays that one matrix takes along its rows."""
        return -(-self.rows // self.array_rows)

    @property
    def column_tiles(self) -> int:
        """Arrays that one matrix takes along its columns."""
        return -(-self.columns // self.weights_per_array)

    @property
    def arrays(self) -> int:
        """Arrays of one copy."""
        if self.packed > 1:
            return -(-self.groups // self.packed)
        return self.groups * self.row_tiles * self.column_tiles

    @property
    def blocks(self) -> tuple[CellBlock, ...]:
        """The rectangles of cells that one copy takes: full arrays, and what is left at the edges; packed matrices lie on the diagonal of theirs."""
        width = self.slices + self.spare
        if self.packed > 1:
            full, rest = divmod(self.groups, self.packed)
            sizes = [(self.packed, full), (rest, 1 if rest else 0)]
            held = self.weights // self.groups * self.slices + self.rows * self.unit
            return tuple(CellBlock(many * self.rows, many * (self.columns * width + self.unit), times, many * held) for many, times in sizes if times)
        found: Counter[tuple[int, int, int]] = Counter()
        each = self.weights_per_array
        for top in range(0, self.rows, self.array_rows):
            rows = range(top, min(top + self.array_rows, self.rows))
            for left in range(0, self.columns, each):
                columns = range(left, min(left + each, self.columns))
                held = (len(rows) * len(columns) - self._blank_in(rows, columns)) * self.slices + len(rows) * self.unit
                found[len(rows), len(columns) * width + self.unit, held] += self.groups
        return tuple(CellBlock(rows, columns, count, cells) for (rows, columns, cells), count in found.items())

    def _blank_in(self, rows: range, columns: range) -> int:
        """Return how many weights of a part of a matrix are blank."""
        if self.stagger:
            times, kernel, shift = self.stagger
            points, copies = (Counter(place % every for place in along) for along, every in ((rows, kernel + (times - 1) * shift), (columns, times)))
            return len(rows) * len(columns) - sum(points[copy * shift + point] * count for copy, count in copies.items() for point in range(kernel))
        diagonal = self.blank // (self.groups * (self.columns - 1)) if self.blank else 0
        beside = min(len(rows), max(0, rows.stop - (self.rows - diagonal)))
        return beside * len(columns) - beside * len(columns) // self.columns

    @property
    def smallest_chunk(self) -> int:
        """Arrays whose partial sums make up the same results; a chunk of a layer has all or none of them."""
        return 1 if self.packed > 1 else self.row_tiles

    @property
    def weights(self) -> int:
        """Weights of one copy."""
        return self.groups * self.rows * self.columns - self.blank

    @property
    def cells(self) -> int:
        """Cells that hold weights."""
        return self.weights * self.slices

    @property
    def driven_rows(self) -> int:
        """Word lines driven in all arrays during one cycle."""
        return self.groups * self.rows * (1 if self.packed > 1 else self.column_tiles)

    @property
    def data_columns(self) -> int:
        """Bit lines with data, in all arrays."""
        return self.groups * self.columns * self.slices * self.row_tiles

    @property
    def unit_columns(self) -> int:
        """Bit lines with ones, in all arrays."""
        if self.packed > 1:
            return self.unit * self.groups
        return self.unit * self.arrays

    @property
    def crossings(self) -> int:
        """Cells where word lines of a matrix cross its bit lines, those of unit columns among them, in all arrays."""
        return self.groups * self.rows * self.columns * self.slices + self.driven_rows * self.unit

    @property
    def utilization(self) -> float:
        """Cells that hold weights, as a share of the cells of the arrays that they lie in."""
        return self.cells / (self.arrays * self.array_rows * self.array_columns)

    @property
    def mapped_utilization(self) -> float:
        """Cells on the layer's rows and columns, blank ones among them, as a share of the cells of the arrays that they lie in."""
        return (self.weights + self.blank) * self.slices / (self.arrays * self.array_rows * self.array_columns)


def matrix_shape(node: Node, graph: Graph) -> tuple[int, int, int]:
    """Return (groups, rows, columns) of the weight matrices of a convolution or linear layer. Raises ModelError otherwise."""
    shape = tuple(int(d) for d in graph.constants[node.inputs[1]].shape)
    op = product_of(node.op)
    if isinstance(op, Linear):
        return 1, shape[1], shape[0]
    if isinstance(op, Conv):
        rows = 1
        for size in shape[1:]:
            rows *= size
        return op.groups, rows, shape[0] // op.groups
    if isinstance(op, ConvTranspose):
        rows = shape[0] // op.groups
        for size in shape[2:]:
            rows *= size
        return op.groups, rows, shape[1]
    raise ModelError(f"{node.name}: {type(node.op).__name__} has no weight matrix")


def tile(node: Node, graph: Graph, xbar: Crossbars) -> Tiling:
    """Return the tiling of a layer. Raises ModelError if one weight is wider than an array."""
    shape, q = matrix_shape(node, graph), graph.quantization[node.inputs[1]]
    if isinstance(node.op, ProductAdd):
        found = _with_residual(node, graph, shape[1:], q, xbar)
    else:
        found = tile_matrices(node.name, shape, q, xbar)
        found = _overlapped(found, node, graph) if overlap_of(node, graph) else found
    vectors = node.type.count(1) // (found.groups * found.columns)
    return replace(found, input_vectors=vectors, holds=(node.inputs[1], *node.inputs[4:]))


def overlap_of(node: Node, graph: Graph) -> int:
    """Return how many windows of a convolution share an array; 0 for a layer without: an interleaving after it, and functions between, tells."""
    op = node.op
    while isinstance(op, Conv | Unary) and len(users := graph.users[node.name]) == 1:
        node, op = users[0], users[0].op
    return op.times if isinstance(op, Interleave) else 0


def _overlapped(tiling: Tiling, node: Node, graph: Graph) -> Tiling:
    """Return the tiling of overlapped windows with what of it is blank."""
    op, times = product_of(node.op), overlap_of(node, graph)
    assert isinstance(op, Conv)
    shift, points = op.stride[-1] // times // op.dilation[-1], int(graph.constants[node.inputs[1]].shape[-1])
    kernel = points - (times - 1) * shift
    blank = prod((tiling.groups, tiling.columns, tiling.rows // points, points - kernel))
    return replace(tiling, blank=blank, stagger=(times, kernel, shift))


def _with_residual(node: Node, graph: Graph, shape: tuple[int, int], q: Quantization, xbar: Crossbars) -> Tiling:
    """Return the tiling of a product (rows, columns) below which a residual's word lines lie, cut by its results so that these serve an array each."""
    rows, columns = shape
    lines = added_to(node, graph, xbar).rows
    groups = column_groups(columns, max(1, xbar.columns // xbar.lines_of(len(weight_slices(q, xbar)))))
    each = columns // groups
    found = tile_matrices(node.name, (groups, rows + lines * each, each), q, xbar, pack=False)
    return replace(found, blank=groups * lines * each * (each - 1))


def added_to(node: Node, graph: Graph, xbar: Crossbars) -> Added:
    """Return how the residual of a `ProductAdd` is driven."""
    x, weight, _, residual, gain = node.inputs
    q = graph.quantization
    return Added.of(q[residual], graph.constants[gain], q[x], q[weight], xbar.residual_rows)


def tile_matrices(name: str, shape: tuple[int, int, int], q: Quantization, xbar: Crossbars, *, pack: bool = True) -> Tiling:
    """Return the tiling of weight matrices (groups, rows, columns) in a quantisation; small ones share an array if they are to be packed.

    Raises ModelError if one weight is wider than an array.
    """
    groups, rows, columns = shape
    slices, bits = len(weight_slices(q, xbar)), q.bits
    unit = 1 if xbar.unit_column and xbar.encoding == "offset" else 0
    if xbar.circuits.adder and slices > 2 * SLICES:
        raise ModelError(
            f"{name}: a trained adder takes {SLICES} slices of each sign and a weight of {bits} bits has {slices // 2}; "
            f"quantise weights to {SLICES} bits, or set adder=ideal"
        )
    lines = xbar.lines_of(slices)
    if lines > xbar.columns:
        raise ModelError(f"{name}: a weight of {bits} bits takes {lines} columns and an array has {xbar.columns}; use fewer bits or larger arrays")
    packed = min(xbar.rows // rows, (xbar.columns + unit) // (columns * lines + unit), groups) if groups > 1 and pack else 1
    return Tiling(
        groups=groups,
        rows=rows,
        columns=columns,
        slices=slices,
        array_rows=xbar.rows,
        array_columns=xbar.columns,
        packed=max(1, packed),
        unit=unit,
        spare=lines - slices,
    )
