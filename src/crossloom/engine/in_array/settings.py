"""Settings of in-array functions in a machine file, under `engines: blocks:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crossloom.engine.checked_settings import checked
from crossloom.engine.crossbar.settings import crossbars
from crossloom.engine.softmax.formats import Format
from crossloom.engine.softmax.settings import unit_path
from crossloom.errors import MachineError
from crossloom.machines import Machine

Where = Literal["array", "digital"]
ACTIONS = {"array": ("read_row", "write_cell", "bias"), "sense_amplifier": ("sense",)}
"""Actions required of the components of a machine that computes functions in its arrays."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    relu: Where = "array"
    pooling: Where = "array"
    softmax: Where = "array"
    format: Format = "6.3"
    exp_bits: Annotated[int, Field(strict=True, ge=1, le=24)] = 16
    quotient_bits: Annotated[int, Field(strict=True, ge=1, le=16)] = 8


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions that a machine's arrays compute, the format of a softmax, the size of the arrays, and the bits of their ADCs.

    On a machine with softmax units, the arrays do not compute softmax.
    """

    relu: bool
    pooling: bool
    softmax: bool
    format: str
    exp_bits: int
    quotient_bits: int
    rows: int
    columns: int
    adc_bits: int

    @property
    def any(self) -> bool:
        """Whether arrays compute any function."""
        return self.relu or self.pooling or self.softmax


def functions(machine: Machine) -> Functions:
    """Return a machine's settings. Raises MachineError naming the invalid setting, or a component that lacks an action of the functions."""
    given = checked(_File, "blocks", machine)
    array = machine.part("array")
    relu, pooling, softmax = (name == "array" for name in (given.relu, given.pooling, given.softmax))
    softmax = softmax and unit_path(machine) is None
    if relu or pooling or softmax:
        _check(machine)
    rows, columns, adc_bits = array.whole("rows"), array.whole("columns"), machine.part("adc").whole("bits")
    return Functions(relu, pooling, softmax, given.format, given.exp_bits, given.quotient_bits, rows, columns, adc_bits)


def cycle_of(machine: Machine) -> tuple[float, str]:
    """Return the cycle time in seconds and the `part.action` that limits it: that of a product, or a read and a write pulse if these are longer."""
    xbar, does = crossbars(machine), machine.part("array").actions
    written = max(("write_cell", "bias"), key=lambda name: does[name].latency_s.value)
    pulses = does["read_row"].latency_s.value + does[written].latency_s.value
    return (pulses, f"array.{written}") if pulses > xbar.cycle_s else (xbar.cycle_s, xbar.paced_by)


def _check(machine: Machine) -> None:
    """Raise MachineError for arrays in which no function can be computed."""
    where = f"machine {machine.name}: engines.blocks"
    remedy = "or compute functions in digital units (blocks.relu=digital, blocks.pooling=digital, blocks.softmax=digital)"
    if machine.compile.get("arrays", "whole") != "shared":
        raise MachineError(f"{where}: functions are computed in blocks of arrays that layers share; set compile.arrays=shared, {remedy}")
    if (bits := machine.part("array").whole("cell_bits")) != 1:
        raise MachineError(f"{where}: functions need cells of one bit and {machine.part('array').path} has {bits}; set array.cell_bits=1, {remedy}")
    for role, actions in ACTIONS.items():
        part = machine.part(role)
        if missing := [action for action in actions if action not in part.actions]:
            raise MachineError(f"{where}: {part.path} ({part.component}) has no action {missing[0]}; give it one, {remedy}")
    array, sense = machine.part("array"), machine.part("sense_amplifier")
    if sense.total < array.total * array.whole("columns"):
        raise MachineError(
            f"{where}: every bit line needs a sense amplifier but {sense.path}.count gives {sense.total:g} on a chip; give one per bit line, {remedy}"
        )
