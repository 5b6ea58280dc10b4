"""The fixed-point formats of softmax units, written as their papers do: 6.3 is six bits before the binary point and three after it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from crossloom.network.quantization import Quantization

LEAST, MOST = 2, 12
"""Bits of a format. The tables of the units have a row for each code: 4096 are enough for arrays that anybody would build."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Two's complement with `integer` bits before the binary point, the sign among them, and `fraction` bits after it."""

    integer: int
    fraction: int

    def __post_init__(self) -> None:
        if self.integer < 1 or self.fraction < 0:
            raise ValueError(f"format {self} has no bit for the sign or a negative fraction: give at least 1 bit before the point and 0 after it")
        if not LEAST <= self.bits <= MOST:
            raise ValueError(f"format {self} has {self.bits} bits: give {LEAST} to {MOST} in all, such as 6.3")

    @classmethod
    def of(cls, text: str) -> Fixed:
        """Return the format written as "6.3"."""
        found = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})", text.strip())
        if found is None:
            raise ValueError(
                f"format {text!r} is not of the form INTEGER.FRACTION: give the bits before and after the binary point in quotes, such as '6.3'"
            )
        return cls(int(found[1]), int(found[2]))

    @property
    def bits(self) -> int:
        """Bits in all."""
        return self.integer + self.fraction

    @property
    def codes(self) -> int:
        """How many numbers can be represented."""
        return 1 << self.bits

    @property
    def low(self) -> int:
        """Smallest code, in units of 2^-fraction."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Largest code, in units of 2^-fraction."""
        return (1 << (self.bits - 1)) - 1

    def quantization(self, unit: float = 1.0) -> Quantization:
        """Return the integers of this format, where a real 1 before the point is worth `unit`."""
        return Quantization((math.ldexp(unit, -self.fraction),), bits=self.bits)

    def __str__(self) -> str:
        return f"{self.integer}.{self.fraction}"


def _readable(value: object) -> object:
    """Take 6.3 without quotes, too: YAML and the command line read a number."""
    text = str(value) if isinstance(value, float) else value
    if isinstance(text, str):
        Fixed.of(text)
    return text


Format = Annotated[str, BeforeValidator(_readable)]
"""A format as a machine's file has it, checked."""
