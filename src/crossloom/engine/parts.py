"""Where the actions of a stage meet the parts of a machine."""

from __future__ import annotations

from collections.abc import Mapping

from crossloom.errors import MachineError
from crossloom.machines import ActionKey, Machine
from crossloom.program.program import Program
from crossloom.program.stage import Stage


def part_seconds(stage: Stage, program: Program, paced: frozenset[str]) -> dict[str, float]:
    """Return for how long one inference of a stage occupies each part of its busiest tile (or of the chips), by `part.action`."""
    found = {}
    tiles = program.machine.tiles
    busiest = max(stage.in_tiles)
    for name, count in stage.actions.items():
        key = ActionKey.of(name)
        part = program.machine.part(key.part)
        if key.part not in paced and part.total:
            instances = part.total / tiles / busiest if part.in_tile else part.total * program.chips
            found[name] = count * part.actions[key.action].latency_s.value / (instances * part.parameters.get("lanes", 1))
    return found


def part_named(action: str, machine: Machine) -> str:
    """Return a `role.action` of a view under the name of the part that plays the role: `array.read` is `array_128.read` in array type 128."""
    key = ActionKey.of(action)
    part = machine.by_role.get(key.part)
    return f"{part.name}.{key.action}" if part is not None else action


def paced_names(roles: frozenset[str], machine: Machine) -> frozenset[str]:
    """Return the names of the parts that play some roles in a view."""
    return frozenset(machine.by_role[role].name if role in machine.by_role else role for role in roles)


def performed(program: Program, counts: dict[str, int]) -> dict[str, int]:
    """Return the counts of actions that the machine has a part for; a design without a buffer reads none.

    Raises MachineError for a part that is there and cannot do what its role demands.
    """
    kept = {}
    for name, count in counts.items():
        key = ActionKey.of(name)
        part = program.machine.optional(key.part)
        if not count or part is None:
            continue
        if key.action not in part.actions:
            able = ", ".join(part.actions) or "nothing"
            raise MachineError(
                f"machine {program.machine.name}: {part.path} ({part.component}) is asked to {key.action} and can do {able}; give it another component, or remove it"
            )
        kept[name] = count
    return kept


def missing(program: Program, counts: Mapping[str, int]) -> frozenset[str]:
    """Return the roles whose actions cost nothing because the machine has no such part."""
    roles = {ActionKey.of(name).part for name, count in counts.items() if count}
    return frozenset(role for role in roles if program.machine.optional(role) is None)
