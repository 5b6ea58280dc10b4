"""Files of trained networks: levels, rows, gains, and the command that made them. JSON, validated when read."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crossloom.errors import InputError
from crossloom.periphery.adder import SLICES, Adder
from crossloom.periphery.converter import HOLDS_F, Converter, Stage
from crossloom.periphery.neuron import Neuron
from crossloom.periphery.pairs import LEVELS, PairNetwork

ORIGIN = "EKV transistors with parameters typical of 130 nm CMOS (assumed), solved by crossloom.periphery.transistor"
SHIPPED = ("nns-a-1", "nns-a-2", "nns-a-4", "nns-a-4-plain", "nnadc")
"""Files that ship with Crossloom: adders for digits of 1, 2 and 4 bits, one trained without deviations and with one row per signal, and the converter."""

_Level = Annotated[int, Field(strict=True, ge=0, lt=LEVELS)]
_Small = Annotated[float, Field(gt=0, le=1000)]
MOST = 512
"""Maximum number of rows, hidden neurons or stages in a file; no circuit of this kind needs more."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Network(_Entry):
    rows: list[Annotated[int, Field(ge=0, le=64)]] = Field(min_length=1, max_length=MOST)
    first: list[list[_Level]] = Field(min_length=1, max_length=MOST)
    second: list[_Level] = Field(min_length=1, max_length=MOST)
    strength: Annotated[float, Field(ge=0.1, le=1000)]
    reach_v: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _fits(self) -> _Network:
        if len(self.first) != len(self.second) or any(len(each) != len(self.rows) for each in self.first):
            raise ValueError("the levels of the first layer need one row for each hidden neuron and one column for each entry of rows")
        return self

    @classmethod
    def of(cls, network: PairNetwork) -> dict[str, Any]:
        first, second = network.first.tolist(), network.second.tolist()
        neuron = network.neuron
        return {"rows": list(network.rows), "first": first, "second": second, "strength": neuron.strength, "reach_v": neuron.reach_v}

    def network(self) -> PairNetwork:
        return PairNetwork(tuple(self.rows), torch.tensor(self.first), torch.tensor(self.second), Neuron(self.strength, self.reach_v))


class _AdderFile(_Entry):
    kind: Literal["nns-a"]
    command: str
    origin: str
    digit_bits: Literal[1, 2, 4]
    network: _Network

    @model_validator(mode="after")
    def _signals(self) -> _AdderFile:
        if set(self.network.rows) != set(range(SLICES + 2)):
            raise ValueError(f"rows must name each of the {SLICES + 2} signals")
        return self


class _StageEntry(_Entry):
    width_v: _Small
    comparators: Annotated[int, Field(ge=1, le=31)]
    gain: Annotated[float, Field(ge=0, le=64)]
    network: int | None


class _ConverterFile(_Entry):
    kind: Literal["nnadc"]
    command: str
    origin: str
    networks: list[_Network]
    ranges: dict[str, list[_StageEntry]]

    @model_validator(mode="after")
    def _there(self) -> _ConverterFile:
        if set(self.ranges) != {str(each) for each in HOLDS_F}:
            raise ValueError(f"ranges must be {', '.join(map(str, HOLDS_F))}")
        for stages in self.ranges.values():
            if not 1 <= len(stages) <= MOST:
                raise ValueError(f"a range needs 1 to {MOST} stages, got {len(stages)}")
            if any(stage.network is None or not stage.gain for stage in stages[:-1]) or stages[-1].network is not None:
                raise ValueError("every stage but the last needs a network and a gain; the last must have only comparators")
        for stage in (stage for stages in self.ranges.values() for stage in stages):
            if stage.network is not None and not 0 <= stage.network < len(self.networks):
                raise ValueError(f"a stage names network {stage.network} of {len(self.networks)}")
            if stage.network is not None and max(self.networks[stage.network].rows) != stage.comparators + 1:
                raise ValueError(f"network {stage.network} does not fit a stage of {stage.comparators} comparators")
        return self


def adder_text(adder: Adder, command: str) -> str:
    """Return the file text of an adder."""
    document = {"kind": "nns-a", "command": command, "origin": ORIGIN, "digit_bits": adder.digit_bits, "network": _Network.of(adder.network)}
    return json.dumps(document, indent=None) + "\n"


def converters_text(converters: dict[float, Converter], command: str) -> str:
    """Return the file text of the converters for the three ranges; a network shared by several stages is written once."""
    networks: list[dict[str, Any]] = []
    ranges: dict[str, list[dict[str, Any]]] = {}
    for range_v, converter in converters.items():
        ranges[str(range_v)] = []
        for stage in converter.stages:
            entry = _Network.of(stage.rest) if stage.rest else None
            if entry is not None and entry not in networks:
                networks.append(entry)
            place = None if entry is None else networks.index(entry)
            ranges[str(range_v)].append({"width_v": stage.width_v, "comparators": stage.comparators, "gain": stage.gain, "network": place})
    return json.dumps({"kind": "nnadc", "command": command, "origin": ORIGIN, "networks": networks, "ranges": ranges}) + "\n"


@cache
def load_adder(name: str) -> Adder:
    """Return an adder that ships with Crossloom, or one from a file. Raises InputError naming the file and the problem."""
    entry = _read(name, _AdderFile)
    return Adder(entry.network.network(), entry.digit_bits)


@cache
def load_converters(name: str) -> dict[float, Converter]:
    """Return the converters for the three ranges. Raises InputError naming the file and the problem."""
    entry = _read(name, _ConverterFile)
    networks = [each.network() for each in entry.networks]
    found = {}
    for range_v, stages in entry.ranges.items():
        built = (Stage(s.width_v, s.comparators, s.gain, None if s.network is None else networks[s.network]) for s in stages)
        found[float(range_v)] = Converter(float(range_v), tuple(built))
    return found


File = TypeVar("File", bound=BaseModel)


def _read(name: str, kind: type[File]) -> File:
    try:
        text = _text(name)
        return kind.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(
            f"{name}: cannot be read ({problem}); give one of {', '.join(SHIPPED)}, or a file made with 'crossloom train-peripheral'"
        ) from problem
    except ValidationError as problem:
        error = problem.errors()[0]
        where = ".".join(str(step) for step in error["loc"]) or "the file"
        raise InputError(f"{name}: {where}: {error['msg']}; make it with 'crossloom train-peripheral'") from problem


def _text(name: str) -> str:
    if name in SHIPPED:
        return (files("crossloom.periphery") / "data" / f"{name}.json").read_text(encoding="utf-8")
    return Path(name).read_text(encoding="utf-8")
