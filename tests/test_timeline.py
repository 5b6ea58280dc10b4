"""The timeline against a plain simulation, and properties that hold for any pipeline."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossloom as xl
from crossloom.compiler import compile_network
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.operators import Conv, Linear, MaxPool, Relu, Reshape, Softmax, Transpose
from crossloom.network.quantize.post_training import quantize
from crossloom.network.types import Batch
from crossloom.program.dataflow import dataflow
from crossloom.program.dependencies import All, SamePosition, Window
from crossloom.program.program import Program
from crossloom.program.stage import ArrayMapping, Dependency, Stage, Timing
from crossloom.read.timeline import read_timeline
from tests.layers import chain, seeded


def simulate(program: Program) -> dict[str, list[float]]:
    """Return when each position of each stage is finished, one step after the other, as the definition says."""
    finish: dict[str, list[float]] = {}
    for stage in program.stages:
        free, done = 0.0, []
        for step in range(stage.steps):
            positions = range(step * stage.copies, min((step + 1) * stage.copies, stage.positions))
            start = free
            for position in positions:
                for wait in stage.dependencies:
                    source = finish[wait.stage]
                    needed = int(wait.rule.last(np.array([position]), len(source))[0])
                    start = max(start, max(source[: needed + 1]))
            free = start + stage.interval_s
            done += [start + stage.latency_s] * len(positions)
        finish[stage.name] = done
    return finish


@st.composite
def programs(draw: st.DrawFn) -> Program:
    stages: list[Stage] = []
    for i in range(draw(st.integers(1, 5))):
        waits = []
        for source in draw(st.lists(st.sampled_from(stages), max_size=2, unique_by=lambda s: s.name)) if stages else []:
            waits.append(Dependency(source.name, draw(st.sampled_from([SamePosition(), All()]))))
        stages.append(
            Stage(
                name=f"s{i}",
                nodes=(f"s{i}",),
                engine="digital",
                positions=draw(st.integers(1, 12)),
                mapping=ArrayMapping(copies=draw(st.integers(1, 4))),
                timing=Timing(draw(st.integers(0, 5)), draw(st.integers(0, 9))),
                dependencies=tuple(waits),
            )
        )
    return Program(None, load_machine("isaac-ce"), tuple(stages))  # type: ignore[arg-type]


@given(programs())
def test_the_recurrence_equals_the_simulation(program: Program) -> None:
    timeline, finish = read_timeline(program), simulate(program)
    for stage in program.stages:
        assert timeline.by_name[stage.name].finish_s == finish[stage.name][-1]
    assert timeline.interval_s == max(stage.busy_s for stage in program.stages)
    assert timeline.latency_s == max(max(times) for times in finish.values())


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))
def test_a_window_waits_for_exactly_what_it_reads(height: int, width: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    reach = (kernel - 1) * dilation + 1
    size = tuple((n + 2 * padding - reach) // stride + 1 for n in (height, width))
    if min(size) < 1:
        return
    rule = Window((height, width), size, (kernel, kernel), (stride, stride), (padding, padding), (dilation, dilation))
    found = rule.last(np.arange(prod(size)), height * width)
    for i, (row, column) in enumerate(product(range(size[0]), range(size[1]))):
        rows = [row * stride - padding + k * dilation for k in range(kernel)]
        columns = [column * stride - padding + k * dilation for k in range(kernel)]
        read = [r * width + c for r in rows for c in columns if 0 <= r < height and 0 <= c < width]
        assert found[i] >= max(read, default=0)
        if read and all(0 <= r < height for r in rows) and all(0 <= c < width for c in columns):
            assert found[i] == max(read)


def test_streams_of_a_small_transformer() -> None:
    graph = chain(
        (Conv((2, 2), (0, 0, 0, 0), (1, 1)), (seeded(1, 8, 3, 2, 2),)),
        (Reshape((Batch(), 8, 9)), ()),
        (Transpose((0, 2, 1)), ()),
        (Linear(), (seeded(2, 16, 8),)),
        (Softmax(2), ()),
        (Softmax(1), ()),
        shape=(3, 6, 6),
    )
    known, rules = dataflow(graph)
    assert [known[node.name].labels for node in graph] == ["ncpp", "ncp", "npc", "npc", "npc", "npc"]
    assert [type(rules[node.name][0]) for node in graph.nodes[1:]] == [SamePosition, SamePosition, SamePosition, SamePosition, All]
    assert known["n3"].positions == 9


def test_flattening_space_and_channels_together_waits_for_everything() -> None:
    graph = chain((MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)), ()), (Reshape((Batch(), 27)), ()), (Linear(), (seeded(1, 4, 27),)), shape=(3, 6, 6))
    known, rules = dataflow(graph)
    assert isinstance(rules["n1"][0], All)
    assert known["n2"].positions == 1


@pytest.fixture(scope="module")
def resnet():
    network = load("zoo:resnet18")
    return quantize(network, [random_inputs(network, 1, 0).inputs])


def test_a_slower_cycle_is_never_faster(resnet, isaac: Machine) -> None:
    times = [read_timeline(compile_network(resnet, isaac.with_(cycle=f"{ns} ns"))) for ns in (50, 100, 200)]
    assert times[0].latency_s <= times[1].latency_s <= times[2].latency_s
    assert times[0].interval_s <= times[1].interval_s <= times[2].interval_s


def test_copies_fill_the_chip_and_raise_the_throughput(resnet, isaac: Machine) -> None:
    balanced, plain = (compile_network(resnet, isaac.with_(replicate=how)) for how in ("balanced", "none"))
    assert sum(s.arrays for s in plain.stages) < sum(s.arrays for s in balanced.stages) <= 16128
    assert read_timeline(balanced).throughput_per_s > 10 * read_timeline(plain).throughput_per_s


def test_a_layer_starts_when_its_first_window_is_there(resnet, isaac: Machine) -> None:
    program = compile_network(resnet, isaac)
    timeline = read_timeline(program)
    second = next(stage for stage in program.stages if stage.nodes[0] == "stages.0.body.1" or stage.nodes[0].startswith("stages.0.body.0"))
    first = timeline.rows[0]
    assert first.start_s < timeline.by_name[second.name].start_s < first.finish_s


def test_a_relu_joins_its_convolution(isaac: Machine) -> None:
    graph = chain((Conv((1, 1), (1, 1, 1, 1), (1, 1)), (seeded(1, 8, 3, 3, 3),)), (Relu(), ()), shape=(3, 8, 8))
    stages = compile_network(quantize(graph, [seeded(2, 2, 3, 8, 8)]), isaac).stages
    assert [stage.nodes for stage in stages] == [("n0", "n1")]
    assert stages[0].actions["sigmoid.apply"] == 8 * 64


def test_a_tile_between_two_stages_is_charged_by_the_arrays_that_lie_there(isaac: Machine) -> None:
    """Converters that work once for an operation are a part of the tile: stages that meet in one share them in proportion."""
    layers = tuple(
        (Linear(), (seeded(i, 40, 300),)) if i == 0 else (Linear(), (seeded(i, 300 if i % 2 else 40, 40 if i % 2 else 300),)) for i in range(6)
    )
    graph = quantize(chain(*layers, shape=(50, 300)), [seeded(9, 2, 50, 300)])
    machine = isaac.with_(accumulate="analog", flip=False, adc_convert_latency="40 ns", allocate="pack", tile_count=2, chips=1)
    program = compile_network(graph, machine)
    placed = [stage for stage in program.stages if stage.arrays]
    assert any(stage.mapping.tile_offset for stage in placed), "no tile is shared: the test shows nothing"
    load: dict[int, float] = {}
    for stage in placed:
        assert sum(stage.in_tiles) == pytest.approx(1)
        for tile, share in enumerate(stage.in_tiles, stage.tiles[0]):
            load[tile] = load.get(tile, 0.0) + share * stage.actions["adc.convert"] * 40e-9 / 96
    timeline = read_timeline(program)
    assert timeline.interval_s == pytest.approx(max(load.values()))
    assert timeline.limited_by == "adc.convert"


def test_an_inference_takes_at_least_as_long_as_the_part_that_its_layers_want_at_once() -> None:
    """All of the digits' layers are computed by the one vector unit, each beginning when its first inputs are there."""
    result = xl.run(xl.load("zoo:digits"), xl.machine("rtm-ap"))
    vector = sum(count for name, count in result.ledger.actions.items() if name == "vector.multiply_add")
    part = result.program.machine.part("vector")
    floor_s = vector * part.actions["multiply_add"].latency_s.value / part.parameters["lanes"]
    assert result.timeline.limited_by == "vector.multiply_add" and result.timeline.contenders == 5
    assert max(row.finish_s for row in result.timeline.rows) < floor_s <= result.latency
