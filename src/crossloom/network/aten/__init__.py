"""How each ATen operator is lowered: one small rule for each, by topic. To support an operator, add its rule here."""

from crossloom.network.aten import attention, indexing, moves, norms, pointwise, pools, products
from crossloom.network.aten.table import RULES as RULES
from crossloom.network.aten.table import Lowering as Lowering
from crossloom.network.aten.table import Ref as Ref

__all__ = ["RULES", "Lowering", "Ref", "attention", "indexing", "moves", "norms", "pointwise", "pools", "products"]
