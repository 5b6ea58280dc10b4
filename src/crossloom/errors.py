"""The tree of errors.

CrossloomError                      every error that this package raises deliberately; the command line prints it and exits with code 2
├── InputError                      wrong user input: a file, a field, an argument
│   ├── ModelError                  a network that cannot be imported, quantised or run
│   ├── MachineError                an invalid machine file, component or override
│   └── DataError                   samples or labels that do not fit the network
└── CapacityError                   a network that does not fit the machine: need, have, and what would make it fit

Every message gives the problem, the place and the remedy on one line.
"""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Return the text on one line, with unprintable characters replaced: control characters, lone surrogates, bidirectional marks."""
    text = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") else letter for letter in text)


def one_line(problem: BaseException) -> str:
    """Return the first line of an error's message, at most 160 characters and without its full stop; the error's type if it has no message."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:160].rstrip(".")


class CrossloomError(Exception):
    """Base class of deliberate errors. Messages may quote untrusted input and are sanitised for the terminal."""

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
    """The network needs more of a resource than the machine has."""

    def __init__(self, what: str, need: int, have: int, remedy: str) -> None:
        super().__init__(f"needs {need} {what} and the machine has {have} ({need - have} too few): {remedy}")
        self.what, self.need, self.have, self.remedy = what, need, have, remedy
