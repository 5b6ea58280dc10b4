"""Breakdown of a result: energy and area by component, by layer, and by the mark of the underlying numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossloom.machines.explain import explain
from crossloom.machines.quantity import MARKS

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.machines import Machine, Part
    from crossloom.program.program import Program


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One component: dynamic and static energy (J, one inference), area (mm², all chips), and shares of the totals."""

    name: str
    dynamic_j: float
    static_j: float
    energy_share: float
    area_mm2: float
    area_share: float


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source, the mark of its numbers, and the fields that it provides."""

    source: str
    mark: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MarkRow:
    """Contribution of numbers with one mark: their count, and their shares of energy and area."""

    mark: str
    numbers: int
    energy_share: float
    area_share: float


def share(part: float, whole: float) -> float:
    """Return part over whole, or zero if the whole is zero."""
    return part / whole if whole else 0.0


def layer_name(program: Program, stage: str) -> str:
    """Return the name of a stage in tables and pictures: the name of its first node."""
    return program.by_name[stage].nodes[0] if stage in program.by_name else stage


def bottleneck(result: Result) -> str:
    """Return the layer that limits the throughput."""
    return layer_name(result.program, result.timeline.bottleneck)


def largest(values: Mapping[str, float], keep: int) -> dict[str, float]:
    """Return the largest values in descending order and, if more than one is left, the sum of the rest under `N others`."""
    ordered = dict(sorted(values.items(), key=lambda item: -item[1]))
    if len(ordered) <= keep + 1:
        return ordered
    names = list(ordered)
    return {name: ordered[name] for name in names[:keep]} | {f"{len(names) - keep} others": sum(ordered[name] for name in names[keep:])}


def dynamic_energy(result: Result) -> dict[str, float]:
    """Return the dynamic energy (J) of each component, largest first."""
    totals: dict[str, float] = {}
    for entry in result.ledger.entries:
        totals[entry.component] = totals.get(entry.component, 0.0) + entry.energy_j
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def layer_energy(result: Result) -> dict[str, dict[str, float]]:
    """Return the dynamic energy (J) of each component in each layer, with layers in program order."""
    energies: dict[str, dict[str, float]] = {stage.name: {} for stage in result.program.stages}
    for entry in result.ledger.entries:
        row = energies[entry.stage]
        row[entry.component] = row.get(entry.component, 0.0) + entry.energy_j
    return {layer_name(result.program, stage): row for stage, row in energies.items()}


def component_rows(result: Result) -> list[ComponentRow]:
    """Return a row for each component, the one with the largest energy first, then the largest area."""
    dynamic, static, area = dynamic_energy(result), result.ledger.static_j, result.ledger.area_mm2
    energy_j, area_mm2 = result.energy, result.area
    rows = []
    for name in {**dynamic, **static, **area}:
        work, idle, room = dynamic.get(name, 0.0), static.get(name, 0.0), area.get(name, 0.0)
        rows.append(ComponentRow(name, work, idle, share(work + idle, energy_j), room, share(room, area_mm2)))
    return sorted(rows, key=lambda row: (-row.dynamic_j - row.static_j, -row.area_mm2, row.name))


def used_parts(result: Result) -> list[Part]:
    """Return the parts counted in the ledger: all parts of the published machine, and extensions that the program uses."""
    acting = {entry.component for entry in result.ledger.entries}
    return [part for part in result.program.machine.parts.values() if not part.extension or part.name in acting]


def used_fields(result: Result) -> list[dict[str, Any]]:
    """Return the rows of `explain` for the numbers behind this result, without idle extensions and without unused actions."""
    machine = result.program.machine
    actions = result.ledger.actions
    wanted = {"cycle"}
    for part in used_parts(result):
        wanted |= {f"{part.path}.{figure}" for figure in ("area", "power", "static")}
        for action in part.actions:
            if actions.get(f"{part.name}.{action}"):
                wanted |= {f"{part.path}.{action}.energy", f"{part.path}.{action}.latency"}
    return [row for row in explain(machine) if row["field"] in wanted and row["mark"]]


def source_rows(result: Result) -> list[SourceRow]:
    """Return every source of this result's numbers: calibrated and assumed ones first; within a mark zeros last, then by number of fields."""
    found: dict[tuple[str, str], list[str]] = {}
    values: dict[tuple[str, str], float] = {}
    for row in used_fields(result):
        origin = (str(row["mark"]), str(row["source"]))
        found.setdefault(origin, []).append(str(row["field"]).removeprefix("chip."))
        values[origin] = max(values.get(origin, 0.0), float(row["value"]))
    order = {mark: place for place, mark in enumerate(("calibrated", "assumed", "derived", "published"))}
    rows = [SourceRow(source, mark, tuple(fields)) for (mark, source), fields in found.items()]
    return sorted(rows, key=lambda row: (order[row.mark], not values[row.mark, row.source], -len(row.fields), row.source))


def mark_rows(result: Result) -> list[MarkRow]:
    """Return the count of numbers for each mark, and the shares of energy and area that depend on them."""
    machine, chips, interval_s = result.program.machine, result.program.chips, result.timeline.interval_s
    energy, area = energy_by_mark(result, machine), Counter[str]()
    for part in used_parts(result):
        energy[part.static_w.mark] += part.total * part.static_w.value * chips * interval_s  # type: ignore[assignment]
        area[part.area_mm2.mark] += part.total * part.area_mm2.value * chips  # type: ignore[assignment]
    numbers = Counter(str(row["mark"]) for row in used_fields(result))
    return [MarkRow(mark, numbers[mark], share(energy[mark], result.energy), share(area[mark], result.area)) for mark in MARKS]


def energy_by_mark(result: Result, machine: Machine) -> Counter[str]:
    """Return the energy (J) of all actions by the mark of their unit energy."""
    energy = Counter[str]()
    for entry in result.ledger.entries:
        energy[machine.part(entry.component).actions[entry.action].energy_j.mark] += entry.energy_j  # type: ignore[assignment]
    return energy
