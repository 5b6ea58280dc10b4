"""The ledger: totals are sums of leaves, and prices are charged where they should be."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine.crossbar.peak import peak
from crossloom.errors import CapacityError, MachineError, ModelError
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.operators import Conv, Linear, Softmax
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.program.text import print_program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.layers import chain, one_layer, seeded


@pytest.fixture(scope="module")
def digits():
    network = load("zoo:digits")
    return quantize(network, [random_inputs(network, 4, 0).inputs])


def test_totals_are_sums(digits, isaac: Machine) -> None:
    program = compile_network(digits, isaac)
    ledger = read_ledger(program, read_timeline(program))
    assert ledger.energy_j == pytest.approx(sum(ledger.by_component.values()))
    assert ledger.energy_j == pytest.approx(sum(ledger.by_stage.values()) + sum(ledger.static_j.values()))
    assert all(entry.energy_j >= 0 and entry.count >= 0 for entry in ledger.entries)
    assert ledger.total_area_mm2 == pytest.approx(isaac.area_mm2)


def test_a_conversion_is_charged_for_every_bit_line_and_cycle(isaac: Machine) -> None:
    """One 3×3 layer of 16 to 24 channels at 8 bits: 144 rows in two tiles, 24 · 4 bit lines and a unit column each, 8 cycles, 36 pixels."""
    graph = quantize(one_layer(Conv((1, 1), (1, 1, 1, 1), (1, 1)), (16, 6, 6), seeded(1, 24, 16, 3, 3)), [seeded(2, 2, 16, 6, 6).abs()])
    program = compile_network(graph, isaac)
    assert program.stages[0].actions["adc.convert"] == 36 * 8 * 2 * (24 * 4 + 1)
    assert program.stages[0].actions["dac.drive"] == 36 * 8 * 144
    assert program.stages[0].actions["array.read"] == 36 * 8 * 2
    assert program.stages[0].actions["buffer.write"] == 36 * 24


def test_peak_actions_draw_the_power_of_table_1(isaac: Machine) -> None:
    """Every part at its highest rate draws what the table prints: prices and powers belong together."""
    rates = {"array.read": 1 / 1e-7, "adc.convert": 1.28e9, "dac.drive": 1 / 1e-7, "sample_hold.sample": 1 / 1e-7, "shift_add.add": 2.56e9}
    for name, rate in rates.items():
        part = isaac.part(name.partition(".")[0])
        assert part.actions[name.partition(".")[2]].energy_j.value * rate == pytest.approx(part.power_w.value)
    assert peak(isaac).power_w == pytest.approx(isaac.power_w)


def test_extensions_cost_only_where_they_work(isaac: Machine) -> None:
    plain = quantize(one_layer(Linear(), (8,), seeded(1, 4, 8)), [seeded(2, 2, 8)])
    soft = quantize(chain((Linear(), (seeded(1, 4, 8),)), (Softmax(1), ()), shape=(8,)), [seeded(2, 2, 8)])
    areas = []
    for graph in (plain, soft):
        program = compile_network(graph, isaac)
        areas.append(read_ledger(program, read_timeline(program)).total_area_mm2)
    assert areas[0] == pytest.approx(isaac.area_mm2)
    assert areas[1] == pytest.approx(isaac.area_mm2 + isaac.part("vector").area_mm2.value)


@pytest.mark.parametrize("name", ["isaac-128", "isaac-256", "isaac-512"])
def test_wider_arrays_never_need_more_of_them(name: str, isaac: Machine) -> None:
    network = load("zoo:mobilenet-v2")
    graph = quantize(network, [random_inputs(network, 1, 0).inputs])
    need = [sum(s.arrays for s in compile_network(graph, m.with_(replicate="none")).stages) for m in (isaac, load_machine(name))]
    assert need[1] <= need[0]


def test_more_bits_cost_more(isaac: Machine) -> None:
    network = load("zoo:digits")
    x = random_inputs(network, 4, 0).inputs
    energies = []
    for bits in (4, 8, 16):
        program = compile_network(quantize(network, [x], Recipe(bits, bits)), isaac)
        energies.append(sum(entry.energy_j for entry in read_ledger(program, read_timeline(program)).entries))
    assert energies == sorted(energies)


def test_a_network_larger_than_a_chip_uses_several_or_is_refused(isaac: Machine) -> None:
    graph = quantize(one_layer(Linear(), (4096,), seeded(1, 4096, 4096)), [seeded(2, 1, 4096)])
    small = isaac.with_(**{"tile.count": 10})
    program = compile_network(graph, small)
    assert program.chips == 5
    assert "5 chips are used" in program.notes[0]
    with pytest.raises(CapacityError, match="needs 4096 arrays and the machine has 960") as caught:
        compile_network(graph, small.with_(overflow="refuse"))
    assert (caught.value.need, caught.value.have) == (4096, 960)
    with pytest.raises(CapacityError):
        compile_network(graph, small.with_(**{"compile.chips": 2}))


def test_a_network_larger_than_a_chip_can_stream_through_it(isaac: Machine) -> None:
    """Two segments: cells are written in between, both computed rightly, and more inferences for each writing cost less each."""
    ops = tuple((Linear(), (seeded(i, 512, 512),)) for i in range(3))
    x = seeded(9, 2, 512)
    graph = quantize(chain(*ops, shape=(512,)), [x])
    small = isaac.with_(**{"tile.count": 1, "overflow": "reload"})
    program = compile_network(graph, small)
    assert [stage.residency.segment for stage in program.stages] == [0, 1, 2]
    assert "3 segments" in program.notes[0]
    timeline = read_timeline(program)
    rows = timeline.rows
    load = 128 * 8 * small.part("array").actions["write_row"].latency_s.value
    assert rows[0].start_s == pytest.approx(load)
    assert rows[1].start_s == pytest.approx(rows[0].finish_s + load)
    assert timeline.interval_s == pytest.approx(timeline.latency_s)
    ledger = read_ledger(program, timeline)
    assert ledger.actions["array.write_row"] == 3 * 512 * 16  # each of 512 rows in 16 column tiles
    (y,), counts = Values.of(program)((x,))
    assert torch.equal(y, graph(x))
    assert counts == Counter({name: 2 * count for name, count in ledger.actions.items()})
    often = compile_network(graph, small.with_(inferences_per_load=100))
    shared = read_timeline(often)
    assert shared.interval_s < timeline.interval_s / 10
    assert read_ledger(often, shared).energy_j < ledger.energy_j


def test_a_layer_larger_than_the_chip_comes_in_parts(isaac: Machine) -> None:
    """Cut by its results: written and computed one part after the other, its inputs fetched for each; the sums are the same."""
    x = seeded(2, 2, 256)
    graph = quantize(one_layer(Linear(), (256,), seeded(1, 640, 256)), [x])
    small = isaac.with_(**{"tile.count": 1, "ima.count": 2, "array.count": 8, "overflow": "reload"})
    whole, program = compile_network(graph, isaac.with_(**{"overflow": "reload"})), compile_network(graph, small)
    (stage,) = program.stages
    assert (whole.stages[0].arrays, stage.arrays, stage.residency.chunks) == (40, 14, 3)
    assert stage.steps == 3 * whole.stages[0].steps
    timeline, ledger = read_timeline(program), read_ledger(program, read_timeline(program))
    assert stage.residency.programming_s > 0
    assert timeline.latency_s == pytest.approx(3 * stage.residency.programming_s + 2 * stage.interval_s + stage.latency_s)
    assert timeline.interval_s == pytest.approx(timeline.latency_s)
    assert ledger.actions["buffer.read"] == 3 * read_ledger(whole, read_timeline(whole)).actions["buffer.read"]
    (y,), counts = Values.of(program)((x,))
    assert torch.equal(y, graph(x))
    assert counts == Counter({name: 2 * count for name, count in ledger.actions.items()})
    assert parse_program(print_program(program), graph, small) == program
    tiny = small.with_(**{"ima.count": 1, "array.count": 1})
    with pytest.raises(CapacityError, match="a single result of layer y"):
        compile_network(graph, tiny)


def test_tied_layers_in_parts_are_written_for_each_step(isaac: Machine) -> None:
    """A step of a recurrent layer needs all parts of the step before, so that its weights are written again and again."""
    tiny = isaac.with_(**{"tile.count": 1, "ima.count": 1, "array.count": 2, "overflow": "reload"})
    x = seeded(5, 2, 3, 16)
    graph = quantize(load(torch.nn.LSTM(16, 48, batch_first=True), (x,)), [x])
    program = compile_network(graph, tiny)
    steps = [stage for stage in program.stages if stage.residency.chunks > 1]
    assert len(steps) >= 3
    assert all(stage.residency.programming_s > 0 and not stage.shares for stage in steps)
    assert all("array.write_row" in stage.actions for stage in steps)


def test_a_board_of_chips_is_filled(digits, isaac: Machine) -> None:
    program = compile_network(digits, isaac.with_(**{"compile.chips": 3}))
    assert program.chips == 3
    assert read_ledger(program, read_timeline(program)).total_area_mm2 == pytest.approx(3 * isaac.area_mm2)


def test_machines_of_costs_alone_run_nothing(digits) -> None:
    with pytest.raises(MachineError, match="cost-only description"):
        compile_network(digits, load_machine("dadiannao"))


def test_networks_in_floating_point_are_refused(isaac: Machine) -> None:
    with pytest.raises(ModelError, match="quantise it first"):
        compile_network(load("zoo:digits"), isaac)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [({"replicate": "twice"}, "balanced, none"), ({"overflow": "explode"}, "chips, reload, refuse"), ({"compile.chips": -1}, "whole number")],
)
def test_compile_options(setting: dict[str, object], problem: str, digits, isaac: Machine) -> None:
    with pytest.raises(MachineError, match=problem):
        compile_network(digits, isaac.with_(**setting))
