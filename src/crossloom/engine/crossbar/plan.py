"""Choose the cheapest way to compute a layer that gives the same integers as the crossbar's own arithmetic.

* **one integer product**: the converter changes no partial sum that can occur. Known from the sizes alone, or from a bound
  computed from the programmed cells: digits of at most 2^v − 1 make at most (2^v − 1) · Σ cells of a column.
* **one product per row tile**: everything is accumulated in analog and converted once.
* **slice by slice**: conversion of every partial sum, for those columns alone where the bound says that it matters.

Cells and wires with errors make the sums real numbers: **real cells**, see `analog.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossloom.engine.crossbar.encode import Programmed, program_tiles
from crossloom.engine.crossbar.layer import Layer
from crossloom.engine.crossbar.product import Product, product
from crossloom.engine.crossbar.settings import Crossbars, largest_once, largest_sum
from crossloom.engine.crossbar.sliced import Sliced
from crossloom.engine.crossbar.tiling import Tiling
from crossloom.network.graph import Node
from crossloom.network.integer import Operand
from crossloom.network.operators import Linear

if TYPE_CHECKING:
    from crossloom.engine.crossbar.analog import AnalogLayer


@dataclass(frozen=True, slots=True)
class Plan:
    """How a layer is computed: a word, a reason, and what computes the sums with zero point and bias taken care of."""

    name: str
    why: str
    sums: Product | SlicedLayer | AnalogLayer


def plan(layer: Layer, seed: int) -> Plan:
    """Return the cheapest plan that equals `reference.py` for any input; `seed` is of what chance decides in real cells."""
    xbar = layer.xbar
    if not xbar.physics.ideal:
        return _analog(layer, seed)
    converter = xbar.converter()
    largest = largest_sum(min(layer.tiling.rows, xbar.rows), xbar.input_bits, xbar.cell_bits, xbar.flip)
    exact = product(layer.node, layer.x, layer.weight, layer.bias)
    if xbar.range == "ideal":
        return Plan("integer product", f"converters are left out (range=ideal); {exact.how}", exact)
    if xbar.convert == "slice" and converter.shift == 0 and largest <= converter.limit:
        why = f"no partial sum exceeds {largest}, the {xbar.adc_bits}-bit converter holds {converter.limit}"
        return Plan("integer product", f"{why}; {exact.how}", exact)
    groups = [program_tiles(w, layer.slices, xbar) for w in layer.matrices()]
    if xbar.convert == "tile":
        sliced = SlicedLayer(layer, None, [_Once(tiles, layer) for tiles in groups], None)
        how = "rounded to steps that cover every sum" if xbar.range == "full" else "clipped at the largest code (range=full would cover every sum)"
        return Plan("product per tile", f"each row tile is accumulated in analog and converted once, {how}", sliced)
    kept = [_unchanged(tiles, layer) for tiles in groups]
    clean = sum(int(k.sum()) for k in kept)
    total = sum(k.numel() for k in kept)
    if clean == total:
        return Plan("integer product", f"the programmed cells allow no sum above {converter.limit} in any column; {exact.how}", exact)
    parts = [Sliced.of(tiles, torch.nonzero(~keep)[:, 0], layer.digits, layer.slices, converter) for tiles, keep in zip(groups, kept, strict=True)]
    what = "round" if converter.shift else "clip"
    return Plan(
        "slice by slice",
        f"the converter can {what} {total - clean} of {total} columns; the others are one product",
        SlicedLayer(layer, exact if clean else None, parts, kept),
    )


def _analog(layer: Layer, seed: int) -> Plan:
    from crossloom.engine.crossbar.analog import AnalogLayer

    xbar = layer.xbar
    how = (
        "one product with the weights as they are: converters are left out (range=ideal)"
        if xbar.range == "ideal"
        else "each row tile is accumulated and converted once"
        if xbar.convert == "tile"
        else "each partial sum is rounded and clipped"
    )
    return Plan(
        "real cells", f"{', '.join(xbar.physics.effects)} of {xbar.physics.cell.name} make sums real numbers; {how}", AnalogLayer.of(layer, seed)
    )


def _unchanged(tiles: list[Programmed], layer: Layer) -> Tensor:
    """Return the columns (C,) of one matrix in which the converter changes no partial sum."""
    digit = (1 << layer.xbar.input_bits) - 1
    converter = layer.xbar.converter()
    keep = torch.ones(tiles[0].cells.shape[2], dtype=torch.bool, device=tiles[0].cells.device)
    for tile in tiles:
        keep &= converter.lossless(digit * tile.cells.sum(1)).all(0)
    return keep


class _Once:
    """Sums of one matrix whose row tiles are accumulated in analog: products with positive and with negative weight apart."""

    def __init__(self, tiles: list[Programmed], layer: Layer) -> None:
        digits, slices = layer.digits, layer.slices
        self.digits, self.slices, self.xbar = digits, slices, layer.xbar
        self.tiles: list[tuple[slice, Tensor, Tensor]] = []
        for tile in tiles:
            self.tiles.append((tile.rows, self._side(tile, 1), self._side(tile, -1)))

    def _side(self, tile: Programmed, sign: int) -> Tensor:
        """Return Σ |β| · cells over the slices of one sign, as float64."""
        total = torch.zeros(tile.cells.shape[1:], dtype=torch.float64, device=tile.cells.device)
        for k, weight in enumerate(self.slices.weights):
            if weight * sign > 0:
                total += abs(weight) * tile.cells[k]
        return total

    def __call__(self, vectors: Tensor) -> Tensor:
        total = torch.zeros(vectors.shape[0], self.tiles[0][1].shape[1], dtype=torch.int64, device=vectors.device)
        parts = list(zip(self.digits.weights, self.digits(vectors.to(torch.int64)), strict=True))
        zeros = torch.zeros_like(vectors, dtype=torch.float64)
        positive = sum((w * d for w, d in parts if w > 0), zeros)
        negative = sum((-w * d for w, d in parts if w < 0), zeros)
        for rows, plus, minus in self.tiles:
            sides = ((1, positive[:, rows] @ plus + negative[:, rows] @ minus), (-1, positive[:, rows] @ minus + negative[:, rows] @ plus))
            for sign, analog in sides:
                if (largest := largest_once(self.xbar, self.digits.weights, self.slices.weights, sign)) > 0:
                    total += sign * self.xbar.converter(largest)(torch.round(analog).to(torch.int64))
            total -= self.slices.offset * (positive - negative)[:, rows].sum(1, keepdim=True).to(torch.int64)
        return total


@dataclass(frozen=True, slots=True)
class SlicedLayer:
    """A layer some of whose columns are computed by their partial sums; the others come from one exact product."""

    layer: Layer
    exact: Product | None
    parts: list[Sliced] | list[_Once]
    kept: list[Tensor] | None

    def __call__(self, x: Tensor) -> Tensor:
        """Return Σ (x − zero) · w + bias as the crossbar computes it."""
        layer = self.layer
        vectors = layer.vectors(x)
        result = layer.result(x, torch.stack([self._group(g, vectors[:, g]) for g in range(vectors.shape[1])], 1))
        if self.exact is None or self.kept is None:
            return result
        kept = torch.cat(self.kept)
        kept = kept if isinstance(layer.node.op, Linear) else kept.reshape(-1, *[1] * (result.dim() - 2))
        return torch.where(kept, self.exact(x).to(torch.int64), result)

    def _group(self, g: int, vectors: Tensor) -> Tensor:
        if self.kept is None:
            return self.parts[g](vectors)
        sums = torch.zeros(vectors.shape[0], self.kept[g].numel(), dtype=torch.int64, device=vectors.device)
        if not bool(self.kept[g].all()):
            part = self.parts[g]
            sums[:, ~self.kept[g]] = part(vectors)
        return sums


def operand_layer(node: Node, data: Operand, weight: Operand, bias: Tensor | None, xbar: Crossbars, tiling: Tiling) -> Layer:
    """Return the layer for operands as the integer reference passes them."""
    assert data.q is not None and weight.q is not None
    return Layer(node, data.q, weight.values, weight.q, bias, xbar, tiling)
