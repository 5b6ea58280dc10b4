"""How many chips a network takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossloom.compiler.base import arrays_per_chip
from crossloom.errors import CapacityError, MachineError
from crossloom.program.program import Program


@dataclass(frozen=True, slots=True)
class UseChips:
    """Take a board of `exactly` so many chips, or as many as one copy of everything needs; refuse what does not fit.

    Raises CapacityError with what is needed and what there is.
    """

    exactly: int = 0
    most: int = 1 << 16

    def __call__(self, program: Program) -> Program:
        needs: dict[str, int] = {}
        for stage in program.stages:
            if stage.own_arrays:
                needs[stage.kit] = needs.get(stage.kit, 0) + stage.own_arrays
        found = [self._chips(need, arrays_per_chip(program, kit), kit, program) for kit, need in needs.items()]
        chips = max(found, default=program.chips)
        need, have = sum(needs.values()), sum(arrays_per_chip(program, view.kit) for view in program.machine.views)
        notes = (f"one copy of each layer takes {need} arrays and a chip has {have}: {chips} chips are used",) if needs and chips > 1 else ()
        return replace(program, chips=chips, notes=(*program.notes, *notes))

    def _chips(self, need: int, have: int, kit: str, program: Program) -> int:
        """Return the chips on which there are so many arrays of a kit."""
        if have < 1:
            raise MachineError(f"machine {program.machine.name} has no arrays; give its units a count of at least 1")
        allowed = self.exactly or self.most
        if need > allowed * have:
            what, remedy = f"arrays{f' of kit {kit}' if kit else ''}", f"set compile.chips={-(-need // have)} and compile.overflow=chips"
            raise CapacityError(what, need, have * allowed, f"{remedy}, or use fewer bits for the weights")
        return self.exactly or -(-need // have)
