"""Choice of an array type for each layer, on a machine with arrays of several sizes.

One copy of layer l takes a_lk arrays of array type k and computes n_lk positions in t_lk seconds each. Overlapped windows, converters and cycles
differ between array types. To complete one inference every T seconds, the layer needs

    u_lk(T) = a_lk · min( n_lk, ⌈ n_lk / ⌊T / t_lk⌋ ⌉ ) / B_k

of the B_k arrays of type k on the chips. The aim is the smallest T for which there is a choice k(l) with Σ_{l: k(l) = k} u_lk(T) ≤ 1 for
every k. For a given T this is the scheduling of jobs on unrelated machines: NP-hard, but small here (dozens of layers, a few array types). An
integer-programming solver searches for a choice, up to a fixed number of nodes of its search tree; T is found by bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossloom.compiler.adapt import Adapt
from crossloom.compiler.assign import Assign
from crossloom.compiler.base import arrays_per_chip
from crossloom.compiler.connect import Connect
from crossloom.compiler.place import Place
from crossloom.engine.registry import engine_of
from crossloom.errors import CapacityError, MachineError
from crossloom.program.program import Program
from crossloom.program.stage import Stage

Choice = tuple[int, ...]
"""The index of each layer's array type among the array types."""

NODES = 2_000
"""Search-tree nodes after which a search counts as failed; a limit in seconds would make the result depend on the computer."""
CLOSE = 1e-3
"""Relative tolerance of the bisection for T."""


@dataclass(frozen=True, slots=True)
class LayerDemand:
    """A layer in one array type: arrays per copy, positions per inference, and seconds per position."""

    arrays: int
    positions: int
    interval_s: float

    def need(self, seconds: float) -> float:
        """Return the number of arrays needed to finish in `seconds`; infinite if a single position takes longer."""
        steps = int(seconds / self.interval_s + 1e-9) if self.interval_s else self.positions
        return self.arrays * -(-self.positions // steps) if steps else float("inf")


DemandTable = Sequence[Sequence[LayerDemand]]
"""For each layer, its demand in each array type."""


@dataclass(frozen=True, slots=True)
class ChooseArrayTypes:
    """Choose an array type for all weights, such that the initiation interval is as short as possible.

    The number of chips is what one copy of every layer needs, or `exactly`. A machine with a single array type needs no choice. Raises
    CapacityError if the network does not fit.
    """

    replicate: bool = True
    exactly: int = 0
    most: int = 1 << 16

    def __call__(self, program: Program) -> Program:
        array_types = program.machine.array_types
        if not array_types:
            return program
        found = [_demands(replace(program, machine=program.machine.view(array_type))) for array_type in array_types]
        names = list(found[0])
        table = [[demands[name] for demands in found] for name in names]
        each = [arrays_per_chip(program, array_type) for array_type in array_types]
        if not names:
            return program
        choice = self._chosen(table, each)
        return replace(program, array_types={name: array_types[place] for name, place in zip(names, choice, strict=True)})

    def _chosen(self, table: DemandTable, each: Sequence[int]) -> Choice:
        """Return the best choice found on the fewest chips that hold one copy of every layer."""
        slowest = longest(table)
        for chips in [self.exactly] if self.exactly else range(1, self.most + 1):
            budgets = [chips * arrays for arrays in each]
            if (choice := fitting(table, budgets, slowest)) is not None:
                return fastest(table, budgets, choice) if self.replicate else choice
        need = sum(min(demand.arrays for demand in row) for row in table)
        chips = self.exactly or self.most
        remedy = "raise compile.chips and set compile.overflow=chips, or use fewer bits per weight"
        raise CapacityError("arrays", max(need, chips * sum(each) + 1), chips * sum(each), remedy)


def _demands(program: Program) -> dict[str, LayerDemand]:
    """Return the demand of each weight on a machine with a single array type, summed over the layers that share the weight.

    Raises MachineError for arrays that hold anything other than constant weights.
    """
    for step in (Adapt(), Assign(), Place(), Connect()):
        program = step(program)
    found: dict[str, LayerDemand] = {}
    for stage in program.stages:
        if not stage.arrays:
            continue
        name = _weights(stage, program)
        seconds = engine_of(stage, program).timing(stage, program.graph).interval_s
        before = found.get(name, LayerDemand(0, 0, 0.0))
        found[name] = LayerDemand(max(stage.arrays, before.arrays), stage.positions + before.positions, max(seconds, before.interval_s))
    return found


def _weights(stage: Stage, program: Program) -> str:
    inputs = program.graph.node(stage.nodes[0]).inputs
    if len(inputs) < 2 or inputs[1] not in program.graph.constants:
        raise MachineError(
            f"machine {program.machine.name}: {stage.nodes[0]} has no constant weights, and arrays of several sizes can hold nothing else; "
            "set dynamic.products=digital"
        )
    return inputs[1]


def longest(table: DemandTable) -> float:
    """Return the time (s) in which a single copy of any layer completes an inference."""
    return max(demand.positions * demand.interval_s for row in table for demand in row)


def seconds_of(table: DemandTable, budgets: Sequence[int], choice: Choice) -> float:
    """Return the initiation interval (s) of a choice; infinite if one copy does not fit."""

    def fits(seconds: float) -> bool:
        used = [0.0] * len(budgets)
        for row, kind in zip(table, choice, strict=True):
            used[kind] += row[kind].need(seconds)
        return all(need <= budget for need, budget in zip(used, budgets, strict=True))

    low, high = 0.0, longest(table)
    if not fits(high):
        return float("inf")
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def fastest(table: DemandTable, budgets: Sequence[int], choice: Choice) -> Choice:
    """Return the choice with the shortest interval found, starting from one that fits."""
    low, high = 0.0, seconds_of(table, budgets, choice)
    while high - low > CLOSE * high:
        middle = (low + high) / 2
        better = fitting(table, budgets, middle)
        if better is None:
            low = middle
        else:
            choice, high = better, min(middle, seconds_of(table, budgets, better))
    return choice


def fitting(table: DemandTable, budgets: Sequence[int], seconds: float) -> Choice | None:
    """Return a choice with which every layer finishes in `seconds`, or None if none is found."""
    shares = np.array([[demand.need(seconds) / budget for demand, budget in zip(row, budgets, strict=True)] for row in table])
    possible = shares <= 1
    if not possible.any(1).all() or np.where(possible, shares, np.inf).min(1).sum() > len(budgets):
        return None
    from scipy.optimize import Bounds, LinearConstraint, milp

    layers, kinds = shares.shape
    once = np.kron(np.eye(layers), np.ones(kinds))
    used = np.hstack([np.diag(row) for row in np.where(possible, shares, 0.0)])
    found = milp(
        np.zeros(layers * kinds),
        integrality=np.ones(layers * kinds),
        bounds=Bounds(0, possible.ravel().astype(float)),
        constraints=(LinearConstraint(once, 1, 1), LinearConstraint(used, -np.inf, 1)),
        options={"node_limit": NODES},
    )
    if found.x is None:
        return None
    choice = found.x.reshape(layers, kinds).argmax(1)
    loads = np.bincount(choice, shares[np.arange(layers), choice], kinds)
    return tuple(choice.tolist()) if loads.max() <= 1 + 1e-9 else None  # the solver's tolerance is wider
