"""What a program's schedule does to each array, checked slot by slot against the rule of which blocks may be active."""

from __future__ import annotations

from collections.abc import Iterator

from crossloom.engine.in_array.biasing import Read, Write, conflict
from crossloom.program.floorplan import LaidBlock
from crossloom.program.program import Program


def violations(program: Program) -> list[str]:
    """Return what the schedule does that it must not; nothing if it is right.

    A stage can be at work in each of its slots, so in each slot all whose slot it is are taken to be active. In the read phase of a cycle their
    blocks are read, with nothing but erased cells where the word lines of one meet the bit lines of another; in the write phase those that
    are written are.
    """
    if program.floor is None:
        return []
    slots = {stage.name: stage.slots for stage in program.stages if stage.slots is not None}
    found = []
    for number, layout in enumerate(program.floor.layouts):
        for slot in range(max(slots[laid.stage].period for laid in layout.blocks)):
            active = [laid for laid in layout.blocks if slot % slots[laid.stage].period == slots[laid.stage].phase]
            found += [f"arrays {number}, slot {slot}: {problem}" for problem in _in_one_turn(active, layout.blocks)]
    return found


def _in_one_turn(active: list[LaidBlock], blocks: tuple[LaidBlock, ...]) -> Iterator[str]:
    reads = [Read(*_lines(laid), f"{laid.stage} {place}", f"{laid.stage} {place}") for place, laid in enumerate(active)]
    writes = [Write(*_lines(laid), f"{laid.stage} {place}", 1) for place, laid in enumerate(active) if laid.block.writes]
    for problem in (conflict(*reads, erased=True), conflict(*writes)):
        if problem:
            yield problem
    for first in active:
        for second in active:
            rows, columns = _lines(first)[0], _lines(second)[1]
            for other in blocks:
                if first is not second and other not in (first, second) and _meet(_lines(other)[0], rows) and _meet(_lines(other)[1], columns):
                    yield f"{other} lies where {first} crosses {second}"


def _lines(laid: LaidBlock) -> tuple[range, range]:
    return range(laid.row, laid.row + laid.block.rows), range(laid.column, laid.column + laid.block.columns)


def _meet(first: range, second: range) -> bool:
    return first.start < second.stop and second.start < first.stop
