"""What a machine file says about its cells and wires, among the fields of `engines: crossbar:`.

With the fields as they are by default (an ideal cell, wires without resistance) a crossbar computes in integers. Any effect that is there
makes its sums real numbers: see `analog/layer.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from crossloom import units
from crossloom.circuit import Wires
from crossloom.device import Cell, cell
from crossloom.device.faults import Faults
from crossloom.device.iv import Ohmic
from crossloom.device.programming import Exact
from crossloom.device.reading import Quiet
from crossloom.device.time import Steady
from crossloom.errors import InputError, MachineError

Effect = Literal["programming", "faults", "drift", "reading", "curve", "wires"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
"""What can be switched on and off: errors of writing, stuck cells, the time since, read noise, a curved current-voltage law, wires."""

Given = str | Annotated[float, Field(strict=True, allow_inf_nan=False)]
OF_CELL = "cell"
"""Takes the value from the cell."""


class PhysicsFields(BaseModel):
    """The fields of the file, quantities as people write them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: str = "ideal"
    lowest: Given = OF_CELL
    highest: Given = OF_CELL
    stuck_high: Given = OF_CELL
    stuck_low: Given = OF_CELL
    age: Given = 0.0
    read_voltage: Given = "0.2 V"
    word_resistance: Given = 0.0
    bit_resistance: Given = 0.0
    source_resistance: Given = 0.0
    sense_resistance: Given = 0.0
    access_resistance: Given = 0.0
    word_ends: Literal["one", "both"] = "one"
    bit_ends: Literal["one", "both"] = "one"
    effects: str = "all"
    compensate: Literal["none", "layer", "column"] = "none"
    remap: Literal["none", "rows"] = "none"


@dataclass(frozen=True, slots=True)
class Physics:
    """The cells and wires of a machine's arrays.

    Attributes:
        cell: its effects are those that are switched on.
        levels_s: conductances of level 0 and of the highest level, within what the cell can hold.
        wires: resistances.
        age_s: time between writing and inference.
        read_v: word-line voltage of the largest input digit.
        compensate: factor on the digital sums, one for each layer or for each of its columns, found when the array is `age_s` old.
        remap: word lines are exchanged so that stuck cells do the least harm.
    """

    cell: Cell
    levels_s: tuple[float, float]
    wires: Wires
    age_s: float
    read_v: float
    compensate: Literal["none", "layer", "column"]
    remap: Literal["none", "rows"]

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The effects that are there."""
        there = {
            "programming": not isinstance(self.cell.programming, Exact),
            "faults": self.cell.faults != Faults(),
            "drift": not isinstance(self.cell.drift, Steady) and self.age_s > 0,
            "reading": not isinstance(self.cell.reading, Quiet),
            "curve": not self.cell.iv.ohmic,
            "wires": self.wires != Wires(word_ends=self.wires.word_ends, bit_ends=self.wires.bit_ends),
        }
        return tuple(effect for effect in EFFECTS if there[effect])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results should know: where they leave what was measured."""
        found = []
        if self.age_s > self.cell.longest_s:
            found.append(
                f"cells are {self.age_s:g} s old and {self.cell.name} was measured up to {self.cell.longest_s:g} s after writing: extrapolated, or held there"
            )
        if self.age_s == 0 and not isinstance(self.cell.drift, Steady):
            found.append(f"age is 0 s, so that nothing of what time does to {self.cell.name} is seen; set age, such as age='1 h'")
        if (highest := getattr(self.cell.iv, "highest_v", self.read_v)) < self.read_v:
            found.append(f"cells are read at {self.read_v:g} V and {self.cell.name} was measured up to {highest:g} V: extrapolated")
        if self.cell.note:
            found.append(f"{self.cell.name}: {self.cell.note}")
        if {"curve", "wires"} <= set(self.effects):
            found.append(f"on wires with resistance a curved cell counts with its chord at {self.read_v:g} V, and a little less is left: approximate")
        return tuple(found)

    @property
    def ideal(self) -> bool:
        """Whether the sums of products are exact."""
        return not self.effects

    def only(self, effects: tuple[Effect, ...]) -> Physics:
        """Return the same with only some of the effects."""
        off = [effect for effect in EFFECTS if effect not in effects]
        neutral = {"programming": Exact(), "faults": Faults(), "drift": Steady(), "reading": Quiet(), "curve": Ohmic()}
        names = {"curve": "iv"}
        changes = {names.get(effect, effect): neutral[effect] for effect in off if effect in neutral}
        return replace(self, cell=self.cell.with_(**changes), wires=Wires() if "wires" in off else self.wires)


def physics(fields: PhysicsFields, machine_name: str, input_bits: int) -> Physics:
    """Return the cells and wires that the fields describe. Raises MachineError naming the field."""
    place = f"machine {machine_name}: engines.crossbar"
    try:
        chosen, levels = _ranged(cell(fields.cell), fields, place)
        wires = Wires(
            **{f"{name}_ohm": _quantity(fields, f"{name}_resistance", "resistance", place) for name in ("word", "bit", "source", "sense", "access")},
            word_ends=fields.word_ends,
            bit_ends=fields.bit_ends,
        )
    except InputError as problem:
        raise problem if str(problem).startswith(place) else MachineError(f"{place}: {problem}") from problem
    age, volts = _quantity(fields, "age", "time", place), _quantity(fields, "read_voltage", "voltage", place)
    if not 0 <= age < 1e12 or not 0 < volts < 100:
        what = (
            f"age must be at least 0 s and below 1e12 s, got {age:g}"
            if not 0 <= age < 1e12
            else f"read_voltage must be positive and below 100 V, got {volts:g}"
        )
        raise MachineError(f"{place}.{what}")
    given = Physics(chosen, levels, wires, age, volts, fields.compensate, fields.remap).only(_effects(fields.effects, place))
    if not given.cell.iv.ohmic and input_bits > 1:
        raise MachineError(
            f"{place}.cell: the current of {chosen.name} is not proportional to the voltage, and inputs come as {input_bits}-bit voltages: "
            "set dac.bits=1, or leave the effect curve out (effects)"
        )
    return given


def _ranged(base: Cell, fields: PhysicsFields, place: str) -> tuple[Cell, tuple[float, float]]:
    """Return the cell with the faults that the fields give, and the conductances of its levels.

    A narrower range leaves a cell what it is: its errors are those of its own range, and stuck cells are at its own ends. An ideal cell has no
    range of its own, and takes the one that is given.
    """
    given = {
        name: _quantity(fields, field, "conductance", place)
        for field, name in (("lowest", "low_s"), ("highest", "high_s"))
        if getattr(fields, field) != OF_CELL
    }
    if base.name == "ideal":
        base = base.with_(**given)
    if fields.stuck_high != OF_CELL or fields.stuck_low != OF_CELL:
        shares = (
            getattr(base.faults, field) if getattr(fields, field) == OF_CELL else _quantity(fields, field, "number", place)
            for field in ("stuck_high", "stuck_low")
        )
        base = base.with_(faults=Faults(*shares))
    low, high = given.get("low_s", base.low_s), given.get("high_s", base.high_s)
    if not base.low_s * (1 - 1e-9) <= low < high <= base.high_s * (1 + 1e-9):
        raise MachineError(
            f"{place}: lowest must be below highest, and both within what {base.name} can hold, {base.low_s * 1e6:g} to {base.high_s * 1e6:g} uS; "
            f"got {low * 1e6:g} and {high * 1e6:g} uS; choose another cell, or write a cell file"
        )
    return base, (low, high)


def _quantity(fields: PhysicsFields, name: str, dimension: units.Dimension, place: str) -> float:
    try:
        return units.parse(getattr(fields, name), dimension)
    except ValueError as problem:
        raise MachineError(f"{place}.{name}: {problem}") from problem


def _effects(given: str, place: str) -> tuple[Effect, ...]:
    """Return the effects of a list such as "programming,wires"; "all" and "none" are lists, too."""
    if given in ("all", "none"):
        return EFFECTS if given == "all" else ()
    names = [name.strip() for name in given.split(",")]
    if unknown := [name for name in names if name not in EFFECTS]:
        raise MachineError(f"{place}.effects: no effect {unknown[0]!r}; name some of {', '.join(EFFECTS)}, or all, or none")
    return tuple(effect for effect in EFFECTS if effect in names)
