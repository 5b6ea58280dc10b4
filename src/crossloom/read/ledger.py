"""The ledger: dynamic energy, static energy and wear of one inference, and the area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from crossloom.machines import ActionKey, Part, Quantity
from crossloom.program.program import Program
from crossloom.program.stage import Stage
from crossloom.read.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Entry:
    """One action of one stage: its count and its total energy."""

    stage: str
    component: str
    action: str
    count: int
    energy_j: float


YEAR_S = 365.25 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Wear:
    """Wear of arrays that inferences write: writes per cell and inference, and the write endurance.

    `stage` owns the arrays. `stages` write them with the `part.action` in `action`; there are several if arrays pass from stage to stage.
    """

    stage: str
    per_inference: float
    endurance: Quantity
    action: str
    stages: tuple[str, ...]

    @property
    def inferences(self) -> float:
        """Number of inferences after which the cells are worn out."""
        return self.endurance.value / self.per_inference

    def years(self, rate_hz: float) -> float:
        """Return the lifetime in years at `rate_hz` inferences per second."""
        return self.inferences / rate_hz / YEAR_S


@dataclass(frozen=True)
class Ledger:
    """The reading of costs, for one inference in a full pipeline. `wear` lists the stages whose cells are written repeatedly."""

    entries: tuple[Entry, ...]
    static_j: dict[str, float]
    area_mm2: dict[str, float]
    chips: int
    wear: tuple[Wear, ...] = ()

    @property
    def first_worn(self) -> Wear | None:
        """The wear of the stage whose cells wear out first; None if none do."""
        return min(self.wear, key=lambda each: each.inferences, default=None)

    @cached_property
    def by_component(self) -> dict[str, float]:
        """Energy (J) of each component, with `(static)` entries for static energy."""
        totals: Counter[str] = Counter()
        for entry in self.entries:
            totals[entry.component] += entry.energy_j  # type: ignore[assignment]
        for name, energy in self.static_j.items():
            if energy:
                totals[f"{name} (static)"] += energy  # type: ignore[assignment]
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    @cached_property
    def by_stage(self) -> dict[str, float]:
        """Dynamic energy (J) of each stage."""
        totals: Counter[str] = Counter()
        for entry in self.entries:
            totals[entry.stage] += entry.energy_j  # type: ignore[assignment]
        return dict(totals)

    @cached_property
    def actions(self) -> dict[str, int]:
        """Number of each `component.action`."""
        totals: Counter[str] = Counter()
        for entry in self.entries:
            totals[f"{entry.component}.{entry.action}"] += entry.count
        return dict(totals)

    @property
    def energy_j(self) -> float:
        """Energy of one inference."""
        return sum(entry.energy_j for entry in self.entries) + sum(self.static_j.values())

    @property
    def total_area_mm2(self) -> float:
        """Area of all chips."""
        return sum(self.area_mm2.values())


def read_ledger(program: Program, timeline: Timeline) -> Ledger:
    """Return the costs of one inference.

    Static power is charged for the initiation interval, on all chips. Extensions (components that the published machine does not have)
    count only if the program uses them.
    """
    entries = []
    for stage in program.stages:
        for name, count in stage.actions.items():
            component, action = ActionKey.of(name)
            price = program.machine.part(component).actions[action].energy_j.value
            entries.append(Entry(stage.name, component, action, count, count * price))
    used = {entry.component for entry in entries}
    parts = [part for part in program.machine.parts.values() if part.total and (not part.extension or part.name in used)]
    static: dict[str, float] = {}
    area: dict[str, float] = {}
    for part in parts:
        label = _label(part, parts)
        static[label] = static.get(label, 0.0) + part.total * part.static_w.value * program.chips * timeline.interval_s
        area[label] = area.get(label, 0.0) + part.total * part.area_mm2.value * program.chips
    return Ledger(tuple(entries), static, area, program.chips, tuple(_wear(program)))


def _wear(program: Program) -> Iterator[Wear]:
    """Yield the wear of each array owner. Successive segments, and chunks of layers, are written into the same arrays, each once.

    Stages that release their arrays to the next wear them together; the most-written cell of each is assumed to be the same.
    """
    left: dict[str, list[Stage]] = {}
    phases = len(program.segments) + sum(stage.residency.chunks - 1 for stage in program.stages)
    for stage in program.stages:
        if not stage.residency.writes_per_inference or (written := _written(stage, program)) is None:
            continue
        if stage.placement.releases_arrays:
            left.setdefault(stage.holder, []).append(stage)
        else:
            yield Wear(stage.name, stage.residency.writes_per_inference * (phases if stage.residency.programming_s else 1), *written, (stage.name,))
    for holder, stages in left.items():
        written = _written(stages[0], program)
        assert written is not None
        yield Wear(holder, sum(stage.residency.writes_per_inference for stage in stages), *written, tuple(stage.name for stage in stages))


def _written(stage: Stage, program: Program) -> tuple[Quantity, str] | None:
    """Return the write endurance of a stage's cells and the action that writes them; None if the endurance is unknown."""
    array = program.machine_of(stage).part("array")
    name = next((name for name in ("write_cell", "write") if f"{array.name}.{name}" in stage.actions), "write_row")
    action = array.actions.get(name)
    endurance = action.endurance if action is not None else None
    return (endurance, f"{array.name}.{name}") if endurance is not None and endurance.value else None


def _label(part: Part, parts: list[Part]) -> str:
    """Return the name of a component in entries; its path if two components share a name."""
    return part.name if sum(other.name == part.name for other in parts) == 1 else part.path
