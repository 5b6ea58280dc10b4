"""The compiled program as text: the whole program, or one layer after a pass of its engine."""

from __future__ import annotations

from collections.abc import Iterator

from crossloom.engine.base import Lists
from crossloom.engine.registry import engine_of
from crossloom.errors import InputError
from crossloom.program.program import Program


def listing(program: Program, layer: str | None = None, after: str | None = None, piece: int = 0) -> Iterator[str]:
    """Yield the lines of a program, or of one of its layers after a pass of its engine (by default the last).

    A layer that works in several arrays in parallel has one piece per array. Raises InputError for a layer, pass or piece that does not exist.
    """
    if layer is None:
        if after is not None or piece:
            raise InputError("--after and --piece need --layer")
        yield from str(program).splitlines()
        return
    layer = _named(layer, program)
    stage = program.stage_of[layer]
    engine = engine_of(stage, program)
    if not isinstance(engine, Lists):
        if after is not None:
            raise InputError(f"--after {after}: the {stage.engine} engine, which runs {layer}, has no passes of its own; omit --after")
        yield repr(stage.placement) if stage.arrays else f"{layer}: computed by the {stage.engine} engine, without arrays"
        return
    if after is not None and after not in engine.passes:
        raise InputError(f"--after {after}: the {stage.engine} engine has no such pass; choose one of {', '.join(engine.passes)}")
    pieces = engine.pieces(stage)
    if not 0 <= piece < pieces:
        raise InputError(f"--piece {piece}: no such piece; {layer} has {pieces}, numbered from 0")
    yield from engine.listing(stage, program, after or engine.passes[-1], piece)


def _named(layer: str, program: Program) -> str:
    """Return the layer with this name, or the only one whose name ends with it. Raises InputError."""
    ends = [layer] if layer in program.stage_of else [name for name in program.stage_of if name.endswith(f".{layer}")]
    if len(ends) != 1:
        near = ends or [name for name in program.stage_of if layer in name] or list(program.stage_of)
        what = "several layers" if ends else "no layer"
        raise InputError(
            f"--layer {layer}: {program.graph.name} has {what} of this name; choose from {', '.join(near[:8])}{', ...' if len(near) > 8 else ''}"
        )
    return ends[0]
