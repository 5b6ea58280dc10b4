"""Choice of the number of chips."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.compiler.base import arrays_per_chip
from crossloom.errors import CapacityError, MachineError
from crossloom.program.program import Program


@dataclass(frozen=True, slots=True)
class UseChips:
    """Set the number of chips: exactly `exactly`, or what one copy of every layer needs.

    Raises CapacityError, with the arrays needed and available, if the network does not fit.
    """

    exactly: int = 0
    most: int = 1 << 16

    def __call__(self, program: Program) -> Program:
        needs: dict[str, int] = {}
        for stage in program.stages:
            if stage.own_arrays:
                needs[stage.array_type] = needs.get(stage.array_type, 0) + stage.own_arrays
        found = [self._chips(need, arrays_per_chip(program, array_type), array_type, program) for array_type, need in needs.items()]
        chips = max(found, default=program.chips)
        need, have = sum(needs.values()), sum(arrays_per_chip(program, view.array_type) for view in program.machine.views)
        notes = (f"one copy of each layer takes {need} arrays, and a chip has {have}: {chips} chips are used",) if needs and chips > 1 else ()
        return replace(program, chips=chips, notes=(*program.notes, *notes))

    def _chips(self, need: int, have: int, array_type: str, program: Program) -> int:
        """Return the number of chips that provide `need` arrays of one array type."""
        if have < 1:
            raise MachineError(f"machine {program.machine.name} has no arrays; give its units a count of at least 1")
        allowed = self.exactly or self.most
        if need > allowed * have:
            what, remedy = (
                f"arrays{f' of type {array_type}' if array_type else ''}",
                f"set compile.chips={-(-need // have)} and compile.overflow=chips",
            )
            raise CapacityError(what, need, have * allowed, f"{remedy}, or use fewer bits per weight")
        return self.exactly or -(-need // have)
