"""The size of things: files that a reader can take in, calls that can be read, an engine of few methods, a stage of few fields, rooms that a picture shows."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import crossloom
from crossloom.engine.base import Engine, MappedEngine
from crossloom.program.placement import Placement
from crossloom.program.stage import Stage

SOURCE = Path(crossloom.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LOOSE = {"__init__.py", "__main__.py", "errors.py", "files.py", "units.py"}


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_a_stage_has_at_most_15_fields_and_its_groups_at_most_8() -> None:
    assert len(fields(Stage)) <= 15
    for each in fields(Stage):
        if hasattr(type(each.default), "__dataclass_fields__") and each.name != "placement":
            assert len(fields(type(each.default))) <= 8, each.name


@pytest.mark.parametrize(("protocol", "most"), [(Engine, 8), (MappedEngine, 8), (Placement, 12)])
def test_protocols_are_small(protocol: type, most: int) -> None:
    members = [
        name for name, value in vars(protocol).items() if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]
    assert 1 <= len(members) <= most


def test_nothing_but_the_public_face_lies_loose() -> None:
    assert {path.name for path in SOURCE.glob("*.py")} == LOOSE


def test_every_room_says_what_it_is_for() -> None:
    silent = [
        str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("__init__.py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the package, nested ones too, with the name of its place."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def test_public_functions_take_at_most_5_positional_arguments() -> None:
    """But for the rules of operators, which are called as torch and ONNX call them, and commands, which are called by name."""
    rules = ("network/importers/onnx/", "network/importers/torch/aten/", "cli/")
    long = []
    for place, node in functions():
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args) if each.arg not in ("self", "cls")]
        if not node.name.startswith("_") and len(names) > 5 and not place.startswith(rules):
            long.append(f"{place} ({len(names)})")
    assert long == []
