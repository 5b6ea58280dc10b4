"""Seed-to-seed statistics of the accuracy: one program, cells reprogrammed per seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class SeedStatistics:
    """Accuracies of runs that differ only in their seed, in the order of the seeds."""

    each: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy."""
        return sum(self.each) / len(self.each)

    @property
    def deviation(self) -> float:
        """The run-to-run standard deviation; 0 for one run."""
        if len(self.each) < 2:
            return 0.0
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.each) / (len(self.each) - 1))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean over seeds (Student's t), within 0 and 1; None for one run.

        It states how well the mean is known. How far a single chip may lie from the mean is given by `deviation`.
        """
        if len(self.each) < 2:
            return None
        from scipy import stats

        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(self.each) - 1)) * self.deviation / math.sqrt(len(self.each))
        return max(0.0, self.mean - reach), min(1.0, self.mean + reach)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "runs": len(self.each),
            "mean": self.mean,
            "deviation": self.deviation,
            "interval": None if self.interval is None else list(self.interval),
            "each": list(self.each),
        }
