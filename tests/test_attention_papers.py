"""STAR, ReTransformer and PipeLayer: every claim has a verdict, counts are exact, and nothing is fed by the number that it is compared with."""

from __future__ import annotations

import pytest
import torch

from crossloom.compiler import compile_network
from crossloom.engine.softmax.log_sum_exp import COMPARE, SELECT
from crossloom.job.check import macs
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import Linear, MatMul
from crossloom.network.zoo.bert import Layer
from crossloom.papers import Claim, reproduce
from crossloom.papers.attention import attention, first_attention, inference, softmax_of
from crossloom.papers.pipelayer import FIT
from crossloom.papers.workloads import operations, with_bits
from crossloom.read.timeline import read_timeline

PAPERS = ("star", "retransformer", "pipelayer")

VERDICTS = {
    "star": {
        "miss": "efficiency vs-gpu vs-pipelayer vs-retransformer softmax-area-cmos softmax-power-cmos softmax-area-softermax softmax-power-softermax",
        "match": "cam-rows cam-columns exp-rows exp-columns",
        "unverifiable": "pipeline-gain bits-cnews bits-mrpc bits-cola softmax-share",
    },
    "retransformer": {
        "miss": "efficiency vs-gpu power-pipelayer rewrite-a rewrite-a-write-alone rewrite-b-write-alone softmax-power-cmos-rest",
        "near": "vs-pipelayer",
        "match": "rewrite-b softmax-count",
        "unverifiable": "power-gpu softmax-power compare-select rewrite-macs",
    },
    "pipelayer": {
        "match": "arrays cycles",
        "unverifiable": "isaac-density isaac-efficiency density efficiency area attention-write attention-efficiency speed-gpu energy-gpu",
    },
}
EXACT = {
    "star": {"cam-rows": 512, "cam-columns": 18, "exp-rows": 256, "exp-columns": 18},
    "retransformer": {"softmax-count": 145},
    "pipelayer": {"arrays": 18, "cycles": 12544},
}
FED = {"retransformer": ("softmax-power", "compare-select"), "pipelayer": ("density", "efficiency", "area")}
"""Numbers that the library holds."""


def three_stages(grain: str, length: int = 128) -> tuple[float, float]:
    """Return the time (s) from the first score to the last sum of one attention layer: by the formula, and by the timeline.

    With an interval i and a latency l of each stage: Σ l + (n - 1) max i row by row, Σ (l + (n - 1) i) operand by operand; l = i gives the usual form.
    """
    machine = load_machine("star").with_(**{"compile.grain": grain, "products": "written", "replicate": "none"})
    program = compile_network(with_bits(attention(length, layers=1), 8), machine)
    names = first_attention(program)
    stages = [program.by_name[name] for name in names]
    steps = [stage.interval_s * (length - 1) for stage in stages]
    formula = sum(stage.latency_s for stage in stages) + (max(steps) if grain == "vector" else sum(steps))
    rows = read_timeline(program).by_name
    return formula, rows[names[2]].finish_s - rows[names[0]].start_s


def layer_macs(length: int, width: int = 768, wide: int = 3072) -> tuple[int, int, int, int, int]:
    """Return the multiply-accumulates of a layer: projections of Q, K and V, scores, weighted sum, output projection, feed-forward."""
    product = length * length * width
    return 3 * length * width * width, product, product, length * width * width, 2 * length * width * wide


def encoder_layer(length: int) -> Graph:
    """Return one layer of BERT-base, feed-forward included; shapes alone."""
    with torch.device("meta"):
        module, x = Layer(768, 12).eval(), torch.zeros(1, length, 768)
    return load(module, (x,), name="encoder layer")


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Claim]]:
    return {paper: {claim.id: claim for claim in reproduce(paper)} for paper in PAPERS}


@pytest.mark.parametrize("paper", PAPERS)
def test_each_claim_has_its_verdict(paper: str, found: dict[str, dict[str, Claim]]) -> None:
    wanted = {id: verdict for verdict, ids in VERDICTS[paper].items() for id in ids.split()}
    assert {claim.id: claim.verdict for claim in found[paper].values()} == wanted
    assert len({claim.paper for claim in found[paper].values()}) == 1


@pytest.mark.parametrize("paper", PAPERS)
def test_what_does_not_match_is_explained(paper: str, found: dict[str, dict[str, Claim]]) -> None:
    for claim in found[paper].values():
        assert claim.statement and claim.basis
        assert claim.verdict == "match" or claim.note, claim.id
        assert claim.published is None or claim.computed is None or claim.tolerance == pytest.approx(0, abs=1e-8) or claim.free_parameters, claim.id


@pytest.mark.parametrize("paper", PAPERS)
def test_counts_are_exact(paper: str, found: dict[str, dict[str, Claim]]) -> None:
    for id, count in EXACT[paper].items():
        claim = found[paper][id]
        assert claim.computed == claim.published == count and claim.tolerance == 0


def test_what_is_fed_is_not_compared(found: dict[str, dict[str, Claim]]) -> None:
    for paper, ids in FED.items():
        assert all(found[paper][id].published is None for id in ids)


def test_what_is_in_circulation_says_so(found: dict[str, dict[str, Claim]]) -> None:
    """zhai2023: of these numbers only 30.63, 1.31 and 59.20 and the bits are printed in what is at hand."""
    circulating = {id for id, claim in found["star"].items() if claim.note.startswith("Not printed")}
    softmax = {f"softmax-{what}-{other}" for what in ("area", "power") for other in ("cmos", "softermax")}
    assert circulating == {"efficiency", "vs-pipelayer", *EXACT["star"], *softmax}


@pytest.mark.parametrize("length", [16, 128])
@pytest.mark.parametrize("grain", ["vector", "operand"])
def test_three_stages_take_what_the_formula_says(grain: str, length: int) -> None:
    formula, timeline = three_stages(grain, length)
    assert timeline == pytest.approx(formula, rel=1e-12)


@pytest.mark.parametrize(
    ("length", "parts"),
    [(128, (0.453, 0.0252, 0.0252, 0.151, 1.208)), (256, (0.906, 0.1007, 0.1007, 0.302, 2.416)), (512, (1.812, 0.4027, 0.4027, 0.604, 4.832))],
)
def test_operations_of_a_layer_of_bert(length: int, parts: tuple[float, ...]) -> None:
    """Projections, scores, weighted sum, output projection, feed-forward: as computed by hand from the sizes, and node by node."""
    assert [2 * count / 1e9 for count in layer_macs(length)] == pytest.approx(parts, rel=2e-3)
    graph = encoder_layer(length)
    products = [macs(node, graph) for node in graph.nodes if isinstance(node.op, MatMul)]
    linear = [macs(node, graph) for node in graph.nodes if isinstance(node.op, Linear)]
    projected, *products_by_hand, project, forward = layer_macs(length)
    assert products == products_by_hand
    assert (sum(linear[:3]), linear[3], sum(linear[4:])) == (projected, project, forward)


def test_attention_is_that_of_bert() -> None:
    assert operations(attention(128)) == 12 * 2 * sum(layer_macs(128)[:4])


def test_efficiency_counts_the_original_operations() -> None:
    """Two machines that rewrite and one that does not are asked for the same work."""
    assert len({inference(machine, "attention-128").operations for machine in PAPERS}) == 1


def test_a_softmax_unit_is_the_sum_of_its_parts() -> None:
    """The comparator of a lane is published, the rest of it from horowitz2014; a row of scores performs each part once for a score."""
    lane = softmax_of("cmos.softmax")
    assert lane.power_w == pytest.approx(0.533e-3 + 0.025e-3 + 0.3e-3 + 0.05e-3 + 0.4e-3)
    assert lane.row_j(128) == pytest.approx(128 * (0.533 + 0.025 + 0.3 + 0.05 + 0.4) * 1e-12)
    assert lane.row_s(128) == pytest.approx(128e-9)


def test_cycles_of_the_unit_are_those_of_the_library() -> None:
    """yang2020, Section 4.3: 13 cycles to compare, 8 to select; the file has them in ns."""
    machine = load_machine("retransformer")
    cycle = machine.part("exp_lut").actions["read"].latency_s.value
    logic = machine.part("logic").actions
    assert (logic["compare"].latency_s.value / cycle, logic["select"].latency_s.value / cycle) == pytest.approx((COMPARE, SELECT))


def test_pipelayers_figures_were_fitted_with_four_cells() -> None:
    """song2017, Section 6.6: 142.9 GOPS/s/W is what a read costs, 16 reads for four cells in a weight of 16 bits; 1485 GOPS/s/mm2 likewise."""
    machine = load_machine("pipelayer")
    array = machine.part("array")
    operations = 2 * 128 * 128
    energy = FIT * 16 * array.actions["read"].energy_j.value
    seconds = 16 * array.actions["read"].latency_s.value
    assert operations / energy / 1e9 == pytest.approx(142.9, rel=2e-3)
    assert operations / FIT / seconds / array.area_mm2.value / 1e9 == pytest.approx(1485, rel=2e-3)


def test_first_attention_finds_its_stages() -> None:
    program = compile_network(with_bits(attention(128, layers=1), 8), load_machine("star"))
    engines = [program.by_name[name].engine for name in first_attention(program)]
    assert engines == ["dynamic", "softmax", "dynamic"]
