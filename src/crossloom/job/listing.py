"""What the compiler made of a network, as text: the whole program, or one layer after one of its engine's passes."""

from __future__ import annotations

from collections.abc import Iterator

from crossloom.engine.registry import engine_named
from crossloom.errors import InputError
from crossloom.program import Program


def listing(program: Program, layer: str | None = None, after: str | None = None, piece: int = 0) -> Iterator[str]:
    """Yield the lines of a program, or of one of its layers after a pass of its engine, the last if none is named.

    A layer that works in several arrays at once has a piece for each. Raises InputError for a layer, a pass or a piece that is not there.
    """
    if layer is None:
        if after is not None or piece:
            raise InputError("--after and --piece are of a layer; name one with --layer")
        yield from str(program).splitlines()
        return
    if layer not in program.stage_of:
        near = [name for name in program.stage_of if layer in name] or list(program.stage_of)
        raise InputError(
            f"--layer {layer}: {program.graph.name} has none of this name; it has {', '.join(near[:8])}{', ...' if len(near) > 8 else ''}"
        )
    stage = program.stage_of[layer]
    engine, view = engine_named(stage.engine), program.machine_of(stage)
    passes = engine.passes(view)
    if not passes:
        if after is not None:
            raise InputError(f"--after {after}: the {stage.engine} engine, which runs {layer}, has no passes of its own; leave it out")
        yield repr(stage.placement)
        return
    if after is not None and after not in passes:
        raise InputError(f"--after {after}: no such pass of the {stage.engine} engine; there are {', '.join(passes)}")
    pieces = engine.pieces(stage, program.graph, view)
    if not 0 <= piece < pieces:
        raise InputError(f"--piece {piece}: {layer} has {pieces}, counted from 0")
    yield from engine.listing(stage, program, after or passes[-1], piece)
