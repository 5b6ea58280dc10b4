"""Files that the user names: never over one that exists, and whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from crossloom.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")


def check_new(path: Path) -> None:
    """Raise InputError if a file is there already, or its folder is not."""
    if path.exists():
        raise InputError(f"{path} exists; choose another name, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.absolute().parent} is no folder; make it first")


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
