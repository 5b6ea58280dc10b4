"""What an engine must answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.program.floorplan import Block
from crossloom.program.program import Program, Stage

Counts = Counter[str]
"""How often each `part.action` was performed."""
Kits = Mapping[str, str]
"""The kit in whose arrays weights lie, by their name; empty where a machine has one kind of array."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two steps of a stage, from a step's start to its result, and the `part.action` that sets the interval.

    `inside_s` of the latency are spent in arrays: as long as the interval, unless a step goes on while the next one has begun.
    """

    interval_s: float
    latency_s: float
    limited_by: str = ""
    inside_s: float | None = None


@dataclass(frozen=True, slots=True)
class Inferences:
    """Which inferences are computed at once: how many, and the number of the first in the run."""

    count: int
    first: int = 0


class Executor(Protocol):
    """Computes one node's tensor, and counts what it does."""

    @property
    def plan(self) -> str:
        """A few words for how it computes."""
        ...

    @property
    def why(self) -> str:
        """Why that is allowed, and why nothing cheaper was."""
        ...

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the node's integers from those of its inputs, and add the actions performed to `counts`."""
        ...


class Engine(Protocol):
    """One way of computing. An engine holds no state: it reads a machine's description and a network's nodes.

    Engines derive from it: what most of them answer alike is answered here, as for one that holds nothing in cells.
    """

    name: str

    def adapt(self, graph: Graph, machine: Machine, kits: Kits) -> tuple[Graph, tuple[str, ...]]:
        """Return a quantised network as the engine would have it on a machine (operands stored, other formats), and what a reader should know.

        Weights keep their names, by which `kits` says where each of them lies. What has been adapted once is returned as it is.
        """
        return graph, ()

    def refuses(self, node: Node, graph: Graph, machine: Machine) -> str | None:
        """Return why the engine cannot run a node on a machine, or None if it can."""
        ...

    def continues(self, stage: Stage, node: Node, graph: Graph, machine: Machine) -> bool:
        """Return whether the engine computes a node, the one reader of a stage's result, within that stage."""
        return False

    def place(self, stage: Stage, graph: Graph, machine: Machine) -> Any:
        """Return where one copy of a stage lies: a frozen description with `arrays`. Of the stage, nodes and positions are known."""
        return None

    def figures(self, stage: Stage) -> Mapping[str, int]:
        """Return what a reader should know of where a stage lies and what its arrays do, by names that a table can have."""
        return {}

    def blocks(self, stage: Stage, graph: Graph, machine: Machine) -> tuple[Block, ...]:
        """Return the blocks of cells that one copy of a stage takes in arrays that stages share; whole arrays, if the engine knows no smaller ones."""
        if not stage.arrays:
            return ()
        array = machine.part("array")
        rows, columns = array.whole("rows"), array.whole("columns")
        return (Block(rows, columns, stage.arrays, rows * columns),)

    def abreast(self, stage: Stage, graph: Graph, machine: Machine) -> int:
        """Return how many positions one copy of a stage computes in one step."""
        return 1

    def takes_as_they_come(self, stage: Stage, graph: Graph, machine: Machine) -> bool:
        """Return whether what a stage reads goes into its cells when it comes, each value once, so that no buffer has to keep it."""
        return False

    def listens(self, machine: Machine) -> bool:
        """Return whether placements depend on what a stage's inputs look like: whether `tune` has anything to do."""
        return False

    def tune(self, stage: Stage, graph: Graph, machine: Machine, tensors: Sequence[Tensor]) -> Any:
        """Return a stage's placement set for integers such as these at its inputs."""
        return stage.placement

    def notes(self, machine: Machine) -> tuple[str, ...]:
        """Return what a reader of results should know of a machine's description, such as where it leaves what was measured."""
        return ()

    def remarks(self, program: Program) -> tuple[str, ...]:
        """Return what a reader of results should know of a program whose stages are placed and priced, such as what it needs more of than there is."""
        return ()

    def banks(self, machine: Machine) -> int:
        """Return how many sets of weights an array holds, of which one can be written while another is read."""
        return 1

    def held(self, stage: Stage, graph: Graph) -> Any:
        """Return what lies in a stage's arrays: stages that hold the same can work in the same arrays. None for a stage without arrays."""
        return None

    def leaves(self, machine: Machine) -> bool:
        """Return whether a stage leaves its arrays to the next one when it is through: whether nothing in them stays."""
        return False

    def rewrites(self, stage: Stage, graph: Graph, machine: Machine) -> float:
        """Return how often one inference writes each cell of a stage; 0 for weights that stay."""
        return 0.0

    def vectors(self, stage: Stage, graph: Graph) -> int | None:
        """Return how many input vectors one inference sends through a stage, or None if any number of positions will do."""
        return None

    def price(self, stage: Stage, graph: Graph, machine: Machine) -> Mapping[str, int]:
        """Return the number of each action that one inference performs in a stage."""
        ...

    def pace(self, stage: Stage, graph: Graph, machine: Machine) -> Pace:
        """Return how fast a stage steps. In arrays that stages share, a step may be interrupted after any cycle."""
        ...

    def paced_parts(self, machine: Machine) -> frozenset[str]:
        """Return the parts whose speed `pace` accounts for; the compiler checks that the others keep up."""
        return frozenset()

    def passes(self, machine: Machine) -> tuple[str, ...]:
        """Return the passes after which a stage can be printed, in order."""
        return ()

    def pieces(self, stage: Stage, graph: Graph, machine: Machine) -> int:
        """Return how many pieces of a stage can be printed, each of which an array works through."""
        return 1

    def listing(self, stage: Stage, program: Program, after: str, piece: int) -> Iterator[str]:
        """Yield the lines of a piece of a stage after a pass."""
        yield repr(stage.placement)

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a node's values; `seed` is of everything that chance decides."""
        ...
