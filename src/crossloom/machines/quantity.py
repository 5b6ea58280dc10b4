"""Numbers with provenance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Mark = Literal["published", "derived", "assumed", "calibrated"]
MARKS: tuple[Mark, ...] = ("published", "derived", "assumed", "calibrated")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value in SI units (area in mm²) with its source and a mark of its reliability.

    `published`: printed in the source. `derived`: computed from figures printed in the source. `assumed`: chosen by us, for the
    reason given as the source. `calibrated`: fitted to reproduce a published result.
    """

    value: float
    source: str
    mark: Mark

    def scaled(self, factor: float, why: str, assumed: bool = False) -> Quantity:
        """Return the quantity times a factor. Unless the factor is one, the source gains `why` and a published mark becomes derived."""
        if factor == 1.0:
            return self
        mark: Mark = "assumed" if assumed else "derived" if self.mark == "published" else self.mark
        return replace(self, value=self.value * factor, source=f"{self.source}; {why}", mark=mark)
