"""A product of two activations in the terms of the crossbar engine: the stored operand is the weights.

Σ (x − z)(w − y) = Σ (x − z)·w' − y'·Σ (x − z), where w' = w − 2^(b−1) for an operand without sign and y' = y − 2^(b−1) its zero point then:
cells hold signed weights. What the zero point takes off is digital.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from crossloom.engine.base import Counts
from crossloom.engine.crossbar.actions import traffic
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.tiling import Tiling
from crossloom.engine.crossbar.settings import Crossbars
from crossloom.engine.dynamic.geometry import Geometry
from crossloom.network.graph import Graph, Node
from crossloom.network.operators import Conv
from crossloom.network.quantization import Quantization
from crossloom.network.types import Batch, TensorType
from crossloom.program.stage import Stage


def stored_as(q: Quantization) -> tuple[Quantization, int]:
    """Return how an operand is held as weights, and what is added to its integers for that."""
    shift = 0 if q.signed else -(1 << (q.bits - 1))
    return Quantization(q.scale, 0, q.bits, signed=True, narrow=q.narrow), shift


def layer_of(node: Node, graph: Graph, xbar: Crossbars, tiling: Tiling) -> MappedLayer:
    """Return a product as a layer whose weights are not there yet. Cells that are read as soon as they are written don't age."""
    x, held = graph.quantization[node.inputs[0]], stored_as(graph.quantization[node.inputs[1]])[0]
    fresh = replace(xbar, physics=replace(xbar.physics, age_s=0.0))
    return MappedLayer(node, x, torch.empty(0), held, None, fresh, tiling)


def of_one_inference(layer: MappedLayer, shape: Geometry, left: Tensor, right: Tensor, writing: int) -> tuple[MappedLayer, Tensor]:
    """Return one inference as a grouped convolution: the layer with its weights written, and its input (1, G·K, V).

    Args:
        layer: as of `layer_of`.
        shape: of the product.
        left: (G, V, K) integers.
        right: (G, K, P) integers as they are stored.
        writing: the number of the writing, for what chance decides of cells.
    """
    groups, columns = shape.groups, shape.columns
    type = TensorType("f32", (Batch(), groups * columns, left.shape[1]))
    node = Node(layer.node.name, Conv((1,), (0, 0), (1,), groups), layer.node.inputs, type)
    weight = right.transpose(1, 2).reshape(groups * columns, shape.rows, 1).to(torch.int16)
    return replace(layer, node=node, weight=weight, writing=writing), left.transpose(1, 2).reshape(1, groups * shape.rows, -1)


def product_traffic(vectors: int, stage: Stage, layer: MappedLayer, graph: Graph) -> Counts:
    """Count what moves for a number of vectors of each group, as for a layer."""
    tiling = layer.tiling
    results = tiling.groups * tiling.columns
    units = -(-tiling.row_tiles // layer.xbar.arrays_per_unit)
    bits = graph.quantization[stage.name].bits
    return traffic(
        vectors,
        input_bits=tiling.groups * tiling.rows * stage.residency.chunks * layer.x.bits,
        results=results,
        result_bits=bits,
        hops=stage.hops,
        partial_sums=results * (units - 1),
    )
