"""The importer of ONNX models, with one small rule for each operator, in a file for each topic.

Rules lower one node of an ONNX graph to our operators; `walk.py` applies them. `source.py` reads files, and `from_onnx.py`
chooses batch sizes. Nothing here imports onnx until it runs.
"""

from crossloom.network.importers.onnx import attention as attention
from crossloom.network.importers.onnx import casts as casts
from crossloom.network.importers.onnx import constants as constants
from crossloom.network.importers.onnx import indexing as indexing
from crossloom.network.importers.onnx import matrix as matrix
from crossloom.network.importers.onnx import moves as moves
from crossloom.network.importers.onnx import norm as norm
from crossloom.network.importers.onnx import pad as pad
from crossloom.network.importers.onnx import pointwise as pointwise
from crossloom.network.importers.onnx import pool as pool
from crossloom.network.importers.onnx import qlinear as qlinear
from crossloom.network.importers.onnx import quantize as quantize
from crossloom.network.importers.onnx import reduce as reduce
from crossloom.network.importers.onnx import resize as resize
from crossloom.network.importers.onnx import scatter as scatter
