"""Networks on associative processors: programs, times, prices, what is refused and what is said."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

import crossloom as xl
from crossloom.compiler import compile_network
from crossloom.compiler.listing import listing as listed
from crossloom.compiler.parse import parse_program
from crossloom.engine.associative.compile.compile import compile_layer
from crossloom.engine.associative.compile.layer import TernaryLayer, distinct_inputs
from crossloom.engine.associative.isa.effort import effort_of
from crossloom.engine.associative.simulate.execute import execute
from crossloom.engine.associative.simulate.state import State
from crossloom.errors import CapacityError, InputError, MachineError
from crossloom.job.check import check
from crossloom.job.run import run
from crossloom.machines import load_machine
from crossloom.network.operators import Conv, ConvTranspose, Linear
from crossloom.network.quantize.post_training import Recipe, quantize
from crossloom.papers.rtm_ap import Reading, read
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from crossloom.report.numbers.bottleneck import in_short
from crossloom.training.chip_module import to_torch
from crossloom.units import show
from tests.associative_layers import CHIP, digits_like, ternary
from tests.layers import chain, one_layer, seeded

OTHERS = {
    "depthwise": (Conv((1, 1), (1, 1, 1, 1), (1, 1), 6), (6, 1, 3, 3), (6, 8, 8)),
    "dilated": (Conv((1, 1), (2, 2, 2, 2), (2, 2), 1), (5, 3, 3, 3), (3, 8, 8)),
    "transposed": (ConvTranspose((2, 2), (1, 1), (0, 0), (1, 1), 1), (4, 3, 3, 3), (4, 5, 5)),
    "one dimension": (Conv((1,), (1, 1), (1,), 1), (7, 4, 3), (4, 20)),
    "linear": (Linear(), (9, 12), (12,)),
    "linear over tokens": (Linear(), (9, 12), (5, 12)),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_every_kind_of_layer(name: str, scheme: str) -> None:
    op, shape, given_shape = OTHERS[name]
    graph = one_layer(op, given_shape, torch.tensor(ternary(shape, 0.5, 3)).float())
    x = torch.randn(4, *given_shape, generator=torch.Generator().manual_seed(1)) + 0.5
    quantized = quantize(graph, [x], Recipe(weights=2, activations=5, scheme=scheme))  # type: ignore[arg-type]
    program = compile_network(quantized, load_machine("rtm-ap").with_(**{"associative.execute": "steps"}))
    assert [stage.engine for stage in program.stages] == ["associative"]
    result, _ = Values.of(program)([x])
    exact, _ = Values.exactly(program)([x])
    assert torch.equal(result[0], exact[0])


def test_both_ways_of_computing_agree_and_count_what_the_ledger_prices() -> None:
    graph, x = digits_like()
    machine = load_machine("rtm-ap")
    programs = {way: compile_network(graph, machine.with_(**{"associative.execute": way})) for way in ("steps", "product")}
    found = {way: Values.of(program)([x]) for way, program in programs.items()}
    assert torch.equal(found["steps"][0][0], found["product"][0][0])
    assert found["steps"][1] == found["product"][1]
    program = programs["steps"]
    ledger = read_ledger(program, read_timeline(program))
    assert {name: count * len(x) for name, count in ledger.actions.items()} == dict(found["steps"][1])
    assert [plan["plan"] for plan in Values.of(program).plans] == ["step by step"] * 2


def test_layers_use_the_same_arrays_one_after_the_other_or_have_their_own() -> None:
    graph, _ = digits_like()
    machine = load_machine("rtm-ap")
    in_turn = compile_network(graph, machine)
    beside = compile_network(graph, machine.with_(**{"associative.layers": "side_by_side"}))
    assert in_turn.arrays == max(stage.arrays for stage in in_turn.stages)
    assert beside.arrays == sum(stage.arrays for stage in beside.stages) == 2
    first, second = read_timeline(in_turn).rows
    assert second.start_s >= first.finish_s
    assert read_timeline(in_turn).interval_s == pytest.approx(sum(stage.interval_s for stage in in_turn.stages))
    assert read_timeline(beside).interval_s == pytest.approx(max(stage.interval_s for stage in beside.stages))


def test_what_layers_write_into_the_same_cells_adds_up() -> None:
    graph, _ = digits_like()
    program = compile_network(graph, load_machine("rtm-ap"))
    (wear,) = read_ledger(program, read_timeline(program)).wear
    assert wear.per_inference == pytest.approx(sum(stage.residency.writes_per_inference for stage in program.stages))
    assert wear.inferences == pytest.approx(1e16 / wear.per_inference)


def test_the_program_prints_and_parses() -> None:
    graph, _ = digits_like()
    program = compile_network(graph, load_machine("rtm-ap"))
    assert parse_program(str(program), graph, program.machine).stages == program.stages


@pytest.mark.parametrize(
    ("field", "value", "reading"),
    [
        ("array.compare.energy", "9.4 fJ", "energy"),
        ("array.write.energy", "200 fJ", "energy"),
        ("array.shift.energy", "40 fJ", "energy"),
        ("array.compare.latency", "1 ns", "latency"),
        ("array.write.latency", "2 ns", "latency"),
        ("array.shift.latency", "2 ns", "latency"),
        ("array.ports", 4, "latency"),
        ("associative.alignment", "serial", "latency"),
        ("associative.rows", "all", "energy"),
        ("associative.sharing", False, "energy"),
        ("associative.spread", "none", "latency"),
        ("controller.issue.energy", "2 pJ", "energy"),
        ("instruction_memory.read.energy", "2 pJ", "energy"),
        ("requantizer.apply.energy", "1 pJ", "energy"),
        ("adder.add.energy", "1 pJ", "energy"),
        ("bus.transfer.energy", "2 pJ", "energy"),
    ],
)
def test_every_parameter_reaches_its_reading(field: str, value: object, reading: str) -> None:
    graph, _ = digits_like()

    def figures(**changes: object) -> tuple[float, float]:
        program = compile_network(graph, load_machine("rtm-ap").with_(**changes))
        timeline = read_timeline(program)
        return read_ledger(program, timeline).energy_j, timeline.latency_s

    (energy, latency), (energy_after, latency_after) = figures(), figures(**{field: value})
    assert (energy_after, latency_after)[reading == "latency"] != (energy, latency)[reading == "latency"]


def test_a_layer_of_other_weights_is_left_to_digital_units_and_a_note_says_so() -> None:
    graph = one_layer(Linear(), (8,), seeded(0, 4, 8))
    quantized = quantize(graph, [seeded(1, 6, 8)])
    program = compile_network(quantized, load_machine("rtm-ap"))
    assert [stage.engine for stage in program.stages] == ["digital"]
    assert any("its weights are not -1, 0 and 1" in note for note in program.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"associative.scope": -1}, "engines.associative.scope: Input should be greater than or equal to 0, got -1"),
        ({"associative.scoop": 2}, "engines.associative.scoop: there is no such setting; did you mean scope?"),
        ({"associative.zzz": 2}, "there is no such setting; there are layers, spread, sharing, scope, rows,"),
        ({"associative.write_faults": 2.0}, "engines.associative.write_faults"),
        ({"array.ports": 3}, "ports must divide its 64 domains"),
        ({"array.domains": 300}, "domains must be at most 255"),
    ],
)
def test_settings_that_make_no_sense_get_one_line(changes: dict[str, object], message: str) -> None:
    graph, _ = digits_like()
    with pytest.raises(MachineError, match=message):
        compile_network(graph, load_machine("rtm-ap").with_(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"array.columns": 2}, r"needs 3 columns of an array for 1 inputs of n0 and the machine has 2 \(1 too few\): set array.columns"),
        ({"array.domains": 2}, r"needs 4 domains along a track for an input of n0 and the machine has 2"),
        ({"array.domains": 6}, r"needs \d+ domains along a track for a sum of n0 and the machine has 6"),
        ({"associative.scope": 2, "array.columns": 16}, r"needs 23 columns of an array for 18 inputs of n0 .*: set associative.scope to fewer"),
    ],
)
def test_an_array_that_is_too_small_for_a_layer_says_what_it_has_too_little_of(changes: dict[str, object], message: str) -> None:
    graph, _ = digits_like()
    with pytest.raises(CapacityError, match=message):
        compile_network(graph, load_machine("rtm-ap").with_(**changes))


def with_(**changes: object) -> Reading:
    """Return the small network on a machine with some fields changed."""
    return read(digits_like()[0], load_machine("rtm-ap").with_(**{name.replace("__", "."): value for name, value in changes.items()}))


def test_memories_that_are_too_small_are_remarked() -> None:
    assert not any("memories hold" in note for note in with_().program.notes)
    notes = with_(instruction_memory__capacity="64 B", buffer__capacity="16 B").program.notes
    wanted = with_().total("instructions") * 8
    assert f"all instructions take {show(wanted, 'B')} but the memories hold 256 B; the cost of fetching the rest is not counted" in str(notes)
    assert "set buffer.capacity" in str(notes)


def test_outputs_over_idle_arrays_save_time() -> None:
    usual, all_over = with_(), with_(associative__spread="all")
    assert all_over.timeline.latency_s < usual.timeline.latency_s
    assert all_over.stages[0][1].tiles > usual.stages[0][1].tiles == 1


def test_putting_tracks_where_they_belong_takes_time_and_energy() -> None:
    usual, often = with_(), with_(associative__realign_every=5)
    assert often.ledger.energy_j > usual.ledger.energy_j and often.timeline.latency_s > usual.timeline.latency_s
    (_, before), (_, after) = usual.stages[0], often.stages[0]
    times = after.searches - before.searches
    assert 0 < times <= before.instructions // 5
    assert after.shifts - before.shifts == times * 2 * 63


def test_partial_sums_travel_to_where_they_are_added() -> None:
    """A part's sums leave its arrays as bits; where arrays of several routers make parts, all but one go on to the next."""
    found = with_(array__columns=24)
    for stage, placement in found.stages:
        moved = -(-placement.fetched // 8) + -(-placement.read // 8) + stage.actions["buffer.write"]
        assert stage.actions["bus.transfer"] == moved
        assert placement.read >= placement.results


def test_neighbouring_windows_share_what_they_read() -> None:
    graph, _ = digits_like()
    assert distinct_inputs(graph.node("n0"), graph, 256) == [2 * 81]
    assert distinct_inputs(graph.node("n0"), graph, 27) == [2 * 36, 2 * 45, 2 * 36]
    assert distinct_inputs(graph.node("n1"), graph, 256) == [6 * 81]


def test_steps_that_are_priced_are_those_that_are_executed() -> None:
    """Of the whole digits-like network: searches and writes of every stream, as executed, and what the ledger's stages are made of."""
    graph, _ = digits_like()
    program = compile_network(graph, load_machine("rtm-ap"))
    for stage in program.stages:
        layer, placement = TernaryLayer.of(graph.node(stage.nodes[0]), graph), stage.placement
        whole = compile_layer(layer, placement.row_groups, CHIP)
        searches, writes, compared = [], [], 0
        for compiled in whole.streams:
            state = State.zeros(3, CHIP.columns, CHIP.domains)
            done = execute(compiled.stream, state, load=lambda number, state: None, observed=True)
            effort = effort_of(compiled.stream, CHIP.ports)
            assert (done.searches, done.writes) == (effort.searches, effort.writes)
            loaded = sum(len(channels) for channels in compiled.scopes) * layer.bits
            searches.append(done.searches + sum(compiled.sum_bits))
            writes.append(done.writes + loaded * placement.positions)
            compared += effort.compared + sum(compiled.sum_bits)
        assert (max(searches), max(writes)) == (placement.searches, placement.writes)
        assert stage.actions["array.compare"] == compared * placement.positions


def test_the_result_says_that_layers_take_turns_and_what_their_programs_are() -> None:
    graph, _ = digits_like()
    result = run(graph, load_machine("rtm-ap"))
    first, second = result.program.stages[0].placement, result.program.stages[1].placement
    assert result.timeline.contenders == 2
    assert in_short(result) == "2 layers take turns on the same arrays, n0 for the longest"
    assert [row["operations"] for row in result.placements] == [first.operations, second.operations]
    busy = [stage.arrays * stage.active_s for stage in result.program.stages]
    assert result.utilization["temporal"] == pytest.approx(sum(busy) / result.timeline.interval_s / max(s.arrays for s in result.program.stages))
    (worn,) = result.ledger.wear
    assert worn.action == "array.write" and worn.stages == ("n0", "n1")
    assert worn.per_inference == pytest.approx(first.worn + second.worn)


def test_check_says_which_layers_associative_processors_take() -> None:
    """In floating point, where ranges are still to be found: weights that are ternary make the difference."""
    weights = torch.tensor(ternary((4, 2, 3, 3), 0.5, 1)).float() * 0.3, seeded(2, 5, 4, 3, 3)
    graph = chain(*((Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), (weight,)) for weight in weights), shape=(2, 6, 6))
    found = check(graph, load_machine("rtm-ap"))
    assert [row["engine"] for row in found["layers"]] == ["associative", "digital"]


def test_layers_are_listed_by_the_end_of_their_names_and_those_without_arrays_in_a_line() -> None:
    model = nn.Sequential(OrderedDict(stem=nn.Sequential(nn.Conv2d(1, 3, 3), nn.MaxPool2d(2)), head=nn.Sequential(nn.Conv2d(3, 2, 3))))
    x = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    program = compile_network(quantize(xl.load(model, x), [x], Recipe(activations=4, sparsity=0.6)), load_machine("rtm-ap"))
    assert [stage.nodes[0] for stage in program.stages] == ["stem.0", "stem.1", "head.0"]
    assert list(listed(program, "1")) == ["stem.1: computed by the digital engine, without arrays"]
    assert list(listed(program, "head.0", "shared")) != list(listed(program, "stem.0", "shared"))
    with pytest.raises(InputError, match=r"--layer 0: sequential has several layers of this name; choose from stem.0, head.0"):
        list(listed(program, "0"))


def test_training_for_the_machine_sees_its_weights() -> None:
    graph, x = digits_like()
    module = to_torch(graph, load_machine("rtm-ap"))
    module(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert torch.equal(module.eval()(x), graph(x))


def test_a_result_says_what_a_sparsity_did() -> None:
    plain = chain((Conv((1, 1), (1, 1, 1, 1), (1, 1), 1), (seeded(2, 5, 2, 3, 3),)), shape=(2, 6, 6))
    made = run(plain, load_machine("rtm-ap"), recipe=Recipe(sparsity=0.8))
    assert any("made ternary without training" in warning for warning in made.warnings)
    assert [stage.engine for stage in made.program.stages] == ["associative"]
    kept = run(digits_like()[0], load_machine("rtm-ap"), recipe=Recipe(sparsity=0.8))
    assert any("sparsity has no effect" in warning for warning in kept.warnings)
    without = run(plain, load_machine("rtm-ap"))
    assert not any("without training" in warning or "no effect" in warning for warning in without.warnings)
