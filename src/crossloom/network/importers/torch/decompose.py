"""Decomposition of operators that no rule covers, where torch defines them by others.

Torch has such definitions for recurrent layers (unrolled over their steps), distances, grid samplers and many more. They are used only
for the operators that block the import, because a program in torch's smallest operators no longer shows what a layer was.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch._decomp import get_decompositions
from torch._ops import OpOverload
from torch.export import ExportedProgram, default_decompositions

Decompositions = Mapping[OpOverload[Any, Any], Callable[..., Any]]


def definitions(operators: Iterable[Any]) -> Decompositions:
    """Return torch's definitions of these operators, where it has one."""
    known = default_decompositions()
    table: dict[OpOverload[Any, Any], Callable[..., Any]] = {}
    for operator in set(operators):
        if isinstance(operator, OpOverload):
            found = {operator: known[operator]} if operator in known else get_decompositions([operator])
            table.update(found)  # type: ignore[arg-type]
    return table


def taken_apart(program: ExportedProgram, table: Decompositions) -> ExportedProgram:
    """Return the program with operators replaced by their definitions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simpler: ExportedProgram = program.run_decompositions(dict(table))
        return simpler
