"""Names as they can be shown: they come from models and files of anybody."""

from __future__ import annotations

import unicodedata


def printable(name: str) -> str:
    """Return a name on one line without characters that have no picture: control characters, half surrogates, changes of direction."""
    name = " ".join(name.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") else letter for letter in name)


def shorten(name: str, letters: int) -> str:
    """Return a name of at most so many letters; its end says most, so that two thirds of them are kept there."""
    name = printable(name)
    if len(name) <= letters:
        return name
    head = max(0, (letters - 1) // 3)
    return f"{name[:head].rstrip('._/')}…{name[len(name) - (letters - 1 - head) :].lstrip('._/')}"
