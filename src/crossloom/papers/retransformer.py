"""ReTransformer (Yang, Yan, Li, Chen, ICCAD 2020): its claims, computed from the machine files.

We had only the abstract and a third-party reading note on the full text, but not the tables of devices, models and throughput.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.peak import peak
from crossloom.engine.softmax.log_sum_exp import COMPARE, SELECT
from crossloom.job.check import macs
from crossloom.machines import load_machine
from crossloom.network.operators import MatMul, Softmax
from crossloom.papers.attention import (
    BITS,
    COUNT,
    ENERGY,
    LENGTH,
    THE_SAME,
    WORK,
    against_pipelayer,
    attention,
    efficiency,
    elsewhere,
    first_attention,
    inference,
    softmax_of,
)
from crossloom.papers.claim import Claim
from crossloom.papers.workloads import network, with_bits
from crossloom.program.stage import Stage
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

PAPER = "yang2020"
PRODUCTS = "arrays, converters and buffers: ISAAC's; the paper's tables are not available to us"
UNITS = "64 softmax units"
CHOSEN = (WORK, COUNT, LENGTH, BITS, ENERGY, PRODUCTS, UNITS)
GPU = 467.68 / 23.21
"""Efficiency of the paper's GPU (GOPS/s/W), implied by its two numbers; no GPU is modelled here."""
WRITE_S = 7.2e-9
"""Time to program a column (Section 3)."""

_claim = partial(Claim, paper=PAPER)


def claims() -> list[Claim]:
    """Return every claim."""
    return [*_efficiencies(), *_powers(), *_latencies(), *_softmax(), *_counts()]


def _efficiencies() -> list[Claim]:
    ours = efficiency("retransformer")
    limit = peak(load_machine("isaac-ce"), 8, 8).power_efficiency
    model = ("the whole of Model A, assumed to be the Transformer (base)", "transformer-base", 8)
    return [
        _claim(
            id="efficiency",
            statement="Abstract: 467.68 GOPS/s/W",
            published=467.68,
            computed=ours,
            tolerance=0.1,
            basis="twelve attention layers of BERT-base, compiled; ledger of one inference",
            free_parameters=CHOSEN,
            note=(
                f"An operation takes {1e3 / 467.68:.2f} pJ there and {1e3 / ours:.2f} pJ here. The paper's arrays and converters are not available to us. ISAAC's are used "
                f"instead; their limit is {limit:.0f} GOPS/s/W at 8 bits. Other cases: {elsewhere('retransformer', model)}."
            ),
        ),
        _claim(
            id="vs-gpu",
            statement="Abstract: 23.21 times the efficiency of a GPU",
            published=23.21,
            computed=ours / GPU,
            tolerance=0.1,
            basis=f"efficiency here over {GPU:.2f} GOPS/s/W",
            free_parameters=(THE_SAME,),
            note=f"The GPU's {GPU:.2f} GOPS/s/W is 467.68 over 23.21, both from the paper. This ratio adds no information to the efficiency.",
        ),
        _claim(
            id="vs-pipelayer",
            statement="Abstract: 3.25 times the efficiency of PipeLayer",
            published=3.25,
            computed=ours / efficiency("pipelayer"),
            tolerance=0.1,
            basis="ratio of two efficiencies, both at 8 bits",
            free_parameters=(THE_SAME, "PipeLayer's energy of a read: calibrated on its own efficiency at 16 bits"),
            note=against_pipelayer("retransformer", 467.68),
        ),
    ]


def _powers() -> list[Claim]:
    ours, theirs = (inference(name, "attention-128") for name in ("retransformer", "pipelayer"))
    return [
        _claim(
            id="power-pipelayer",
            statement="Abstract: 2.82 times less power than PipeLayer",
            published=2.82,
            computed=theirs.power_w / ours.power_w,
            tolerance=0.1,
            basis="energy over latency of one inference on each machine, both at 8 bits",
            free_parameters=(THE_SAME, "power is energy over latency; the paper's definition is not available to us"),
            note=(
                f"3.25 times the efficiency with 1/2.82 of the power means 1/{3.25 / 2.82:.2f} of PipeLayer's time. Here it takes "
                f"{ours.latency_s / theirs.latency_s:.2f} times as long: a read takes 100 ns in ISAAC's arrays and 29.31 ns in PipeLayer's. "
                f"With all parts of all chips active, the ratio is {theirs.parts_w / ours.parts_w:.0f}."
            ),
        ),
        _claim(
            id="power-gpu",
            statement="Abstract: 1086 times less power than a GPU",
            published=1086.0,
            computed=None,
            tolerance=0.1,
            basis="missing: the GPU model and its power",
            note=f"With 23.21 times the efficiency, this means {1086 / 23.21:.0f} times the GPU's time for the same work.",
        ),
    ]


@dataclass(frozen=True)
class _Scores:
    """The first attention scores of a network: seconds from the layer's input to the last score, and the stages that produce them."""

    until_s: float
    scores: Stage
    store: Stage

    @property
    def write_s(self) -> float:
        """Time to write the stored operand (s)."""
        return self.store.busy_s


@cache
def _scores(name: str, products: str) -> _Scores:
    machine = load_machine("retransformer").with_(products=products)
    program = compile_network(with_bits(network(name), 8), machine)
    rows = read_timeline(program).by_name
    first = next(stage.name for stage in program.stages if stage.engine == "crossbar")
    scores = program.by_name[first_attention(program)[0]]
    return _Scores(rows[scores.name].finish_s - rows[first].start_s, scores, program.by_name[scores.holder])


def _latencies() -> list[Claim]:
    made = []
    for model, name, published, assumed in (
        ("A", "transformer-base", 1.32, "Model A: the Transformer, base"),
        ("B", "transformer-big", 1.16, "Model B: the Transformer, big; the paper's sizes are not available to us"),
    ):
        written, rewritten = (_scores(name, products) for products in ("written", "rewritten"))
        made += [
            _claim(
                id=f"rewrite-{model.lower()}",
                statement=f"Section 5, Figure 9: scores {published:g} times as fast as when keys are written (Model {model})",
                published=published,
                computed=written.until_s / rewritten.until_s,
                tolerance=0.05,
                basis="time from the layer's input to its last score in the first encoder layer, written over rewritten products",
                free_parameters=(assumed, LENGTH, BITS, PRODUCTS, "remaining arrays hold further copies, balanced over all layers"),
                note=(
                    f"{1e6 * written.until_s:.0f} us over {1e6 * rewritten.until_s:.0f} us. Write time is not the main factor: it is {1e6 * written.write_s:.1f} us. "
                    "Written keys must be complete before the first score, but rewritten scores start with the first row: up to 2 times as fast. "
                    f"However, all heads read the same input one after another, from {rewritten.scores.copies} copies of it. "
                    "So the number depends on the copies that fit, and agreement is coincidental."
                ),
            ),
            _formula(model, published, written, assumed),
        ]
    return made


def _formula(model: str, published: float, written: _Scores, assumed: str) -> Claim:
    """Return the claim on the gain if only the write is saved: T = T_QK + T_write + T_score, in sequence."""
    product, write = written.scores.interval_s, written.store.interval_s
    return _claim(
        id=f"rewrite-{model.lower()}-write-alone",
        statement=f"The same (Model {model}), if only the write is saved",
        published=published,
        computed=1 + write / (2 * product),
        tolerance=0.05,
        basis="(T_QK + T_write + T_score) / (T_QK + T_score), each n times the machine's time per token",
        free_parameters=(assumed, BITS, PRODUCTS),
        note=(
            f"Per token, a product takes {1e9 * product:.0f} ns here and the write {1e9 * write:.1f} ns, limited by {written.store.limited_by}. "
            f"With 7.2 ns for the write, {published:g} would result if a product took {1e9 * WRITE_S / (2 * (published - 1)):.1f} ns. "
            "The paper's time for a product is not available to us."
        ),
    )


def _softmax() -> list[Claim]:
    ours, digital = softmax_of("retransformer.softmax", "6.2"), softmax_of("cmos.softmax", "6.2")
    rest = digital.power_w - digital.machine.part("comparator").power_w.value
    return [
        _claim(
            id="softmax-power",
            statement="Figure 10: the complete ReRAM softmax draws 0.6913 mW",
            published=None,
            computed=1e3 * ours.power_w,
            tolerance=0.1,
            basis="power of all parts of one unit",
            note=(
                "0.6913 and its 0.3889 for compare and select are inputs of the library: this proves nothing. "
                f"The ratio to our CMOS unit, published as 0.676, is {ours.power_w / digital.power_w:.3f}."
            ),
        ),
        _claim(
            id="softmax-power-cmos-rest",
            statement="Figure 10: CMOS softmax without compare and select, 1.0233 - 0.533 = 0.4903 mW",
            published=0.4903,
            computed=1e3 * rest,
            tolerance=0.2,
            basis="power of the parts of one lane except the comparator",
            free_parameters=("energies of operations: horowitz2014, halved for 32 nm; one operation per ns",),
            note=(
                f"The comparator's 0.533 mW is an input of the library and left out. Of the rest, the divider takes {1e3 * digital.machine.part('divider').power_w.value:.1f} mW; "
                "whether the paper's CMOS unit has a divider is not known to us."
            ),
        ),
        _claim(
            id="compare-select",
            statement="Section 4.3: 13 cycles to compare two numbers and 8 to select the larger",
            published=None,
            computed=float(COMPARE + SELECT),
            tolerance=0.0,
            basis="cycles of the unit for each level of its maximum search",
            note="13 and 8 are inputs of the unit.",
        ),
    ]


def _counts() -> list[Claim]:
    """Return claims on counts that follow only from the networks."""
    graph = network("transformer-base")
    heads = sum(node.type.sizes()[1] for node in graph.nodes if isinstance(node.op, Softmax))
    made = [
        _claim(
            id="softmax-count",
            statement="Section 5: 145 softmax operations in Model A",
            published=145.0,
            computed=float(heads + 1),
            tolerance=0.0,
            basis="heads of all softmax nodes of the Transformer (base), plus one for the next word, which the zoo's network does not contain",
            free_parameters=("Model A: the Transformer, base",),
        ),
        _rewritten_macs(),
    ]
    return made


def _rewritten_macs() -> Claim:
    original, machine = attention(128), load_machine("retransformer")
    found = {products: compile_network(with_bits(original, 8), machine.with_(products=products)) for products in ("rewritten", "written")}
    energy = {products: read_ledger(program, read_timeline(program)).energy_j for products, program in found.items()}
    graph = found["rewritten"].graph
    before, after = (next(node for node in each.nodes if isinstance(node.op, MatMul)) for each in (original, graph))
    return _claim(
        id="rewrite-macs",
        statement="Section 4.2: multiply-accumulates of rewritten scores over original ones, BERT-base (the formula gives 768 / 64)",
        published=None,
        computed=macs(after, graph) / macs(before, original),
        tolerance=0.0,
        basis="the compiled product over the network's product; efficiencies count the original",
        free_parameters=(WORK, LENGTH, BITS, PRODUCTS),
        note=(
            "The paper prints no count. As a result, rewritten attention takes more energy here: "
            f"{1e3 * energy['rewritten']:.2f} mJ, against {1e3 * energy['written']:.2f} mJ with keys and values written."
        ),
    )
