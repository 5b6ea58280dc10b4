"""What a machine file says about its associative processors, under `engines: associative:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crossloom.engine.checked_settings import checked
from crossloom.errors import MachineError
from crossloom.machines import Machine

ACTIONS = ("compare", "write", "shift")
"""What the arrays of an associative processor do."""
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
    """A machine's arrays and how they are used.

    Attributes:
        rows, columns, domains, ports: of an array; ports of each track.
        arrays, routers: on a chip; a router joins arrays to others, and 0 are all of one.
        in_turn: layers use the arrays one after the other, rather than having some of their own.
        spread, all_spread: the inputs of a layer are spread over arrays that its rows leave free, and its outputs over those that are then left; neither
            where every layer has arrays of its own.
        sharing: common subexpressions are computed once.
        scope: input channels among whose sums they are looked for; 0 chooses for each layer.
        all_rows: rows that hold no output position are searched, too.
        hidden_alignment: a column that the instruction before does not use is aligned meanwhile.
        execute: which way values are computed.
        shift_faults, write_faults: chance that a track moves a domain too far or too short in a step, and that a written cell stays as it was.
        realign_every: instructions after which tracks are put where they belong; 0: never.
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
        """Whether anything goes wrong."""
        return bool(self.shift_faults or self.write_faults)


def processors(machine: Machine) -> Processors:
    """Return a machine's settings. Raises MachineError naming the one that is wrong, or an array that cannot do what is asked of it."""
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
