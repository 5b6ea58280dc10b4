"""Overlapped windows, arrays of several sizes, and the machine that has both (zhu2018)."""

from __future__ import annotations

import json
from itertools import product as every
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossloom.compiler import compile_network
from crossloom.compiler.array_types import CLOSE, LayerDemand, fastest, fitting, longest, seconds_of
from crossloom.compiler.parse import parse_program
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.engine.crossbar.mapping.overlap import Windows, best_times, staggered
from crossloom.engine.crossbar.mapping.tiling import Tiling, matrix_shape
from crossloom.engine.registry import adapted
from crossloom.errors import CapacityError, MachineError, ModelError
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Conv, Interleave, Linear, MaxPool, ProductAdd, Relu, Reshape
from crossloom.network.operators.shape import Concat
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.network.types import Batch
from crossloom.papers import misca as claimed
from crossloom.papers.workloads import compiled_use, network, overlapped_use, with_bits
from crossloom.program.dependencies import Interleaved
from crossloom.program.program import Program
from crossloom.program.text import print_program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from crossloom.training.chip_module import to_torch
from tests.layers import chain, seeded
from tests.test_cli import crossloom, document

ISAAC, MISCA = load_machine("isaac-ce"), load_machine("misca")
SMALL = MISCA.with_(**{"tile.count": 2})


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Graph, torch.Tensor]:
    """A convolution of one, two or three axes, with or without functions after it, quantised, and what it is to be computed for."""
    axes, groups = draw(st.sampled_from([1, 2, 2, 2, 3])), draw(st.sampled_from([1, 1, 2, 3]))
    channels, results = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 4))
    kernel = (*(draw(st.integers(1, 3)) for _ in range(axes - 1)), draw(st.integers(1, 5)))
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(axes)) for _ in range(2))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(2 * axes))
    size = (*(draw(st.integers(4, 5)) for _ in range(axes - 1)), draw(st.integers(5, 14)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(s + padding[i] + padding[axes + i] >= reach[i] for i, s in enumerate(size)))
    weights = (seeded(draw(st.integers(0, 99)), results, channels // groups, *kernel),)
    bias = (seeded(1, results),) if draw(st.booleans()) else ()
    ops = [(Conv(stride, padding, dilation, groups), weights + bias), *draw(st.sampled_from([[], [(Relu(), ())], [(Relu(), ()), (Relu(), ())]]))]
    shape = (channels, *size)
    x = seeded(7, 2, *shape)
    return quantize(chain(*ops, shape=shape), [x], Recipe(draw(st.integers(2, 8)), draw(st.integers(2, 8)))), x


def counted(program: Program, x: torch.Tensor) -> None:
    """Check that plans and the definition compute the reference's integers, and do what is priced."""
    (y,), counts = Values.of(program)((x,))
    (z,), slow = Values.of(program, {"crossbar": reference_executor})((x,))
    (expected,), _ = Values.exactly(program)((x,))
    assert torch.equal(y, expected) and torch.equal(z, expected)
    assert torch.equal(y, program.network(x))
    priced: dict[str, int] = {}
    for stage in program.stages:
        for action, count in stage.actions.items():
            priced[action] = priced.get(action, 0) + count * len(x)
    assert dict(counts) == dict(slow) == priced


@settings(max_examples=150)
@given(convolutions(), st.integers(2, 9))
def test_an_overlapped_network_computes_the_same_integers(net, times: int) -> None:
    graph, x = net
    changed, notes = adapted(graph, ISAAC.with_(overlap=times))
    overlapped = [node for node in changed if isinstance(node.op, Interleave)]
    windows = Windows.of(graph.nodes[0], graph)
    assert bool(overlapped) == bool(notes) == (windows is not None and windows.count > 1)
    assert torch.equal(changed(x), graph(x))
    assert adapted(changed, ISAAC.with_(overlap=times))[0] is changed
    assert changed.outputs == graph.outputs and changed.types[graph.outputs[0]] == graph.types[graph.outputs[0]]


@settings(max_examples=40)
@given(convolutions(), st.one_of(st.just("auto"), st.integers(2, 5)), st.sampled_from([(32, 32), (48, 64), (128, 128)]), st.booleans())
def test_a_machine_with_overlap_computes_the_reference_and_does_what_is_priced(net, overlap: int | str, size: tuple[int, int], unit: bool) -> None:
    graph, x = net
    rows, columns = size
    machine = ISAAC.with_(overlap=overlap, array_rows=rows, array_columns=columns, flip=False, unit_column=unit, adc_bits=12)
    counted(compile_network(graph, machine), x)


@settings(max_examples=60)
@given(convolutions(), st.integers(2, 6), st.integers(8, 40), st.integers(16, 40))
def test_blank_weights_are_counted_where_they_lie(net, times: int, rows: int, columns: int) -> None:
    graph, _ = net
    machine = ISAAC.with_(overlap=times, array_rows=rows, array_columns=columns, flip=False, unit_column=False)
    try:
        program = compile_network(graph, machine)
    except ModelError:  # one weight is wider than an array
        assume(False)
    tiling: Tiling = program.stages[0].placement
    windows = Windows.of(graph.nodes[0], graph)
    assume(tiling.stagger)
    shape = graph.constants[graph.nodes[0].inputs[1]].shape
    ones = staggered(torch.ones(shape), windows, tiling.stagger[0]).reshape(tiling.groups, tiling.columns, tiling.rows)
    assert tiling.weights == int(ones.sum()) == tiling.stagger[0] * int(torch.ones(shape).sum())
    assert sum(block.count * block.cells for block in tiling.blocks) == tiling.cells
    if tiling.packed == 1:
        each = tiling.weights_per_array
        held = sorted(int(part.sum()) for group in ones for strip in group.split(each) for part in strip.split(tiling.array_rows, 1))
        assert held == sorted(block.cells // tiling.slices for block in tiling.blocks for _ in range(block.count))
    assert tiling.utilization <= tiling.mapped_utilization <= 1


def test_the_kernel_lies_lower_by_the_stride() -> None:
    weight = torch.arange(1.0, 4.0).reshape(1, 1, 3)
    wide = staggered(weight, Windows(3, 2, 10), 3)[:, 0]
    assert wide.tolist() == [[1, 2, 3, 0, 0, 0, 0], [0, 0, 1, 2, 3, 0, 0], [0, 0, 0, 0, 1, 2, 3]]
    two = Windows(2, 1, 9)
    assert (2 * two.kernel * 2, 2 * two.union(2)) == (8, 6)  # a 2 x 2 kernel: six word lines instead of eight (zhu2018, by a quarter)


@settings(max_examples=60)
@given(
    st.integers(1, 20),
    st.integers(1, 200),
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(1, 60),
    st.sampled_from([32, 128, 512]),
    st.integers(1, 8),
)
def test_auto_wastes_the_fewest_cells_for_each_result(depth: int, columns: int, kernel: int, shift: int, count: int, size: int, slices: int) -> None:
    windows = Windows(kernel, shift, count)

    def arrays(times: int) -> int:
        return -(-depth * windows.union(times) // size) * -(-columns * times * slices // size)

    def wasted(times: int) -> float:
        """Cells that hold nothing for a result that is kept, on average over a row."""
        return arrays(times) * size**2 * -(-count // times) / count - depth * kernel * columns * slices

    chosen = best_times(windows, arrays)
    assert wasted(chosen) == pytest.approx(min(wasted(times) for times in range(1, count + 1)))


@settings(max_examples=100)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 7))
def test_results_come_several_at_once(rows: int, width: int, times: int) -> None:
    across = -(-width // times)
    expected = [row * across + place // times for row in range(rows) for place in range(width)]
    assert Interleaved(times, width).last(np.arange(rows * width), rows * across).tolist() == expected


def _two_layers(width: int) -> Graph:
    """Two 1 x 3 convolutions with a ReLU between, one channel, one row."""
    ops = (
        (Conv((1, 1), (0, 0, 0, 0), (1, 1)), (seeded(1, 1, 1, 1, 3),)),
        (Relu(), ()),
        (Conv((1, 1), (0, 0, 0, 0), (1, 1)), (seeded(2, 1, 1, 1, 3),)),
    )
    return quantize(chain(*ops, shape=(1, 1, width)), [seeded(3, 2, 1, 1, width)])


def test_the_pipeline_of_overlapped_layers_by_hand() -> None:
    """Ten inputs, eight results in three operations of three, of which the second layer needs five, then eight (of six) for its two operations."""
    machine = ISAAC.with_(overlap=3, replicate="none")
    program = compile_network(_two_layers(10), machine)
    first, moved, second, last = program.stages
    assert [type(program.graph.node(stage.name).op) for stage in program.stages] == [Relu, Interleave, Conv, Interleave]
    assert [stage.positions for stage in program.stages] == [3, 8, 2, 6]
    assert first.nodes == ("n0.x3", "n1.x3") and moved.nodes == ("n1",)
    assert not moved.actions and moved.latency_s == 0
    rows = read_timeline(program).by_name
    cycle, operation = first.interval_s, first.latency_s
    assert (second.interval_s, second.latency_s) == (cycle, operation)
    # results 0 to 4 are there after operation 1, results 5 to 7 after operation 2
    assert rows[second.name].start_s == pytest.approx(cycle + operation)
    assert rows[second.name].finish_s == pytest.approx(2 * cycle + 2 * operation)
    assert rows[last.name].finish_s == pytest.approx(2 * cycle + 2 * operation)
    plain = compile_network(_two_layers(10), machine.with_(overlap="none"))
    assert read_timeline(plain).latency_s == pytest.approx(7 * cycle + 2 * operation)


@pytest.mark.parametrize("machine", [ISAAC.with_(overlap=2), MISCA.with_(overlap=2)], ids=lambda machine: machine.name)
def test_a_result_travels_to_who_reads_it_interleaved(machine: Machine) -> None:
    """Not only as far as the interleaving, which is in the same tiles."""
    program = compile_network(with_bits(network("resnet18"), 8), machine)
    moved = [stage for stage in program.stages if isinstance(program.graph.node(stage.name).op, Interleave)]
    sources = [program.by_name[stage.dependencies[0].stage] for stage in moved]
    assert [stage.tiles for stage in moved] == [stage.tiles for stage in sources]
    assert [stage.hops for stage in moved] == [stage.hops for stage in sources]
    assert max(stage.hops for stage in sources) > 1


def test_pooling_and_a_residual_in_the_arrays_go_with_overlap() -> None:
    conv = Conv((1, 1), (1, 1, 1, 1), (1, 1))
    ops = (
        (conv, (seeded(1, 8, 3, 3, 3), seeded(2, 8))), (Relu(), ()), (MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), ()),
        (conv, (seeded(3, 8, 8, 3, 3),)), (Reshape((Batch(), 128)), ()), (Linear(), (seeded(4, 5, 128),)),
    )  # fmt: skip
    x = seeded(5, 3, 3, 8, 8)
    graph = quantize(chain(*ops, shape=(3, 8, 8)), [x])
    program = compile_network(graph, ISAAC.with_(overlap=3, residual="analog"))
    assert sum(isinstance(node.op, Interleave) for node in program.graph) == 2
    assert not any(isinstance(node.op, ProductAdd | Concat) for node in program.graph)
    counted(program, x)
    with pytest.raises(ModelError, match=r"crossbar\.overlap=none"):
        to_torch(graph, ISAAC.with_(overlap=3))


def test_a_kernel_of_one_column_and_fully_connected_layers_stay() -> None:
    ops = ((Conv((1, 1), (0, 0, 0, 0), (1, 1)), (seeded(1, 4, 3, 3, 1),)), (Reshape((Batch(), 4 * 6 * 8)), ()), (Linear(), (seeded(2, 3, 192),)))
    graph = quantize(chain(*ops, shape=(3, 8, 8)), [seeded(3, 2, 3, 8, 8)])
    assert adapted(graph, ISAAC.with_(overlap=4))[0] is graph


# Arrays of several sizes


def kits_network() -> tuple[Graph, torch.Tensor]:
    """Three convolutions of different shapes and a linear layer."""
    conv = Conv((1, 1), (1, 1, 1, 1), (1, 1))
    ops = (
        (conv, (seeded(1, 16, 3, 3, 3), seeded(2, 16))), (Relu(), ()), (conv, (seeded(3, 40, 16, 3, 3),)), (Relu(), ()),
        (MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), ()), (conv, (seeded(4, 64, 40, 3, 3), seeded(5, 64))), (Relu(), ()),
        (Reshape((Batch(), 64 * 25)), ()), (Linear(), (seeded(6, 30, 1600),)),
    )  # fmt: skip
    x = seeded(8, 2, 3, 10, 10)
    return quantize(chain(*ops, shape=(3, 10, 10)), [x]), x


@pytest.mark.parametrize("overlap", ["none", "auto", 2])
def test_a_machine_of_several_sizes_computes_the_reference_and_does_what_is_priced(overlap: int | str) -> None:
    graph, x = kits_network()
    program = compile_network(graph, SMALL.with_(overlap=overlap))
    held = [stage for stage in program.stages if stage.arrays]
    assert len({stage.array_type for stage in held}) > 1
    assert all(stage.placement.array_rows == int(stage.array_type) for stage in held)
    assert all(not stage.array_type for stage in program.stages if not stage.arrays)
    counted(program, x)
    for view in SMALL.views:
        used = sum(stage.arrays for stage in held if stage.array_type == view.array_type)
        assert used <= view.part("array").total * program.chips
    assert print_program(parse_program(print_program(program), graph, SMALL.with_(overlap=overlap))) == print_program(program)
    assert parse_program(print_program(program), graph, SMALL.with_(overlap=overlap)).stages == program.stages


def test_views_show_one_kit() -> None:
    assert MISCA.array_types == ("128", "256", "512") and ISAAC.array_types == ()
    assert ISAAC.views == (ISAAC,) and ISAAC.view("") is ISAAC
    for view in MISCA.views:
        assert view.part("array").whole("rows") == int(view.array_type)
        assert view.part("adc").name == f"adc_{view.array_type}"
        assert view.part("buffer") is MISCA.part("buffer")
        assert not view.array_types and view.views == (view,)
    with pytest.raises(MachineError, match="no array type 64; it has 128, 256, 512"):
        MISCA.view("64")


def _read(machine: Machine) -> tuple[object, ...]:
    graph, _ = kits_network()
    program = compile_network(graph, machine)
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    return timeline.latency_s, timeline.interval_s, ledger.energy_j, ledger.total_area_mm2, [stage.array_type for stage in program.stages]


@pytest.mark.parametrize("array_type", MISCA.array_types)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("array_{}.read.energy", "7 nJ"), ("array_{}.area", "1 mm^2"), ("adc_{}.bits", 12), ("adc_{}.rate", "0.1 GHz"), ("dac_{}.drive.energy", "1 nJ"),
        ("sample_hold_{}.sample.energy", "1 nJ"), ("shift_add_{}.add.energy", "1 nJ"), ("input_register_{}.read.energy", "1 nJ"),
        ("output_register_{}.access.energy", "1 nJ"), ("array_{}.rows", 96), ("array_{}.columns", 64), ("array_{}.cell_bits", 1), ("dac_{}.bits", 2),
    ],
)  # fmt: skip
def test_every_kits_parameters_reach_the_readings(array_type: str, field: str, value: object) -> None:
    """On a machine where each array type holds something; a change may also move layers to other array types."""
    machine = SMALL.with_(**{"tile.count": 1})
    assert set(_read(machine)[-1]) >= set(MISCA.array_types)
    assert _read(machine) != _read(machine.with_(**{field.format(array_type): value}))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[LayerDemand]], list[int]]:
    """Demands of a few layers in two or three array types, as sizes of arrays give them."""
    array_types = draw(st.integers(2, 3))
    layers = draw(st.integers(1, 6))
    table = []
    for _ in range(layers):
        rows, columns, positions = draw(st.integers(20, 3000)), draw(st.integers(20, 2000)), draw(st.integers(1, 400))
        sizes = [128 << array_type for array_type in range(array_types)]
        table.append(
            [LayerDemand(-(-rows // size) * -(-columns // size), positions, float(1 << array_type)) for array_type, size in enumerate(sizes)]
        )
    budgets = [draw(st.integers(1, 400 >> 2 * array_type)) for array_type in range(array_types)]
    return table, budgets


def exhaustive(table: list[list[LayerDemand]], budgets: list[int]) -> float:
    """The shortest time of all choices."""
    return min(seconds_of(table, budgets, choice) for choice in every(range(len(budgets)), repeat=len(table)))


@settings(max_examples=60, deadline=None)
@given(tables())
def test_the_choice_of_kits_is_close_to_the_best(given_) -> None:
    table, budgets = given_
    best = exhaustive(table, budgets)
    choice = fitting(table, budgets, longest(table))
    if choice is None:
        assert best == float("inf")
        return
    found = seconds_of(table, budgets, fastest(table, budgets, choice))
    assert best <= found * (1 + 1e-6)
    assert found <= best * (1 + 2 * CLOSE)


def test_what_does_not_fit_and_what_is_not_compiled_for_gets_one_line() -> None:
    graph, _ = kits_network()
    tiny = MISCA.with_(**{"tile.count": 1, "ima_128.count": 1, "array_128.count": 1, "ima_256.count": 1, "array_256.count": 1, "array_512.count": 0})
    assert tiny.array_types == ("128", "256")
    assert compile_network(graph, tiny).chips > 1
    with pytest.raises(CapacityError, match=r"compile\.chips"):
        compile_network(graph, tiny.with_(chips=1))
    with pytest.raises(CapacityError):
        compile_network(graph, tiny.with_(overflow="refuse"))
    for change, says in (
        ({"compile.arrays": "shared"}, r"compile\.arrays=shared needs arrays of one size"),
        ({"compile.overflow": "reload"}, r"compile\.overflow=reload needs arrays of one size"),
    ):
        with pytest.raises(MachineError, match=says):
            compile_network(graph, MISCA.with_(**change))


def test_attention_has_its_weights_in_kits_and_its_products_elsewhere() -> None:
    graph = with_bits(network("vit-base"), 8)
    program = compile_network(graph, MISCA)
    assert {stage.array_type for stage in program.stages if stage.arrays} == set(MISCA.array_types)
    with pytest.raises(MachineError, match=r"set dynamic\.products=digital"):
        compile_network(graph, MISCA.with_(products="written"))


@pytest.mark.parametrize("value", [0, -1, 1.5, "some", True, 5000])
def test_an_overlap_that_makes_no_sense_gets_one_line(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    graph, _ = kits_network()
    with pytest.raises(MachineError, match=r"engines\.crossbar\.overlap: ") as caught:
        compile_network(graph, ISAAC.with_(overlap=value))
    assert "\n" not in str(caught.value)
    code, out, err = crossloom(capsys, "run", "zoo:digits", "--on", "misca", "--set", f"crossbar.overlap={json.dumps(value)}")
    assert (code, out, err.strip().count("\n")) == (2, "", 0)


def test_the_command_line_runs_and_shows_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = document(capsys, "run", "zoo:digits", "--on", "misca", "--out", str(tmp_path / "run"))
    array_types = {layer["kit"] for layer in found["layers"] if layer["arrays"]}
    assert array_types and array_types <= {"128", "256", "512"}
    assert {f"array_{array_type}" for array_type in array_types} <= set(found["breakdown"]["energy_j"])
    assert {f"array_{array_type}.read" for array_type in array_types} <= set(found["actions"])
    assert 0 < found["utilization"]["spatial"] <= 1
    rows = document(capsys, "machine", "show", "misca")["rows"]
    assert {("chip.tile.ima_512", "array_512", 1344.0), ("chip.tile.ima_128", "adc_128", 5376.0)} <= {
        (row["unit"], row["component"], row["count"]) for row in rows
    }


def test_tilings_of_overlap_are_those_of_the_formula() -> None:
    """K_h · (K_w + (p − 1) · s) · C_in rows and p · C_out columns."""
    graph = with_bits(network("alexnet"), 8)
    node = next(node for node in graph if isinstance(node.op, Conv))
    windows = Windows.of(node, graph)
    assert windows == Windows(11, 4, 55) and matrix_shape(node, graph) == (1, 363, 96)
    xbar_rows = 11 * (11 + 2 * 4) * 3
    program = compile_network(graph, ISAAC.with_(overlap=3))
    tiling = program.stages[0].placement
    assert (tiling.rows, tiling.columns) == (xbar_rows, 288) and tiling.arrays == 5 * 9
    assert program.stages[0].positions == 55 * 19


def test_overlap_fills_large_arrays() -> None:
    """Table 1 of the paper for AlexNet, 99, 79 and 57 %; overlapped windows never use less of the cells."""
    plain, overlapped = ([overlapped_use("alexnet", size, overlap) for size in (128, 256, 512)] for overlap in ("none", "auto"))
    assert [round(100 * use.held) for use in plain] == [99, 79, 57]
    assert all(use.held == use.mapped for use in plain)
    assert all(one.held <= other.held <= other.mapped for one, other in zip(plain, overlapped, strict=True))
    assert overlapped[-1].mapped > 0.85
    use = compiled_use(compile_network(with_bits(network("resnet18"), 8, signed=False, weights=2), MISCA))
    assert 0.75 < use.held < use.mapped < 1


def test_claims_compare_equal_areas() -> None:
    """Arrays of one size take MISCA's area, to an IMA for each tile; and the example of overlapped windows saves a quarter of the drives."""
    mixed = claimed.machine("misca")
    for size in claimed.SIZES:
        single = claimed.machine(str(size))
        ima = sum(part.total * part.area_mm2.value for part in single.parts.values() if ".ima." in part.path) / single.count_of("ima")
        assert abs(single.area_mm2 - mixed.area_mm2) <= ima * single.count_of("tile")
    assert claimed._toy_case().verdict == "match"


def test_every_claim_about_a_network_is_computed_from_its_programs() -> None:
    figures, use = claimed._compiled("resnet18", "misca")
    program = claimed._program("resnet18", "misca")
    assert figures.interval_s == read_timeline(program).interval_s >= figures.arrays_s > 0
    assert 0 < use.held < use.mapped <= 1
    assert claimed._convolutions_j("resnet18", "misca") < figures.energy_j
