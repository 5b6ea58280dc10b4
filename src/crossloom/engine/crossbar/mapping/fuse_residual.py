"""Put residual additions onto the bit lines of the products before them (`residual: analog`).

Add(product(x, w, b), r) becomes one product whose sums take in K_c · (r − z_r), K_c = s_r / (s_x · s_w[c]) rounded to what cells hold. That is
the definition of the adapted network: the product's own rounding is gone, and the residual has that of K. Relative to the residual it is at most
1/16, for the smallest gain that is allowed; in a usual layer of eight bits, a thousandth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.engine.crossbar.mapping.residual import Added, places_of
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Add, Conv, Linear, ProductAdd
from crossloom.network.quantize.post_training import accumulator_scale

LEAST = 8
"""The smallest gain, in steps of what its cells can hold: rounding takes at most a sixteenth of the residual."""
MOST_BITS = 16
"""Of an input that is driven, with the places by which a residual is higher."""


@dataclass(frozen=True, slots=True)
class _Fusion:
    """A product that an addition can be part of, what is added to it, and how."""

    product: Node
    residual: str
    added: Added

    def node(self, add: Node) -> tuple[Node, dict[str, Tensor]]:
        """Return the addition and its product as one node, and the constants that are new."""
        assert isinstance(self.product.op, Conv | Linear)
        x, weight, *given = self.product.inputs
        constants = {f"{add.name}.gain": self.added.gains}
        if not given:
            constants[f"{add.name}.bias"] = torch.zeros_like(self.added.gains)
        bias = given[0] if given else f"{add.name}.bias"
        inputs = (x, weight, bias, self.residual, f"{add.name}.gain")
        return Node(add.name, ProductAdd(self.product.op), inputs, add.type, add.origin), constants


def with_residuals(graph: Graph, xbar: Crossbars) -> tuple[Graph, tuple[str, ...]]:
    """Return the network with residual additions in the arrays where they can be, and notes for the reader. Adding a constant is not a residual."""
    found: dict[str, _Fusion] = {}
    left: Counter[str] = Counter()
    for node in graph.nodes:
        if isinstance(node.op, Add) and node.name in graph.quantization and not any(name in graph.constants for name in node.inputs):
            fusion = _fusion(node, graph, xbar)
            if isinstance(fusion, str):
                left[fusion] += 1
            else:
                found[node.name] = fusion
    notes = tuple(f"{count} {'addition stays' if count == 1 else 'additions stay'} digital: {why}" for why, count in left.items())
    if not found:
        return graph, notes
    gone = {fusion.product.name for fusion in found.values()}
    nodes: list[Node] = []
    constants: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.name in found:
            node, new = found[node.name].node(node)
            constants |= new
        if node.name not in gone:
            nodes.append(node)
    return graph.with_nodes(nodes, constants=constants), (_said(found, graph), *notes)


def _said(found: dict[str, _Fusion], graph: Graph) -> str:
    """Return what the additions in arrays cost."""
    rows = max(fusion.added.rows for fusion in found.values())
    more = max(fusion.added.bits - graph.quantization[fusion.product.inputs[0]].bits for fusion in found.values())
    what = "1 residual addition is" if len(found) == 1 else f"{len(found)} residual additions are"
    longer = f", which take up to {more} bits of input more" if more else ""
    return f"{what} made on the bit lines of products{longer}; a residual takes up to {rows} word lines for each result"


def _fusion(add: Node, graph: Graph, xbar: Crossbars) -> _Fusion | str:
    """Return the product that an addition joins, or why none; of two, that with more rows: the other has few arrays to itself."""
    first, second = add.inputs
    pairs = [(graph.by_name[name], other) for name, other in ((first, second), (second, first)) if _constant_product(name, graph)]
    if not pairs:
        return "neither operand is the result of a convolution or linear layer with constant weights"
    pairs.sort(key=lambda pair: -graph.constants[pair[0].inputs[1]][0].numel())
    tried = [_joined(product, residual, add, graph, xbar) for product, residual in pairs]
    return next((each for each in tried if isinstance(each, _Fusion)), tried[0])


def _constant_product(name: str, graph: Graph) -> bool:
    node = graph.by_name.get(name)
    return node is not None and isinstance(node.op, Conv | Linear) and node.inputs[1] in graph.constants


def _joined(product: Node, residual: str, add: Node, graph: Graph, xbar: Crossbars) -> _Fusion | str:
    """Return a product with a residual on its bit lines, or why that cannot be."""
    if len(graph.users[product.name]) > 1 or product.name in graph.outputs or residual == product.name:
        return "the product is read elsewhere, too"
    if isinstance(product.op, Conv) and product.op.groups > 1:
        return "the convolution is grouped"
    if not product.type == graph.types[residual] == add.type:
        return "the operands differ in shape"
    x, weight, q = (graph.quantization.get(name) for name in (product.inputs[0], product.inputs[1], residual))
    if x is None or weight is None or q is None or q.axis is not None or x.axis is not None:
        return "an operand is not held in integers of one scale"
    if q.bits > x.bits:
        return "the residual has more bits than the product's input"
    real = q.scale[0] / accumulator_scale(x, weight).expand(add.type.sizes()[-1 if isinstance(product.op, Linear) else 1])
    if float(real.max()) >= 2.0**40:
        return f"a gain is too large for {MOST_BITS} bits of input; allow more rows (crossbar.residual_rows)"
    step = 1 << places_of(round(float(real.max())), weight, xbar.residual_rows)
    gains = (torch.round(real / step) * step).to(torch.int64)
    added = Added.of(q, gains, x, weight, xbar.residual_rows)
    if added.bits > max(x.bits, MOST_BITS):
        return f"a gain is too large for {MOST_BITS} bits of input; allow more rows (crossbar.residual_rows)"
    if int(gains.min()) < LEAST * step:
        return "a gain is so small that rounding it would change the residual by more than a sixteenth"
    return _Fusion(product, residual, added)
