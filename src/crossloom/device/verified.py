"""Programming error after write and verify, for devices of which only the pulse response is published.

Derived by us, not measured: `left_over` draws devices of a kind without references, resets them, programs them with `write_and_verify`, and
sorts the errors. Weights map linearly to conductances, g = high·(w − w₀)/(w₁ − w₀), a mapping that no source gives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from crossloom.device.update import Programmed, SoftBounds, write_and_verify
from crossloom.errors import InputError

TARGETS, DEVICES, SEED = 13, 8000, 0


@dataclass(frozen=True, slots=True)
class Verified:
    """Simulated programming error of write and verify: pulses and reads until within a tolerance. The error is not normal.

    A standard normal number z has the rank Φ(z). The lowest ranks are the failed devices, evenly spread over their range around weight 0. Each other
    rank takes the simulated error of the same rank among working devices. Most of these are within the tolerance; for the rest the target
    exceeds the device's bounds, or the pulses ran out. Between simulated targets, errors of equal rank are interpolated.
    Which cells miss is redrawn at each write, whereas in a real array they are the same each time.

    Attributes:
        kind: the devices and their pulse response, without a reference.
        tolerance: largest error, as a weight, at which programming stops.
        most: maximum number of pulses per device.
        at_zero, at_high: w₀ and w₁, the weights at 0 S and at the cell's highest conductance.
    """

    kind: SoftBounds
    tolerance: float
    most: int
    at_zero: float
    at_high: float

    def __post_init__(self) -> None:
        if not self.at_zero < self.at_high:
            raise InputError(f"verified: the weight at 0 S must be below that at the highest conductance, got {self.at_zero:g} and {self.at_high:g}")

    def sigma(self, target_s: Tensor, high_s: float) -> Tensor:
        """Return the standard deviation of the error around its nonzero mean, over the mixture of working and failed devices."""
        work, failed, weight = left_over(self), self.kind.failed, self._weight(target_s, high_s)
        row, share = _place(target_s, high_s)
        bias = torch.lerp(work.mean[row], work.mean[row + 1], share)
        own = work.covariance[row, row] * (1 - share) ** 2 + work.covariance[row + 1, row + 1] * share**2
        within = own + 2 * share * (1 - share) * work.covariance[row, row + 1]
        variance = (1 - failed) * within + failed * self.kind.failed_range**2 / 3 + failed * (1 - failed) * (bias + weight) ** 2
        return torch.sqrt(variance.clamp(min=0.0)) * self._siemens(high_s)

    def written(self, target_s: Tensor, error: Tensor, high_s: float) -> Tensor:
        """Return target + the error of the same rank as `error`; for a failed device, its stuck value."""
        rank, failed = torch.special.ndtr(error), self.kind.failed
        missed = self._missed(target_s, ((rank - failed) / max(1 - failed, 1e-12)).clamp(min=0.0), high_s)
        stuck = (2 * rank / max(failed, 1e-12) - 1) * self.kind.failed_range
        return target_s + torch.where(rank < failed, stuck - self._weight(target_s, high_s), missed) * self._siemens(high_s)

    def _missed(self, target_s: Tensor, rank: Tensor, high_s: float) -> Tensor:
        """Return the errors, as weights, of working devices with ranks from 0 to 1."""
        ranked = left_over(self).ranked
        row, share = _place(target_s, high_s)
        place = rank * (DEVICES - 1)
        point = place.floor().clamp(0, DEVICES - 2).to(torch.int64)
        low = torch.lerp(ranked[row, point], ranked[row, point + 1], place - point)
        high = torch.lerp(ranked[row + 1, point], ranked[row + 1, point + 1], place - point)
        return torch.lerp(low, high, share)

    def _siemens(self, high_s: float) -> float:
        """Return the conductance (S) per unit of weight."""
        return high_s / (self.at_high - self.at_zero)

    def _weight(self, target_s: Tensor, high_s: float) -> Tensor:
        return self.at_zero + target_s / self._siemens(high_s)


@dataclass(frozen=True, slots=True)
class LeftOver:
    """Errors of working devices, as weights, for targets from `at_zero` to `at_high`.

    Attributes:
        ranked: errors, target × device, in ascending order.
        mean: mean error of each target.
        covariance: covariance of errors of equal rank, target × target.
    """

    ranked: Tensor
    mean: Tensor
    covariance: Tensor


@cache
def left_over(law: Verified) -> LeftOver:
    """Return the errors left by write and verify, simulated once per law (half a second) and deterministic for a law."""
    targets = torch.linspace(law.at_zero, law.at_high, TARGETS, dtype=torch.float64)[:, None].expand(TARGETS, DEVICES)
    missed, _ = program(replace(law, kind=replace(law.kind, failed=0.0)), targets, torch.Generator().manual_seed(SEED))
    ranked = missed.sort(dim=1).values
    return LeftOver(ranked, *_moments(ranked))


def program(law: Verified, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Programmed]:
    """Return the errors (weight read minus target) of newly drawn devices, reset and then programmed, and the outcome of programming."""
    devices = replace(law.kind, reference_spread=None).draw(target.shape, generator)
    done = write_and_verify(devices, target, generator, tolerance=law.tolerance, most=law.most, start=devices.reset())
    return devices.weight(done.states) - target, done


def _place(target_s: Tensor, high_s: float) -> tuple[Tensor, Tensor]:
    """Return the index of the simulated target below each target, and the fraction of the way to the next."""
    place = target_s / high_s * (TARGETS - 1)
    row = place.floor().clamp(0, TARGETS - 2).to(torch.int64)
    return row, place - row


def _moments(ranked: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and covariance of piecewise linear rows: ∫f·g = (2·f₀g₀ + f₀g₁ + f₁g₀ + 2·f₁g₁)/6 for each piece."""
    a, b = ranked[:, :-1], ranked[:, 1:]
    mean = ((a + b) / 2).mean(dim=1)
    product = (2 * a @ a.T + a @ b.T + b @ a.T + 2 * b @ b.T) / (6 * a.shape[1])
    return mean, product - torch.outer(mean, mean)
