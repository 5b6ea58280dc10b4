"""Machines: schema, provenance, inheritance, overrides, scaling laws; and that every field reaches a reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.cell_settings import PhysicsFields
from crossloom.errors import MachineError
from crossloom.machines import Machine, load_machine, published
from crossloom.machines.cite import citations, references
from crossloom.machines.explain import explain
from crossloom.machines.laws import LAWS
from crossloom.machines.load import library
from crossloom.machines.quantity import MARKS
from crossloom.network.operators import AvgPool, Conv, MaxPool, Relu, Softmax
from crossloom.network.quantize.post_training import quantize
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.layers import chain, seeded


@pytest.mark.parametrize("name", published())
def test_published_machines_load_and_cite(name: str) -> None:
    machine = load_machine(name)
    assert machine.area_mm2 > 0
    assert machine.power_w > 0
    assert machine.paper in citations(machine)
    for row in explain(machine):
        assert row["source"]
        assert row["mark"] in (*MARKS, "")


def test_table_1_of_isaac(isaac: Machine) -> None:
    def total(unit: str) -> float:
        return sum(p.count * p.power_w.value for p in isaac.built_in() if p.unit == unit)

    assert total("chip.tile.ima") == pytest.approx(24.08e-3, rel=1e-3)
    assert total("chip.tile") == pytest.approx(40.85e-3, rel=1e-3)
    assert isaac.power_w == pytest.approx(65.8, rel=3e-3)
    assert isaac.area_mm2 == pytest.approx(85.4, rel=3e-3)


def test_every_source_that_looks_like_a_key_is_in_the_references() -> None:
    known = references()
    for name, entry in library().items():
        for cited in (entry.area, entry.power, *(a.energy or a.busy for a in entry.actions.values())):
            assert cited is not None
            if cited.mark == "published":
                assert any(key in cited.source for key in known), f"{name}: {cited.source}"


@pytest.mark.parametrize(
    ("bits", "energy_pj", "area_um2"),
    [(4, 0.79, 361), (5, 0.99, 477), (6, 1.20, 627), (7, 1.42, 845), (8, 1.67, 1200), (9, 1.969, 1828), (10, 2.379, 3002)],
)
def test_the_converter_law_meets_the_library_that_it_was_fitted_to(bits: int, energy_pj: float, area_um2: float) -> None:
    factors = LAWS["sar_adc"]({"bits": 8, "rate": 1.0}, {"bits": bits, "rate": 1.0})
    assert 1.667 * factors.energy == pytest.approx(energy_pj, rel=0.006)
    assert 1200 * factors.area == pytest.approx(area_um2, rel=0.005)


def test_a_scaled_number_says_so(isaac: Machine) -> None:
    adc = isaac.with_(adc_bits=9).part("adc")
    assert adc.area_mm2.mark == "derived"
    assert "8 to 9 bits" in adc.area_mm2.source
    assert isaac.part("adc").area_mm2.mark == "published"


def test_a_power_of_the_users_is_charged_as_it_is(isaac: Machine) -> None:
    adc = isaac.with_(adc_bits=9).with_(adc_power="3 mW").part("adc")
    assert adc.power_w.value == pytest.approx(3e-3)
    assert adc.actions["convert"].energy_j.value == pytest.approx(3e-3 * 0.78125e-9)


def test_writing_a_row_grows_with_its_columns(isaac: Machine) -> None:
    wide = isaac.with_(array_rows=256, array_columns=256).part("array")
    narrow = isaac.part("array")
    assert wide.actions["write_row"].energy_j.value == pytest.approx(2 * narrow.actions["write_row"].energy_j.value)
    assert wide.actions["read"].energy_j.value == pytest.approx(4 * narrow.actions["read"].energy_j.value)


def test_what_an_assumed_law_scales_is_assumed(isaac: Machine) -> None:
    assert isaac.with_(buffer_capacity="128 KiB").part("buffer").area_mm2.mark == "assumed"


def test_counts_follow_the_arrays(isaac: Machine) -> None:
    wide = isaac.with_(array_rows=256)
    assert wide.part("dac").count == 2 * isaac.part("dac").count
    assert wide.part("sample_hold").count == isaac.part("sample_hold").count


def test_overrides_by_any_unambiguous_end(isaac: Machine) -> None:
    for key in ("adc_bits", "adc.bits", "ima.adc.bits", "chip.tile.ima.adc.bits"):
        assert isaac.with_(**{key: 6}).part("adc").parameters["bits"] == 6
    changed = isaac.with_(adc_area="0.01 mm^2", **{"adc.convert.energy": "3 pJ"}).part("adc")
    assert changed.area_mm2.value == 0.01
    assert changed.area_mm2.mark == "assumed"
    assert changed.actions["convert"].energy_j.value == pytest.approx(3e-12)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"bits": 7}, "is ambiguous"),
        ({"adc_bit": 7}, "no field adc_bit"),
        ({"adc_bits": "seven"}, "not a quantity"),
        ({"adc_bits": -1}, "must be positive"),
        ({"tile.count": 0}, "tile.count: Input should be greater than or equal to 1"),
        ({"tile.count": 0.5}, "multiple of 1"),
        ({"array.count": 1e99}, "array.count: Input should be less"),
        ({"array.rows": 1e9}, "array.rows must be positive and at most"),
        ({"adc_bits": True}, "expected a number, or a number and a unit"),
        ({"adc_bits": None}, "expected a number"),
        ({"adc_power": "1e400 W"}, "must not be negative, and must be below"),
        ({"adc_area": "3 pJ"}, "expected an area"),
        ({"adc_area": "-3 mm^2"}, "must not be negative"),
        ({"cycle": "100 nm"}, "expected s"),
        ({"adc_bits": "1e99"}, "at most 64"),
        ({"array.use": "isaac.arrey"}, "no component named"),
    ],
)
def test_overrides_that_make_no_sense(changes: dict[str, object], problem: str, isaac: Machine) -> None:
    with pytest.raises(MachineError, match=problem):
        isaac.with_(**changes)


def test_a_file_of_a_few_lines_is_a_variant(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "machine: mine\nextends: isaac-ce\ntitle: Mine\nset:\n  adc.bits: 7\nengines:\n  crossbar: {encoding: differential, flip: false}\n"
    )
    machine = load_machine(path)
    assert machine.name == "mine"
    assert machine.part("adc").parameters["bits"] == 7
    assert machine.engines["crossbar"]["encoding"] == "differential"
    assert machine.engines["crossbar"]["unit_column"] is True


def test_a_file_may_bring_components_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "machine: own\nextends: isaac-ce\ntitle: Own\nset: {adc.use: my.adc}\ncomponents:\n  my.adc:\n    parameters: {bits: 8, rate: 1 GHz}\n"
        "    law: sar_adc\n    area: {value: 900 um^2, source: measured here, mark: assumed}\n    power: {value: 1 mW, source: measured here, mark: assumed}\n"
        "    actions: {convert: {busy: {value: 1 ns, source: 1/rate, mark: derived}}}\n"
    )
    adc = load_machine(path).part("adc")
    assert adc.area_mm2.value == pytest.approx(9e-4)
    assert adc.actions["convert"].energy_j.value == pytest.approx(1e-12)


BAD = {
    "not yaml": ("machine: [", "not valid YAML"),
    "no mapping": ("- 1\n- 2\n", "not a mapping of fields"),
    "no name": ("title: x\n", "lacks the field 'machine'"),
    "unknown base": ("machine: a\nextends: isaak\n", "no machine named isaak"),
    "itself": ("machine: a\nextends: {path}\n", "extends itself"),
    "unknown field": ("machine: a\nextends: isaac-ce\ntitel: b\n", "titel"),
    "unknown component": ("machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {use: isaac.acd}\n", "no component named isaac.acd"),
    "neither": ("machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {count: 3}\n", "either 'use'"),
    "unknown parameter": ("machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {use: isaac.adc, with: {bit: 3}}\n", "no parameter bit"),
    "per nobody": ("machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {use: isaac.adc, per: array}\n", "names no part in the same unit"),
    "wrong unit": (
        "machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {use: isaac.adc, area: {value: 3 mW, source: d, mark: assumed}}\n",
        "expected an area",
    ),
    "unknown mark": (
        "machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {use: isaac.adc, area: {value: 3 mm2, source: d, mark: sure}}\n",
        "mark",
    ),
    "no source": ("machine: a\ntitle: b\npaper: c\nchip:\n  parts:\n    adc: {use: isaac.adc, area: {value: 3 mm2, mark: assumed}}\n", "source"),
    "unknown law": ("machine: a\nextends: isaac-ce\ncomponents:\n  x.y: {law: cubic}\n", "no scaling law"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_get_one_line(name: str, tmp_path: Path) -> None:
    text, problem = BAD[name]
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace("{path}", str(path)))
    with pytest.raises(MachineError, match=problem) as caught:
        load_machine(path)
    assert "\n" not in str(caught.value)


def test_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("machine: a\nextends: isaac-ce\ntitle: b\nnonsense: 3\n")
    with pytest.raises(MachineError, match="line 4"):
        load_machine(path)


def _readings(machine: Machine):
    """Everything that a small network on a machine reads: values, times, costs."""
    ops = (
        (Conv((1, 1), (1, 1, 1, 1), (1, 1)), (seeded(1, 24, 16, 3, 3), seeded(2, 24))),
        (Relu(), ()),
        (MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), ()),
        (AvgPool((2, 2), (2, 2), (0, 0, 0, 0)), ()),
        (Conv((1, 1), (0, 0, 0, 0), (1, 1)), (seeded(3, 200, 24, 1, 1),)),
        (Softmax(1), ()),
    )
    x = seeded(4, 2, 16, 24, 24)
    program = compile_network(quantize(chain(*ops, shape=(16, 24, 24)), [x]), machine)
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    (y,), _ = Values.of(program)((x,))
    plans = tuple(row["why"] for row in Values.of(program).plans)
    return (float(y.double().square().sum()), timeline.latency_s, timeline.interval_s, ledger.energy_j, ledger.total_area_mm2, program.notes, plans)


_SILENT = {
    "compile.overflow": "says what happens to a network that does not fit, and this one does",
    "inferences_per_load": "counts where a network is written again and again: tested with the ledger",
    "digital.": "names of parts: tested with the digital engine",
    ".static": "zero in this machine unless given; tested by setting it",
    "write_row": "ISAAC writes no cells at run time",
    "read_row": "of arrays that layers share: tested with blocks",
    "compile.arrays": "likewise",
    "vector.multiply_add": "this network multiplies no two activations",
    "vector.power": "an extension is no part of the machine's power; its actions have energies of their own",
    "router.hop.latency": "no source gives it, so that it is zero; tested by setting it",
    ".use": "swaps a component: tested above",
    "crossbar.unit_column": "needed by the flip encoding of this machine",
    "crossbar.encoding": "needed by the flip encoding of this machine",
    "crossbar.accumulate": "needed by the flip encoding of this machine",
    "crossbar.separate_columns": "of a buffer of partial sums: tested with the dataflows",
    "crossbar.buffer_": "of a buffer of partial sums: tested with the dataflows",
    "crossbar.adder": "of trained circuits: tested with them",
    "crossbar.converter": "of trained circuits: tested with them",
    "crossbar.calibrate": "of trained circuits: tested with them",
    "crossbar.first_digit": "of trained circuits: tested with them",
    "crossbar.residual": "this network adds no residual: tested with networks that do",
    "softmax.": "of a softmax unit, which this machine has none of: tested with those that do",
    "softmax_unit.": "likewise",
    "compile.grain": "this network has no attention: tested with it",
    "dynamic.dual_access": "likewise",
    "dynamic.operand_sets": "likewise",
    "dynamic.products": "this network multiplies no two activations: tested with attention",
    "compile.tied": "this network ties no weights: tested with networks that do",
    "crossbar.range": "makes no difference to a converter that is lossless",
    "array.layers": "a second layer is there for stack=expansion or deep-net: tested with CrossStack",
    "crossbar.stack": "needs arrays of two layers: tested with CrossStack",
    "buffer.capacity": "checked below: it scales area",
    **{f"crossbar.{field}": "of cells and wires, which are ideal here: tested with real ones" for field in PhysicsFields.model_fields},
}


def _changed(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 if value else 1
    return {"balanced": "none", "spread": "pack", "none": 2, "layers": "none"}.get(str(value), value)


@pytest.mark.parametrize("field", [r["field"] for r in explain(load_machine("isaac-ce")) if not any(s in r["field"] for s in _SILENT)])
def test_every_field_reaches_a_reading(field: str, isaac: Machine) -> None:
    """Double it, or turn it over, and something that is read changes (invariant 5)."""
    units = {"area": "mm2", "power": "W", "static": "W", "energy": "J", "latency": "s", "cycle": "s", "rate": "Hz", "capacity": "B"}
    row = next(r for r in explain(isaac) if r["field"] == field)
    value = _changed(row["value"])
    last = field.rpartition(".")[2]
    if last in ("latency", "rate"):
        value = row["value"] * (1000 if last == "latency" else 0.001)
    text = f"{value} {units[last]}" if last in units else value
    if field == "compile.chips":
        text = 2
    changed = isaac.with_(**{field: text})
    if last == "power":
        assert changed.power_w != isaac.power_w
        return
    assert _readings(isaac) != _readings(changed)


def test_a_slow_router_is_waited_for(isaac: Machine) -> None:
    assert _readings(isaac.with_(**{"router.hop.latency": "1 us"}))[2] > _readings(isaac)[2]


def test_static_power_is_charged(isaac: Machine) -> None:
    assert _readings(isaac.with_(adc_static="1 mW"))[3] > _readings(isaac)[3]
