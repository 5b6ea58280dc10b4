"""Engines: the ways of computing. Each is a folder that holds everything about one of them.

What nodes it takes, how it lays them out, how long they take, which actions they perform, and what comes out. A new machine
is usually a new YAML file; a new idea is a new engine here, or in a package that names it under the entry point
`crossloom.engines`. The built-in ones are listed in `registry.py`.
"""

from crossloom.engine.base import Cost as Cost
from crossloom.engine.base import Counts as Counts
from crossloom.engine.base import Engine as Engine
from crossloom.engine.base import Executor as Executor
from crossloom.engine.base import Inferences as Inferences
from crossloom.engine.base import MappedEngine as MappedEngine
from crossloom.engine.registry import engines_of as engines_of
