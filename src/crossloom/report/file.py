"""Write a file whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from crossloom.errors import InputError


def write_whole(path: str | Path, text: str) -> Path:
    """Write text beside its place, rename it there, and return the path.

    Raises InputError if there is no folder to write into, or the path is one itself.
    """
    target = Path(path)
    folder = target.absolute().parent
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; make it first, or write {target.name} elsewhere")
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it, such as {target / 'report.html'}")
    working = folder / f".{target.name}.{secrets.token_hex(4)}"
    try:
        with working.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        working.replace(target)
    except BaseException:
        working.unlink(missing_ok=True)
        raise
    return target
