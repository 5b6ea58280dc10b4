"""The cheapest plan that yields the same integers as the crossbar's own arithmetic.

* **one integer product**: the converter changes no partial sum that can occur. Known from the sizes only, or from a bound
  computed from the programmed cells: digits of at most 2^v − 1 make at most (2^v − 1) · Σ cells of a column.
* **one product per row tile**: everything is accumulated in analog and converted once.
* **by buffer column**: partial sums meet in a buffer, whose columns are converted.
* **slice by slice**: conversion of every partial sum, only for the columns in which the bound allows a change.

Cells and wires with errors, fluctuating buffers and trained circuits make the sums real numbers: **real cells**, **real circuits**, see `analog/layer.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossloom.engine.crossbar.ideal.accumulated import Buffered, ConvertedOnce
from crossloom.engine.crossbar.ideal.product import Product, product, product_with_residual
from crossloom.engine.crossbar.ideal.sliced import Sliced
from crossloom.engine.crossbar.layer import MappedLayer
from crossloom.engine.crossbar.mapping.encode import Programmed, program_tiles
from crossloom.engine.crossbar.settings import largest_sum
from crossloom.network.operators import Linear

if TYPE_CHECKING:
    from crossloom.engine.crossbar.analog.layer import Deferred


@dataclass(frozen=True, slots=True)
class Plan:
    """How a layer is computed: a word, a reason, and what computes the sums with zero point and bias taken care of."""

    name: str
    why: str
    sums: Product | SlicedLayer | Deferred


def plan(layer: MappedLayer, seed: int) -> Plan:
    """Return the cheapest plan that equals `reference/ideal.py` for any input; `seed` is of what chance decides in real cells."""
    xbar = layer.xbar
    if not xbar.physics.ideal or xbar.fluctuates:
        return _analog(layer, seed)
    exact = _exact(layer)
    if why := exact_whatever_is_held(layer):
        return Plan("integer product", f"{why}; {exact.how}", exact)
    if xbar.accumulate != "digital":
        return _accumulated(layer)
    converter = layer.converters[0]
    groups = [program_tiles(w, layer.slices, xbar) for w in layer.matrices()]
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


def _exact(layer: MappedLayer) -> Product:
    if layer.added is None:
        return product(layer.node, layer.x, layer.weight, layer.bias)
    assert layer.bias is not None
    return product_with_residual(layer.node, layer.x, layer.weight, layer.bias, q=layer.added.q, gains=layer.added.gains)


def exact_whatever_is_held(layer: MappedLayer) -> str:
    """Return why a layer's sums are exact for any weights, judged only by the sizes; empty if they may not be."""
    xbar = layer.xbar
    if not xbar.physics.ideal or xbar.fluctuates:
        return ""
    if xbar.range == "ideal":
        return f"{'converters and trained circuits' if xbar.circuits.trained else 'converters'} are left out (range=ideal)"
    if xbar.accumulate != "digital":
        return f"no sum that is converted exceeds its converter's {xbar.adc_bits} bits" if _holds_all(layer) else ""
    converter = layer.converters[0]
    largest = largest_sum(min(layer.tiling.rows, xbar.rows), xbar.input_bits, xbar.cell_bits, xbar.flip)
    if not converter.holds(0, largest):
        return ""
    return f"no partial sum exceeds {largest}, the {xbar.adc_bits}-bit converter holds {converter.limit}"


def _accumulated(layer: MappedLayer) -> Plan:
    """Return the plan of a layer whose partial sums are accumulated before they are converted."""
    xbar, converters = layer.xbar, layer.converters
    groups = [program_tiles(w, layer.slices, xbar) for w in layer.matrices()]
    how = {
        "unit": "clipped at the largest code (range=full would cover every sum)",
        "full": "rounded to steps that cover every sum",
        "layer": "rounded to steps that cover what samples showed"
        if layer.tiling.observed_range
        else "rounded to steps that cover every sum, without samples",
    }[xbar.range]
    if xbar.accumulate == "analog":
        why = f"each row tile is accumulated in analog and converted once, {how}"
        return Plan("product per tile", why, SlicedLayer(layer, None, [ConvertedOnce.of(tiles, layer) for tiles in groups], None))
    why = f"{len(converters)} columns of a buffer are {how}"
    return Plan("by buffer column", why, SlicedLayer(layer, None, [Buffered.of(tiles, layer) for tiles in groups], None))


def _holds_all(layer: MappedLayer) -> bool:
    """Return whether no converter can change a sum of a layer, judged only by the sizes."""
    rows = min(layer.tiling.rows, layer.xbar.rows)
    spans = (line.span(rows, layer.digits, layer.slices) for line in layer.lines)
    return all(converter.holds(*span) for converter, span in zip(layer.converters, spans, strict=True))


def _analog(layer: MappedLayer, seed: int) -> Plan:
    from crossloom.engine.crossbar.analog.layer import Deferred

    xbar = layer.xbar
    how = {
        "digital": "each partial sum is rounded and clipped",
        "buffered": "columns of a buffer are rounded and clipped",
        "analog": "each row tile is accumulated and converted once",
    }[xbar.accumulate]
    if xbar.range == "ideal":
        how = "one product with the weights as they are: converters are left out (range=ideal)"
    what = [] if xbar.physics.ideal else [f"{', '.join(xbar.physics.effects)} of {xbar.physics.cell.name}"]
    what += ["fluctuation of buffer cells"] if xbar.buffer else []
    what += [f"trained circuits ({', '.join(filter(None, (xbar.circuits.adder, xbar.circuits.converter)))})"] if xbar.circuits.trained else []
    name = "real circuits" if xbar.physics.ideal else "real cells"
    return Plan(name, f"{' and '.join(what)} make sums real numbers; {how}", Deferred(layer, seed))


def _unchanged(tiles: list[Programmed], layer: MappedLayer) -> Tensor:
    """Return the columns (C,) of one matrix in which the converter changes no partial sum."""
    digit = (1 << layer.xbar.input_bits) - 1
    converter = layer.converters[0]
    keep = torch.ones(tiles[0].cells.shape[2], dtype=torch.bool, device=tiles[0].cells.device)
    for tile in tiles:
        keep &= converter.lossless(digit * tile.cells.sum(1)).all(0)
    return keep


@dataclass(frozen=True, slots=True)
class SlicedLayer:
    """A layer some of whose columns are computed by their partial sums; the others come from one exact product."""

    layer: MappedLayer
    exact: Product | None
    parts: list[Sliced] | list[ConvertedOnce] | list[Buffered]
    kept: list[Tensor] | None

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return Σ (x − zero) · w + bias as the crossbar computes it."""
        layer = self.layer
        vectors = layer.vectors(x, residual)
        result = layer.result(x, torch.stack([self._group(g, vectors[:, g]) for g in range(vectors.shape[1])], 1))
        if self.exact is None or self.kept is None:
            return result
        kept = torch.cat(self.kept)
        kept = kept if isinstance(layer.op, Linear) else kept.reshape(-1, *[1] * (result.dim() - 2))
        return torch.where(kept, self.exact(x, residual).to(torch.int64), result)

    def _group(self, g: int, vectors: Tensor) -> Tensor:
        if self.kept is None:
            return self.parts[g](vectors)
        sums = torch.zeros(vectors.shape[0], self.kept[g].numel(), dtype=torch.int64, device=vectors.device)
        if not bool(self.kept[g].all()):
            part = self.parts[g]
            sums[:, ~self.kept[g]] = part(vectors)
        return sums
