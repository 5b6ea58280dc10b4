"""A number that knows where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Mark = Literal["published", "derived", "assumed", "calibrated"]
MARKS: tuple[Mark, ...] = ("published", "derived", "assumed", "calibrated")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value in SI units (area in mm²) with its source, and a mark that says what it is worth.

    `published`: printed there. `derived`: computed from what is printed there. `assumed`: chosen by us, the source says
    why. `calibrated`: fitted so that a published result comes out.
    """

    value: float
    source: str
    mark: Mark

    def scaled(self, factor: float, why: str, assumed: bool = False) -> Quantity:
        """Return the quantity times a factor; unless that is one, it is derived and says so."""
        if factor == 1.0:
            return self
        mark: Mark = "assumed" if assumed else "derived" if self.mark == "published" else self.mark
        return replace(self, value=self.value * factor, source=f"{self.source}; {why}", mark=mark)
