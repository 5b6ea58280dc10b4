"""Graph operators: a few dozen callable frozen dataclasses.

The importers lower every model to these operators. This package defines them and their results in floating point.
It contains neither integer semantics (`network/integer`) nor the choice of machine and engine.
"""

from crossloom.network.operators.base import Move as Move
from crossloom.network.operators.base import Operator as Operator
from crossloom.network.operators.base import Unary as Unary
from crossloom.network.operators.base import Unsupported as Unsupported
from crossloom.network.operators.fake_quantize import FakeQuantize as FakeQuantize
from crossloom.network.operators.matrix import Conv as Conv
from crossloom.network.operators.matrix import ConvTranspose as ConvTranspose
from crossloom.network.operators.matrix import Linear as Linear
from crossloom.network.operators.matrix import MatMul as MatMul
from crossloom.network.operators.matrix import ProductAdd as ProductAdd
from crossloom.network.operators.matrix import Store as Store
from crossloom.network.operators.matrix import product_of as product_of
from crossloom.network.operators.norm import BatchNorm as BatchNorm
from crossloom.network.operators.norm import GroupNorm as GroupNorm
from crossloom.network.operators.norm import LayerNorm as LayerNorm
from crossloom.network.operators.norm import LocalResponseNorm as LocalResponseNorm
from crossloom.network.operators.norm import RmsNorm as RmsNorm
from crossloom.network.operators.norm import Softmax as Softmax
from crossloom.network.operators.pointwise import Add as Add
from crossloom.network.operators.pointwise import Cast as Cast
from crossloom.network.operators.pointwise import Clip as Clip
from crossloom.network.operators.pointwise import Compare as Compare
from crossloom.network.operators.pointwise import Div as Div
from crossloom.network.operators.pointwise import Elu as Elu
from crossloom.network.operators.pointwise import Function as Function
from crossloom.network.operators.pointwise import Gelu as Gelu
from crossloom.network.operators.pointwise import LeakyRelu as LeakyRelu
from crossloom.network.operators.pointwise import Maximum as Maximum
from crossloom.network.operators.pointwise import Minimum as Minimum
from crossloom.network.operators.pointwise import Mul as Mul
from crossloom.network.operators.pointwise import Not as Not
from crossloom.network.operators.pointwise import Pow as Pow
from crossloom.network.operators.pointwise import Relu as Relu
from crossloom.network.operators.pointwise import Sub as Sub
from crossloom.network.operators.pointwise import Where as Where
from crossloom.network.operators.pool import AdaptiveAvgPool as AdaptiveAvgPool
from crossloom.network.operators.pool import AdaptiveMaxPool as AdaptiveMaxPool
from crossloom.network.operators.pool import ArgMax as ArgMax
from crossloom.network.operators.pool import AvgPool as AvgPool
from crossloom.network.operators.pool import CumSum as CumSum
from crossloom.network.operators.pool import MaxPool as MaxPool
from crossloom.network.operators.pool import Reduce as Reduce
from crossloom.network.operators.shape import Concat as Concat
from crossloom.network.operators.shape import Expand as Expand
from crossloom.network.operators.shape import Gather as Gather
from crossloom.network.operators.shape import GatherElements as GatherElements
from crossloom.network.operators.shape import Interleave as Interleave
from crossloom.network.operators.shape import Pad as Pad
from crossloom.network.operators.shape import Reshape as Reshape
from crossloom.network.operators.shape import Resize as Resize
from crossloom.network.operators.shape import Slice as Slice
from crossloom.network.operators.shape import Transpose as Transpose

OPERATORS: dict[str, type[Operator]] = {name: kind for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, Operator)}
