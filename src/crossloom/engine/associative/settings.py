"""Settings of the associative processors in a machine file, under `engines: associative:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crossloom.engine.checked_settings import checked
from crossloom.errors import MachineError
from crossloom.machines import Machine

ACTIONS = ("compare", "write", "shift")
"""Actions of an associative processor's arrays."""
Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    layers: Literal["in_turn", "side_by_side"] = "in_turn"
    spread: Literal["inputs", "all", "none"] = "inputs"
    sharing: bool = True
    scope: Annotated[int, Field(strict=True, ge=0, le=1024)] = 0
    rows: Literal["used", "all"] = "used"
    alignment: Literal["hidden", "serial"] = "hidden"
    execute: Literal["auto", "steps", "product"] = "auto"
    shift_faults: Share = 0.0
    write_faults: Share = 0.0
    realign_every: Annotated[int, Field(strict=True, ge=0, le=1 << 30)] = 0


@dataclass(frozen=True, slots=True)
class Processors:
    """The arrays of a machine and how they are used.

    Attributes:
        rows, columns, domains, ports: size of an array; ports per track.
        arrays, routers: number on a chip. A router joins its arrays to others; with 0, all arrays share one.
        in_turn: whether layers use the arrays one after the other, instead of each having its own.
        spread, all_spread: whether a layer's inputs are spread over the arrays that its rows leave free, and its outputs over those still free
            after that. Neither applies if every layer has its own arrays.
        sharing: whether common subexpressions are computed once.
        scope: number of input channels searched together for common subexpressions; 0 chooses per layer.
        all_rows: whether rows that hold no output position are searched as well.
        hidden_alignment: whether a column is aligned during the previous instruction if that instruction does not use it.
        execute: how values are computed.
        shift_faults, write_faults: probability that a step moves a track one domain too far or too short, and that a cell keeps its old value.
        realign_every: number of instructions after which tracks are realigned; 0: never.
    """

    rows: int
    columns: int
    domains: int
    ports: int
    arrays: int
    routers: int
    in_turn: bool
    spread: bool
    all_spread: bool
    sharing: bool
    scope: int
    all_rows: bool
    hidden_alignment: bool
    execute: Literal["auto", "steps", "product"]
    shift_faults: float
    write_faults: float
    realign_every: int

    @property
    def faulty(self) -> bool:
        """Whether any faults are simulated."""
        return bool(self.shift_faults or self.write_faults)


def processors(machine: Machine) -> Processors:
    """Return a machine's settings. Raises MachineError naming the invalid setting, or the array that lacks an action."""
    given = checked(_File, "associative", machine)
    array = machine.part("array")
    if missing := [action for action in ACTIONS if action not in array.actions]:
        raise MachineError(f"machine {machine.name}: engines.associative: {array.path} ({array.component}) has no action {missing[0]}; give it one")
    rows, columns, domains, ports = (array.whole(name) for name in ("rows", "columns", "domains", "ports"))
    for name, most, value in (("columns", 1 << 15, columns), ("domains", 255, domains), ("ports", domains, ports)):
        if value > most:
            raise MachineError(f"machine {machine.name}: {array.path}.{name} must be at most {most}, got {value}")
    if domains % ports:
        raise MachineError(f"machine {machine.name}: {array.path}.ports must divide its {domains} domains, got {ports}")
    return Processors(
        rows=rows,
        columns=columns,
        domains=domains,
        ports=ports,
        arrays=int(array.total),
        routers=int(router.total) if (router := machine.optional("router")) is not None else 0,
        in_turn=given.layers == "in_turn",
        spread=given.spread != "none" and given.layers == "in_turn",
        all_spread=given.spread == "all" and given.layers == "in_turn",
        sharing=given.sharing,
        scope=given.scope,
        all_rows=given.rows == "all",
        hidden_alignment=given.alignment == "hidden",
        execute=given.execute,
        shift_faults=given.shift_faults,
        write_faults=given.write_faults,
        realign_every=given.realign_every,
    )
