"""What each ONNX operator becomes: one small function for each, in a file for each topic.

What belongs here: rules that lower one node of an ONNX graph to operators of ours, and the walk that applies them.
What does not: reading files and choosing batch sizes (`network/from_onnx.py`). Nothing here imports onnx until it runs.
"""

from crossloom.network.onnx_rules import attention as attention
from crossloom.network.onnx_rules import casts as casts
from crossloom.network.onnx_rules import constants as constants
from crossloom.network.onnx_rules import indexing as indexing
from crossloom.network.onnx_rules import matrix as matrix
from crossloom.network.onnx_rules import moves as moves
from crossloom.network.onnx_rules import norm as norm
from crossloom.network.onnx_rules import pad as pad
from crossloom.network.onnx_rules import pointwise as pointwise
from crossloom.network.onnx_rules import pool as pool
from crossloom.network.onnx_rules import qlinear as qlinear
from crossloom.network.onnx_rules import quantize as quantize
from crossloom.network.onnx_rules import reduce as reduce
from crossloom.network.onnx_rules import resize as resize
from crossloom.network.onnx_rules import scatter as scatter
