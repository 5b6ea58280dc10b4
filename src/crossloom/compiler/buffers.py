"""A check that each layer's input fits into the buffers of its tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from crossloom.network.graph import Graph
from crossloom.program.dependencies import Window
from crossloom.program.program import Program
from crossloom.program.stage import Stage


@dataclass(frozen=True, slots=True)
class CheckBuffers:
    """Compare each layer's input in flight, ((width · (kernel − 1)) + kernel) · channels, with its tiles' buffers (shafiee2016, Section VI)."""

    def __call__(self, program: Program) -> Program:
        buffer = program.machine.optional("buffer")
        if buffer is None or "capacity" not in buffer.parameters:
            return program
        notes = []
        for stage in program.stages:
            need = _held(stage, program.graph)
            have = buffer.parameters["capacity"] * max(1, stage.tiles[1])
            if stage.arrays and need > have:
                notes.append(
                    f"{stage.nodes[0]} must buffer {need:.0f} bytes of input, and its {stage.tiles[1]} tiles have {have:.0f}; "
                    "add tiles or enlarge the buffer"
                )
        return replace(program, notes=(*program.notes, *notes))


def _held(stage: Stage, graph: Graph) -> float:
    node = graph.node(stage.nodes[0])
    window = next((wait.rule for wait in stage.dependencies if isinstance(wait.rule, Window)), None)
    if window is None or node.inputs[0] not in graph.quantization:
        return 0.0
    rest = math.prod(window.shape[1:])
    entries = rest * (window.kernel[0] - 1) + window.kernel[-1]
    return entries * graph.types[node.inputs[0]].sizes()[1] * graph.quantization[node.inputs[0]].bits / 8
