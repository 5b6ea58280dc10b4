"""Pulse response of resistive devices: soft bounds, device-to-device and cycle-to-cycle variation, and write noise.

Weights are normalised: the typical device has the bounds ±1. Each device has bounds low < 0 < high, steps up and down, and optionally a
reference r that is subtracted when it is read. It holds a state s. Let ξ be standard normal and redrawn at every use, and let Δ, c, n be the
step, cycle spread and write noise of its kind. A pulse then does

    up:    s ← s + up·(1 − s/high + c·ξ)
    down:  s ← s − down·(1 − s/low + c·ξ)

after which s is clipped at the bounds. The weight reads w = s − r + n·Δ·ξ, and this ξ stays until the next pulse. Drawn once per device:

    high, low    high·(1 + σ·ξ) and low·(1 + σ·ξ), swapped if they are in the wrong order, then |high| and −|low|
    up, down     Δ·|e^(σ·ξ) ± τ·ξ′|: Δ is the median of the steps, their mean is Δ·e^(σ²/2) for small τ
    r            the symmetry point, where both steps are equal, (up − down)/(up/high − down/low), plus a normal error
    failed       such a device sits anywhere within ±`failed_range` (and its bounds), uniformly; no pulse moves it, and r is only the error

Source: all of the above is the SoftBoundsReferenceDevice of aihwkit 1.2.0 (Rasch et al., arXiv 2104.02184) as implemented in C++,
rpu_pulsed_device.cpp (`populate`) and rpu_softbounds_reference_device.cpp (`update_once_add`). Its documentation prints c·ξ as a factor of
the step; that is the code's other mode, which the published sets do not use. A systematic difference of up and down and a spread of the
slopes are left out, because the published sets have them at zero. Three choices of ours differ from the source. A failed device has no write
noise (with it, write and verify would sooner or later find any weight in that noise). `at` clips the state at the bounds, where the source
clips the weight without adding r. A device set to a weight has no write noise before its first pulse.

Validity: statistics of arrays under trains of equal pulses. The model does not cover time after a pulse, or pulses of other height or length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossloom.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftBounds:
    """A kind of device programmed by pulses, in normalised weights.

    Attributes:
        source: origin of its figures.
        step: Δ, the median change per pulse at weight 0.
        step_spread: σ of the logarithm of the step, device to device.
        tilt_spread: τ, difference between a device's up and down steps, as a fraction of Δ.
        cycle_spread: c, σ of a device's change from pulse to pulse, as a fraction of the device's step.
        write_noise: n, σ of the value read after a pulse around the state, as a fraction of Δ.
        high, low: mean bounds.
        high_spread, low_spread: relative σ of the bounds, device to device.
        reference_spread: σ of the reference around the symmetry point. None: no reference, r = 0.
        failed: fraction of devices that do not respond to pulses.
        failed_range: largest distance from 0 at which failed devices sit.
    """

    source: str
    step: float
    step_spread: float = 0.0
    tilt_spread: float = 0.0
    cycle_spread: float = 0.0
    write_noise: float = 0.0
    high: float = 1.0
    low: float = -1.0
    high_spread: float = 0.0
    low_spread: float = 0.0
    reference_spread: float | None = None
    failed: float = 0.0
    failed_range: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.step < math.inf and -math.inf < self.low < 0 < self.high < math.inf):
            raise InputError(f"soft bounds: need step > 0 and low < 0 < high, all finite, got {self.step:g}, {self.low:g} and {self.high:g}")
        spreads = (self.step_spread, self.tilt_spread, self.cycle_spread, self.write_noise, self.high_spread, self.low_spread, self.failed_range)
        if not all(0 <= each < math.inf for each in (*spreads, self.reference_spread or 0.0)):
            raise InputError("soft bounds: spreads, noise and range must be finite and not negative")
        if not 0 <= self.failed <= 1:
            raise InputError(f"soft bounds: the fraction of failed devices must be 0 to 1, got {self.failed:g}")

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> Devices:
        """Return devices of this kind (float64).

        The draws do not depend on which effects are enabled; a higher fraction of failed devices keeps the failures of a lower one.
        """
        normal = torch.randn(5, *shape, dtype=torch.float64, generator=generator)
        uniform = torch.rand(2, *shape, dtype=torch.float64, generator=generator)
        bounds = self.high * (1 + self.high_spread * normal[0]), self.low * (1 + self.low_spread * normal[1])
        high, low = torch.maximum(*bounds).abs(), -torch.minimum(*bounds).abs()
        gain, tilt = torch.exp(self.step_spread * normal[2]), self.tilt_spread * normal[3]
        up, down = self.step * (gain + tilt).abs(), self.step * (gain - tilt).abs()
        failed = uniform[0] < self.failed
        stuck = torch.lerp(low.clamp(min=-self.failed_range), high.clamp(max=self.failed_range), uniform[1])
        reference = torch.zeros_like(up)
        if self.reference_spread is not None:
            symmetry = (up - down) / (up / high - down / low)
            reference = torch.where(failed, 0.0, symmetry) + self.reference_spread * normal[4]
        return Devices(
            kind=self,
            high=torch.where(failed, stuck, high),
            low=torch.where(failed, stuck, low),
            up=torch.where(failed, 0.0, up),
            down=torch.where(failed, 0.0, down),
            reference=reference,
            failed=failed,
        )


@dataclass(frozen=True, slots=True)
class States:
    """The contents of devices: the state, and the noise of the last write (standard normal, 0 before the first)."""

    state: Tensor
    noise: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Devices as drawn; all tensors have one shape. A failed device has both bounds at its stuck state, and steps of zero."""

    kind: SoftBounds
    high: Tensor
    low: Tensor
    up: Tensor
    down: Tensor
    reference: Tensor
    failed: Tensor

    def at(self, weight: Tensor | float = 0.0) -> States:
        """Return devices set to a weight (as read through their references), clipped at their bounds, without write noise."""
        state = (self.reference + weight).clamp(self.low, self.high)
        return States(state, torch.zeros_like(state))

    def reset(self) -> States:
        """Return devices at their lower bounds, the limit of many pulses down, without write noise."""
        return States(self.low, torch.zeros_like(self.low))

    def weight(self, states: States) -> Tensor:
        """Return the weights read: state − reference + write noise. A second read returns the same."""
        return states.state - self.reference + self.kind.write_noise * self.kind.step * states.noise

    def pulse(self, states: States, direction: Tensor, generator: torch.Generator) -> States:
        """Return the devices after one pulse each: up where `direction` > 0, down where it is < 0, none where it is 0."""
        cycle, write = torch.randn(2, *states.state.shape, dtype=torch.float64, generator=generator)
        noise = self.kind.cycle_spread * cycle
        raised = states.state + self.up * (_room(states.state, self.high) + noise)
        lowered = states.state - self.down * (_room(states.state, self.low) + noise)
        moved = torch.where(direction > 0, raised, lowered).clamp(self.low, self.high)
        touched = (direction != 0) & ~self.failed
        return States(torch.where(touched, moved, states.state), torch.where(touched, write, states.noise))

    def pulses(self, states: States, direction: Tensor, count: int, generator: torch.Generator) -> States:
        """Return the devices after `count` pulses each, applied one at a time."""
        for _ in range(count):
            states = self.pulse(states, direction, generator)
        return states


def _room(state: Tensor, bound: Tensor) -> Tensor:
    """Return 1 − s/bound; 1 for a failed device at exactly 0, whose step is zero anyway."""
    return torch.where(bound == 0, 1.0, 1 - state / bound)


@dataclass(frozen=True, slots=True)
class Programmed:
    """Programmed devices: their states, the number of pulses each took, and whether each reads within the tolerance."""

    states: States
    pulses: Tensor
    reached: Tensor


def write_and_verify(
    devices: Devices, target: Tensor, generator: torch.Generator, *, tolerance: float, most: int, start: States | None = None
) -> Programmed:
    """Return devices after closed-loop programming: read, stop for good if within `tolerance` of the target, else one pulse towards it.

    Each device gets at most `most` pulses; they start from weight 0 unless `start` is given. The write noise of the pulse that hit the target
    stays, so the weight read is within the tolerance even if the state is not. Raises InputError for an invalid tolerance or target.
    """
    if not tolerance > 0 or most < 0 or not bool(torch.isfinite(target).all()):
        raise InputError(f"write and verify: needs finite targets, a tolerance > 0 and at least 0 pulses, got {tolerance:g} and {most}")
    states = devices.at() if start is None else start
    pulses = torch.zeros_like(states.state, dtype=torch.int64)
    for _ in range(most):
        miss = target - devices.weight(states)
        direction = torch.where(miss.abs() > tolerance, miss.sign(), 0.0)
        if not bool(direction.any()):
            break
        states = devices.pulse(states, direction, generator)
        pulses += direction != 0
    return Programmed(states, pulses, (target - devices.weight(states)).abs() <= tolerance)
