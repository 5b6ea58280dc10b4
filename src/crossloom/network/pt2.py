"""Read a file that `torch.export.save` wrote, without executing anything in it.

`torch.export.load` unpickles what the file says is pickled, evaluates the file's expressions of symbols, and writes its names
into Python source that it compiles. So each of these is looked at first, and what torch's own exporter would not have
written for a plain network is refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from crossloom.errors import ModelError

# What symbols of shapes are made of, as sympy's `srepr` spells them, and torch's own functions of symbols.
_FUNCTIONS = {"Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Abs", "And", "Or", "Not"}
_FUNCTIONS |= {"Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "Eq", "Ne"}
_FUNCTIONS |= {"FloorDiv", "CleanDiv", "CeilDiv", "Mod", "PythonMod", "ModularIndexing", "Where", "CeilToInt", "FloorToInt"}
_FUNCTIONS |= {"PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "TruncToInt", "RoundToInt", "ToFloat", "Identity"}
_EXPRESSION: tuple[type[ast.AST], ...] = (ast.Expression, ast.Call, ast.keyword, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.USub, ast.BinOp)
_EXPRESSION += (ast.Add, ast.Sub, ast.Mult, ast.Pow, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_SYMBOL = re.compile(r"[a-z]+\d+")
_NAME = re.compile(r"\w*", re.ASCII)
_PATH = re.compile(r"[^'\"\\(){}\[\]=;,\n\r]*")
_TARGET = re.compile(r"torch\.ops\.\w+\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+", re.ASCII)
_PATTERNS = {"name": _NAME, "as_name": _NAME, "forward_arg_names": _NAME, "target": _TARGET}
_PATTERNS |= dict.fromkeys(("fqn", "parameter_name", "buffer_name", "tensor_constant_name"), _PATH)


def load_program(path: Path) -> ExportedProgram:
    """Return the program in a `.pt2` file. Raises ModelError if the file is no such thing, or holds more than a network."""
    from torch.export.pt2_archive._package import PT2ArchiveReader, load_pt2

    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .pt2 file written by torch.export.save")
    content = path.read_bytes()
    try:
        problem = next(_suspicions(PT2ArchiveReader(BytesIO(content))), None)
        program = None if problem else load_pt2(BytesIO(content)).exported_programs["model"]
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{path}: not a program that torch.export.save wrote ({lines[0][:120].rstrip('.')}); export again") from error
    if problem or not isinstance(program, ExportedProgram):
        raise ModelError(f"{path}: {problem}, which may run code when it is loaded; export the plain network")
    program._guards_code = []  # source text that nothing here needs
    return program


def _suspicions(archive: Any) -> Iterator[str]:
    """Yield what in the archive could run code. The reader is the one that torch loads with, so both see the same bytes."""
    for file in archive.get_file_names():
        kind = file.rsplit("/", 1)[-1]
        if file.startswith(("data/aotinductor/", "data/executorch/", "data/mtia")):
            yield "it holds compiled code"
        elif kind.startswith(("custom_obj_", "opaque_obj_")):
            yield "it holds an object that is not a tensor"
        elif file.startswith(("data/weights/", "data/constants/")) and kind.endswith(".pt"):
            yield "it holds weights in an old format"
        elif file.startswith("data/sample_inputs/") and not _plain(archive.read_bytes(file)):
            yield "its example inputs hold more than tensors"
        elif kind.endswith("_config.json"):
            yield from _pickled(archive, file)
        elif file.startswith("models/"):
            yield from _strange(json.loads(archive.read_bytes(file)), "")


def _plain(pickled: bytes) -> bool:
    """Whether torch's restricted unpickler can read it: tensors, numbers, containers."""
    if not pickled:
        return True
    try:
        torch.load(BytesIO(pickled), weights_only=True)
    except Exception:
        return False
    return True


def _pickled(archive: Any, file: str) -> Iterator[str]:
    for name, entry in json.loads(archive.read_bytes(file))["config"].items():
        if str(entry["path_name"]).startswith(("custom_obj_", "opaque_obj_")):
            yield f"{name} is an object that is not a tensor"
        elif entry["use_pickle"] and not _plain(archive.read_bytes(f"{file.rsplit('/', 1)[0]}/{entry['path_name']}")):
            yield f"{name} is pickled and more than a tensor"


def _strange(value: Any, key: str) -> Iterator[str]:
    """Yield the names, targets and expressions that no exporter writes."""
    if isinstance(value, dict):
        for name, item in value.items():
            if key.endswith("_values") and not _NAME.fullmatch(name):
                yield f"a tensor is named {name[:40]!r}"
            if key != "metadata":
                yield from _strange(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _strange(item, key)
    elif isinstance(value, str):
        if key == "expr_str" and not _harmless(value):
            yield f"a size is given by {value[:40]!r}"
        elif key in _PATTERNS and not _PATTERNS[key].fullmatch(value):
            yield f"its {key} is {value[:40]!r}"


def _harmless(expression: str) -> bool:
    """Whether an expression only makes symbols and numbers and combines them."""
    try:
        nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    except (SyntaxError, ValueError, RecursionError):
        return False
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return all(_plain_part(node, id(node) in called) for node in nodes)


def _plain_part(node: ast.AST, called: bool) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS if called else bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        return bool(_SYMBOL.fullmatch(node.value)) if isinstance(node.value, str) else isinstance(node.value, int | float)
    return isinstance(node, _EXPRESSION) and not called
