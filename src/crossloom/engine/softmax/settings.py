"""What a machine file says about softmax, under `engines: softmax:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crossloom.engine.checked_settings import checked
from crossloom.engine.softmax.cmos import Cmos
from crossloom.engine.softmax.formats import Fixed, Format
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.engine.softmax.softermax import Softermax
from crossloom.engine.softmax.star import Star
from crossloom.engine.softmax.unit import Unit
from crossloom.errors import MachineError
from crossloom.machines import ActionKey, Machine

ROLE = "softmax_unit"
"""Name of the unit of a machine that computes softmax."""

Kind = Literal["by_unit", "star", "log_sum_exp", "cmos", "softermax"]
KINDS = {"star.softmax": "star", "retransformer.softmax": "log_sum_exp", "cmos.softmax": "cmos", "softermax.softmax": "softermax"}
"""Which arithmetic each assembly of the library has."""
CLOCKS = {"star": "cam.search", "log_sum_exp": "exp_lut.read", "cmos": "exp_lut.read", "softermax": "power.read"}
"""The action that takes one cycle of each kind of unit."""

Bits = Annotated[int, Field(strict=True, ge=1, le=24)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Kind = "by_unit"
    format: Format = "6.2"
    precision: Literal["format", "ideal"] = "format"
    exp_bits: Annotated[int, Field(strict=True, ge=0, le=24)] = 0
    counter_bits: Bits = 10
    quotient_bits: Annotated[int, Field(strict=True, ge=1, le=16)] = 8
    lanes: Annotated[int, Field(strict=True, ge=1, le=1024)] = 16


@dataclass(frozen=True, slots=True)
class SoftmaxUnit:
    """A machine's softmax unit.

    Attributes:
        arithmetic: how it computes.
        path: where it is.
        clock: the `part.action` that takes one of its cycles.
        formatted: numbers are those of its format; otherwise they are left as they are.
    """

    arithmetic: Unit
    path: str
    clock: str
    formatted: bool


def softmax_unit(machine: Machine) -> SoftmaxUnit | None:
    """Return a machine's softmax unit, or None if it has none. Raises MachineError for settings that make no sense."""
    given = checked(_File, "softmax", machine)
    path = unit_path(machine)
    if path is None:
        return None
    kind = KINDS.get(machine.assemblies.get(path, ""), "") if given.kind == "by_unit" else given.kind
    if not kind:
        raise MachineError(f"machine {machine.name}: engines.softmax.kind: say which arithmetic {path} has: star, log_sum_exp, cmos or softermax")
    try:
        unit = _unit(kind, given)
    except ValueError as problem:
        raise MachineError(f"machine {machine.name}: engines.softmax: {problem}") from problem
    _check_parts(unit, machine)
    for role, parameter, least in _needs(unit):
        part = machine.part(role)
        if part.parameters.get(parameter, least) < least:
            raise MachineError(
                f"machine {machine.name}: format {given.format} of the softmax takes {least} {parameter} of {part.path} and it has "
                f"{part.parameters[parameter]:g}; set {role}.{parameter}={least}, or another softmax.format"
            )
    return SoftmaxUnit(unit, path, CLOCKS[kind], given.precision == "format")


def unit_path(machine: Machine) -> str | None:
    """Return where a machine has its softmax units, or None. Raises MachineError for several places, or a component instead of a unit."""
    if loose := [part.path for part in machine.parts.values() if part.name == ROLE and part.total]:
        raise MachineError(f"machine {machine.name}: {loose[0]} is one component and no unit for softmax; use one of {', '.join(KINDS)}")
    found = [path for path, count in machine.units.items() if path.rpartition(".")[2] == ROLE and count]
    if len(found) > 1:
        raise MachineError(f"machine {machine.name} has softmax units in several places ({', '.join(found)}); set the count of all but one to 0")
    return found[0] if found else None


def _check_parts(unit: Unit, machine: Machine) -> None:
    """Raise MachineError for a unit without a part, or with one that cannot do what the arithmetic asks of it."""
    for name in unit.actions(1, 1, 1):
        role, action = ActionKey.of(name)
        part = machine.part(role)
        if action not in part.actions or not part.total:
            raise MachineError(
                f"machine {machine.name}: the softmax ({unit.name}) asks {part.path} to {action}, and {part.component} ({part.total:g} of them) cannot; "
                "give it another component, or set softmax.kind"
            )


def _needs(unit: Unit) -> tuple[tuple[str, str, int], ...]:
    """Return what a unit's tables and arrays must at least be: part, parameter, value."""
    if isinstance(unit, Star):
        codes, columns = unit.format.codes, 2 * unit.format.bits
        arrays = (("exp_cam", columns), ("lut", unit.entry_bits), ("denominator", unit.entry_bits))
        tables = tuple((role, name, least) for role, width in arrays for name, least in (("rows", codes // 2), ("columns", width)))
        return (("cam", "rows", codes), ("cam", "columns", columns), ("counter", "rows", codes // 2), *tables)
    if isinstance(unit, LogSumExp | Cmos):
        return (("exp_lut", "capacity", unit.format.codes * unit.exp_bits // 8),)
    return ()


def _unit(kind: str, given: _File) -> Unit:
    form = Fixed.of(given.format)
    if kind == "star":
        return Star(form, given.exp_bits, given.counter_bits, given.quotient_bits)
    if kind == "softermax":
        return Softermax(form, given.lanes)
    plain = LogSumExp if kind == "log_sum_exp" else Cmos
    return plain(form, given.exp_bits or 16, quotient_bits=given.quotient_bits)
