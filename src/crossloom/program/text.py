"""The program as text that prints and parses: a paragraph for each stage, and one for each kind of array where stages share them.

    program small on isaac-ce, 1 chip
    note ...
    kit 128 conv1.weight
    stage conv1 (conv1, relu1) crossbar
      placement Tiling(groups=1, rows=27, ...)
      runs positions=64 copies=4 interval_s=8e-07 latency_s=1.4e-06 limited_by='array.read' arrays=8 tiles=(0, 1) hops=1
      does adc.convert=8192 array.read=512
      waits pool1 Window(shape=(8, 8), ...)
    floor 512 512
    arrays 3
      block conv1 0 0 Block(rows=27, columns=512, ...)

The graph and the machine stay behind, as in the graph's own text; `parse_program` takes them.
"""

from __future__ import annotations

from crossloom.program.placement import NO_ARRAYS
from crossloom.program.program import Program

_RUNS = (
    "positions",
    "copies",
    "interval_s",
    "latency_s",
    "limited_by",
    "arrays",
    "shares",
    "tiles",
    "before",
    "per_tile",
    "hops",
    "segment",
    "load_s",
    "inferences_per_load",
    "parts",
    "ahead",
    "rewrites",
    "sets",
    "own",
    "per_step",
    "passed_on",
    "stays",
    "fed",
    "in_tile",
    "kit",
    "alone",
)


def print_program(program: Program) -> str:
    """Return the text form."""
    lines = [f"program {program.graph.name} on {program.machine.name}, {program.chips} chips"]
    lines += [f"note {note}" for note in program.notes]
    lines += [f"kit {kit} {weights}" for weights, kit in program.kits.items()]
    for stage in program.stages:
        lines.append(f"stage {stage.name} ({', '.join(stage.nodes)}) {stage.engine}")
        if stage.placement != NO_ARRAYS:
            lines.append(f"  placement {stage.placement!r}")
        lines.append("  runs " + " ".join(f"{name}={getattr(stage, name)!r}".replace(", ", ",") for name in _RUNS))
        if stage.turns is not None:
            lines.append(f"  turns {stage.turns!r}")
        if stage.actions:
            lines.append("  does " + " ".join(f"{name}={count}" for name, count in stage.actions.items()))
        lines += [f"  waits {wait.stage} {wait.rule!r}" for wait in stage.waits]
    if program.floor is not None:
        lines.append(f"floor {program.floor.rows} {program.floor.columns}")
        for layout in program.floor.layouts:
            lines.append(f"arrays {layout.count}")
            lines += [f"  block {laid.stage} {laid.row} {laid.column} {laid.block!r}" for laid in layout.blocks]
    return "\n".join(lines) + "\n"
