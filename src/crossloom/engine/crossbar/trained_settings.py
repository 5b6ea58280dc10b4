"""Which trained circuits stand around the arrays of a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Circuits:
    """What a machine's file says of trained circuits: the names of their files, or empty, and the techniques that are switched on.

    Attributes:
        adder: file of the shift-and-add.
        converter: file of the converter.
        calibrated: whether digital weights of converters, and the adders' offsets, are those measured on each circuit.
        low_first: whether the lowest digit comes first, so that errors of its cycles are divided by what follows.
    """

    adder: str = ""
    converter: str = ""
    calibrated: bool = True
    low_first: bool = True

    @property
    def trained(self) -> bool:
        """Whether there are any."""
        return bool(self.adder or self.converter)
