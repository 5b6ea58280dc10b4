"""Schema of library and machine files, checked by pydantic: unknown fields are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from crossloom.machines.laws import LAWS
from crossloom.machines.quantity import Mark

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number, never a boolean: `true` for 1 is a typing error."""
Count = Annotated[float, Field(strict=True, ge=0, le=1e9)]


def _measure(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a number, or a number and a unit such as '2 mW', got {value!r}")
    return value


Measure = Annotated[Any, AfterValidator(_measure)]
"""A number, or text parsed by `units.parse` once the dimension is known."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cited(_Strict):
    """A number with its source: `{value: 4 mW, for: 1024, source: "shafiee2016 Table I", mark: published}`.

    The value is divided by `for`, because tables print totals for a number of instances.
    """

    value: Measure
    for_: Number = Field(1, alias="for", gt=0)
    source: str = Field(min_length=1)
    mark: Mark


class ActionChange(_Strict):
    """A part's changes to an action of its component."""

    energy: Cited | None = None
    busy: Cited | None = None
    latency: Cited | None = None
    endurance: Cited | None = None


class ActionEntry(ActionChange):
    """An action of a component: its energy, or the time during which the component draws its power; its latency; its endurance."""

    @model_validator(mode="after")
    def _one_price(self) -> ActionEntry:
        if (self.energy is None) == (self.busy is None):
            raise ValueError("give either 'energy', or 'busy' (the time during which the component draws its power)")
        return self


class ComponentEntry(_Strict):
    """A library component at its base parameters."""

    about: str = ""
    parameters: dict[str, Measure] = Field(default_factory=dict)
    law: str | tuple[str, ...] = "fixed"
    area: Cited
    power: Cited
    static: Cited | None = None
    actions: dict[str, ActionEntry] = Field(default_factory=dict)

    @field_validator("law")
    @classmethod
    def _known(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (given,) if isinstance(given, str) else given:
            if name not in LAWS:
                raise ValueError(f"no scaling law named {name!r}; choose one of {', '.join(LAWS)}")
        return given

    @property
    def laws(self) -> tuple[str, ...]:
        """The scaling laws; their factors multiply."""
        return (self.law,) if isinstance(self.law, str) else self.law


class AssemblyEntry(_Strict):
    """Library parts that belong together and are used as one unit."""

    about: str = ""
    parts: dict[str, PartEntry]


class PartEntry(_Strict):
    """A leaf of a machine: a number of instances of a library component, with parameters or figures of its own where they differ."""

    use: str
    count: Count = 1
    per: str | None = None
    extension: bool = False
    with_: dict[str, Measure] = Field(default_factory=dict, alias="with")
    area: Cited | None = None
    power: Cited | None = None
    static: Cited | None = None
    actions: dict[str, ActionChange] = Field(default_factory=dict)


def _kind(entry: Any) -> str | None:
    """Return whether an entry of `parts` is a unit (it has `parts`), a part (it has `use`) or a library assembly (it has `of`)."""
    if isinstance(entry, dict):
        return "assembly" if "of" in entry else "part" if "use" in entry else "unit" if "parts" in entry else None
    return next((tag for tag, kind in (("part", PartEntry), ("unit", UnitEntry), ("assembly", AssembledEntry)) if isinstance(entry, kind)), None)


_Entry = Annotated[
    Annotated["UnitEntry", Tag("unit")] | Annotated[PartEntry, Tag("part")] | Annotated["AssembledEntry", Tag("assembly")],
    Discriminator(
        _kind, custom_error_type="neither", custom_error_message="Give either 'use' (a library component) or 'parts' (a unit with parts of its own)"
    ),
]


class UnitEntry(_Strict):
    """An inner node of a machine: a number of units with parts of their own. Units may share a part, but their own count is whole.

    Its parameters (`with`), such as the node of a whole chip, apply to every part inside that has them and does not set its own.
    """

    count: Annotated[float, Field(strict=True, ge=1, le=1e9, multiple_of=1)] = 1
    with_: dict[str, Measure] = Field(default_factory=dict, alias="with")
    parts: dict[str, _Entry]


class AssembledEntry(_Strict):
    """A unit whose parts are those of the library assembly named by `of`; its count may be zero."""

    of: str
    count: Annotated[float, Field(strict=True, ge=0, le=1e9, multiple_of=1)] = 1
    parts: dict[str, PartEntry]


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
