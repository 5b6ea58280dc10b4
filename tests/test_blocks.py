"""Functions in arrays, from a network's side: values, counts, schedules and costs of programs with blocks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from crossloom.compiler import compile_network
from crossloom.compiler.parse import parse_program
from crossloom.compiler.slots import with_more_slots
from crossloom.demo.digits import CALIBRATION, digits, train
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.engine.in_array.placement import InBlocks
from crossloom.engine.in_array.reference import cell_executor
from crossloom.errors import MachineError
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import MaxPool, ProductAdd, Relu, Softmax
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.program.floorplan import ArrayLayout, CellBlock, FloorPlan, LaidBlock
from crossloom.program.program import Program
from crossloom.program.stage import Slots
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.layers import Residual
from tests.schedule import violations

POOLS = {
    "two": lambda: nn.MaxPool2d(2),
    "overlapping": lambda: nn.MaxPool2d(3, 2, 1),
    "ragged": lambda: nn.MaxPool2d(2, ceil_mode=True),
    "wide": lambda: nn.MaxPool2d(3, 1, 1, dilation=1),
    "mean": lambda: nn.AvgPool2d(2, 1, 1, count_include_pad=False),
    "none": nn.Identity,
}


def network(channels: int, wide: int, pool: str, other: str, residual: bool, ends: str, size: int) -> nn.Module:
    """Return a small network of the kind that HURRY is for."""
    middle: list[nn.Module] = [Residual(channels)] if residual else [nn.Conv2d(channels, channels, 1), nn.ReLU6()]
    body = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), POOLS[pool](), *middle, nn.Conv2d(channels, wide, 3), nn.ReLU(), POOLS[other]()]
    heads = {
        "softmax": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 7), nn.Softmax(1)],
        "largest": [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(wide, 600), nn.ReLU(), nn.Linear(600, 3)],
        "logits": [nn.Flatten(), nn.LazyLinear(5)],
    }
    found = nn.Sequential(*body, *heads[ends])
    found(torch.zeros(2, 1, size, size))
    return found.eval()


networks = st.builds(
    network,
    st.sampled_from([1, 8, 17, 40]),
    st.sampled_from([4, 33]),
    st.sampled_from(sorted(POOLS)),
    st.sampled_from(["two", "overlapping", "none"]),
    st.booleans(),
    st.sampled_from(["softmax", "largest", "logits"]),
    st.just(9),
)


def quantized(module: nn.Module, recipe: Recipe | None = None, size: int = 9) -> Graph:
    graph = load(module, (torch.zeros(1, 1, size, size),), name="drawn")
    return quantize(graph, [torch.rand(32, 1, size, size)], recipe)


@pytest.fixture(scope="module")
def hurry() -> Machine:
    return load_machine("hurry")


def in_cells(program: Program) -> Values:
    """Return the program with everything computed as plainly as can be: products slice by slice, functions cell by cell."""
    executors = dict(Values.of(program).executors)
    for stage in program.stages:
        for name in stage.nodes[: stage.in_array_nodes]:
            plain = {"blocks": cell_executor, "crossbar": reference_executor}.get(stage.engine)
            if plain is not None:
                executors[name] = plain(program.graph.node(name), program)  # type: ignore[assignment]
    return Values(program, executors)


def priced(program: Program, samples: int) -> Counter[str]:
    """Return what the ledger counts for a number of inferences."""
    counts: Counter[str] = Counter()
    for stage in program.stages:
        counts.update({name: samples * count for name, count in stage.actions.items()})
    return +counts


@settings(max_examples=20)
@given(networks, st.sampled_from([Recipe(), Recipe(activations=5, weights=4), Recipe(scheme="affine")]))
def test_integers_and_counts_are_those_of_the_cells(module: nn.Module, recipe: Recipe) -> None:
    """The fast path, the plain one and the price: the same integers, the same actions; but for softmax also those of the quantised network."""
    program = compile_network(quantized(module, recipe), load_machine("hurry"))
    x = torch.rand(3, 1, 9, 9)
    (fast,), counts = Values.of(program)((x,))
    (plain,), performed = in_cells(program)((x,))
    assert torch.equal(fast, plain)
    assert +counts == +performed == priced(program, 3)
    if not any(isinstance(node.op, Softmax) for node in program.graph.nodes):
        assert torch.equal(fast, Values.exactly(program)((x,))[0][0])


@settings(max_examples=25)
@given(networks, st.integers(1, 40), st.sampled_from(["balanced", "none"]))
def test_no_schedule_breaks_the_rule(module: nn.Module, tiles: int, replicate: str) -> None:
    """Whatever the network and the chip: blocks that are active at once share no line, cross in erased cells alone, and one is written."""
    machine = load_machine("hurry").with_(tile_count=tiles, compile_replicate=replicate)
    program = compile_network(quantized(module), machine)
    assert violations(program) == []
    assert program.arrays <= 6 * tiles * program.chips


def test_what_breaks_the_rule_is_found() -> None:
    """Two blocks in the same bit lines and slot; one crossing the other over a third; two that are written."""
    from crossloom.program.stage import Stage

    def problems(*blocks: tuple[int, int, int, bool]) -> int:
        laid = tuple(LaidBlock(f"s{i}", row, column, CellBlock(8, 8, 1, 64, writes)) for i, (row, column, _, writes) in enumerate(blocks))
        stages = tuple(Stage(name=f"s{i}", nodes=(), engine="blocks", slots=Slots(2, phase, 1.0)) for i, (*_, phase, _) in enumerate(blocks))
        return len(violations(Program(None, None, stages, floor=FloorPlan(32, 32, (ArrayLayout(3, laid),)))))  # type: ignore[arg-type]

    assert problems((0, 0, 0, False), (8, 8, 0, False)) == 0
    assert problems((0, 0, 0, False), (8, 0, 0, False)) > 0
    assert problems((0, 0, 0, False), (8, 0, 1, False)) == 0
    assert problems((0, 0, 0, False), (8, 8, 0, False), (0, 8, 1, False)) > 0
    assert problems((0, 0, 0, True), (8, 8, 0, True)) > 0
    assert problems((0, 0, 0, True), (8, 8, 1, True)) == 0


def test_blocks_share_an_array(hurry: Machine) -> None:
    """On a chip of a few arrays blocks of several layers lie in each, and everything still runs."""
    program = compile_network(quantized(network(17, 33, "two", "two", True, "softmax", 9)), hurry.with_(tile_count=1))
    assert program.floor is not None and program.arrays <= 6
    assert max(len(layout.blocks) for layout in program.floor.layouts) > 3
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    frame = max(stage.slots.between_s for stage in program.stages if stage.slots is not None)
    assert timeline.interval_s / frame == pytest.approx(round(timeline.interval_s / frame), abs=1e-9)
    assert ledger.energy_j == pytest.approx(sum(ledger.by_component.values()))
    spacious = compile_network(program.network, hurry)
    assert read_timeline(spacious).interval_s < timeline.interval_s


def test_the_text_of_a_program_with_blocks_is_read_back(hurry: Machine) -> None:
    graph = quantized(network(8, 33, "overlapping", "two", True, "softmax", 9))
    program = compile_network(graph, hurry.with_(tile_count=2))
    found = parse_program(str(program), graph, program.machine)
    assert (found.stages, found.floor, found.notes) == (program.stages, program.floor, program.notes)


@pytest.fixture(scope="module")
def probabilities() -> tuple[Graph, Graph, Tensor, Tensor]:
    """The trained digits network with a softmax at its end, in real numbers and in integers, and the test images."""
    training, test = digits()
    module = nn.Sequential(train(training, 0, lambda items, what, total: items), nn.Softmax(1)).eval()
    graph = load(module, (torch.zeros(1, 1, 8, 8),), name="digits")
    assert test.labels is not None
    return graph, quantize(graph, [training.inputs[0][:CALIBRATION]]), test.inputs[0], test.labels


def test_digits_from_the_first_layer_to_probabilities(probabilities: tuple[Graph, Graph, Tensor, Tensor], hurry: Machine) -> None:
    """All functions in arrays, cell by cell; no right answer is lost, and probabilities are off by no more than the format gives away."""
    graph, integers, images, labels = probabilities
    program = compile_network(integers, hurry)
    by_engine = {type(program.graph.node(name).op): stage.engine for stage in program.stages for name in stage.nodes}
    assert all(by_engine[kind] == "blocks" for kind in (Relu, MaxPool, Softmax))
    assert by_engine[ProductAdd] == "crossbar"
    assert all(
        not stage.actions.keys() & {"sigmoid.apply", "vector.operate", "tile_shift_add.add"} for stage in program.stages if stage.engine != "crossbar"
    )
    (fast,), counts = Values.of(program)((images,))
    (plain,), performed = in_cells(program)((images,))
    assert torch.equal(fast, plain) and +counts == +performed == priced(program, len(images))
    real = graph(images)
    assert isinstance(real, Tensor)
    right = [float((each.argmax(1) == labels).float().mean()) for each in (real, fast)]
    assert right[1] >= right[0]
    scores = Values.exactly(replace(program, graph=_until_scores(program.graph)))((images,))[0][0]
    stated = 2**-9 + 2**-6 + 2**-8  # a weight's last bit, two tables of the logarithm, and what is cut off before the second (docs/blocks.md)
    assert float((torch.softmax(scores, 1) - fast).abs().max()) < stated


def _until_scores(graph: Graph) -> Graph:
    """Return the network without its softmax."""
    last = graph.by_name[graph.outputs[0]]
    assert isinstance(last.op, Softmax)
    return replace(graph, nodes=graph.nodes[:-1], outputs=(last.inputs[0],))


def test_a_relu_has_something_to_do(hurry: Machine) -> None:
    """What it reads has a sign: quantisation alone would have saturated negative sums to zero before it."""
    program = compile_network(quantized(network(8, 4, "two", "none", False, "logits", 9)), hurry)
    seen: dict[str, Tensor] = {}
    Values.of(program)((torch.rand(4, 1, 9, 9),), watch=lambda node, given, result: seen.update({node.name: given[0]}))
    first = next(node for node in program.graph.nodes if isinstance(node.op, Relu))
    assert int(seen[first.name].min()) < 0


def test_wear_is_the_steps_of_a_copy(hurry: Machine) -> None:
    """Each step writes each cell once, twice where a row serves a sign and a result."""
    program = compile_network(quantized(network(40, 33, "two", "two", False, "logits", 9)), hurry)
    ledger = read_ledger(program, read_timeline(program))
    functions = {stage.name: stage for stage in program.stages if stage.engine == "blocks"}
    assert {wear.stage for wear in ledger.wear} == set(functions)
    for wear in ledger.wear:
        stage = functions[wear.stage]
        assert isinstance(stage.placement, InBlocks)
        assert wear.per_inference == -(-stage.positions // stage.copies) * stage.placement.writes


MIXES = {
    "functions in digital units": {"blocks_relu": "digital", "blocks_pooling": "digital", "blocks_softmax": "digital"},
    "STAR's softmax": {"softmax_unit_count": 64},
    "digital residuals": {"crossbar_residual": "digital"},
    "smaller arrays": {"array_rows": 256, "array_columns": 256, "adc_bits": 9, "blocks_exp_bits": 10},
    "another format": {"blocks_format": "5.4", "blocks_quotient_bits": 10},
}


@pytest.mark.parametrize("mix", sorted(MIXES))
def test_mixing(mix: str, hurry: Machine) -> None:
    module = network(17, 33, "overlapping", "two", True, "softmax", 9)
    program = compile_network(quantized(module), hurry.with_(**MIXES[mix]))
    x = torch.rand(5, 1, 9, 9)
    (y,), counts = Values.of(program)((x,))
    assert counts == priced(program, 5) and violations(program) == []
    assert float((y.sum(1) - 1).abs().max()) < 0.05
    used = {stage.engine for stage in program.stages}
    assert ("blocks" in used) == (mix != "functions in digital units") and ("softmax" in used) == (mix == "STAR's softmax")


def test_a_softmax_unit_gets_scores_in_its_own_format(hurry: Machine) -> None:
    """Blocks leave a softmax alone that units take: scores are rounded once, to the units' format."""
    graph = quantized(network(8, 33, "two", "two", False, "softmax", 9))
    for count, step in ((0, 2**-3), (64, 2**-2)):
        program = compile_network(graph, hurry.with_(softmax_unit_count=count))
        last = next(node for node in program.graph.nodes if isinstance(node.op, Softmax))
        assert program.graph.quantization[last.inputs[0]].scale == (step,)


def test_with_the_trained_converters_of_another_machine() -> None:
    """A few lines of YAML: products accumulate in trained circuits, functions stay in cells; what was counted is what is paid."""
    machine = load_machine(str(Path(__file__).parents[1] / "examples" / "hurry_neural.yaml"))
    program = compile_network(quantized(network(8, 33, "two", "none", True, "softmax", 9)), machine)
    x = torch.rand(16, 1, 9, 9)
    (y,), counts = Values.of(program)((x,))
    assert counts == priced(program, 16) and violations(program) == []
    assert {"accumulator.accumulate", "array.bias", "adc.convert"} <= counts.keys()
    exact = Values.exactly(program)((x,))[0][0]
    assert not torch.equal(y, exact) and float((y - exact).abs().max()) < 0.1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"compile_arrays": "whole"}, "set compile.arrays=shared"),
        ({"array_cell_bits": 2}, "set array.cell_bits=1"),
        ({"blocks_relu": "analog"}, "engines.blocks.relu"),
        ({"blocks_format": "6-3"}, "engines.blocks.format"),
        ({"compile_overflow": "reload"}, "compile.overflow=chips"),
        ({"array_rows": 16, "array_columns": 16}, "blocks.pooling=digital"),
    ],
)
def test_machines_without_sense(changes: dict[str, object], says: str, hurry: Machine) -> None:
    with pytest.raises(MachineError, match=says):
        compile_network(quantized(network(8, 4, "two", "none", False, "softmax", 9)), hurry.with_(**changes))


def test_functions_that_arrays_leave_to_digital_units(hurry: Machine) -> None:
    """What does not fit the rule goes to digital units, and is computed as ever."""
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3), nn.LogSoftmax(1)
    )
    program = compile_network(quantized(module.eval()), hurry)
    assert {stage.engine for stage in program.stages} == {"crossbar", "digital"}
    x = torch.rand(2, 1, 9, 9)
    assert torch.equal(Values.of(program)((x,))[0][0], Values.exactly(program)((x,))[0][0])


@pytest.mark.parametrize(
    "field", ["array.read_row.energy", "array.write_cell.energy", "array.bias.energy", "sense_amplifier.sense.energy", "array.write_cell.endurance"]
)
def test_what_blocks_do_is_paid(field: str, hurry: Machine) -> None:
    """Each price of an array's cells reaches the ledger, in proportion to what was counted."""
    graph = quantized(network(8, 4, "two", "none", False, "softmax", 9))
    role, action, kind = field.split(".")
    quantity = getattr(hurry.part(role).actions[action], "endurance" if kind == "endurance" else "energy_j")
    value = 2 * quantity.value if kind == "endurance" else f"{2 * quantity.value} J"
    twice = hurry.with_(**{field: {"value": value, "source": "a test", "mark": "assumed"}})
    before, after = (read_ledger(program, read_timeline(program)) for program in (compile_network(graph, machine) for machine in (hurry, twice)))
    if kind == "endurance":
        assert after.first_worn is not None and before.first_worn is not None
        assert after.first_worn.inferences == 2 * before.first_worn.inferences
    else:
        assert after.energy_j - before.energy_j == pytest.approx(before.actions[f"{role}.{action}"] * quantity.value)
        assert before.actions[f"{role}.{action}"] > 0


def test_turns_that_nobody_needs_are_used() -> None:
    """A stage alone in its arrays has every slot; two in the same lines keep half each; a third that shares with one of them takes what is left."""

    def laid(stage: str, row: int, column: int) -> LaidBlock:
        return LaidBlock(stage, row, column, CellBlock(8, 8, 1, 64))

    floor = FloorPlan(
        16,
        16,
        (
            ArrayLayout(1, (laid("alone", 0, 0),)),
            ArrayLayout(2, (laid("a", 0, 0), laid("b", 0, 8))),
            ArrayLayout(1, (laid("b", 0, 0), laid("c", 8, 0))),
        ),
    )
    given = {"alone": Slots(8, 5, 1.0), "a": Slots(8, 0, 1.0), "b": Slots(8, 1, 1.0), "c": Slots(4, 2, 1.0)}
    found = with_more_slots(floor, given)
    assert found["alone"] == Slots(1, 0, 1.0)
    assert (found["a"].period, found["b"].period, found["c"].period) == (2, 2, 2)
    assert not found["a"].meet(found["b"]) and not found["b"].meet(found["c"]) and found["a"].meet(found["c"])


class OverSpace(nn.Module):
    """Attention over the pixels of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.conv(x).flatten(2), 2)


class Both(nn.Module):
    """A ReLU whose input is needed beside it, with its sign."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.relu(y) + y


EDGES = {
    "softmax over pixels": (OverSpace(4), Recipe()),
    "softmax over a line of pixels": (nn.Sequential(nn.Conv2d(1, 24, 3), nn.Softmax(3)), Recipe()),
    "mean over padding, zero points": (nn.Sequential(nn.Conv2d(1, 5, 3), nn.AvgPool2d(3, 2, 1)), Recipe(scheme="affine")),
    "mean without padding, zero points": (nn.Sequential(nn.Conv2d(1, 5, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False)), Recipe(scheme="affine")),
    "mean of ragged windows": (nn.Sequential(nn.Conv2d(1, 5, 3), nn.AvgPool2d(3, 2, 1, ceil_mode=True)), Recipe()),
    "ReLU of time steps": (nn.Sequential(nn.Flatten(2), nn.RNN(81, 12, nonlinearity="relu", batch_first=True)), Recipe()),
}


@pytest.mark.parametrize("name", sorted(EDGES))
def test_functions_at_the_edges(name: str, hurry: Machine) -> None:
    """Cells, fast path and price agree, and each row of a softmax is paid."""
    module, recipe = EDGES[name]
    program = compile_network(quantized(module.eval(), recipe), hurry)
    x = torch.rand(3, 1, 9, 9)
    (fast, *_), counts = Values.of(program)((x,))
    (plain, *_), performed = in_cells(program)((x,))
    assert torch.equal(fast, plain) and +counts == +performed == priced(program, 3)
    for stage in program.stages:
        if isinstance(stage.placement, InBlocks):
            made = stage.positions * stage.placement.lanes
            assert made * (stage.placement.candidates if stage.placement.function == "softmax" else 1) == program.graph.types[stage.name].count(1)


def test_a_slow_part_makes_an_inference_longer(hurry: Machine) -> None:
    """Steps begin no sooner than the slowest part lets them."""
    machine = hurry.with_(**{"tile_count": 1, "bus.transfer.latency": "30 ns"})
    program = compile_network(quantized(network(17, 33, "two", "two", True, "softmax", 9)), machine)
    rows = read_timeline(program).by_name
    slowed = [stage for stage in program.stages if stage.slots and stage.interval_s > stage.slots.per_step * stage.slots.between_s]
    assert slowed
    for stage in program.stages:
        row = rows[stage.name]
        assert row.finish_s - row.start_s >= (stage.steps - 1) * stage.interval_s + stage.latency_s * (1 - 1e-9)


def test_a_cycle_holds_its_pulses(hurry: Machine) -> None:
    """Functions take as long as a read pulse and a write pulse, and as long as the converters of a product."""
    graph = quantized(network(8, 4, "two", "none", False, "softmax", 9))

    for changes, cycle_s in (
        ({}, 100e-9),
        ({"array.bias.latency": "500 ns"}, 529.31e-9),
        ({"array.read_row.latency": "500 ns"}, 550.88e-9),
        ({"adc_count": 1}, 400e-9),
    ):
        program = compile_network(graph, hurry.with_(**changes))
        functions = [stage for stage in program.stages if isinstance(stage.placement, InBlocks)]
        assert functions
        for stage in functions:
            assert stage.slots is not None and stage.slots.period == 1
            least = stage.placement.cycles * cycle_s
            assert least * (1 - 1e-9) <= stage.interval_s < least + stage.slots.length_s


def test_one_copy_of_each_layer_has_the_turns_that_it_can_use(hurry: Machine) -> None:
    """On a chip with room for all, nobody waits for slots."""
    program = compile_network(quantized(network(8, 4, "two", "none", False, "logits", 9)), hurry.with_(compile_replicate="none"))
    slowest = max(stage.steps * stage.slots.per_step * stage.slots.length_s for stage in program.stages if stage.slots is not None)
    assert read_timeline(program).interval_s <= 1.1 * slowest
    assert all(stage.copies <= getattr(stage.placement, "positions_per_step", 1) for stage in program.stages)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"sense_amplifier_count": 1}, "every bit line needs a sense amplifier"), ({"dynamic_products": "written"}, "set dynamic.products=digital")],
)
def test_parts_and_settings_that_blocks_need(changes: dict[str, object], says: str, hurry: Machine) -> None:
    with pytest.raises(MachineError, match=says):
        compile_network(quantized(network(8, 4, "two", "none", False, "softmax", 9)), hurry.with_(**changes))


def test_functions_left_to_digital_units_are_told(hurry: Machine) -> None:
    program = compile_network(quantized(Both()), hurry)
    assert any("1 Relu left to digital units: its result has another scale" in note for note in program.notes)
