"""The result of a run: the three readings together, with their provenance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from crossloom.errors import InputError, printable
from crossloom.job.seed_statistics import SeedStatistics
from crossloom.program.floorplan import LaidBlock
from crossloom.program.program import Program
from crossloom.program.stage import Slots
from crossloom.read.ledger import Ledger
from crossloom.read.timeline import Timeline
from crossloom.units import show

Share = float


Number = float


@dataclass(frozen=True, slots=True)
class Perplexity:
    """exp of the mean cross-entropy over all labelled tokens: in floating point, in exact integers, on the machine.

    With several seeds, the machine's value is the one of the first seed.
    """

    float: Number | None
    quantized: Number
    machine: Number
    tokens: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of correct answers: in floating point, in exact integers, on the machine. `perplexity` is given for per-token answers."""

    float: Share | None
    quantized: Share
    machine: Share
    samples: int
    perplexity: Perplexity | None = None


@dataclass(frozen=True)
class Layers:
    """One row for each stage of the program."""

    rows: tuple[Mapping[str, Any], ...]

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame. Raises InputError if pandas is not installed."""
        try:
            import pandas
        except ImportError as problem:
            raise InputError("to_dataframe needs the package pandas: pip install pandas") from problem
        return pandas.DataFrame([dict(row) for row in self.rows])


@dataclass(frozen=True)
class Result:
    """The result of a network on a machine: accuracy, timing and costs.

    `accuracy` is None without labelled samples. `counts` are the actions of one inference as performed by the values reading, or None if
    nothing was computed. `chance` are the machine's accuracies over several seeds, or None for one seed. `given_rate` is the inference rate
    (1/s) at which cell lifetime is reported, if given. Times are in s, energy in J, area in mm².
    """

    program: Program
    timeline: Timeline
    ledger: Ledger
    accuracy: Accuracy | None
    plans: tuple[Mapping[str, str], ...]
    seed: int
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None
    chance: SeedStatistics | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    given_rate: float | None = None

    @property
    def rate(self) -> float:
        """Inference rate (1/s) at which cell lifetime is reported: as given, otherwise the throughput."""
        return self.given_rate or self.throughput

    @property
    def latency(self) -> float:
        """Time from an input to its result (s)."""
        return self.timeline.latency_s

    @property
    def throughput(self) -> float:
        """Inferences per second in a full pipeline."""
        return self.timeline.throughput_per_s

    @property
    def energy(self) -> float:
        """Energy of one inference in a full pipeline (J), including static power."""
        return self.ledger.energy_j

    @property
    def power(self) -> float:
        """Power in a full pipeline (W)."""
        return self.ledger.energy_j / self.timeline.interval_s if self.timeline.interval_s else 0.0

    @property
    def area(self) -> float:
        """Area of all chips (mm²)."""
        return self.ledger.total_area_mm2

    @cached_property
    def utilization(self) -> dict[str, float]:
        """`spatial`: cells in use over all cells of the arrays used. `temporal`: share of the time for which the former are active.

        For arrays that pass from stage to stage, `spatial` is the average while they work, and `temporal` the share of all these arrays' time
        for which they work.
        """
        program = self.program
        passing = [stage for stage in program.stages if stage.residency.time_shared]
        others = [stage for stage in program.stages if stage.arrays and not stage.residency.time_shared]
        held = sum(program.cells[stage.name] for stage in others if stage.own_arrays)
        working = sum(program.cells[stage.name] * stage.active_s for stage in others)
        if (worked := sum(stage.active_s for stage in passing)) > 0:
            average = sum(program.cells[stage.name] * stage.active_s for stage in passing) / worked
            held += average
            working += average * sum(stage.arrays * stage.active_s for stage in passing) / max(stage.arrays for stage in passing)
        if not held:
            return {"spatial": 0.0, "temporal": 0.0}
        return {"spatial": held / program.available_cells, "temporal": working / (held * self.timeline.interval_s)}

    @cached_property
    def layers(self) -> Layers:
        """A row for each stage: name, operators, engine, times, energy, arrays."""
        rows = []
        for stage in self.program.stages:
            row = self.timeline.by_name[stage.name]
            ops = "+".join(type(self.program.graph.node(name).op).__name__ for name in stage.nodes)
            rows.append(
                {
                    "name": stage.nodes[0],
                    "op": ops,
                    "engine": stage.engine,
                    "latency_s": row.finish_s - row.start_s,
                    "energy_j": self.ledger.by_stage.get(stage.name, 0.0),
                    "arrays": stage.arrays if stage.residency.time_shared else stage.own_arrays,
                    "shares": stage.shares,
                    **({"kit": stage.array_type} if self.program.array_types else {}),
                    "start_s": row.start_s,
                    "finish_s": row.finish_s,
                    "busy_s": row.busy_s,
                    "positions": stage.positions,
                    "copies": stage.copies,
                    "steps": row.steps,
                    "utilization": stage.placement.utilization if stage.arrays else 0.0,
                    "waits_for": self._shown(row.waited_for),
                }
            )
        return Layers(tuple(rows))

    @cached_property
    def placements(self) -> tuple[Mapping[str, Any], ...]:
        """Placement of each stage with arrays, as summarised by its engine."""
        figures = ((stage, stage.placement.summary) for stage in self.program.stages if stage.arrays)
        return tuple({"layer": stage.nodes[0], "engine": stage.engine, **found} for stage, found in figures if found)

    def _shown(self, stage: str) -> str:
        """Return the name under which a stage is shown: the name of its first node, the layer."""
        return self.program.by_name[stage].nodes[0] if stage in self.program.by_name else stage

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data: the JSON document of `crossloom run`."""
        return {
            "model": self.program.graph.name,
            "machine": self.program.machine.name,
            "overrides": {name: value for name, value in self.program.machine.overrides},
            "seed": self.seed,
            "accuracy": asdict(self.accuracy) if self.accuracy else None,
            "chance": self.chance.to_dict() if self.chance else None,
            "latency_s": self.latency,
            "interval_s": self.timeline.interval_s,
            "throughput_per_s": self.throughput,
            "energy_j": self.energy,
            "power_w": self.power,
            "area_mm2": self.area,
            "chips": self.program.chips,
            "utilization": self.utilization,
            "bottleneck": self._shown(self.timeline.bottleneck),
            "takers": self.timeline.contenders,
            "limited_by": self.timeline.limited_by,
            "layers": [dict(row) for row in self.layers],
            "breakdown": {"energy_j": self.ledger.by_component, "area_mm2": self.ledger.area_mm2},
            "actions": self.ledger.actions,
            "wear": self._wear(),
            "floor": self._floor(),
            "placements": [dict(row) for row in self.placements],
            "plan": [dict(row) for row in self.plans],
            "warnings": list(self.warnings),
            "versions": dict(self.versions),
        }

    def _wear(self) -> dict[str, Any] | None:
        """Return which stage's cells wear out first and when, and the wear of each stage that writes cells; None if none does."""
        first = self.ledger.first_worn
        if first is None or not self.rate:
            return None
        rows = [{"stage": self._shown(w.stage), "writes_per_inference": w.per_inference, "inferences": w.inferences} for w in self.ledger.wear]
        worn = {"endurance": first.endurance.value, "mark": first.endurance.mark, "source": first.endurance.source}
        return {"rate_per_s": self.rate, "years": first.years(self.rate), **worn, "stages": rows}

    def _floor(self) -> dict[str, Any] | None:
        """Return the locations and time slots of blocks in arrays that stages share; None if each array belongs to one stage."""
        floor = self.program.floor
        if floor is None:
            return None
        layouts = [{"count": layout.count, "blocks": [self._laid(laid) for laid in layout.blocks]} for layout in floor.layouts]
        return {"arrays": floor.arrays, "rows": floor.rows, "columns": floor.columns, "layouts": layouts}

    def _laid(self, laid: LaidBlock) -> dict[str, Any]:
        block, slots = laid.block, self.program.by_name[laid.stage].slots or Slots()
        place = {"row": laid.row, "column": laid.column, "rows": block.rows, "columns": block.columns, "cells": block.cells}
        return {"stage": self._shown(laid.stage), "role": block.role, **place, "period": slots.period, "phase": slots.phase}

    def to_json(self) -> str:
        """Return `to_dict` as JSON text; every number in it is finite."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, folder: str | Path) -> Path:
        """Write a run folder and return its path. Raises InputError if it exists."""
        return Path(_view("save")(self, folder))

    def report(self, path: str | Path) -> Path:
        """Write a self-contained HTML report and return its path."""
        return Path(_view("write_report")(self, path))

    @property
    def plot(self) -> Any:
        """Plots: `run.plot.energy()`, `.area()`, `.latency()`, `.gantt()`, `.utilization()`; each returns a matplotlib figure.

        If stages share arrays, also `.floor()`, `.activity()` and `.array()`: the floor plan, its activity over time, and a single array in detail.
        """
        return _view("pictures")(self)

    def _repr_html_(self) -> str:
        return str(_view("summary_html")(self))

    def __str__(self) -> str:
        lines = [printable(f"{self.program.graph.name} on {self.program.machine.name}")]
        if self.accuracy:
            real = "" if self.accuracy.float is None else f"float {self.accuracy.float:.2%}, "
            lines.append(
                f"accuracy    {real}quantised {self.accuracy.quantized:.2%}, machine {self.accuracy.machine:.2%} ({self.accuracy.samples} samples)"
            )
            if perplexity := self.accuracy.perplexity:
                real = "" if perplexity.float is None else f"float {perplexity.float:.4g}, "
                lines.append(f"perplexity  {real}quantised {perplexity.quantized:.4g}, machine {perplexity.machine:.4g} ({perplexity.tokens} tokens)")
        lines += [
            f"latency     {show(self.latency, 's')}",
            f"throughput  {self.throughput:.4g} per s (slowest: {printable(self._shown(self.timeline.bottleneck))})",
            f"energy      {show(self.energy, 'J')} per inference, {show(self.power, 'W')}",
            f"area        {show(self.area, 'mm²')} ({self.program.chips} chip{'s' if self.program.chips > 1 else ''})",
        ]
        return "\n".join((*lines, *(f"! {printable(warning)}" for warning in self.warnings)))


def _view(name: str) -> Callable[..., Any]:
    """Return a view of `crossloom.report.views`, looked up by name because reports depend on results but results must not depend on reports."""
    found: Callable[..., Any] = getattr(import_module("crossloom.report.views"), name)
    return found
