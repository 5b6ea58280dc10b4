"""Lowering rules for ATen operators: one small rule for each, by topic. To support an operator, add its rule here."""

from crossloom.network.importers.torch.aten import (
    activations,
    attention,
    indexing,
    moves,
    norms,
    pointwise,
    pools,
    products,
    quantize,
    refused,
    signs,
    windows,
)
from crossloom.network.importers.torch.aten.table import RULES as RULES
from crossloom.network.importers.torch.aten.table import Lowering as Lowering
from crossloom.network.importers.torch.aten.table import Missing as Missing
from crossloom.network.importers.torch.aten.table import Ref as Ref

__all__ = ["RULES", "Lowering", "Missing", "Ref"]
__all__ += ["activations", "attention", "indexing", "moves", "norms", "pointwise", "pools", "products", "quantize", "refused", "signs", "windows"]
