"""Names as they can be shown: they come from models and files of anybody."""

from __future__ import annotations

from rich.text import Text

from crossloom.errors import printable

__all__ = ["plain", "printable", "shorten"]


def shorten(name: str, letters: int) -> str:
    """Return a name shortened to `most` letters; its end says most, so two thirds of the letters are kept there."""
    name = printable(name)
    if len(name) <= letters:
        return name
    head = max(0, (letters - 1) // 3)
    return f"{name[:head].rstrip('._/')}…{name[len(name) - (letters - 1 - head) :].lstrip('._/')}"


def plain(text: str, look: str = "") -> Text:
    """Return text for a terminal as it is: brackets in a name are not markup, and nothing in it moves the cursor."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return Text(indent + printable(text), style=look)
