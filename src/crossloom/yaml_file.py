"""Read YAML 1.2 safely: `1e-12` is a number, `no` is a word, and nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from crossloom.errors import InputError, MachineError

LARGEST = 1 << 20
"""Bytes of a file that somebody wrote; a larger one is a mistake."""


def read_yaml(path: Path, wrong: type[InputError] = MachineError) -> Any:
    """Return the mapping that a file holds; it remembers the lines of its fields. Raises `wrong`."""
    if path.stat().st_size > LARGEST:
        raise wrong(f"{path}: larger than {LARGEST} bytes, which no description needs; is it the right file?")
    try:
        content = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise wrong(f"{path.name}{where}: not valid YAML ({getattr(problem, 'problem', None) or 'not UTF-8 text'}); mend the file") from problem
    except RecursionError as problem:
        raise wrong(f"{path.name}: nested deeper than any description needs; is it the right file?") from problem
    if not isinstance(content, dict):
        raise wrong(f"{path.name}: it holds no mapping of fields; see the documentation for the form")
    return content


def line_of(document: Any, path: Sequence[Any]) -> int | None:
    """Return the line (from 1) of the innermost field of a path that the file has, or None if that is not known."""
    line: int | None = None
    for step in path:
        if not isinstance(document, dict | list):
            break
        marks = getattr(document, "lc", None)
        try:
            if marks is not None and marks.data is not None:
                line = marks.data[step][0] + 1
            document = document[step]
        except (KeyError, IndexError, TypeError):
            continue
    return line
