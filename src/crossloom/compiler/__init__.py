"""The compiler, which turns a network and a machine into a program with a tuple of passes, each a small frozen dataclass.

A pass takes a program and returns a new one; the program is verified after each pass. `pipeline.py` lists the passes in order. The
engine decides how a layer is mapped to it; passes only order, count and distribute stages.
"""

from crossloom.compiler.pipeline import check_machine as check_machine
from crossloom.compiler.pipeline import compile_network as compile_network
