"""Text form of a program, which can be parsed again: a paragraph per stage and, if stages share arrays, one per array layout.

    program small on isaac-ce, 1 chip
    note ...
    array_type 128 conv1.weight
    stage relu1 (conv1, relu1) on crossbar: positions=64
      placement Tiling(rows=27, columns=8, slices=8, ...)
      timing interval_s=8e-07, latency_s=1.4e-06, limited_by='array.read'
      mapping copies=4, arrays=8, tiles=(0, 1)
      actions adc.convert=8192 array.read=512
      needs pool1 Window(shape=(8, 8), ...)
    floor 512 512
    arrays 3
      block relu1 0 0 CellBlock(rows=27, columns=512, ...)

A line contains only the values that differ from their defaults, and a group without such values has no line. The graph and the machine are not
part of the text; `crossloom.compiler.parse.parse_program` takes them as arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from crossloom.program.program import Program
from crossloom.program.stage import Stage

_HEADER = frozenset(("name", "nodes", "engine"))
"""Fields of a stage in the header of its first line."""


def print_program(program: Program) -> str:
    """Return the text form of a program."""
    lines = [f"program {program.graph.name} on {program.machine.name}, {program.chips} chip{'s' * (program.chips != 1)}"]
    lines += [f"note {note}" for note in program.notes]
    lines += [f"array_type {array_type} {weights}" for weights, array_type in program.array_types.items()]
    for stage in program.stages:
        lines += _stage(stage)
    if program.floor is not None:
        lines.append(f"floor {program.floor.rows} {program.floor.columns}")
        for layout in program.floor.layouts:
            lines.append(f"arrays {layout.count}")
            lines += [f"  block {laid.stage} {laid.row} {laid.column} {described(laid.block)}" for laid in layout.blocks]
    return "\n".join(lines) + "\n"


def _stage(stage: Stage) -> Iterator[str]:
    """Yield the lines of a stage: its plain fields in the first line, then one line per group."""
    groups = dict(_changed(stage))
    plain = ", ".join(f"{name}={value!r}" for name, value in groups.items() if isinstance(value, bool | int | str) and name not in _HEADER)
    yield f"stage {stage.name} ({', '.join(stage.nodes)}) on {stage.engine}{': ' if plain else ''}{plain}"
    for name, value in groups.items():
        if name == "placement":
            yield f"  {name} {described(value)}"
        elif name == "actions":
            yield f"  {name} " + " ".join(f"{action}={count}" for action, count in value.items())
        elif name == "dependencies":
            yield from (f"  needs {wait.stage} {described(wait.rule)}" for wait in value)
        elif is_dataclass(value):
            yield f"  {name} {_keywords(value)}".rstrip()


def described(value: Any) -> str:
    """Return the text of a frozen description, such as `Window(shape=(8, 8))`, with the fields that differ from their defaults."""
    return f"{type(value).__name__}({_keywords(value)})"


def _keywords(value: Any) -> str:
    return ", ".join(f"{name}={found!r}" for name, found in _changed(value))


def _changed(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a dataclass that differ from their defaults, in order."""
    for each in fields(value):
        found = getattr(value, each.name)
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if found != default:
            yield each.name, found
