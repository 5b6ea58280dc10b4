"""CrossStack: its claims, the circuits behind them, and the machine in both modes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from shutil import which

import pytest
import torch

from crossloom.circuit import Stack, Wires, ngspice, solve
from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.engine import Inferences
from crossloom.engine.crossbar.analog.layer import AnalogLayer
from crossloom.engine.crossbar.engine import layer_of, reference_executor
from crossloom.engine.crossbar.reference.analog import analog_reference
from crossloom.engine.crossbar.settings import crossbars
from crossloom.errors import MachineError
from crossloom.machines import load_machine
from crossloom.network.integer import quantized_inputs
from crossloom.network.operators import Linear
from crossloom.network.quantize.post_training import quantize
from crossloom.papers import Claim, reproduce
from crossloom.papers.crossstack import array_in, layers_of_ten_bits, reduction, resistive_ratio, right_sums, stacked, worst_drop
from crossloom.papers.workloads import network, with_bits
from crossloom.program.text import print_program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.layers import one_layer, seeded


def triangle(n: int) -> float:
    return n * (n + 1) / 2


@pytest.mark.parametrize(("inputs", "columns"), [(8, 8), (10, 10), (20, 10), (16, 5), (64, 64)])
def test_small_drops_are_sums_along_the_wires(inputs: int, columns: int) -> None:
    """The worst cell loses Σ of the currents that share its wires: columns along its word line, rows along its bit line, twice as many in a stack."""
    ratio = 1e-7
    planar, two = (worst_drop(stacked(inputs, columns, ratio, layers)) for layers in (1, 2))
    assert planar / ratio == pytest.approx(triangle(columns) + triangle(inputs), rel=1e-3)
    assert two / ratio == pytest.approx(triangle(columns) + 2 * triangle(inputs // 2), rel=1e-3)


def test_published_readings() -> None:
    assert reduction(10, 10, 1e-6, False) == pytest.approx(0.227, abs=5e-4)
    assert reduction(10, 10, 1e-6, True) == pytest.approx(0.214, abs=5e-4)
    assert reduction(20, 20, 1e-6, False) == pytest.approx(0.238, abs=5e-4)
    assert reduction(64, 64, 1e-6, False) == pytest.approx(0.245, abs=5e-4)
    assert reduction(20, 10, 1e-6, False) == pytest.approx(0.377, abs=5e-4)
    assert resistive_ratio() == pytest.approx(201, abs=1)


@pytest.fixture(scope="module")
def found() -> list[Claim]:
    return reproduce("crossstack")


def test_every_claim_has_a_verdict_and_says_what_was_assumed(found: list[Claim]) -> None:
    assert {claim.verdict for claim in found} == {"match", "near", "miss", "unverifiable"}
    assert all(claim.free_parameters for claim in found if claim.published is not None)
    assert found[0].verdict == "miss"


def test_a_looked_for_parameter_is_no_reproduction(found: list[Claim]) -> None:
    assert {claim.id for claim in found if "solved for" in claim.basis} == {"ir-drop-built-array-ratio", "deep-net-write-time"}
    assert all(claim.verdict == "unverifiable" for claim in found if "solved for" in claim.basis)


def test_what_both_modes_do_to_networks(found: list[Claim]) -> None:
    """Two layers of ten inputs lose less on their bit lines than one of twenty; streaming gains little where weights are used often."""
    computed = {claim.id: claim.computed for claim in found}
    assert computed["digits-expansion"] > computed["digits-planar"] + 0.1
    assert 0.9 < computed["resnet18-deep-net-time"] < 1
    assert computed["resnet18-expansion-time"] < 0.7


@pytest.mark.skipif(which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("mode", ["expansion", "deep-net"])
def test_ngspice_agrees_in_both_modes(mode: str) -> None:
    generator = torch.Generator().manual_seed(1)
    bits, inputs = (torch.randint(0, 2, shape, generator=generator).double() for shape in ((2, 10, 10), (2, 10)))
    stack, volts = array_in(mode, bits, inputs, 5.0, 1e-7)
    torch.testing.assert_close(solve(stack, volts).output_a, ngspice(stack, volts), rtol=1e-6, atol=1e-15)


def test_the_array_fails_where_it_must() -> None:
    assert right_sums("expansion", 50.0, tries=10) < 0.5
    assert right_sums("deep-net", off_s=1e-4, tries=10) < 0.5


CHIP = load_machine("crossstack")
TINY = CHIP.with_(**{"tile.count": 1, "ima.count": 1, "array.count": 1})


@pytest.mark.parametrize("mode", ["expansion", "deep-net", "planar"])
def test_a_layer_in_each_mode(mode: str) -> None:
    """Bit for bit and count for count without wires; with them, a circuit of two layers solved for each input."""
    x = seeded(3, 2, 33).abs()
    graph = quantize(one_layer(Linear(), (33,), seeded(4, 3, 33)), [x])
    chip = CHIP.with_(**{"crossbar.stack": mode})
    program = compile_network(graph, chip)
    assert program.stages[0].placement.row_tiles == (2 if mode == "expansion" else 4)
    (y,), counts = Values.of(program)((x,))
    (want,), reference = Values.of(program, {"crossbar": reference_executor})((x,))
    assert torch.equal(y, want)
    assert torch.equal(y, graph(x))
    assert counts == reference == Counter({name: 2 * count for name, count in program.stages[0].actions.items()})
    wired = chip.with_(word_resistance="30 Ohm", bit_resistance="40 Ohm", sense_resistance="20 Ohm")
    layer = layer_of(graph.nodes[0], graph, crossbars(wired), program.stages[0].placement)
    q = quantized_inputs(graph, (x,))["x0"]
    torch.testing.assert_close(AnalogLayer.of(layer, 0)(q, Inferences(2)), analog_reference(layer, q, 0), rtol=1e-9, atol=1e-6)


def test_writing_hides_behind_reading() -> None:
    """Σ (load + compute) with one layer, Σ max(load of the next, compute) with two; the first inference waits for the first load alone."""
    graph = layers_of_ten_bits(5)
    serial, overlapped = (compile_network(graph, TINY.with_(**{"crossbar.stack": mode})) for mode in ("planar", "deep-net"))
    held = [stage for stage in serial.stages if stage.arrays]
    load, compute = held[0].residency.programming_s, held[0].latency_s
    assert load == pytest.approx(10 * 50.88e-9)
    assert [stage.residency.double_buffered for stage in overlapped.stages if stage.arrays] == [True] * 5
    assert read_timeline(serial).interval_s == pytest.approx(5 * (load + compute))
    assert read_timeline(overlapped).interval_s == pytest.approx(5 * max(load, compute))
    assert read_timeline(overlapped).latency_s == pytest.approx(load + 5 * compute)
    slow = TINY.with_(**{"array.write_row.latency": "1 us"})
    serial, overlapped = (compile_network(graph, slow.with_(**{"crossbar.stack": mode})) for mode in ("planar", "deep-net"))
    assert read_timeline(overlapped).interval_s == pytest.approx(5 * 10e-6)
    assert read_timeline(overlapped).latency_s == pytest.approx(5 * 10e-6 + compute)
    assert read_timeline(serial).interval_s == pytest.approx(5 * (10e-6 + compute))


@pytest.mark.parametrize("mode", ["planar", "expansion", "deep-net"])
def test_a_larger_chip_is_never_slower(mode: str) -> None:
    graph = with_bits(network("digits"), 8)
    times = [
        read_timeline(compile_network(graph, CHIP.with_(**{"crossbar.stack": mode, "tile.count": tiles}))).interval_s
        for tiles in (4, 6, 8, 10, 12, 16, 24, 32, 64)
    ]
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(times))


def test_what_fits_both_layers_is_written_once() -> None:
    graph = layers_of_ten_bits(2)
    program = compile_network(graph, TINY.with_(**{"crossbar.stack": "deep-net"}))
    assert "lies in 2 planes" in program.notes[0]
    assert "array.write_row" not in read_ledger(program, read_timeline(program)).actions
    assert parse_program(print_program(program), graph, program.machine) == program


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"array.layers": 1}, "expansion needs arrays of two layers"),
        ({"array.layers": 3}, "one layer, or two"),
        ({"crossbar.stack": "sideways"}, "stack"),
    ],
)
def test_stacks_that_make_no_sense(changes: dict[str, object], says: str) -> None:
    with pytest.raises(MachineError, match=says):
        compile_network(layers_of_ten_bits(1), CHIP.with_(**changes))


def test_the_picture_of_a_stack() -> None:
    pytest.importorskip("matplotlib")
    from crossloom.report.figures.circuits import draw_state

    stack = Stack(10 ** (torch.rand(2, 6, 5, dtype=torch.float64) * 2 - 6), Wires(word_ohm=5.0, bit_ohm=5.0))
    volts = torch.rand(2, 6, dtype=torch.float64)
    figure = draw_state(stack, solve(stack, volts), volts)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "layer 1: voltage across each cell (V)" in titles
    assert titles.count("current, share of ideal") == 2
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(maps) == 4
    assert all(image.shape == (6, 5) for image in maps)
