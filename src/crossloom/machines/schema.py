"""The form of library and machine files, checked by pydantic: unknown fields are errors."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from crossloom.machines.laws import LAWS
from crossloom.machines.quantity import Mark


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cited(_Strict):
    """A number with its origin: `{value: 4 mW, for: 1024, source: "shafiee2016 Table I", mark: published}`.

    `for` divides the value: tables print totals for a count.
    """

    value: str | float
    for_: float = Field(1, alias="for", gt=0)
    source: str = Field(min_length=1)
    mark: Mark


class ActionChange(_Strict):
    """What a part changes of an action of its component."""

    energy: Cited | None = None
    busy: Cited | None = None
    latency: Cited | None = None


class ActionEntry(ActionChange):
    """What a component does: its energy, or the time for which it draws its power; and how long it takes."""

    @model_validator(mode="after")
    def _one_price(self) -> ActionEntry:
        if (self.energy is None) == (self.busy is None):
            raise ValueError("give either 'energy', or 'busy' (the time for which the component draws its power)")
        return self


class ComponentEntry(_Strict):
    """A component of the library at its base parameters."""

    about: str = ""
    parameters: dict[str, str | float] = Field(default_factory=dict)
    law: str = "fixed"
    area: Cited
    power: Cited
    static: Cited | None = None
    actions: dict[str, ActionEntry] = Field(default_factory=dict)

    @field_validator("law")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in LAWS:
            raise ValueError(f"no scaling law {name!r}; choose one of {', '.join(LAWS)}")
        return name


class PartEntry(_Strict):
    """A leaf of a machine: so many of a library component, with its own parameters or figures where they differ."""

    use: str
    count: float = Field(1, ge=0)
    per: str | None = None
    extension: bool = False
    with_: dict[str, str | float] = Field(default_factory=dict, alias="with")
    area: Cited | None = None
    power: Cited | None = None
    static: Cited | None = None
    actions: dict[str, ActionChange] = Field(default_factory=dict)


class UnitEntry(_Strict):
    """An inner node of a machine: so many of a unit with parts of its own."""

    count: float = Field(1, gt=0)
    parts: dict[str, UnitEntry | PartEntry]

    @field_validator("parts", mode="before")
    @classmethod
    def _leaf_or_unit(cls, parts: Any) -> Any:
        if not isinstance(parts, dict):
            raise ValueError("'parts' must map names to units and components")
        made: dict[str, Any] = {}
        for name, entry in parts.items():
            if isinstance(entry, dict) and "use" in entry:
                made[name] = PartEntry.model_validate(entry)
            elif isinstance(entry, dict) and "parts" in entry:
                made[name] = UnitEntry.model_validate(entry)
            elif isinstance(entry, UnitEntry | PartEntry):
                made[name] = entry
            else:
                raise ValueError(f"{name}: give either 'use' (a library component) or 'parts' (a unit)")
        return made


class MachineEntry(_Strict):
    """A machine file after inheritance."""

    machine: str
    title: str
    paper: str
    note: str = ""
    kind: Literal["machine", "costs"] = "machine"
    cycle: Cited | None = None
    chip: UnitEntry
    engines: dict[str, dict[str, Any]] = Field(default_factory=dict)
    compile: dict[str, Any] = Field(default_factory=dict)
