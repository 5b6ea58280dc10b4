"""Calibration of converter ranges on samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossloom.engine.base import Calibrates
from crossloom.engine.registry import all_engines, engine_of
from crossloom.network.integer import evaluate, quantized_inputs
from crossloom.network.replay import batch_of, last_uses
from crossloom.program.placement import Placement
from crossloom.program.program import Program

WORK = 1 << 32
"""Multiply-accumulates spent on calibration samples: a few seconds."""


@dataclass(frozen=True, slots=True)
class SetRanges:
    """Calibrate each stage's converters on its inputs: the network's own calibration samples, computed in integers up to the stage."""

    def __call__(self, program: Program) -> Program:
        listening = {engine.name for engine in all_engines(program.machine) if isinstance(engine, Calibrates) and engine.needs_calibration}
        if not listening:
            return program
        if not program.graph.samples:
            note = f"{program.graph.name} has no calibration samples for converter ranges, which therefore cover the largest possible sums"
            return replace(program, notes=(*program.notes, note))
        tuned = self._tuned(program, listening)
        return replace(program, stages=tuple(replace(stage, placement=tuned.get(stage.name, stage.placement)) for stage in program.stages))

    def _tuned(self, program: Program, listening: set[str]) -> Mapping[str, Placement]:
        """Return the calibrated placements of the stages whose engines need calibration."""
        graph = program.graph
        given = _few(program)
        heads = {stage.nodes[0]: stage for stage in program.stages if stage.engine in listening}
        tensors = quantized_inputs(graph, given) | dict(graph.constants)
        batch = batch_of(graph, given)
        placements: dict[str, Placement] = {}
        with torch.no_grad():
            for node, unused in zip(graph.nodes, last_uses(graph), strict=True):
                read = [tensors[name] for name in node.inputs]
                if (stage := heads.get(node.name)) is not None and isinstance(engine := engine_of(stage, program), Calibrates):
                    placements[stage.name] = engine.calibrate(stage, graph, read)
                tensors[node.name] = evaluate(graph, node, read, batch)
                for name in unused:
                    del tensors[name]
        return placements


def _few(program: Program) -> tuple[Tensor, ...]:
    """Return a network's first samples: as many as `WORK` multiply-accumulates allow, at least one."""
    graph = program.graph
    if graph.batch is not None:
        return graph.samples
    each = sum(stage.positions * stage.placement.weights for stage in program.stages if stage.arrays)
    count = max(1, WORK // max(1, each))
    batched = [type.batched for _, type in graph.inputs]
    return tuple(tensor[:count] if varies else tensor for tensor, varies in zip(graph.samples, batched, strict=True))
