"""From a network and a machine to a program: a tuple of passes, each a small frozen dataclass.

A pass is called on a program and returns a new one; between passes the program is verified. The recipe in `pipeline.py` reads
aloud. What a layer looks like on an engine is the engine's affair; passes only put stages in order, count and distribute.
"""

from crossloom.compiler.pipeline import check_machine as check_machine
from crossloom.compiler.pipeline import compile_network as compile_network
