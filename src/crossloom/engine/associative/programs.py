"""Layers compiled before, so that a network is compiled once for its place, its price and its values."""

from __future__ import annotations

from functools import lru_cache

from crossloom.engine.associative.compiling import CompiledLayer, compile_layer
from crossloom.engine.associative.layer import TernaryLayer
from crossloom.engine.associative.settings import Processors


@lru_cache(maxsize=32)
def compiled(layer: TernaryLayer, row_groups: int, chip: Processors) -> CompiledLayer:
    """Return a layer's streams; those of the last 32 layers are kept. Raises CapacityError."""
    return compile_layer(layer, row_groups, chip)
