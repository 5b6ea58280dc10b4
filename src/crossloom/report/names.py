"""Sanitised names for display; names come from untrusted models and files."""

from __future__ import annotations

from rich.text import Text

from crossloom.errors import printable

__all__ = ["plain", "printable", "shorten"]


def shorten(name: str, letters: int) -> str:
    """Return a name shortened to `letters` characters; its end is the most informative, so two thirds of the characters are kept there."""
    name = printable(name)
    if len(name) <= letters:
        return name
    head = max(0, (letters - 1) // 3)
    return f"{name[:head].rstrip('._/')}…{name[len(name) - (letters - 1 - head) :].lstrip('._/')}"


def plain(text: str, look: str = "") -> Text:
    """Return verbatim text for a terminal: brackets in a name are not markup, and nothing in it moves the cursor."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return Text(indent + printable(text), style=look)
