"""Parser for the text form of a program, which `program/text.py` prints."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

from crossloom.engine.registry import adapted, all_engines
from crossloom.errors import ModelError
from crossloom.machines import Machine
from crossloom.network.graph import Graph
from crossloom.program import dependencies, floorplan
from crossloom.program.floorplan import ArrayLayout, CellBlock, FloorPlan, LaidBlock
from crossloom.program.placement import KINDS
from crossloom.program.program import Program
from crossloom.program.stage import ArrayMapping, Dependency, Residency, Slots, Stage, Timing

_STAGE = re.compile(r"stage (?P<name>\S+) \((?P<nodes>[^)]*)\) on (?P<engine>[^\s:]+)(: (?P<fields>.*))?")
_GROUPS = {"timing": Timing, "mapping": ArrayMapping, "residency": Residency, "slots": Slots}
_PROGRAM = re.compile(r"program (?P<graph>.*) on (?P<machine>\S+), (?P<chips>\d+) chips?")


def parse_program(text: str, graph: Graph, machine: Machine) -> Program:
    """Return the program that a text describes, for a quantised network and a machine. Raises ModelError with the line that cannot be parsed."""
    all_engines(machine)  # registers their placements
    program = Program(graph, machine, (), source_graph=graph)
    stages: list[Stage] = []
    notes: list[str] = []
    array_types: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        keyword, _, rest = line.strip().partition(" ")
        try:
            if keyword == "program":
                header = _PROGRAM.fullmatch(line)
                program = replace(program, chips=int(header["chips"]) if header else 1)
            elif keyword == "note":
                notes.append(rest)
            elif keyword == "array_type":
                array_type, _, weights = rest.partition(" ")
                array_types[weights] = machine.view(array_type).array_type
            elif keyword == "stage":
                stages.append(_stage(line))
            elif keyword in ("floor", "arrays", "block"):
                program = replace(program, floor=_on_floor(keyword, rest, program.floor))
            elif keyword:
                stages[-1] = replace(stages[-1], **_field(keyword, rest, stages[-1]))
        except (ValueError, SyntaxError, KeyError, TypeError, IndexError) as problem:
            raise ModelError(f"program text, line {number}: {problem}; see the format in crossloom.program.text") from problem
    return replace(program, graph=adapted(graph, machine, array_types)[0], stages=tuple(stages), notes=tuple(notes), array_types=array_types)


def _stage(line: str) -> Stage:
    match = _STAGE.fullmatch(line.strip())
    if not match:
        raise ValueError(f"{line!r} is not 'stage name (nodes) on engine: ...'")
    nodes = tuple(n.strip() for n in match["nodes"].split(","))
    return Stage(name=match["name"], nodes=nodes, engine=match["engine"], **_keywords(match["fields"] or ""))


def _field(keyword: str, rest: str, stage: Stage) -> dict[str, Any]:
    if keyword == "placement":
        return {"placement": _described(rest)}
    if keyword in _GROUPS:
        return {keyword: _GROUPS[keyword](**_keywords(rest))}
    if keyword == "actions":
        return {"actions": {name: int(count) for name, _, count in (item.partition("=") for item in rest.split())}}
    if keyword == "needs":
        source, _, rule = rest.partition(" ")
        return {"dependencies": (*stage.dependencies, Dependency(source, _described(rule)))}
    raise ValueError(f"unknown line {keyword!r}")


def _on_floor(keyword: str, rest: str, plan: FloorPlan | None) -> FloorPlan:
    """Return the floor plan extended by one line."""
    if keyword == "floor":
        rows, columns = rest.split()
        return FloorPlan(int(rows), int(columns), ())
    if plan is None:
        raise ValueError(f"{keyword} before the line 'floor ROWS COLUMNS'")
    if keyword == "arrays":
        return replace(plan, layouts=(*plan.layouts, ArrayLayout(int(rest), ())))
    stage, row, column, block = rest.split(" ", 3)
    described = _described(block)
    if not isinstance(described, CellBlock):
        raise ValueError(f"{block!r} is not a block")
    *done, last = plan.layouts
    return replace(plan, layouts=(*done, replace(last, blocks=(*last.blocks, LaidBlock(stage, int(row), int(column), described)))))


def _keywords(text: str) -> dict[str, Any]:
    """Return the values in a text such as `copies=4, tiles=(0, 1)`, by name."""
    call = ast.parse(f"_({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args or any(not keyword.arg for keyword in call.keywords):
        raise ValueError(f"{text!r} is not 'name=value, ...'")
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def _described(text: str) -> Any:
    """Return the frozen description written as a text such as `Window(shape=(8, 8), ...)`."""
    call = ast.parse(text, mode="eval").body
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise ValueError(f"{text!r} is not a description with named fields")
    kinds = {**{name: kind for name, kind in (vars(dependencies) | vars(floorplan)).items() if isinstance(kind, type)}, **KINDS}
    return kinds[call.func.id](**{keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg})
