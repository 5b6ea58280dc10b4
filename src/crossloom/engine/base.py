"""What an engine answers.

An `Engine` is one way of computing. It is bound to a machine once, by `on`, where its settings are read and checked; the `MappedEngine` that
comes of it answers the compiler and the readings. What only some engines can do is an ability of its own (`Adapts`, `Fuses`, `Calibrates`,
`Stacks`, `Annotates`, `Reviews`, `Lists`): an engine has it by having its methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from crossloom.machines import Machine
from crossloom.network.graph import Graph, Node
from crossloom.program.placement import Placement
from crossloom.program.program import Program
from crossloom.program.stage import Stage, Timing

Counts = Counter[str]
"""How often each `part.action` was performed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one inference makes a stage do: the number of each `part.action`, and how often it writes the cell that is written most."""

    actions: Mapping[str, int] = field(default_factory=dict)
    writes_per_inference: float = 0.0


@dataclass(frozen=True, slots=True)
class Inferences:
    """A batch of inferences: its size, and the run-wide index of the first."""

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


class MappedEngine(Protocol):
    """An engine on one machine, or on one array type of it: settings read and checked."""

    @property
    def name(self) -> str:
        """Name of the engine."""
        ...

    @property
    def machine(self) -> Machine:
        """The machine as the engine sees it: with the arrays and the periphery of one array type."""
        ...

    @property
    def paced_parts(self) -> frozenset[str]:
        """Parts whose speed `timing` accounts for; the compiler checks that the others keep up."""
        ...

    def unsupported(self, node: Node, graph: Graph) -> str | None:
        """Return why the engine cannot run a node, or None if it can."""
        ...

    def place(self, stage: Stage, graph: Graph) -> Placement:
        """Return where one copy of a stage lies. Of the stage, nodes and positions are known. Raises CapacityError or MachineError."""
        ...

    def timing(self, stage: Stage, graph: Graph) -> Timing:
        """Return how fast a placed stage steps. In arrays that stages share, a step may be interrupted after any cycle."""
        ...

    def cost(self, stage: Stage, graph: Graph) -> Cost:
        """Return what one inference makes a stage do whose copies and arrays are known."""
        ...

    def executor(self, node: Node, program: Program, seed: int) -> Executor:
        """Return what computes a node's values; `seed` is that of everything random."""
        ...


class Engine(Protocol):
    """One way of computing, not yet bound to a machine."""

    @property
    def name(self) -> str:
        """Name under which machine files list it."""
        ...

    def on(self, machine: Machine) -> MappedEngine:
        """Return the engine bound to a machine. Raises MachineError for settings that are wrong."""
        ...


Holder = Callable[[str], MappedEngine]
"""The engine on the array type that holds a weight, by the weight's name."""


@runtime_checkable
class Adapts(Protocol):
    """Rewrites networks: operands stored, products merged, other formats."""

    def adapt(self, graph: Graph, holder: Holder) -> tuple[Graph, tuple[str, ...]]:
        """Return a quantised network in the form the engine needs, and notes for a reader.

        Weights keep their names. What has been adapted once is returned as it is.
        """
        ...


@runtime_checkable
class Fuses(Protocol):
    """Computes some functions of its results itself."""

    def fuses(self, stage: Stage, node: Node, graph: Graph) -> bool:
        """Return whether a node, the only reader of a stage's result, is computed within that stage."""
        ...


@runtime_checkable
class Calibrates(Protocol):
    """Sets its converters by what samples show."""

    @property
    def needs_calibration(self) -> bool:
        """Whether placements depend on the stage's inputs."""
        ...

    def calibrate(self, stage: Stage, graph: Graph, tensors: Sequence[Tensor]) -> Placement:
        """Return the stage's placement, set for integers such as these at its inputs."""
        ...


@runtime_checkable
class Stacks(Protocol):
    """Has arrays that hold several sets of weights."""

    @property
    def array_banks(self) -> int:
        """Sets of weights that an array holds; one of them can be written while another is read."""
        ...


@runtime_checkable
class Annotates(Protocol):
    """Has something to say about the machine's description."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for a reader of results, such as where the description leaves the measured range."""
        ...


@runtime_checkable
class Reviews(Protocol):
    """Has something to say about a compiled program."""

    def review(self, program: Program) -> tuple[str, ...]:
        """Return notes on a program whose stages are placed and costed, such as what it needs more of than there is."""
        ...


@runtime_checkable
class Lists(Protocol):
    """Compiles a layer in passes of its own, and prints it after each."""

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of the passes, in order."""
        ...

    def pieces(self, stage: Stage) -> int:
        """Return the number of pieces of a stage that can be printed, one for each array that works on it at once."""
        ...

    def listing(self, stage: Stage, program: Program, after: str, piece: int) -> Iterator[str]:
        """Yield the lines of a piece of a stage after a pass."""
        ...
