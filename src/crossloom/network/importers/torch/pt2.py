"""Safe reading of files written by `torch.export.save`: nothing in them is executed.

`torch.export.load` unpickles whatever the file marks as pickled, evaluates its symbolic expressions, and writes its names
into Python source that it compiles. So each of these is checked first. Anything that torch's own exporter would not have
written for a plain network is refused.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from crossloom.errors import ModelError, one_line
from crossloom.network.importers.limits import MOST
from crossloom.network.importers.torch.constant_fold import ARITHMETIC

# Functions in symbolic shapes, as sympy's `srepr` spells them, and torch's own functions of symbols.
_FUNCTIONS = {"Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Abs", "And", "Or", "Not"}
_FUNCTIONS |= {"Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "Eq", "Ne"}
_FUNCTIONS |= {"FloorDiv", "CleanDiv", "CeilDiv", "Mod", "PythonMod", "ModularIndexing", "Where", "CeilToInt", "FloorToInt"}
_FUNCTIONS |= {"PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "TruncToInt", "RoundToInt", "ToFloat", "Identity"}
_EXPRESSION: tuple[type[ast.AST], ...] = (ast.Expression, ast.Call, ast.keyword, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.USub, ast.BinOp)
_EXPRESSION += (ast.Add, ast.Sub, ast.Mult, ast.Pow, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_LONGEST = 4000  # maximum number of characters of a symbolic expression
_MOST_TERMS = 10_000
_HIGHEST_POWER = 16
_SYMBOL = re.compile(r"[a-z]+\d+")
_NAME = re.compile(r"\w*", re.ASCII)
_PATH = re.compile(r"[^'\"\\(){}\[\]=;,\n\r]*")
_ON_SIZES = "|".join(re.escape(f"{function.__module__}.{function.__name__}") for function in (*ARITHMETIC, operator.getitem))
_TARGET = re.compile(rf"torch\.ops\.\w+\.\w+(\.\w+)?|torch\.sym_\w+|{_ON_SIZES}", re.ASCII)
_PATTERNS = {"name": _NAME, "as_name": _NAME, "forward_arg_names": _NAME, "target": _TARGET}
_PATTERNS |= dict.fromkeys(("fqn", "parameter_name", "buffer_name", "tensor_constant_name"), _PATH)


def load_program(path: Path) -> ExportedProgram:
    """Return the program in a `.pt2` file. Raises ModelError if the file is not one, or holds more than a network."""
    from torch.export.pt2_archive._package import PT2ArchiveReader, load_pt2

    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .pt2 file written by torch.export.save")
    content = path.read_bytes()
    try:
        archive = PT2ArchiveReader(BytesIO(content))
        if _inflated(archive.archive_file, len(content)):
            raise ModelError(f"{path}: its parts are compressed, which torch never does, and may grow without bounds; export it again")
        problem = next(_suspicions(archive), None)
        program = None if problem else load_pt2(BytesIO(content)).exported_programs["model"]
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: not a program that torch.export.save wrote ({one_line(error)[:120]}); export it again") from error
    if problem or not isinstance(program, ExportedProgram):
        raise ModelError(f"{path}: {problem}, which torch.export never writes and which may run code when it is loaded; export the plain network")
    if odd := next((name for name, t in {**program.state_dict, **program.constants}.items() if _odd(t)), None):
        raise ModelError(f"{path}: the tensor {odd} is not stored element by element; export it as a plain tensor")
    program._guards_code = []  # source text that nothing here needs
    return program


def _inflated(archive: Any, size: int) -> bool:
    """Return whether the contents of an archive are larger than the archive itself."""
    return bool(sum(archive.get_record_size(name) for name in archive.get_all_records()) > size)


def _odd(tensor: Any) -> bool:
    """Return whether a tensor's elements are not plainly in its memory: sparse, expanded beyond the limit, neither true nor false."""
    if not isinstance(tensor, Tensor) or type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided or tensor.is_quantized:
        return True
    stored = tensor.untyped_storage().nbytes() // tensor.element_size()
    if tensor.is_nested or tensor.device.type != "cpu" or tensor.numel() > max(stored, MOST):
        return True
    return tensor.dtype == torch.bool and tensor.numel() > 0 and int(tensor.contiguous().view(torch.uint8).max()) > 1


def _suspicions(archive: Any) -> Iterator[str]:
    """Yield the contents of the archive that could run code. The reader is the one that torch loads with, so both see the same bytes."""
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
            yield from _empty(archive, file)
        elif file.startswith("models/"):
            yield from _strange(json.loads(archive.read_bytes(file)), "")


def _plain(pickled: bytes) -> bool:
    """Return whether torch's restricted unpickler can read it: tensors, numbers, containers."""
    if not pickled:
        return True
    try:
        if _inflated(torch._C.PyTorchFileReader(BytesIO(pickled)), len(pickled)):
            return False
        torch.load(BytesIO(pickled), weights_only=True)
    except Exception:
        return False
    return True


def _pickled(archive: Any, file: str) -> Iterator[str]:
    for name, entry in json.loads(archive.read_bytes(file))["config"].items():
        if str(entry["path_name"]).startswith(("custom_obj_", "opaque_obj_")):
            yield f"{name} is an object that is not a tensor"
        elif entry["use_pickle"] and not _plain(archive.read_bytes(f"{file.rsplit('/', 1)[0]}/{entry['path_name']}")):
            yield f"{name} is pickled and is more than a tensor"


def _empty(archive: Any, file: str) -> Iterator[str]:
    """Yield the tensors that torch would invent, because they have a shape but no content."""
    for name, entry in json.loads(archive.read_bytes(file))["config"].items():
        sizes = [size.get("as_int", 1) for size in (entry["tensor_meta"] or {}).get("sizes", ())]
        content = f"{file.rsplit('/', 1)[0]}/{entry['path_name']}"
        if 0 not in sizes and not entry["use_pickle"] and not archive.archive_file.get_record_size(content):
            yield f"{name} has no content"


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
    """Return whether an expression only combines symbols and numbers, and is no larger than sizes of tensors need."""
    if len(expression) > _LONGEST:
        return False
    try:
        tree = ast.parse(expression, mode="eval")
        nodes = list(ast.walk(tree))
        called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        return all(_plain_part(node, id(node) in called) for node in nodes) and _terms(tree.body) <= _MOST_TERMS
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _terms(node: ast.AST) -> float:
    """Return the number of terms of an expression that is multiplied out, as sympy does; infinity for powers of powers."""
    name = getattr(getattr(node, "func", None), "id", type(getattr(node, "op", None)).__name__)
    parts = [_terms(part) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr) and part is not getattr(node, "func", None)]
    if max(parts, default=0) > _MOST_TERMS:
        return math.inf
    if name in ("Add", "Sub"):
        return sum(parts)
    if name in ("Mul", "Mult"):
        return math.prod(parts)
    if name not in ("Pow", "PowByNatural", "FloatPow"):
        return 1
    base, exponent = (node.left, node.right) if isinstance(node, ast.BinOp) else node.args  # type: ignore[attr-defined]
    power = _power(exponent)
    inner = any("Pow" in (getattr(part, "id", ""), type(part).__name__) for part in ast.walk(base))
    return math.inf if power > _HIGHEST_POWER or (inner and power > 1) else parts[0] ** power


def _power(node: ast.AST) -> float:
    """Return the magnitude of an exponent that is a number; infinity for others."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Integer", "Rational", "Float"):
        node = node.args[0]
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    value = getattr(node, "value", None)
    return abs(value) if isinstance(value, int | float) else math.inf


def _plain_part(node: ast.AST, called: bool) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS if called else bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        return (
            bool(_SYMBOL.fullmatch(node.value)) if isinstance(node.value, str) else isinstance(node.value, int | float) and abs(node.value) < 1 << 64
        )
    return isinstance(node, _EXPRESSION) and not called
