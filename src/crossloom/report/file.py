"""Write a file whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from crossloom.errors import InputError


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8) or bytes beside their place, rename them there, and return the path.

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
        with working.open("xb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        working.replace(target)
    except BaseException:
        working.unlink(missing_ok=True)
        raise
    return target
