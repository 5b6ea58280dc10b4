"""What a chip of crossbars could do at best: every array at work all the time."""

from __future__ import annotations

from dataclasses import dataclass

from crossloom.engine.crossbar.mapping.encode import Digits, Slices
from crossloom.engine.crossbar.settings import crossbars
from crossloom.machines import Machine

_WITH_READS = {"array", "dac", "sample_hold", "input_register"}
"""Parts that work once for each read; the others keep pace with the converters."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Operations per second (a multiply-accumulate is two), power (W), area (mm²) and weights stored (bytes) of one chip."""

    operations_per_s: float
    power_w: float
    area_mm2: float
    storage_bytes: float

    @property
    def computational_efficiency(self) -> float:
        """GOPS/(s·mm²), the CE of shafiee2016."""
        return self.operations_per_s / 1e9 / self.area_mm2

    @property
    def power_efficiency(self) -> float:
        """GOPS/W, the PE of shafiee2016."""
        return self.operations_per_s / 1e9 / self.power_w

    @property
    def storage_efficiency(self) -> float:
        """MiB/mm², the SE of shafiee2016."""
        return self.storage_bytes / 2**20 / self.area_mm2


def peak(machine: Machine, weight_bits: int = 16, input_bits: int = 16, *, signed: bool = True) -> Peak:
    """Return the peak of a machine's chip, extensions left out, for weights and inputs of some bits; `signed` is of the inputs.

    An array of R rows and C columns does R · ⌊C / slices⌋ products in one operation of as many cycles as the input has digits.
    Where several arrays share a converter, the cycle is as long as it takes to convert them all, and what happens once for
    each read draws its power for that share of the time.
    """
    xbar = crossbars(machine)
    array = machine.part("array")
    slices, digits = Slices.of(weight_bits, xbar.encoding, xbar.cell_bits), Digits.of(input_bits, signed, xbar.input_bits)
    products = array.total * xbar.rows * (xbar.columns // xbar.lines_of(len(slices)))
    read_s = machine.cycle_s.value if machine.cycle_s else array.actions["read"].latency_s.value
    duty = read_s / xbar.cycle_s
    power = sum(part.total * part.power_w.value * (duty if part.name in _WITH_READS else 1.0) for part in machine.built_in())
    return Peak(
        2 * products / ((len(digits) + xbar.pause_cycles) * xbar.cycle_s),
        power,
        machine.area_mm2,
        array.total * xbar.rows * xbar.columns * xbar.cell_bits / 8,
    )
