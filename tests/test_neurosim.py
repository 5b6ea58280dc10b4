"""The NeuroSim-style machine: prices that follow from physics, one layer at a time, and what the tool printed beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.errors import InputError, MachineError
from crossloom.machines import Machine, load_machine
from crossloom.machines.explain import explain
from crossloom.machines.laws import LAWS, LEAKAGE_A_PER_M, Factors, factors_of, leakage_a_per_m
from crossloom.machines.load import library
from crossloom.network.graph import Graph
from crossloom.network.operators import Conv, Linear, MaxPool, Relu, Reshape
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.network.types import Batch
from crossloom.papers import crossbar_baseline, neurosim
from crossloom.papers.crossbar_baseline import RANGE, Baseline, baseline_energy, baseline_machine, fitted
from crossloom.papers.workloads import network, operations, with_bits
from crossloom.program.text import print_program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import ALONE, read_timeline
from crossloom.read.values import Values
from tests.layers import chain, seeded
from tests.test_cli import document

MACHINE = load_machine("neurosim-style")
NODES = ("neurosim-style", "neurosim-style-32", "neurosim-style-45")


def small() -> tuple[Graph, torch.Tensor]:
    """A network of three layers with weights, pooling and functions, quantised; and inputs."""
    ops = (
        (Conv((1, 1), (1, 1, 1, 1), (1, 1)), (seeded(1, 24, 16, 3, 3), seeded(2, 24))),
        (Relu(), ()),
        (MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), ()),
        (Conv((1, 1), (0, 0, 0, 0), (1, 1)), (seeded(3, 40, 24, 2, 2),)),
        (Reshape((Batch(), 360)), ()),
        (Linear(), (seeded(4, 10, 360),)),
    )
    x = seeded(5, 2, 16, 8, 8).abs()
    return quantize(chain(*ops, shape=(16, 8, 8)), [x], Recipe(8, 8)), x


GRAPH, INPUTS = small()


def costs(machine: Machine) -> tuple[float, float, float, float]:
    """Latency, interval, energy and area of the small network."""
    program = compile_network(GRAPH, machine)
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    return timeline.latency_s, timeline.interval_s, ledger.energy_j, ledger.total_area_mm2


@pytest.mark.parametrize(("name", "weights", "activations"), [("vgg8", 8, 8), ("vgg8", 2, 4), ("resnet18", 8, 8), ("resnet18", 2, 4)])
def test_conversions_by_formula_are_those_of_the_ledger(name: str, weights: int, activations: int) -> None:
    """Positions times row tiles times bit lines times cycles, and a column of ones in each array."""
    graph = with_bits(network(name), activations, signed=False, weights=weights)
    cells, conversions, reads, heated = math.ceil(weights / 2), 0, 0, 0
    for node in graph.nodes:
        if isinstance(node.op, Conv | Linear):
            results, *rest = graph.constants[node.inputs[1]].shape
            rows, positions = math.prod(rest), math.prod(node.type.sizes()[2:]) if isinstance(node.op, Conv) else 1
            down, across = math.ceil(rows / 128), math.ceil(results / (128 // cells))
            conversions += positions * activations * (results * cells * down + down * across)
            reads += positions * activations * down * across
            heated += positions * activations * rows * (results * cells + across)
    actions = baseline_energy(graph).actions
    assert (actions["adc.convert"], actions["array.read"], actions["array.read_cell"]) == (conversions, reads, heated)


@pytest.mark.parametrize("bits", [5, 9])
def test_what_is_priced_is_what_is_done(bits: int) -> None:
    """Counts of the plans, of the definition and of the ledger agree, cells among them; nine bits lose nothing, five do."""
    program = compile_network(GRAPH, MACHINE.with_(adc_bits=bits))
    (y,), counts = Values.of(program)((INPUTS,))
    (z,), slow = Values.of(program, {"crossbar": reference_executor})((INPUTS,))
    priced: dict[str, int] = {}
    for stage in program.stages:
        for action, count in stage.actions.items():
            priced[action] = priced.get(action, 0) + 2 * count
    assert dict(counts) == dict(slow) == priced
    assert priced["array.read_cell"] > 0
    assert torch.equal(y, z)
    assert torch.equal(y, GRAPH(INPUTS)) == (bits == 9)


UNITS = {
    "area": "mm2",
    "power": "W",
    "static": "W",
    "energy": "J",
    "latency": "s",
    "rate": "Hz",
    "capacity": "B",
    "node": "m",
    "length": "m",
    "supply": "V",
    "read_voltage": "V",
    "on_resistance": "Ohm",
    "pulse": "s",
}
SILENT = {
    ".use": "swaps a component",
    "write_row": "no cells are written at run time",
    "read_row": "of arrays that layers share",
    "vector.": "an extension that this network does not use",
    "softmax_unit.": "there is none",
    "array.layers": "a second layer is for other modes",
    "array.read.energy": "nothing: told with what drives the lines",
    "array.static": "nothing: no voltage across cells at rest",
    "compile.": "tested with the compiler, the pipeline below",
    "crossbar.": "tested with the crossbar engine",
    "digital.": "names of parts",
}


@pytest.mark.parametrize("field", [r["field"] for r in explain(MACHINE) if not any(s in r["field"] for s in SILENT)])
def test_every_parameter_reaches_a_reading(field: str) -> None:
    """Change it, and times, energies or areas change (invariant 5); what is slow is so by a thousand, since the arrays set the pace."""
    value, last = next(r["value"] for r in explain(MACHINE) if r["field"] == field), field.rpartition(".")[2]
    factor = {"latency": 1000.0, "rate": 1e-3, "cell_bits": 0.5, "activity": 0.5, "level": 0.5}.get(last, 2.0)
    changed = value * factor if last != "cell_bits" else int(value * factor)
    found = MACHINE.with_(**{field: f"{changed} {UNITS[last]}" if last in UNITS else changed})
    if last == "power":
        assert found.power_w > MACHINE.power_w
    else:
        assert costs(found) != costs(MACHINE)


def test_heat_is_v_squared_g_t() -> None:
    cell = library()["rram.array"].actions["read_cell"].energy
    mean = (1 / 6e3 + 1 / 900e3) / 2
    assert MACHINE.part("array").actions["read_cell"].energy_j.value == pytest.approx(0.25 * 0.5**2 * mean * 1e-9)
    assert cell is not None and cell.mark == "derived"
    for change, factor in (
        ({"read_voltage": "1 V"}, 4),
        ({"pulse": "10 ns"}, 10),
        ({"on_resistance": "12 kOhm"}, 0.5),
        ({"activity": 0.5}, 2),
        ({"rows": 256}, 1),
    ):
        key, value = next(iter(change.items()))
        wanted = MACHINE.with_(**{f"array.{key}": value}).part("array").actions["read_cell"].energy_j.value
        assert wanted == pytest.approx(factor * MACHINE.part("array").actions["read_cell"].energy_j.value)


def test_parts_get_dearer_with_the_node() -> None:
    machines = [load_machine(name) for name in NODES]
    assert [machine.shared["chip"]["node"] for machine in machines] == pytest.approx([22e-9, 32e-9, 45e-9])
    for path, part in machines[0].parts.items():
        if "node" in part.parameters:
            for figures in (
                [m.parts[path].area_mm2.value for m in machines],
                *([m.parts[path].actions[action].energy_j.value for m in machines] for action in part.actions),
            ):
                assert figures == sorted(figures)
    costly = [costs(machine.with_(tile_count=8)) for machine in machines]
    assert [each[2] for each in costly] == sorted(each[2] for each in costly)
    assert [each[3] for each in costly] == sorted(each[3] for each in costly)


lengths = st.floats(10e-9, 100e-9)
volts = st.floats(0.3, 2.0)


@given(lengths, volts, lengths, volts, lengths, volts)
def test_the_way_to_a_node_makes_no_difference(a: float, u: float, b: float, v: float, c: float, w: float) -> None:
    """From one node to another and on to a third is from the first to the third; and back to where one was changes nothing."""
    points = [{"node": node, "supply": supply} for node, supply in ((a, u), (b, v), (c, w))]
    law = LAWS["cmos"]
    both, direct = law(points[0], points[1]) * law(points[1], points[2]), law(points[0], points[2])
    for got, want in ((both.area, direct.area), (both.energy, direct.energy), (both.static, direct.static), (both.time, 1.0)):
        assert got == pytest.approx(want)
    assert law(points[0], points[0]).changes_nothing


@given(lengths, lengths)
def test_leakage_rises_as_channels_shrink(a: float, b: float) -> None:
    assert (leakage_a_per_m(a) >= leakage_a_per_m(b)) or a > b
    for node, current in LEAKAGE_A_PER_M.items():
        assert leakage_a_per_m(node) == pytest.approx(current)


def test_laws_multiply() -> None:
    """A converter of other bits at another node: the factors of both laws, and what one of them assumes is assumed."""
    base = {"bits": 8.0, "rate": 1e9, "node": 32e-9, "supply": 1.0}
    wanted = {"bits": 5.0, "rate": 2e9, "node": 22e-9, "supply": 0.8}
    sar, cmos = LAWS["sar_adc"](base, wanted), LAWS["cmos"](base, wanted)
    both = factors_of(("sar_adc", "cmos"), base, wanted)
    assert (both.area, both.energy, both.time) == pytest.approx((sar.area * cmos.area, sar.energy * cmos.energy, 0.5))
    assert both.static == pytest.approx(sar.area * cmos.static)
    assert both.assumed and "SAR" in both.why and "22 nm" in both.why
    alone = factors_of(("sar_adc", "cmos"), base, base | {"bits": 5.0})
    assert not alone.assumed and "assumed" not in alone.why
    named = Factors(1.0, 2.0, 1.0, "a", {"read": 3.0}) * Factors(1.0, 5.0, 1.0, "b", {"write": 7.0})
    assert (named.of("read"), named.of("write"), named.of("else")) == (15.0, 14.0, 10.0)


def test_converters_shared_by_more_columns_take_longer_by_that_factor() -> None:
    intervals = []
    for columns in (4, 8, 16, 32):
        machine = baseline_machine(Baseline(columns_per_adc=columns))
        stage = compile_network(GRAPH, machine).stages[0]
        intervals.append(stage.interval_s)
        assert machine.part("adc").count == 128 / columns
        assert stage.limited_by == "adc.convert"
    assert intervals == pytest.approx([8 * columns * 1e-9 for columns in (4, 8, 16, 32)])


def test_one_layer_at_a_time() -> None:
    """A layer begins when all before it are through, so that the latency is their sum, and the next inference when this one is done."""
    program = compile_network(GRAPH, MACHINE)
    timeline = read_timeline(program)
    for before, row in zip(timeline.rows, timeline.rows[1:], strict=False):
        assert row.start_s == before.finish_s
        assert timeline.by_name[row.waited_for].finish_s == before.finish_s
    assert timeline.latency_s == pytest.approx(sum(stage.latency_s + (stage.steps - 1) * stage.interval_s for stage in program.stages))
    assert timeline.interval_s == timeline.latency_s
    assert timeline.limited_by == ALONE
    pipelined = read_timeline(compile_network(GRAPH, MACHINE.with_(pipeline="layers")))
    assert pipelined.interval_s < pipelined.latency_s < timeline.latency_s
    assert parse_program(print_program(program), GRAPH, MACHINE) == program


def test_one_layer_at_a_time_in_a_network_that_branches() -> None:
    """Two branches of a residual block follow each other although neither needs the other."""
    graph = with_bits(network("resnet18-cifar"), 8, signed=False)
    timeline = read_timeline(compile_network(graph, MACHINE))
    ends = [row.finish_s for row in timeline.rows]
    assert all(row.start_s == pytest.approx(max(ends[:place], default=0.0)) for place, row in enumerate(timeline.rows))


@settings(max_examples=8)
@given(st.integers(1, 50))
def test_one_layer_at_a_time_on_a_chip_that_is_written_again_and_again(shared: int) -> None:
    """With weights written part by part, inferences that share a writing follow each other through a part one by one, too."""
    ops = tuple((Linear(), (seeded(i, 256, 256),)) for i in range(3))
    graph = quantize(chain(*ops, shape=(4, 256)), [seeded(9, 2, 4, 256)])
    machine = load_machine("isaac-ce").with_(
        **{"tile.count": 1, "ima.count": 4, "overflow": "reload", "pipeline": "none", "inferences_per_load": shared}
    )
    program = compile_network(graph, machine)
    assert len(program.segments) > 1
    loads = sum(max(stage.residency.programming_s for stage in stages) for stages in program.segments.values())
    work = sum(stage.latency_s + (stage.steps - 1) * stage.interval_s for stage in program.stages)
    assert read_timeline(program).interval_s == pytest.approx(loads / shared + work)


def test_power_at_rest_is_drawn_for_as_long_as_an_inference_takes() -> None:
    program = compile_network(GRAPH, MACHINE)
    timeline = read_timeline(program)
    power_w = sum(part.total * part.static_w.value for part in MACHINE.parts.values())
    assert sum(read_ledger(program, timeline).static_j.values()) == pytest.approx(power_w * timeline.latency_s)
    assert 0.1e-3 < power_w < 10e-3


@pytest.mark.parametrize("name", NODES)
def test_totals_are_sums_of_rows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "machine", "show", name)
    for figure in ("area_mm2", "power_w"):
        assert shown["totals"][figure] == pytest.approx(sum(row[figure] for row in shown["rows"] if not row["extension"]))
    machine = load_machine(name)
    assert machine.part("bus").parameters["length"] == pytest.approx(math.sqrt(machine.area_mm2) * 1e-3, rel=0.03)


def test_figures_of_the_library_follow_from_what_their_sources_say() -> None:
    """Where a source gives a formula and its numbers, the figure is what they give."""
    parts = library()

    def area(name: str) -> float:
        value, unit = parts[name].area.value.split()
        return float(value) * {"mm^2": 1.0, "um^2": 1e-6}[unit]

    def static_w(name: str) -> float:
        assert parts[name].static is not None
        value, unit = parts[name].static.value.split()
        return float(value) * {"nW": 1e-9, "uW": 1e-6, "mW": 1e-3}[unit]

    def leaking(density_per_um2: float, node_m: float, supply: float) -> float:
        return density_per_um2 * 1e6 / 2 * 3 * node_m * leakage_a_per_m(node_m) * supply

    on = 0.5 / 6e3 / 0.7276e-3 * 1e-6 / 22e-9
    assert area("rram.array") == pytest.approx(16384 * 3 * (on + 1) * (22e-9) ** 2 * 1e6, rel=0.01)
    for name in ("rram.word_driver", "rram.column_mux", "rram.sense_adc"):
        assert static_w(name) == pytest.approx(area(name) * leaking(2.55102, 22e-9, 0.8), rel=0.02)
    assert static_w("rram.adder") == pytest.approx(area("rram.adder") * leaking(1.25, 45e-9, 0.9), rel=0.01)
    assert static_w("rram.buffer") == pytest.approx(65536 * 4.6 * 45e-9 * leakage_a_per_m(45e-9) * 0.9, rel=0.01)
    branches = 512 * 1.5 * 5e-3 * math.sqrt(180)
    assert area("rram.htree") == pytest.approx(branches * 8 * 22e-9 * 1e6, rel=0.01)
    assert static_w("rram.htree") == pytest.approx(branches * 1e6 * 0.208 / 2 * 1e-6 * leakage_a_per_m(22e-9) * 0.8, rel=0.01)
    assert MACHINE.with_(bus_length="5 mm").part("bus").actions["transfer"].energy_j.value == pytest.approx(8 * 0.3e-12 * 5 * 0.8**2 / 4)


def test_a_unit_gives_parameters_to_the_parts_inside(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("machine: own\nextends: neurosim-style\nset: {chip.supply: 0.7 V, buffer.supply: 0.9 V}\n", encoding="utf-8")
    machine = load_machine(path)
    assert {part.parameters.get("supply") for part in machine.parts.values()} == {0.7, 0.9, None}
    assert machine.part("buffer").parameters["supply"] == 0.9
    assert machine.part("adc").actions["convert"].energy_j.value == pytest.approx(66.96e-15 * (0.7 / 0.8) ** 2)
    assert next(row for row in explain(machine) if row["field"] == "chip.supply")["value"] == 0.7
    path.write_text(
        "machine: own\ntitle: own\npaper: peng2019\nchip: {with: {suply: 1}, parts: {bus: {use: rram.htree}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(MachineError, match=r"chip\.with: no part inside has a parameter suply"):
        load_machine(path)
    with pytest.raises(MachineError, match="expected m, such as"):
        MACHINE.with_(**{"chip.node": 22})


def test_a_chip_is_as_large_as_its_network() -> None:
    for name in ("vgg8", "resnet18"):
        graph = with_bits(network(name), 8, signed=False)
        machine = fitted(graph, MACHINE)
        arrays = compile_network(graph, machine).arrays
        assert 0 <= machine.part("array").total - arrays < 16
        assert machine.part("bus").parameters["length"] == pytest.approx(math.sqrt(machine.area_mm2) * 1e-3, rel=2e-3)
        assert machine.part("bus").parameters["leaves"] == machine.count_of("tile")


def test_a_baseline_costs_more_with_more_bits_and_dearer_parts() -> None:
    def energy(weights: int, activations: int, **fields: object) -> float:
        graph = with_bits(network("vgg8"), activations, signed=False, weights=weights)
        return baseline_energy(graph, replace(Baseline(), **fields)).energy_j

    plain = energy(8, 8)
    assert energy(2, 4) < energy(2, 8) < plain < min(energy(8, 8, converter="sar"), energy(8, 8, pulse_s=10e-9), energy(8, 8, node_nm=32))
    assert energy(8, 8, adc_bits=6) > plain
    with pytest.raises(InputError, match="no crossbar baseline at 7 nm; choose one of 22, 32, 45"):
        baseline_machine(Baseline(node_nm=7))


def test_terms_of_a_baseline_are_all_of_it() -> None:
    graph = with_bits(network("vgg8"), 4, signed=False, weights=2)
    found = crossbar_baseline.baseline_range(graph)
    assert set(found) == set(RANGE)
    for cost in found.values():
        assert sum(cost.terms_j.values()) + cost.static_j == pytest.approx(cost.energy_j)
        assert sum(cost.terms_mm2.values()) == pytest.approx(cost.area_mm2)
        assert cost.latency_s == read_timeline(cost.program).latency_s


@pytest.mark.parametrize("id", neurosim.RUNS)
def test_the_tools_efficiency_follows_from_its_energies(id: str) -> None:
    """Operations without strides over 1.22 times the energy printed: so the layers counted here are the layers that ran."""
    run = neurosim.RUNS[id]
    follows = neurosim.counts(id).operations / neurosim.LAYOUT / (run.printed["dynamic"] + run.printed["leakage"]) / 1e6
    assert follows == pytest.approx(run.printed["efficiency"], rel=2e-3)
    assert operations(neurosim.graph_of(id)) <= neurosim.counts(id).operations


def test_conversions_as_the_tool_maps_them() -> None:
    """Of ResNet-18's first two convolutions, by hand: 109 x 109 positions of 147 rows in two tiles; 54 x 54 of 64 rows for each of nine points."""
    graph = neurosim.graph_of("resnet18")
    first, second = [node for node in graph.nodes if isinstance(node.op, Conv)][:2]
    run = neurosim.RUNS["resnet18"]
    assert neurosim._mapped(first, graph, run).conversions == 109 * 109 * 2 * 64 * 4 * 8
    assert neurosim._mapped(second, graph, run).conversions == 54 * 54 * 9 * 64 * 4 * 8
    assert neurosim._mapped(second, graph, run).moved == 54 * 54 * (576 / 3 + 64)


def test_what_was_printed_feeds_no_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [claim.computed for claim in neurosim.claims()]
    runs = {id: replace(run, printed={what: 3 * value for what, value in run.printed.items()}) for id, run in neurosim.RUNS.items()}
    monkeypatch.setattr(neurosim, "RUNS", runs)
    assert [claim.computed for claim in neurosim.claims()] == before


def test_reproduce_prints_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    claims = document(capsys, "reproduce", "neurosim")["claims"]
    assert {claim["verdict"] for claim in claims} == {"match", "near", "miss"}
    assert len(claims) == sum(len(run.printed) for run in neurosim.RUNS.values()) + 4
    assert all(claim["free_parameters"] and claim["statement"].startswith("NeuroSim: ") for claim in claims)
    assert all(claim["note"] for claim in claims if claim["verdict"] == "miss" and not claim["id"].startswith("ratio"))
    assert "calibrated" not in {row["mark"] for row in document(capsys, "machine", "explain", "neurosim-style")["fields"]}
