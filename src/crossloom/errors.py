"""What can go wrong, as a small tree.

CrossloomError                      everything that this package raises on purpose; the command line prints it and exits with 2
├── InputError                      something the user gave is wrong: a file, a field, an argument
│   ├── ModelError                  a network that cannot be imported or quantised
│   ├── MachineError                a machine file, a component or an override that makes no sense
│   └── DataError                   samples or labels that do not fit the network
└── CapacityError                   the network does not fit the machine: need, have and what would make it fit

Every message names the thing, the place and the remedy, on one line.
"""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Return text on one line without characters that have no picture: control characters, half surrogates, changes of direction."""
    text = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") else letter for letter in text)


def one_line(problem: BaseException) -> str:
    """Return the first line of an error's text, at most 160 characters and without the full stop; its kind if it has no text."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:160].rstrip(".")


class CrossloomError(Exception):
    """Base of all errors that are answers rather than faults. What they quote comes from files of anybody, and is shown in terminals."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InputError(CrossloomError):
    """The user's input is wrong."""


class ModelError(InputError):
    """The network cannot be imported, quantised or run."""


class MachineError(InputError):
    """The machine description is wrong."""


class DataError(InputError):
    """The samples or labels are wrong."""


class CapacityError(CrossloomError):
    """The network needs more of something than the machine has."""

    def __init__(self, what: str, need: int, have: int, remedy: str) -> None:
        super().__init__(f"needs {need} {what} and the machine has {have} ({need - have} too few): {remedy}")
        self.what, self.need, self.have, self.remedy = what, need, have, remedy
