"""Resolved machine: every part with its count and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from crossloom.errors import MachineError
from crossloom.machines.quantity import Quantity


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a component: energy (J), occupancy (s), and write endurance in cycles (None: unlimited)."""

    energy_j: Quantity
    latency_s: Quantity
    endurance: Quantity | None = None


class ActionKey(NamedTuple):
    """A part and one of its actions: `adc.convert` in text."""

    part: str
    action: str

    @classmethod
    def of(cls, text: str) -> ActionKey:
        """Return the key that a text such as `adc.convert` stands for."""
        part, _, action = text.partition(".")
        return cls(part, action)

    def __str__(self) -> str:
        return f"{self.part}.{self.action}"


@dataclass(frozen=True, slots=True)
class Part:
    """A component in its place in the tree. Figures are per instance; `count` is the number per parent unit, `total` the number per chip."""

    path: str
    component: str
    about: str
    count: float
    total: float
    parameters: Mapping[str, float]
    area_mm2: Quantity
    power_w: Quantity
    static_w: Quantity
    actions: Mapping[str, Action]
    extension: bool = False

    @property
    def name(self) -> str:
        """The last word of the path: the role by which engines look it up."""
        return self.path.rpartition(".")[2]

    @property
    def unit(self) -> str:
        """The path of its parent unit."""
        return self.path.rpartition(".")[0]

    @property
    def in_tile(self) -> bool:
        """Whether it belongs to a tile."""
        return ".tile." in self.path

    def whole(self, parameter: str) -> int:
        """Return a parameter that must be a whole number. Raises MachineError."""
        value = self.parameters.get(parameter)
        if value is None or value != int(value) or value < 1:
            raise MachineError(f"{self.path}.{parameter} must be a whole number of at least 1, got {value}")
        return int(value)


@dataclass(frozen=True)
class Machine:
    """A machine as a flattened tree of units: parts by path, and the number of each unit by path.

    `engines` and `compile` hold the settings as written in the file; the engines and the compiler check them.
    `document` is the file's content after inheritance and overrides; variants are built from it.

    Arrays of several sizes, each with its own periphery, are *array types*: parts whose names share a suffix, such as `array_128` and `adc_128` beside
    `array_256` and `adc_256`. Engines see one array type at a time, in a view of the machine in which these parts play the roles `array` and `adc`.
    """

    name: str
    title: str
    paper: str
    parts: Mapping[str, Part]
    units: Mapping[str, float]
    engines: Mapping[str, Mapping[str, Any]]
    compile: Mapping[str, Any]
    cycle_s: Quantity | None
    document: Mapping[str, Any] = field(repr=False)
    overrides: tuple[tuple[str, Any], ...] = ()
    note: str = ""
    costs_only: bool = False
    assemblies: Mapping[str, str] = field(default_factory=dict)
    """Name of the library assembly by unit path, for the units that are assemblies."""
    array_type: str = ""
    """The array type of a view; empty for the whole machine."""
    shared: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Parameters that units pass to the parts inside them, such as the node of a chip: by unit path and parameter name."""

    @cached_property
    def bound(self) -> dict[str, Any]:
        """The engines bound to this machine, by name, so that settings are read and checked once. Filled by `crossloom.engine.registry`."""
        return {}

    @cached_property
    def by_role(self) -> dict[str, Part]:
        """Parts by the last word of their path, without the suffix of the view's array type; a name that occurs twice is left out."""
        roles: dict[str, Part | None] = {}
        for part in self.parts.values():
            role = part.name.removesuffix(f"_{self.array_type}") if self.array_type else part.name
            roles[role] = None if role in roles else part
        return {name: part for name, part in roles.items() if part is not None}

    @property
    def array_types(self) -> tuple[str, ...]:
        """Names of the array types with a nonzero count, such as `128` for `array_128`; empty for a machine with one kind of array and for a view."""
        return tuple(self._views)

    def view(self, array_type: str) -> Machine:
        """Return a view with the parts of one array type in their roles and those of the others hidden; the machine itself for "". Raises MachineError."""
        if not array_type:
            return self
        if array_type not in self._views:
            raise MachineError(f"machine {self.name} has no array type {array_type}; it has {', '.join(self.array_types) or 'none'}")
        return self._views[array_type]

    @property
    def views(self) -> tuple[Machine, ...]:
        """The views of all array types; the machine itself if it has none."""
        return tuple(self._views.values()) or (self,)

    @cached_property
    def _views(self) -> dict[str, Machine]:
        if self.array_type:
            return {}
        names = {part.name.removeprefix("array_"): part.total for part in self.parts.values() if part.name.startswith("array_")}

        def of(array_type: str) -> Machine:
            others = tuple(f"_{name}" for name in names if name != array_type)
            return replace(self, array_type=array_type, parts={path: part for path, part in self.parts.items() if not part.name.endswith(others)})

        return {array_type: of(array_type) for array_type, total in names.items() if total}

    def part(self, role: str) -> Part:
        """Return the part that plays a role. Raises MachineError if there is none or more than one."""
        if role not in self.by_role:
            paths = [path for path in self.parts if path.endswith("." + role)]
            problem = f"has several parts named {role} ({', '.join(paths)})" if paths else f"has no part named {role}"
            raise MachineError(f"machine {self.name} {problem}; the engine needs exactly one")
        return self.by_role[role]

    def action(self, name: str) -> Action:
        """Return the action named by a text such as `adc.convert`. Raises MachineError."""
        key = ActionKey.of(name)
        part = self.part(key.part)
        if key.action not in part.actions:
            raise MachineError(
                f"machine {self.name}: {part.path} ({part.component}) has no action {key.action}; choose from {', '.join(part.actions) or 'none'}"
            )
        return part.actions[key.action]

    def optional(self, role: str) -> Part | None:
        """Return the part that plays a role, or None; a part whose count is zero counts as absent."""
        part = self.by_role.get(role)
        return part if part is not None and part.total else None

    @property
    def tiles(self) -> float:
        """Number of tiles on a chip; 1 for a machine without a unit named tile."""
        return next((count for path, count in self.units.items() if path.endswith(".tile")), 1.0)

    def count_of(self, unit: str) -> float:
        """Return the number of a unit on one chip, by the end of its path. Raises MachineError."""
        for path, count in self.units.items():
            if path == unit or path.endswith("." + unit):
                return count
        raise MachineError(f"machine {self.name} has no unit named {unit}; choose from {', '.join(self.units)}")

    def built_in(self) -> Iterator[Part]:
        """Yield the parts of the published machine: all but extensions and library assemblies with a count of zero."""
        return (part for part in self.parts.values() if not part.extension and (part.total or part.unit not in self.assemblies))

    @property
    def area_mm2(self) -> float:
        """Area (mm²) of one chip without extensions."""
        return sum(part.total * part.area_mm2.value for part in self.built_in())

    @property
    def power_w(self) -> float:
        """Power (W) of one chip with every part active, without extensions."""
        return sum(part.total * part.power_w.value for part in self.built_in())

    def with_(self, **changes: Any) -> Machine:
        """Return a variant with other values, such as `with_(adc_bits=7)`. A name is any unambiguous end of a path, with dots as underscores.

        Raises MachineError for a name that matches no field or several, or for an invalid value.
        """
        from crossloom.machines.load import variant

        return variant(self, changes)
