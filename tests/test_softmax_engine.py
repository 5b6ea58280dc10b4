"""Softmax units in machines: formats in the network, counts, times, and what they demand of the machine."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from crossloom.compiler import compile_network
from crossloom.errors import MachineError
from crossloom.job.source import load
from crossloom.machines import Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Softmax
from crossloom.network.quantize.post_training import quantize
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values
from tests.layers import seeded
from tests.test_dynamic import Attention, attention, priced

STAR = load_machine("star")
UNITS = ("star.softmax", "retransformer.softmax", "cmos.softmax", "softermax.softmax")
WITH = {use: load_machine("isaac-ce").with_(**{"softmax_unit.use": use}).with_(**{"softmax_unit.count": 4}) for use in UNITS}


@cache
def scored(causal: bool = False, tokens: int = 6) -> tuple[Graph, Tensor]:
    return attention(tokens=tokens, causal=causal)


@pytest.mark.parametrize("use", UNITS)
@pytest.mark.parametrize("causal", [False, True])
def test_any_machine_takes_any_unit(use: str, causal: bool) -> None:
    """Counts are those of the values reading, weights those of the unit on the scores that it is given."""
    graph, x = scored(causal)
    machine = WITH[use]
    program = compile_network(graph, machine)
    seen: dict[str, tuple[list[Tensor], Tensor]] = {}
    _, counts = Values.of(program)((x,), watch=lambda node, given, found: seen.update({node.name: (list(given), found)}))
    assert counts == Counter({name: len(x) * count for name, count in priced(program).items()})
    (node,) = (node for node in program.graph.nodes if isinstance(node.op, Softmax))
    from crossloom.engine.softmax.settings import softmax_unit

    found = softmax_unit(machine)
    assert found is not None and program.stage_of[node.name].engine == "softmax"
    unit = found.arithmetic
    assert program.graph.quantization[node.inputs[0]] == unit.input and program.graph.quantization[node.name] == unit.output
    given, weights = seen[node.name]
    assert torch.equal(unit(*given), weights)


@pytest.mark.parametrize("use", UNITS)
def test_ideal_units_leave_the_integers(use: str) -> None:
    graph, x = scored()
    program = compile_network(graph, WITH[use].with_(**{"softmax.precision": "ideal"}))
    assert torch.equal(Values.of(program)((x,))[0][0], graph(x))
    formatted = compile_network(graph, WITH[use])
    assert priced(program) == priced(formatted)


@pytest.mark.parametrize("name", ["pipelayer", "retransformer", "star"])
def test_the_three_machines_compute_attention(name: str) -> None:
    """Ideal, each gives what the network is in integers once rewritten; in its formats, nearly that."""
    graph, x = scored()
    machine = load_machine(name)
    ideal = compile_network(graph, machine.with_(**{"softmax.precision": "ideal"}))
    exact = Values.exactly(ideal)((x,))[0][0]
    assert torch.equal(Values.of(ideal)((x,))[0][0], exact)
    if machine.engines["dynamic"]["products"] == "written":
        assert torch.equal(exact, graph(x))
    program = compile_network(graph, machine)
    (found,), counts = Values.of(program)((x,))
    assert float((found - graph(x)).abs().max()) < 0.1 * float(graph(x).abs().max())
    assert counts == Counter({n: len(x) * count for n, count in priced(program).items()})
    ledger = read_ledger(program, read_timeline(program))
    worn = ledger.first_worn
    assert worn is not None and worn.per_inference == 1
    assert worn.years(1000) == pytest.approx(1e9 / 1000 / (365.25 * 86400))


@pytest.mark.parametrize("name", ["cascade", "isaac-512", "crossstack", "neural-pim"])
def test_parts_mix(name: str) -> None:
    """Any crossbar machine, its own converters in the way: buffers, larger arrays, stacks, trained circuits."""
    graph, x = scored()
    program = compile_network(graph, load_machine(name).with_(products="rewritten", **{"softmax_unit.count": 4}))
    (found,), counts = Values.of(program)((x[:2],))
    assert counts == Counter({n: 2 * count for n, count in priced(program).items()})
    assert float((found - graph(x[:2])).abs().max()) < 0.1 * float(graph(x).abs().max())


def test_formats_reach_the_values() -> None:
    graph, x = scored()
    error = {form: float((Values.of(compile_network(graph, STAR.with_(format=form)))((x,))[0][0] - graph(x)).abs().mean()) for form in ("2.1", "4.3")}
    assert error["2.1"] > error["4.3"]


def test_a_causal_mask_leaves_work_out() -> None:
    """A triangle of 6 x 6 scores has 21: so many are searched for each of two heads."""
    counts = {causal: priced(compile_network(scored(causal)[0], WITH["star.softmax"])) for causal in (False, True)}
    assert counts[False]["cam.search"] == 2 * 36 and counts[True]["cam.search"] == 2 * 21
    assert counts[False]["cam.encode"] == counts[True]["cam.encode"] == 12


def test_units_share_the_rows() -> None:
    """A position has the rows of two heads; a unit takes one every 2n + 1 cycles of 10 ns."""
    for count, rows in ((1, 2), (2, 1), (4, 0.5)):
        stage = compile_network(scored()[0], WITH["star.softmax"].with_(**{"softmax_unit.count": count})).by_name["scaled_dot_product_attention_3"]
        assert stage.interval_s == pytest.approx(rows * max(13, 16) * 10e-9)


def test_finer_streams_are_sooner_done() -> None:
    """Row by row, block by block, operand by operand: the same work, later and later."""
    graph, _ = scored(tokens=16)
    found = {}
    for grain in ("vector", 4, "operand"):
        program = compile_network(graph, STAR.with_(grain=grain, replicate="none"))
        found[grain] = read_timeline(program).latency_s
        assert priced(program) == priced(compile_network(graph, STAR.with_(replicate="none")))
    assert found["vector"] < found[4] < found["operand"]


class Classifier(nn.Module):
    """A softmax whose weights are the network's answer."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, 1)


def test_an_answer_keeps_its_own_format() -> None:
    x = 3 * seeded(1, 4, 10)
    graph = quantize(load(Classifier(), (x[:1],)), [x])
    program = compile_network(graph, WITH["star.softmax"])
    assert program.graph.quantization == graph.quantization
    torch.testing.assert_close(Values.of(program)((x,))[0][0], torch.softmax(x, 1), rtol=0, atol=0.03)


def refused(machine: Machine, says: str) -> None:
    with pytest.raises(MachineError, match=says):
        compile_network(scored()[0], machine)


def test_settings_that_make_no_sense() -> None:
    star = WITH["star.softmax"]
    refused(star.with_(format="6"), r"engines.softmax.format: format '6' is not of the form INTEGER.FRACTION")
    refused(star.with_(format="6.4"), r"takes 1024 rows of chip.softmax_unit.cam and it has 512; set cam.rows=1024, or another softmax.format")
    refused(WITH["cmos.softmax"].with_(format="6.4"), r"takes 2048 capacity of chip.softmax_unit.exp_lut and it has 1024")
    refused(WITH["retransformer.softmax"].with_(format="2.7"), r"engines.softmax: ")
    refused(load_machine("star").with_(grain="rows"), r"compile.grain must be vector, operand, or a number of rows, got 'rows'")


def test_every_part_of_a_unit_sets_its_pace() -> None:
    """A divider of 1 MHz takes 6 us for a row of six, in the latency as in the interval."""
    machine = WITH["cmos.softmax"].with_(**{"divider.rate": "1 MHz", "softmax_unit.count": 2})
    stage = compile_network(scored()[0], machine).by_name["scaled_dot_product_attention_3"]
    assert stage.interval_s == pytest.approx(6e-6) and stage.latency_s > 6e-6 and stage.limited_by == "divider.divide"
    lanes = WITH["softermax.softmax"].with_(**{"softmax.lanes": 64})
    assert compile_network(scored(tokens=32)[0], lanes).by_name["scaled_dot_product_attention_3"].interval_s == pytest.approx(2 / 4 * 2e-9)


def test_figures_of_a_published_machine_name_their_sources() -> None:
    write = load_machine("retransformer").part("array").actions["write_row"]
    assert write.latency_s.mark == "published" and "yang2020" in write.latency_s.source
    assert write.energy_j.mark == "assumed" and "song2017" in write.energy_j.source


def test_units_that_are_none() -> None:
    star = WITH["star.softmax"]
    refused(star.with_(**{"cam.use": "isaac.adc"}), r"asks chip.softmax_unit.cam to search, and isaac.adc \(4 of them\) cannot")
    refused(star.with_(**{"softmax_unit.use": "isaac.adc"}), r"chip.softmax_unit is one component and no unit for softmax; use one of star.softmax")
    refused(star.with_(**{"softmax.kind": "cmos"}), r"has no part named comparator")


def test_more_scores_than_steps_is_said() -> None:
    graph, _ = attention(tokens=40)
    notes = compile_network(graph, STAR.with_(quotient_bits=5)).notes
    assert any("an even share is less than one step and is lost" in note for note in notes)


def test_units_of_ones_own_say_what_they_compute(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "own.yaml"  # type: ignore[operator]
    path.write_text(
        "machine: own\nextends: isaac-ce\ntitle: own\nset:\n  softmax_unit.use: cmos.softmax\n  softmax_unit.count: 2\n  softmax.kind: cmos\n  softmax.format: 5.2\n"
    )
    program = compile_network(scored()[0], load_machine(str(path)))
    assert program.stage_of["scaled_dot_product_attention_3"].engine == "softmax"
    assert program.machine.part("exp_lut").path == "chip.softmax_unit.exp_lut"


def test_causal_attention_streams_through_star() -> None:
    torch.manual_seed(3)
    module, x = Attention(16, 2, causal=True).eval(), seeded(1, 4, 12, 16)
    graph = quantize(load(module, (x[:1],)), [x])
    program = compile_network(graph, STAR)
    found = Values.of(program)((x,))[0][0]
    assert float((found - module(x)).detach().abs().max()) < 0.1 * float(module(x).detach().abs().max())
