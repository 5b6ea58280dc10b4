"""What a machine file says about its crossbars, under `engines: crossbar:`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from crossloom.engine.checked_settings import checked
from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.cell_settings import Physics, PhysicsFields, physics
from crossloom.engine.crossbar.trained_settings import Circuits
from crossloom.errors import MachineError
from crossloom.machines import Machine
from crossloom.periphery.converter import BITS as CONVERTED_BITS
from crossloom.periphery.file import load_adder, load_converters

Encodes = Literal["offset", "differential", "twos_complement"]
Accumulates = Literal["digital", "buffered", "analog"]
Range = Literal["unit", "full", "layer", "ideal"]
Residual = Literal["digital", "analog"]
Stacking = Literal["planar", "expansion", "deep-net"]

Cycles = Annotated[int, Field(strict=True, ge=0, le=10**6)]
Columns = Annotated[int, Field(strict=True, ge=0, le=128)]
MOST_BITS = 7
"""Of a cell and of an input digit: their products are made in signed bytes."""
LOSSLESS_BITS = 62
"""Of a converter that changes no integer."""
MOST_REAL = 1 << 22
"""Cells of an array that have errors of their own, or wires: 2048 x 2048."""
MOST_WINDOWS = 1024
"""Of a convolution that share an array."""
LARGEST_ARRAY = 1 << 16
"""Word lines or bit lines of an array; a partial sum of more could overflow the plans' accumulators."""


def _overlap(value: Any) -> str | int:
    if value in ("none", "auto") or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_WINDOWS):
        found: str | int = value
        return found
    raise PydanticCustomError("overlap", "give none, auto, or how many windows share an array, from 1 to {most}", {"most": MOST_WINDOWS})


class _File(PhysicsFields):
    """The fields of the file; those of cells and wires are inherited."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    encoding: Encodes = "offset"
    flip: bool = False
    unit_column: bool = True
    range: Range = "unit"
    accumulate: Accumulates = "digital"
    separate_columns: Columns = 0
    buffer_bits: Annotated[int, Field(strict=True, ge=0, le=16)] = 0
    buffer_sigma: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 0.0
    adder: str = "ideal"
    converter: str = "ideal"
    calibrate: bool = True
    first_digit: Literal["low", "high"] = "low"
    residual: Residual = "digital"
    residual_rows: Annotated[int, Field(strict=True, ge=1, le=1024)] = 8
    overlap: Annotated[Any, AfterValidator(_overlap)] = "none"
    stack: Stacking = "planar"
    fetch_cycles: Cycles = 1
    pause_cycles: Cycles = 0
    convert_cycles: Cycles = 1
    combine_cycles: Cycles = 2
    function_cycles: Cycles = 1
    store_cycles: Cycles = 1


@dataclass(frozen=True, slots=True)
class Buffer:
    """Cells that hold partial sums: bits of levels, and the standard deviation of the value read around the value written, in levels.

    What is written is a voltage, not a level (chou2019, Section 3.3): nothing is rounded.
    """

    bits: int
    sigma: float

    def sigma_of_sums(self, xbar: Crossbars) -> float:
        """Return the deviation in units of the partial sum: the levels reach to the largest."""
        return self.sigma * xbar.largest_sum / (1 << self.bits)


@dataclass(frozen=True, slots=True)
class Crossbars:
    """The crossbars of a machine in the terms that the engine computes with.

    `rows` are those of all layers that are read together, and `layers` says how many these are: two in CrossStack's expansion mode
    (eshraghian2021), where both layers drive the same bit lines. `banks` are layers that are read apart from each other: two in its deep-net
    mode, where one is written while the other is read. With `residual` analog an addition after a product is made on its bit lines, by up to
    `residual_rows` word lines for each result. `overlap` says how many neighbouring windows of a convolution share an array. In `shared` arrays lie blocks of several layers, and a read is paid by the word line.
    With `by_cell` arrays are paid as a whole, and what their cells draw by the cell.
    """

    rows: int
    columns: int
    cell_bits: int
    input_bits: int
    adc_bits: int
    encoding: Encodes
    flip: bool
    unit_column: bool
    range: Range
    accumulate: Accumulates
    separate_columns: int
    buffer: Buffer | None
    circuits: Circuits
    accumulator_lines: int
    cycle_s: float
    paced_by: str
    overhead_cycles: tuple[int, int]
    pause_cycles: int
    arrays_per_unit: int
    physics: Physics
    layers: int = 1
    banks: int = 1
    residual: Residual = "digital"
    residual_rows: int = 8
    overlap: str | int = "none"
    shared: bool = False
    by_cell: bool = False

    @property
    def fluctuates(self) -> bool:
        """Whether chance changes what lies between the cells' sums and the converters."""
        return (self.buffer is not None or self.circuits.trained) and self.range != "ideal"

    @property
    def largest_sum(self) -> int:
        """The largest partial sum that a full column can have; with flip encoding, half of it."""
        return largest_sum(self.rows, self.input_bits, self.cell_bits, self.flip)

    def lines_of(self, slices: int) -> int:
        """Return the number of bit lines for a weight of `slices` bit slices: whole groups where an accumulator is wired to a group."""
        return slices + (-slices % self.accumulator_lines if self.accumulate == "analog" else 0)

    def converter(self, span: tuple[int, int] | None = None, shift: int = 0, reach: int = 0) -> Converter:
        """Return the converter of a line.

        With range "full" its steps cover everything from the lowest to the highest value in `span`, all partial sums by default; with "layer" up
        to `reach`, if that is known; with "unit" a step is 2^shift; with "ideal" it changes nothing.
        """
        low, high = (0, self.largest_sum) if span is None else span
        if self.range == "ideal":
            return Converter(LOSSLESS_BITS, 0, low < 0)
        if self.range == "unit":
            return Converter(self.adc_bits, shift, low < 0)
        if self.range == "layer" and reach:
            low, high = -min(-low, reach), min(high, reach)
        return Converter.covering(self.adc_bits, high, low)


def largest_sum(rows: int, input_bits: int, cell_bits: int, flip: bool) -> int:
    """Return the largest partial sum of a column: rows · (2^v − 1) · (2^w − 1), and with flip encoding half of it."""
    full = rows * ((1 << input_bits) - 1) * ((1 << cell_bits) - 1)
    return full // 2 if flip else full


def lossless_bits(rows: int, input_bits: int, cell_bits: int, flip: bool = False) -> int:
    """Return the converter resolution that loses nothing: enough codes for 0 to the largest partial sum.

    For powers of two this is the law of shafiee2016, Equations 1 and 2: log2(R) + v + w, one less if v or w is 1;
    flip encoding (its Section V) saves one more bit.
    """
    return math.ceil(math.log2(largest_sum(rows, input_bits, cell_bits, flip) + 1))


_PER_READ = {
    "array": ("read", None),
    "dac": ("drive", "rows"),
    "sample_hold": ("sample", "columns"),
    "input_register": ("read", "rows"),
    "tia": ("sense", "columns"),
    "accumulator": ("accumulate", "columns"),
    "adc": ("convert", "columns"),
    "shift_add": ("add", "columns"),
    "output_register": ("access", "columns"),
}
"""What happens once for each read of an array: the action, and of what there are how many."""
LATE = frozenset({"adc", "shift_add", "output_register"})
"""Parts that work once for an operation where partial sums are accumulated before they are converted."""
_ONLY = {"tia": "buffered", "accumulator": "analog"}
"""Parts that one dataflow has, and the others leave idle."""


def paced_roles(accumulate: Accumulates) -> frozenset[str]:
    """Return the parts that each read of an array occupies."""
    idle = {role for role, only in _ONLY.items() if only != accumulate}
    return frozenset(_PER_READ) - idle - (LATE if accumulate != "digital" else frozenset())


def _seconds_per_read(role: str, machine: Machine, accumulate: Accumulates, layers: int) -> float:
    """Return for how long one read of a full array occupies a part that several arrays may share.

    Where conversion follows accumulation, the converters do not work in every cycle; the compiler adds them to the operation.
    The unit column is converted beside the others (shafiee2016 keeps its cycle of 100 ns with it).
    """
    part, array = machine.optional(role), machine.part("array")
    if part is None or role not in paced_roles(accumulate):
        return 0.0
    action, lines = _PER_READ[role]
    if action not in part.actions:
        return 0.0
    each = part.actions[action].latency_s.value
    if lines is None:
        return each
    driven = array.parameters[lines] * (layers if lines == "rows" else 1) / part.parameters.get("lines", 1)
    return driven * array.total / part.total * each


def _check_sense(machine: Machine, given: _File) -> None:
    """Raise MachineError for settings that contradict each other."""
    if not given.flip:
        return
    if given.encoding != "offset":
        raise MachineError(f"machine {machine.name}: flip encoding needs the offset encoding, not {given.encoding}; set crossbar.flip=false")
    if not given.unit_column:
        raise MachineError(f"machine {machine.name}: flip encoding needs the unit column; set crossbar.unit_column=true or crossbar.flip=false")
    if given.accumulate != "digital":
        raise MachineError(f"machine {machine.name}: flip encoding undoes what analog accumulation adds up; set crossbar.flip=false")


def _buffer(machine: Machine, given: _File) -> Buffer | None:
    """Return the cells that buffer partial sums, or None if these are kept exactly. Raises MachineError for settings of a buffer without one."""
    if given.accumulate != "buffered" and (given.buffer_bits or given.buffer_sigma or given.separate_columns):
        name = next(name for name in ("buffer_bits", "buffer_sigma", "separate_columns") if getattr(given, name))
        raise MachineError(
            f"machine {machine.name}: engines.crossbar.{name} is of a buffer of partial sums; set crossbar.accumulate=buffered, or {name}=0"
        )
    if given.buffer_sigma and not given.buffer_bits:
        raise MachineError(f"machine {machine.name}: engines.crossbar.buffer_sigma is in levels of a buffer cell; give buffer_bits too")
    return Buffer(given.buffer_bits, given.buffer_sigma) if given.buffer_sigma else None


def _circuits(machine: Machine, given: _File, input_bits: int, cell_bits: int) -> Circuits:
    """Return the trained circuits that a machine has. Raises MachineError for those that do not go with what it is."""
    adder, converter = (name if name != "ideal" else "" for name in (given.adder, given.converter))
    where = f"machine {machine.name}: engines.crossbar"
    if adder:
        adder = f"nns-a-{input_bits}" if adder == "nns-a" else adder
        if given.accumulate != "analog" or given.encoding != "differential" or cell_bits != 1:
            raise MachineError(
                f"{where}.adder: {adder} adds pairs of one-bit slices; set accumulate=analog, encoding=differential, array.cell_bits=1"
            )
        if given.range == "unit":
            raise MachineError(f"{where}.range: a trained adder gives volts, which have no unit of the sum; set range=layer, or full")
        if input_bits not in (1, 2, 4):
            raise MachineError(f"{where}.adder: adders are trained for digits of 1, 2 or 4 bits and the DAC has {input_bits}; set dac.bits")
        if load_adder(adder).digit_bits != input_bits:
            raise MachineError(
                f"{where}.adder: {adder} is for digits of {load_adder(adder).digit_bits} bits and the DAC has {input_bits}; set dac.bits"
            )
    adc = machine.part("adc")
    if (adder or converter) and adc.whole("bits") != CONVERTED_BITS:
        raise MachineError(
            f"{where}.{'converter' if converter else 'adder'}: trained circuits convert to {CONVERTED_BITS} bits; set adc.bits={CONVERTED_BITS}"
        )
    if converter:
        converter = "nnadc" if converter == "nnadc" else converter
        load_converters(converter)
    return Circuits(adder, converter, given.calibrate, given.first_digit == "low")


def _accumulator_lines(machine: Machine) -> int:
    """Return how many bit lines an analog accumulator is wired to; 1 if it takes any number of them."""
    part = machine.optional("accumulator")
    return part.whole("lines") if part is not None and "lines" in part.parameters else 1


def _stacking(machine: Machine, given: _File) -> tuple[int, int]:
    """Return how many layers are read together, and how many apart. Raises MachineError for a mode that the arrays have no layers for."""
    array = machine.part("array")
    layers = array.whole("layers") if "layers" in array.parameters else 1
    if layers > 2:
        raise MachineError(f"machine {machine.name}: {array.path}.layers is {layers}; the engine knows one layer, or two that share their bit lines")
    if given.stack != "planar" and layers < 2:
        raise MachineError(
            f"machine {machine.name}: engines.crossbar.stack: {given.stack} needs arrays of two layers; set array.layers=2 or stack=planar"
        )
    return (2, 1) if given.stack == "expansion" else (1, 2) if given.stack == "deep-net" else (1, 1)


def _shared(machine: Machine, given: _File) -> bool:
    """Return whether blocks of several layers lie in an array. Raises MachineError for arrays that are not priced for it."""
    shared = bool(machine.compile.get("arrays", "whole") == "shared")
    array, need = machine.part("array"), "read_row" if shared else "read"
    if need not in array.actions:
        raise MachineError(
            f"machine {machine.name}: {array.path} ({array.component}) has no action {need}, by which arrays are read "
            f"with compile.arrays={'shared' if shared else 'whole'}; give it one, or set compile.arrays={'whole' if shared else 'shared'}"
        )
    if shared and given.stack != "planar":
        raise MachineError(f"machine {machine.name}: blocks lie in planar arrays; set compile.arrays=whole or crossbar.stack=planar")
    return shared


def _check_cells(machine: Machine, found: Crossbars) -> None:
    """Raise MachineError for arrays too large to simulate cell by cell."""
    if not found.physics.ideal and (cells := found.rows * found.columns) > MOST_REAL:
        raise MachineError(
            f"machine {machine.name}: an array of {found.rows} x {found.columns} has {cells:,} cells, and real cells are simulated only up to {MOST_REAL:,}; "
            "use smaller arrays, or set effects=none"
        )


def _check_sizes(machine: Machine) -> None:
    """Raise MachineError for parts that there are too few of, or arrays of no size that the plans can hold."""
    array = machine.part("array")
    needed = [part for role in _PER_READ if (part := machine.by_role.get(role)) is not None and (part.total or role not in _ONLY)]
    if short := [part for part in needed if part.total < 1]:
        raise MachineError(f"machine {machine.name}: {short[0].path}.count gives {short[0].total:g} on a chip; crossbars need at least one")
    if array.count != int(array.count) or array.count < 1:
        raise MachineError(f"machine {machine.name}: {array.path}.count must be a whole number of at least 1, got {array.count:g}")
    if large := [side for side in ("rows", "columns") if array.parameters[side] > LARGEST_ARRAY]:
        raise MachineError(f"machine {machine.name}: {array.path}.{large[0]} is {array.parameters[large[0]]:g}; arrays have at most {LARGEST_ARRAY}")


def crossbars(machine: Machine) -> Crossbars:
    """Return a machine's crossbars. Raises MachineError for settings that make no sense together."""
    given = checked(_File, "crossbar", machine)
    array, adc = machine.part("array"), machine.part("adc")
    dac = machine.optional("dac")
    _check_sense(machine, given)
    _check_sizes(machine)
    cell_bits, input_bits = array.whole("cell_bits"), dac.whole("bits") if dac else 1
    for bits, what in ((cell_bits, f"{array.path}.cell_bits"), (input_bits, f"{dac.path}.bits" if dac else "")):
        if bits > MOST_BITS:
            raise MachineError(f"machine {machine.name}: {what} is {bits}; the engine computes with at most {MOST_BITS}")
    shared = _shared(machine, given)
    base_s = machine.cycle_s.value if machine.cycle_s else array.actions["read"].latency_s.value
    if base_s <= 0:
        raise MachineError(f"machine {machine.name}: a cycle takes no time; give cycle or {array.path}.read.latency a positive value")
    layers, banks = _stacking(machine, given)
    seconds = {role: _seconds_per_read(role, machine, given.accumulate, layers) for role in _PER_READ}
    slowest = max(seconds, key=lambda role: seconds[role])
    cycles = max(1, math.ceil(round(seconds[slowest] / base_s, 6)))
    after = given.convert_cycles + given.combine_cycles + given.function_cycles + given.store_cycles
    found = Crossbars(
        rows=array.whole("rows") * layers,
        columns=array.whole("columns"),
        cell_bits=cell_bits,
        input_bits=input_bits,
        adc_bits=adc.whole("bits"),
        encoding=given.encoding,
        flip=given.flip,
        unit_column=given.unit_column,
        range=given.range,
        accumulate=given.accumulate,
        separate_columns=given.separate_columns,
        buffer=_buffer(machine, given),
        circuits=_circuits(machine, given, input_bits, cell_bits),
        accumulator_lines=_accumulator_lines(machine),
        cycle_s=base_s * cycles,
        paced_by=f"{slowest}.{_PER_READ[slowest][0]}" if cycles > 1 else "array.read",
        overhead_cycles=(given.fetch_cycles, after),
        pause_cycles=given.pause_cycles,
        arrays_per_unit=max(1, int(array.count)),
        physics=physics(given, machine.name, input_bits),
        layers=layers,
        banks=banks,
        residual=given.residual,
        residual_rows=given.residual_rows,
        overlap=given.overlap,
        shared=shared,
        by_cell="read_cell" in array.actions and not shared,
    )
    _check_cells(machine, found)
    return found
