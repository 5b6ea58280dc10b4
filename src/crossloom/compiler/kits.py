"""Which kit of arrays holds which layer, on a machine that has arrays of several sizes.

A layer l takes a_lk arrays of kit k for one copy, computes n_lk positions, each in t_lk seconds (overlapped windows, converters and cycles differ
from kit to kit). If an inference is to be done every T seconds it needs

    u_lk(T) = a_lk · min( n_lk, ⌈ n_lk / ⌊T / t_lk⌋ ⌉ ) / B_k

of the B_k arrays that the chips have of the kit. Looked for is the smallest T for which there is a choice k(l) with Σ_{l: k(l) = k} u_lk(T) ≤ 1 for
every k. For a given T that is the scheduling of jobs on unrelated machines, which is NP-hard; here by prices and exchanges: layers go where they
are cheapest at prices of the kits that rise with their loads, then single layers are moved, and two exchanged, while that lowers the loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossloom.compiler.passes import Adapt, Assign, Connect, Place, arrays_per_chip
from crossloom.engine.registry import engine_named
from crossloom.errors import CapacityError, MachineError
from crossloom.program import Program, Stage

Loads = NDArray[np.float64]
Choice = NDArray[np.int64]

ROUNDS = 40
"""Of prices, before layers are exchanged."""
EXPONENT = 16
"""The loads that exchanges lower are Σ load^16: next to the largest, and the others where that is as it was."""
CLOSE = 1e-4
"""Relative distance between the times that are tried last."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A layer in one kit: arrays of a copy, positions of one inference, and the seconds that each takes."""

    arrays: int
    positions: int
    interval_s: float

    def need(self, seconds: float) -> float:
        """Return the arrays with which it is done in so many seconds; infinitely many if a single position takes longer."""
        steps = int(seconds / self.interval_s + 1e-9) if self.interval_s else self.positions
        return self.arrays * -(-self.positions // steps) if steps else float("inf")


Table = Sequence[Sequence[Demand]]
"""The demands of each layer, one for each kit."""


@dataclass(frozen=True, slots=True)
class ChooseKits:
    """Say for all weights in which kit of arrays they lie, so that inferences follow each other as fast as they can.

    Chips are as many as one copy of everything needs, or `exactly` so many. A machine of one kind of array needs no choice. Raises CapacityError for
    what does not fit.
    """

    replicate: bool = True
    exactly: int = 0
    most: int = 1 << 16

    def __call__(self, program: Program) -> Program:
        kits = program.machine.kits
        if not kits:
            return program
        found = [_demands(replace(program, machine=program.machine.view(kit))) for kit in kits]
        names = list(found[0])
        table = [[demands[name] for demands in found] for name in names]
        each = [arrays_per_chip(program, kit) for kit in kits]
        if not names:
            return program
        choice = self._chosen(table, each)
        return replace(program, kits={name: kits[place] for name, place in zip(names, choice, strict=True)})

    def _chosen(self, table: Table, each: Sequence[int]) -> Choice:
        """Return the best choice that is found on the fewest chips that hold one copy of everything."""
        slowest = longest(table)
        for chips in [self.exactly] if self.exactly else range(1, self.most + 1):
            budgets = [chips * arrays for arrays in each]
            if (choice := fitting(table, budgets, slowest)) is not None:
                return fastest(table, budgets, choice) if self.replicate else choice
        need = sum(min(demand.arrays for demand in row) for row in table)
        chips = self.exactly or self.most
        remedy = "set compile.chips to more and compile.overflow=chips, or use fewer bits for the weights"
        raise CapacityError("arrays", max(need, chips * sum(each) + 1), chips * sum(each), remedy)


def _demands(program: Program) -> dict[str, Demand]:
    """Return what each weight asks of a machine with one kind of array; layers that share it add up.

    Raises MachineError for arrays that hold anything else than constant weights.
    """
    for step in (Adapt(), Assign(), Place(), Connect()):
        program = step(program)
    found: dict[str, Demand] = {}
    for stage in program.stages:
        if not stage.arrays:
            continue
        name = _weights(stage, program)
        seconds = engine_named(stage.engine).pace(stage, program.graph, program.machine).interval_s
        before = found.get(name, Demand(0, 0, 0.0))
        found[name] = Demand(max(stage.arrays, before.arrays), stage.positions + before.positions, max(seconds, before.interval_s))
    return found


def _weights(stage: Stage, program: Program) -> str:
    inputs = program.graph.node(stage.nodes[0]).inputs
    if len(inputs) < 2 or inputs[1] not in program.graph.constants:
        raise MachineError(f"machine {program.machine.name}: {stage.nodes[0]} holds no constant weights, and kits hold nothing else; use another engine")
    return inputs[1]


def longest(table: Table) -> float:
    """Return the seconds in which a single copy of every layer is through with an inference."""
    return max(demand.positions * demand.interval_s for row in table for demand in row)


def seconds_of(table: Table, budgets: Sequence[int], choice: Sequence[int]) -> float:
    """Return the time from one inference to the next for a choice; infinite for one of which one copy does not fit."""

    def fits(seconds: float) -> bool:
        used = [0.0] * len(budgets)
        for row, kit in zip(table, choice, strict=True):
            used[kit] += row[kit].need(seconds)
        return all(need <= budget for need, budget in zip(used, budgets, strict=True))

    low, high = 0.0, longest(table)
    if not fits(high):
        return float("inf")
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def fastest(table: Table, budgets: Sequence[int], choice: Choice) -> Choice:
    """Return the choice with the shortest time that is found, from one that fits."""
    low, high = 0.0, seconds_of(table, budgets, choice)
    while high - low > CLOSE * high:
        middle = (low + high) / 2
        better = fitting(table, budgets, middle)
        if better is None:
            low = middle
        else:
            choice, high = better, min(middle, seconds_of(table, budgets, better))
    return choice


def fitting(table: Table, budgets: Sequence[int], seconds: float) -> Choice | None:
    """Return a choice with which everything is done in so many seconds, or None if none is found."""
    shares = np.array([[demand.need(seconds) / budget for demand, budget in zip(row, budgets, strict=True)] for row in table])
    shares[shares > 1] = np.inf
    if not np.isfinite(shares.min(1)).all() or shares.min(1).sum() > len(budgets):
        return None
    choice = _priced(shares)
    while _loads(shares, choice).max() > 1 + 1e-12:
        better = _exchanged(shares, choice)
        if better is None:
            return None
        choice = better
    return choice


def _loads(shares: Loads, choice: Choice) -> Loads:
    """Return the share of each kit that a choice takes."""
    return np.bincount(choice, shares[np.arange(len(choice)), choice], shares.shape[1])


def _priced(shares: Loads) -> Choice:
    """Return the best of the choices in which every layer is where it is cheapest, while prices follow the loads."""
    prices = np.full(shares.shape[1], 1.0)
    best, least = None, np.inf
    for turn in range(ROUNDS):
        choice = np.argmin(shares * prices, axis=1)
        loads = _loads(shares, choice)
        if best is None or loads.max() < least:
            best, least = choice, loads.max()
        prices *= np.exp((loads - loads.mean()) / (max(loads.mean(), 1e-12) * (turn + 2)))
    assert best is not None
    return best


def _exchanged(shares: Loads, choice: Choice) -> Choice | None:
    """Return the choice with one layer moved, or two exchanged, that lowers the loads most; None if none does."""
    layers, kits = shares.shape
    loads, every = _loads(shares, choice), np.arange(layers)
    moves = [(layer, kit) for layer in range(layers) for kit in range(kits) if kit != choice[layer] and np.isfinite(shares[layer, kit])]
    best, least = None, float((loads**EXPONENT).sum()) * (1 - 1e-9)
    for layer, kit in moves:
        after = loads.copy()
        after[choice[layer]] -= shares[layer, choice[layer]]
        after[kit] += shares[layer, kit]
        back = np.where(choice == kit, shares[:, choice[layer]], np.inf)
        pairs = np.repeat(after[None], layers, axis=0)
        pairs[:, kit] -= shares[every, choice]
        pairs[:, choice[layer]] += back
        values = np.concatenate(([float((after**EXPONENT).sum())], (pairs**EXPONENT).sum(1)))
        found = int(values.argmin())
        if values[found] < least:
            least, best = float(values[found]), choice.copy()
            best[layer] = kit
            if found:
                best[found - 1] = choice[layer]
    return best
