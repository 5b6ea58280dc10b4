"""Users' files: YAML read safely, and everything written whole or not at all.

YAML is version 1.2: `1e-12` is a number, `no` is a word, and nothing in a file is executed.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from crossloom.errors import InputError, MachineError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 1 << 20
"""Bytes of a file that somebody wrote; a larger one is a mistake."""

PICTURES = (".png", ".svg", ".pdf")


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


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8) or bytes beside their place, rename them there, and return the path.

    Raises InputError if there is no folder to write into, or the path is one itself.
    """
    target = Path(path)
    folder = target.absolute().parent
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; make it first, or write {target.name} elsewhere")
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it, such as {target / 'report.html'}")
    working = folder / f".{target.name}.{secrets.token_hex(4)}"
    try:
        with working.open("xb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        working.replace(target)
    except BaseException:
        working.unlink(missing_ok=True)
        raise
    return target


def check_new(path: Path) -> None:
    """Raise InputError if a file is there already, or its folder is not."""
    if path.exists():
        raise InputError(f"{path} exists; choose another name, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.absolute().parent} is not a folder; make it first")


def check_picture(path: Path) -> None:
    """Raise InputError if no picture can be written there."""
    check_new(path)
    if path.suffix not in PICTURES:
        raise InputError(f"--picture {path}: its name must end in .png, .svg or .pdf")


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the file's name ends in."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:], bbox_inches="tight", dpi=150)
    path.write_bytes(drawn.getvalue())
