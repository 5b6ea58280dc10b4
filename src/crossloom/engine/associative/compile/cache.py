"""Cache of compiled layers: a network is compiled once for its placement, its cost and its values."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from crossloom.engine.associative.compile.compile import CompiledLayer, compile_layer
from crossloom.engine.associative.compile.layer import TernaryLayer
from crossloom.engine.associative.settings import Processors


def compiled_layer(layer: TernaryLayer, row_groups: int, chip: Processors) -> CompiledLayer:
    """Return a layer's streams, keeping those of the last 64 layers. Settings that do not affect the streams are ignored. Raises CapacityError."""
    plain = replace(
        chip, all_rows=False, hidden_alignment=True, execute="auto", shift_faults=0.0, write_faults=0.0, realign_every=0, ports=1, rows=0, routers=0
    )
    return _compiled(layer, row_groups, plain)


@lru_cache(maxsize=64)
def _compiled(layer: TernaryLayer, row_groups: int, chip: Processors) -> CompiledLayer:
    return compile_layer(layer, row_groups, chip)
