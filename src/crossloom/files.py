"""Reading and writing of user files: YAML is read safely, and files are written atomically.

YAML is version 1.2: `1e-12` is a number, `no` is a string, and nothing in a file is executed.
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
"""Largest accepted size of a hand-written file (bytes); a larger file is a mistake."""

PICTURES = (".png", ".svg", ".pdf")


def read_yaml(path: Path, wrong: type[InputError] = MachineError) -> Any:
    """Return the mapping in a file; it keeps the line number of each field. Raises `wrong`."""
    if path.stat().st_size > LARGEST:
        raise wrong(f"{path}: larger than {LARGEST} bytes, too large for a description; check that it is the right file")
    try:
        content = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise wrong(f"{path.name}{where}: not valid YAML ({getattr(problem, 'problem', None) or 'not UTF-8 text'}); correct the file") from problem
    except RecursionError as problem:
        raise wrong(f"{path.name}: nested too deeply for a description; check that it is the right file") from problem
    if not isinstance(content, dict):
        raise wrong(f"{path.name}: not a mapping of fields; see the documentation for the format")
    return content


def line_of(document: Any, path: Sequence[Any]) -> int | None:
    """Return the line number (1-based) of the innermost field on a path that exists in the file, or None if unknown."""
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
    """Write text (UTF-8) or bytes to a temporary file, rename it to `path`, and return the path.

    Raises InputError if the parent folder does not exist, or if the path is itself a folder.
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
    """Raise InputError if the file already exists or its folder does not."""
    if path.exists():
        raise InputError(f"{path} exists; choose another name, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.absolute().parent} is not a folder; make it first")


def check_picture(path: Path) -> None:
    """Raise InputError if a picture cannot be written to this path."""
    check_new(path)
    if path.suffix not in PICTURES:
        raise InputError(f"--picture {path}: the file name must end in .png, .svg or .pdf")


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure in the format given by the file's suffix."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:], bbox_inches="tight", dpi=150)
    path.write_bytes(drawn.getvalue())
