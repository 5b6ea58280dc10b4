"""Resolution of a validated document: counts multiply down the tree, laws scale library figures, and units are parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crossloom import units
from crossloom.errors import MachineError
from crossloom.machines.laws import Factors, factors_of
from crossloom.machines.machine import Action, Machine, Part
from crossloom.machines.quantity import Quantity
from crossloom.machines.schema import ActionChange, ActionEntry, AssembledEntry, Cited, ComponentEntry, MachineEntry, PartEntry, UnitEntry

LARGEST = 1e18
"""Upper limit on any figure of a machine. No real figure comes near it; a larger one is a typing error and would overflow in sums."""

_DIMENSIONS: dict[str, units.Dimension] = {
    "rate": "rate",
    "capacity": "capacity",
    "node": "length",
    "length": "length",
    "supply": "voltage",
    "read_voltage": "voltage",
    "on_resistance": "resistance",
    "pulse": "time",
}
_LIMITS = {"bits": 64, "cell_bits": 64, "rows": 1 << 20, "columns": 1 << 20, "domains": 1 << 20}
"""Upper limits of parameters that scaling laws multiply or use as an exponent of two; no real design exceeds them."""
_NOTHING = Quantity(0.0, "none given; taken as zero", "assumed")


def build(
    entry: MachineEntry, library: Mapping[str, ComponentEntry], document: Mapping[str, Any], overrides: tuple[tuple[str, Any], ...], origin: str
) -> Machine:
    """Return the machine. Raises MachineError naming the invalid part and field."""
    walk = _Walk(library, origin)
    walk.unit("chip", entry.chip, entry.chip.count, {})
    assemblies = dict(_assemblies("chip", entry.chip))
    return Machine(
        name=entry.machine,
        title=entry.title,
        paper=entry.paper,
        parts=walk.parts,
        units=walk.counts,
        shared=walk.shared,
        engines=entry.engines,
        compile=entry.compile,
        cycle_s=_cited(entry.cycle, "time", f"{origin}: cycle") if entry.cycle else None,
        document=document,
        overrides=overrides,
        note=entry.note,
        costs_only=entry.kind == "costs",
        assemblies=assemblies,
    )


def _assemblies(path: str, unit: UnitEntry) -> Iterator[tuple[str, str]]:
    for name, child in unit.parts.items():
        if isinstance(child, AssembledEntry):
            yield f"{path}.{name}", child.of
        elif isinstance(child, UnitEntry):
            yield from _assemblies(f"{path}.{name}", child)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Walk down the tree that collects the parts, the unit counts and the parameters that units pass to the parts inside them."""

    library: Mapping[str, ComponentEntry]
    origin: str
    parts: dict[str, Part] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    shared: dict[str, dict[str, float]] = field(default_factory=dict)

    def unit(self, path: str, unit: UnitEntry | AssembledEntry, total: float, given: Mapping[str, float]) -> None:
        """Add a unit and its total count; `given` holds the parameters inherited from the enclosing units."""
        self.counts[path] = total
        own = _parameters(f"{self.origin}: {path}", unit.with_) if isinstance(unit, UnitEntry) else {}
        given = {**given, **own}
        resolved = self._leaves(path, unit, total, given)
        for name, child in unit.parts.items():
            if name in resolved:
                self.parts[f"{path}.{name}"] = resolved[name]
            elif isinstance(child, UnitEntry | AssembledEntry):
                self.unit(f"{path}.{name}", child, total * child.count, given)
        known = {name for part in self.parts.values() if part.path.startswith(f"{path}.") for name in part.parameters}
        if unknown := [name for name in own if name not in known]:
            raise MachineError(
                f"{self.origin}: {path}.with: no part inside has a parameter {unknown[0]}; choose from {', '.join(sorted(known)) or 'none'}"
            )
        if own:
            self.shared[path] = own

    def _leaves(self, path: str, unit: UnitEntry | AssembledEntry, total: float, given: Mapping[str, float]) -> dict[str, Part]:
        """Return a unit's parts, each after the part that its `per` refers to. Raises MachineError."""
        leaves = {name: part for name, part in unit.parts.items() if isinstance(part, PartEntry)}
        resolved: dict[str, Part] = {}
        waiting = dict(leaves)
        while waiting:
            ready = {n: p for n, p in waiting.items() if p.per is None or p.per.partition(".")[0] in resolved}
            if not ready:
                name, part = next(iter(waiting.items()))
                raise MachineError(f"{self.origin}: {path}.{name}.per: {part.per} names no part in the same unit; choose one of {', '.join(leaves)}")
            for name, part in ready.items():
                count = part.count * _per(f"{self.origin}: {path}.{name}", part.per, resolved)
                resolved[name] = _part(f"{path}.{name}", part, (count, count * total), (self.library, self.origin), given)
                del waiting[name]
        return resolved


def _per(where: str, per: str | None, resolved: Mapping[str, Part]) -> float:
    """Return the factor on a count: the count of a sibling part, or that count times one of its parameters."""
    if per is None:
        return 1.0
    name, _, parameter = per.partition(".")
    other = resolved[name]
    if parameter and parameter not in other.parameters:
        raise MachineError(f"{where}.per: {name} has no parameter {parameter}; choose from {', '.join(other.parameters)}")
    return other.count * (other.parameters[parameter] if parameter else 1.0)


def _part(
    path: str, part: PartEntry, counts: tuple[float, float], source: tuple[Mapping[str, ComponentEntry], str], given: Mapping[str, float]
) -> Part:
    """Return a part resolved from the library.

    `counts` is its count in the unit and on the chip, `source` the library and the file's name, `given` the parameters of the enclosing units.
    """
    (count, total), (library, origin) = counts, source
    where = f"{origin}: {path}"
    if part.use not in library:
        near = [name for name in library if name.partition(".")[2] == part.use.partition(".")[2]] or sorted(library)[:6]
        raise MachineError(f"{where}.use: no component named {part.use}; choose from {', '.join(near)}, ...")
    base = library[part.use]
    start = _parameters(where, base.parameters)
    if unknown := [name for name in part.with_ if name not in start]:
        raise MachineError(f"{where}.with: {part.use} has no parameter {unknown[0]}; choose from {', '.join(start) or 'none'}")
    wanted = start | {name: value for name, value in given.items() if name in start} | _parameters(where, part.with_)
    if bad := [name for name, value in wanted.items() if not 0 < value <= _LIMITS.get(name, LARGEST)]:
        raise MachineError(f"{where}.{bad[0]} must be positive and at most {_LIMITS.get(bad[0], LARGEST):g}, got {wanted[bad[0]]:g}")
    factors = factors_of(base.laws, start, wanted)
    energy = factors.energy / factors.time
    power = _cited(part.power, "power", where) if part.power else _cited(base.power, "power", where).scaled(energy, factors.why, factors.assumed)
    return Part(
        path=path,
        component=part.use,
        about=base.about,
        count=count,
        total=total,
        parameters=wanted,
        area_mm2=_cited(part.area, "area", where)
        if part.area
        else _cited(base.area, "area", where).scaled(factors.area, factors.why, factors.assumed),
        power_w=power,
        static_w=_static(part, base, where, factors),
        actions={
            name: _action(f"{where}.{name}", base, base.actions.get(name), part.actions.get(name), part, factors)
            for name in {**base.actions, **part.actions}
        },
        extension=part.extension,
    )


def _static(part: PartEntry, base: ComponentEntry, where: str, factors: Factors) -> Quantity:
    if part.static:
        return _cited(part.static, "power", where)
    return _cited(base.static, "power", where).scaled(factors.static, factors.why, factors.assumed) if base.static else _NOTHING


def _action(where: str, component: ComponentEntry, base: ActionEntry | None, own: ActionChange | None, part: PartEntry, factors: Factors) -> Action:
    """Return an action's cost: the part's own figures, or those of the library scaled by the law."""
    power = _cited(part.power or component.power, "power", where)
    energy = latency = None
    if base is not None:
        grows = factors.of(where.rpartition(".")[2])
        own_power = part.power is not None and base.busy is not None
        energy = _energy(where, base, power).scaled(factors.time if own_power else grows, factors.why, factors.assumed)
        given = base.latency or base.busy
        latency = _cited(given, "time", where).scaled(factors.time, factors.why, factors.assumed) if given else None
    if own is not None and (own.energy or own.busy):
        energy = _energy(where, own, power)
    if own is not None and own.latency:
        latency = _cited(own.latency, "time", where)
    if energy is None:
        raise MachineError(f"{where}: give 'energy', or 'busy' (the time during which the component draws its power)")
    worn = own.endurance if own is not None and own.endurance else base.endurance if base is not None else None
    return Action(energy, latency or _NOTHING, _cited(worn, "number", where) if worn else None)


def _energy(where: str, entry: ActionChange, power: Quantity) -> Quantity:
    if entry.energy is not None:
        return _cited(entry.energy, "energy", where)
    assert entry.busy is not None
    busy = _cited(entry.busy, "time", where)
    mark = "derived" if busy.mark == "published" and power.mark == "published" else busy.mark if busy.mark != "published" else power.mark
    return Quantity(power.value * busy.value, f"{power.source} x {busy.source}", mark)


def _parameters(where: str, given: Mapping[str, str | float]) -> dict[str, float]:
    try:
        return {name: units.parse(value, _DIMENSIONS.get(name, "number")) for name, value in given.items()}
    except ValueError as problem:
        raise MachineError(f"{where}: {problem}") from problem


def _cited(cited: Cited, dimension: units.Dimension, where: str) -> Quantity:
    try:
        value = units.parse(cited.value, dimension) / cited.for_
    except ValueError as problem:
        raise MachineError(f"{where}: {problem}") from problem
    if not 0 <= value < LARGEST:
        raise MachineError(f"{where}: {cited.value} must not be negative, and must be below {LARGEST:g} in SI units")
    return Quantity(value, cited.source, cited.mark)
