"""The fewest arrays for a few blocks, proved: the packing problem as a constraint programme, with every bin, position and phase a variable."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, permutations

from ortools.sat.python import cp_model

from crossloom.compiler.packing.kinds import BlockKind, Owner

SIDE = 16
"""Word lines and bit lines of an array of the small cases."""


def small_case(seed: int, blocks: int) -> list[BlockKind]:
    """Return so many blocks: from small ones to whole arrays, periods of 1 to 8, a quarter of the kinds written."""
    rng = random.Random(1000 * blocks + seed)
    largest = (5, 8, 11, SIDE)[seed % 4]
    periods = ((1, 2), (1, 2, 4), (2, 4, 8), (1, 2, 4, 8))[seed // 4 % 4]
    kinds: list[BlockKind] = []
    for owner in range(blocks):
        period = rng.choice(periods)
        for _ in range(rng.choice((1, 1, 2))):
            count = min(rng.choice((1, 1, 2, 3)), blocks)
            rows, columns = rng.randint(1, largest), rng.randint(1, largest)
            kinds.append(BlockKind(owner=owner, rows=rows, columns=columns, count=count, period=period, writes=rng.random() < 0.25))
            blocks -= count
    return [kind for kind in kinds if kind.count]


class Exact:
    """Blocks one by one in at most `arrays` arrays; rules as in `crossloom.compiler.packing`, written down independently of it."""

    def __init__(self, kinds: Sequence[BlockKind], rows: int, columns: int, arrays: int) -> None:
        self.model = model = cp_model.CpModel()
        self.blocks = sorted((kind for kind in kinds for _ in range(kind.count)), key=lambda kind: -kind.cells)
        self.bins = [model.new_int_var(0, min(i, arrays - 1), f"bin{i}") for i in range(len(self.blocks))]
        self.tops = [model.new_int_var(0, rows - kind.rows, f"top{i}") for i, kind in enumerate(self.blocks)]
        self.lefts = [model.new_int_var(0, columns - kind.columns, f"left{i}") for i, kind in enumerate(self.blocks)]
        self.used = model.new_int_var(1, arrays, "used")
        for bin_of in self.bins:
            model.add(bin_of < self.used)
        self.bits = self._phase_bits(kinds)
        self.meet = {pair: self._meets(*pair) for pair in combinations(self.bits, 2)}
        self.apart: dict[tuple[int, int], cp_model.IntVar] = {}
        self.rows_apart: dict[tuple[int, int], list[cp_model.IntVar]] = {}
        self.columns_apart: dict[tuple[int, int], list[cp_model.IntVar]] = {}
        for first, second in combinations(range(len(self.blocks)), 2):
            self._exclude(first, second)
        for first, second, third in permutations(range(len(self.blocks)), 3):
            self._keep_erased(first, second, third)
        model.minimize(self.used)

    def _phase_bits(self, kinds: Sequence[BlockKind]) -> dict[Owner, list[cp_model.IntVar]]:
        """Return the bits of each owner's phase, lowest first."""
        periods = {kind.owner: kind.period for kind in kinds}
        bits = {o: [self.model.new_bool_var(f"bit{o}.{b}") for b in range(period.bit_length() - 1)] for o, period in periods.items()}
        # Exchanging the two halves of the tree of phases changes nothing, so the longest period may begin at slot 0.
        for bit in bits[max(periods, key=lambda owner: periods[owner])]:
            self.model.add(bit == 0)
        return bits

    def _meets(self, first: Owner, second: Owner) -> cp_model.IntVar:
        """Return a truth value that must hold if two owners are active in a common slot: all bits that both have are equal."""
        meet = self.model.new_bool_var(f"meet{first}.{second}")
        different = []
        for one, other in zip(self.bits[first], self.bits[second], strict=False):
            differ = self.model.new_bool_var("")
            self.model.add(one + other == 1).only_enforce_if(differ)
            different.append(differ)
        self.model.add_bool_or([meet, *different])
        return meet

    def _exclude(self, first: int, second: int) -> None:
        """Let two blocks in one array share no cell; and if they meet, no line."""
        model, one, other = self.model, self.blocks[first], self.blocks[second]
        apart = model.new_bool_var("")
        model.add(self.bins[first] != self.bins[second]).only_enforce_if(apart)
        rows = self._in_order(self.tops, first, second, one.rows, other.rows)
        columns = self._in_order(self.lefts, first, second, one.columns, other.columns)
        model.add_bool_or([apart, *rows, *columns])
        never = [] if one.owner == other.owner else [self._pair(one.owner, other.owner).negated()]
        model.add_bool_or([apart, *rows, *never])
        model.add_bool_or([apart, *columns, *never])
        if one.writes and other.writes:
            model.add_bool_or([apart, *never])
        for pair in ((first, second), (second, first)):
            self.apart[pair], self.rows_apart[pair], self.columns_apart[pair] = apart, rows, columns
        if one is other:
            model.add(self.bins[first] <= self.bins[second])

    def _keep_erased(self, first: int, second: int, third: int) -> None:
        """Let no third block lie where word lines of the first cross bit lines of the second, if these meet in an array."""
        one, two = self.blocks[first].owner, self.blocks[second].owner
        never = [] if one == two else [self._pair(one, two).negated()]
        elsewhere = [self.apart[first, second], self.apart[first, third], *self.rows_apart[first, third], *self.columns_apart[second, third]]
        self.model.add_bool_or([*never, *elsewhere])

    def _in_order(self, starts: list[cp_model.IntVar], first: int, second: int, length: int, other: int) -> list[cp_model.IntVar]:
        """Return two truth values: one block ends before the other begins, in this direction or that."""
        before, after = self.model.new_bool_var(""), self.model.new_bool_var("")
        self.model.add(starts[first] + length <= starts[second]).only_enforce_if(before)
        self.model.add(starts[second] + other <= starts[first]).only_enforce_if(after)
        return [before, after]

    def _pair(self, first: Owner, second: Owner) -> cp_model.IntVar:
        return self.meet[first, second] if (first, second) in self.meet else self.meet[second, first]


def exact_arrays(kinds: Sequence[BlockKind], rows: int, columns: int, at_most: int, effort: float = 20.0) -> int | None:
    """Return the fewest arrays; None if it is not known after so much effort (CP-SAT's deterministic time). `at_most` arrays must do."""
    exact = Exact(kinds, rows, columns, at_most)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = effort
    return int(solver.value(exact.used)) if solver.solve(exact.model) == cp_model.OPTIMAL else None
