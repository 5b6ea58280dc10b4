"""Reference execution of one row, bit by bit, from the tables only, with and without faults; the fast simulation must match it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crossloom.engine.associative.isa.instructions import CARRIES, InstructionStream, Op, table_of
from crossloom.engine.associative.isa.truth_tables import CELLS, Step, TruthCell

Slip = Callable[[int, int], bool | None]
"""Whether a track moves too far (True), too short (False) or correctly (None) at a column-step of an instruction."""
Miss = Callable[[int, int], bool]
"""Whether a write fails, by the ordinal of the cell among all those that an instruction offers to its writes."""
Where = tuple[int, int]
"""Column and domain."""
_NAMES: dict[TruthCell, str] = {"C": "carry", "R": "to", "A": "a", "B": "b"}


@dataclass
class RowState:
    """One row: its tracks, their positions, and its activity. A track is a list of bits; `spare` bits at each end belong to no domain.

    Attributes:
        slip, miss: see `Slip` and `Miss`.
        realign_every: number of instructions after which tracks are moved back; 0: never.
        searches, writes, tagged, written: counts of its activity.
    """

    tracks: list[list[int]]
    spare: int = 0
    ports: int = 1
    slip: Slip = lambda instruction, ordinal: None
    miss: Miss = lambda instruction, ordinal: False
    realign_every: int = 0
    searches: int = 0
    writes: int = 0
    tagged: int = 0
    written: int = 0
    _standing: dict[int, int] = field(default_factory=dict)
    _displaced: dict[int, int] = field(default_factory=dict)
    _now: int = 0
    _shifted: int = 0
    _offered: int = 0

    def execute(self, stream: InstructionStream, load: Callable[[int, RowState], None] | None = None) -> None:
        """Execute all instructions; `load` writes the inputs of a round into the tracks."""
        due = False
        for self._now, one in enumerate(stream.instructions):
            due |= bool(self.realign_every and self._now and self._now % self.realign_every == 0)
            op = Op(int(one["op"]))
            if op == Op.LOAD:
                assert load is not None
                load(int(one["a"]), self)
                continue
            if due:
                self._realign()
                due = False
            self._shifted = self._offered = 0
            {Op.CLEAR: self._clear, Op.EXTEND: self._extend}.get(op, self._arithmetic)({name: int(one[name]) for name in one.dtype.names})

    def _arithmetic(self, one: dict[str, int]) -> None:
        op = Op(one["op"])
        stored: dict[TruthCell, int] = {"A": one["a_bits"], "B": one["b_bits"] if op in (Op.SUM, Op.DIFFERENCE) else 0}
        starts: dict[TruthCell, Where] = {cell: (one[name], one[f"{name}_at"]) for cell, name in _NAMES.items()}
        for bit in range(one["bits"]):
            moving: dict[TruthCell, bool] = {"C": bit == 0 and op in CARRIES, "R": True, "A": bit < stored["A"], "B": bit < stored["B"]}
            places: dict[TruthCell, Where] = {"C": starts["C"], "R": (one["to"], one["to_at"] + bit)}
            for name, bits in stored.items():
                places[name] = starts[name][0], starts[name][1] + min(bit, bits - 1)
            for name in moving:
                if moving[name]:
                    self._move(*places[name])
            if bit == 0 and op in CARRIES:
                self._step(Step({}, {"C": 0}), places)
            table = table_of(op, bit, (one["a_bits"], bool(one["a_signed"])), (one["b_bits"], bool(one["b_signed"])))
            for step in table.steps:
                self._step(step, places | {table.target: places["R"]})

    def _step(self, step: Step, places: dict[TruthCell, Where]) -> None:
        match = all(self._read(places[cell]) == bit for cell, bit in step.key.items())
        self.searches += bool(step.key)
        self.tagged += bool(step.key) and match
        self.writes += 1
        for cell in CELLS:
            if cell in step.write:
                self._write(places[cell], step.write[cell], match)

    def _extend(self, one: dict[str, int]) -> None:
        column, sign = one["to"], 0
        if one["a_signed"] and one["bits"] > one["a_bits"]:
            last = column, one["to_at"] + one["a_bits"] - 1
            self._move(*last)
            sign = self._read(last)
            self.searches += 1
            self.tagged += sign
        for domain in range(one["to_at"] + one["a_bits"], one["to_at"] + one["bits"]):
            self._move(column, domain)
            self.writes += 1 + one["a_signed"]
            self._write((column, domain), 0, True)
            if one["a_signed"]:
                self._write((column, domain), 1, bool(sign))

    def _clear(self, one: dict[str, int]) -> None:
        columns = range(one["to"], one["a"] + 1)
        for domain in range(one["to_at"], one["to_at"] + one["bits"]):
            for column in columns:
                self._move(column, domain)
            self.writes += 1
            for column in columns:
                self._write((column, domain), 0, True)

    def _read(self, where: Where) -> int:
        return self.tracks[where[0]][self.spare + where[1]]

    def _write(self, where: Where, bit: int, match: bool) -> None:
        misses = self.miss(self._now, self._offered)
        self._offered += 1
        self.written += match
        if match and not misses:
            self.tracks[where[0]][self.spare + where[1]] = bit

    def _move(self, column: int, domain: int) -> None:
        """Bring a domain under its port, step by step."""
        goal = domain % ((len(self.tracks[column]) - 2 * self.spare) // self.ports)
        at = self._standing.get(column, 0)
        while at != goal:
            step = 1 if goal > at else -1
            far = self.slip(self._now, self._shifted)
            self._shifted += 1
            if far is not None:
                self._displace(column, step if far else -step)
            at += step
        self._standing[column] = goal

    def _displace(self, column: int, by: int) -> None:
        """Displace a port one domain above (+1) or below (−1) its correct position: it finds the bits one lower or higher."""
        track = self.tracks[column]
        self.tracks[column] = [*track[1:], 0] if by > 0 else [0, *track[:-1]]
        self._displaced[column] = self._displaced.get(column, 0) + by

    def _realign(self) -> None:
        for column, by in list(self._displaced.items()):
            for _ in range(abs(by)):
                self._displace(column, -1 if by > 0 else 1)


def execute_row(stream: InstructionStream, tracks: list[list[int]], **options: Any) -> RowState:
    """Return a row with these tracks after a stream."""
    row = RowState(tracks, **options)
    row.execute(stream)
    return row
