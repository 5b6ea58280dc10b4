"""What a machine file says about products of two activations, under `engines: dynamic:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crossloom.engine.checked_settings import checked
from crossloom.machines import Machine

Products = Literal["digital", "written", "rewritten"]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    products: Products = "written"
    dual_access: bool = True
    operand_sets: Annotated[int, Field(strict=True, ge=1, le=64)] = 1


@dataclass(frozen=True, slots=True)
class Dynamics:
    """How a machine multiplies two activations.

    `digital`: not in arrays. `written`: the right operand is written into cells. `rewritten`: the same, but in attention the operand is the layer's input,
    for two products: once, in arrays that are driven from either side (`dual_access`), or in arrays for each.
    There are `operand_sets` of cells for each operand, which inferences take in turn.
    """

    products: Products
    dual_access: bool
    operand_sets: int


def dynamics(machine: Machine) -> Dynamics:
    """Return a machine's settings. Raises MachineError naming the one that is wrong."""
    given = checked(_File, "dynamic", machine)
    return Dynamics(given.products, given.dual_access, given.operand_sets)
