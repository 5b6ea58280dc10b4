"""Workloads of the claims about attention: attention layers, whole transformers, softmax units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.peak import peak
from crossloom.engine.softmax.settings import softmax_unit
from crossloom.engine.softmax.unit import Unit
from crossloom.job.source import load
from crossloom.machines import ActionKey, Machine, load_machine
from crossloom.network.graph import Graph
from crossloom.network.operators import MatMul, Softmax
from crossloom.network.zoo.transformer import Attention
from crossloom.papers.workloads import network, operations, with_bits
from crossloom.program.program import Program
from crossloom.read.ledger import Ledger, read_ledger
from crossloom.read.timeline import read_timeline

WORK = (
    "attention only: the twelve attention layers of BERT-base, from input projections to output projection, without residuals, norms and feed-forward"
)
COUNT = (
    "a multiply-accumulate of the original formula counts as two operations on every machine; extra operations of a rewritten formula are not counted"
)
LENGTH = "128 tokens: the papers' sequence lengths are not available to us"
BITS = "8 bits for weights and activations"
ENERGY = "efficiency is operations over the energy of one inference; idle parts draw nothing, except those with static power"
THE_SAME = "as for efficiency"


class Attentions(nn.Module):
    """Sequence of attention layers with nothing in between."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, x)
        return x


@cache
def attention(length: int, width: int = 768, heads: int = 12, layers: int = 12) -> Graph:
    """Return attention layers for `length` tokens, with shapes only; by default those of BERT-base."""
    with torch.device("meta"):
        module, x = Attentions(width, heads, layers).eval(), torch.zeros(1, length, width)
    return load(module, (x,), name=f"attention-{length}")


def workload(name: str) -> Graph:
    """Return "attention-128" (attention of BERT-base for 128 tokens), or a network of the zoo."""
    kind, _, length = name.partition("-")
    return attention(int(length)) if kind == "attention" else network(name)


@dataclass(frozen=True)
class Inference:
    """One inference of a network: operations, latency, initiation interval, power (W) of all parts of its chips, and costs."""

    operations: int
    latency_s: float
    interval_s: float
    parts_w: float
    ledger: Ledger

    @property
    def efficiency(self) -> float:
        """Operations over energy (GOPS/s/W)."""
        return self.operations / self.ledger.energy_j / 1e9

    @property
    def power_w(self) -> float:
        """Energy over latency (W): the mean power during a single inference."""
        return self.ledger.energy_j / self.latency_s


@cache
def inference(machine: str, name: str, bits: int = 8) -> Inference:
    """Return an inference of a workload on an unmodified machine."""
    graph, chip = workload(name), load_machine(machine)
    program = compile_network(with_bits(graph, bits), chip)
    timeline = read_timeline(program)
    ledger = read_ledger(program, timeline)
    return Inference(operations(graph), timeline.latency_s, timeline.interval_s, program.chips * chip.power_w, ledger)


def efficiency(machine: str, name: str = "attention-128", bits: int = 8) -> float:
    """Return the efficiency of a workload on a machine (GOPS/s/W)."""
    return inference(machine, name, bits).efficiency


def elsewhere(machine: str, *more: tuple[str, str, int]) -> str:
    """Return the efficiencies of a machine for other lengths, at 16 bits, on the whole network, and for `more` (words, workload, bits)."""
    others = (
        ("256 tokens", "attention-256", 8),
        ("512 tokens", "attention-512", 8),
        ("128 tokens at 16 bits", "attention-128", 16),
        ("the whole of BERT-base, 128 tokens at 8 bits", "bert-base", 8),
        *more,
    )
    return "; ".join(f"{words} {efficiency(machine, name, bits):.0f}" for words, name, bits in others)


def against_pipelayer(machine: str, published: float) -> str:
    """Return a note on a ratio to PipeLayer, whose own number is for 16 bits."""
    ours, theirs = efficiency(machine), efficiency("pipelayer", bits=16)
    most = peak(load_machine("pipelayer"), 16, 16).power_efficiency
    whole = efficiency(machine, "bert-base") / efficiency("pipelayer", "bert-base")
    return (
        f"{published:g} over PipeLayer's published 142.9 GOPS/s/W is {published / 142.9:.2f}, and 142.9 is for 16 bits: the paper seems to compare 8 bits with 16. "
        f"Here, 8 bits over PipeLayer at 16 gives {ours / theirs:.1f}; both at 16 bits, {efficiency(machine, bits=16) / theirs:.1f}; "
        f"the whole of BERT-base at 8 bits, {whole:.1f}. PipeLayer's peak at 16 bits is {most:.0f} GOPS/s/W in its machine file (`reproduce pipelayer` explains why)."
    )


def first_attention(program: Program) -> tuple[str, str, str]:
    """Return the stages of the first attention scores, of their softmax and of the weighted sum."""
    graph = program.graph
    products = [node.name for node in graph.nodes if isinstance(node.op, MatMul)]
    softmax = next(node.name for node in graph.nodes if isinstance(node.op, Softmax))
    scores, softmax, summed = (program.stage_of[name].name for name in (products[0], softmax, products[1]))
    return scores, softmax, summed


@dataclass(frozen=True)
class SoftmaxUnit:
    """A softmax unit of the library: area (mm²) and power (W) of its parts, time and energy per row of scores."""

    unit: Unit
    machine: Machine
    area_mm2: float
    power_w: float
    clock_s: float

    def row_s(self, length: int) -> float:
        """Return the time between two rows (s)."""
        return self.unit.cycles(length)[0] * self.clock_s

    def row_j(self, length: int) -> float:
        """Return the energy of a row (J)."""
        parts = self.machine.parts
        path = next(path for path in self.machine.units if path.endswith(".softmax_unit"))
        counts = {ActionKey.of(name): count for name, count in self.unit.actions(length, 1, length).items()}
        return sum(count * parts[f"{path}.{part}"].actions[action].energy_j.value for (part, action), count in counts.items())


@cache
def softmax_of(use: str, form: str = "6.3") -> SoftmaxUnit:
    """Return a softmax unit of the library, for scores in the given format."""
    machine = load_machine("star").with_(**{"softmax_unit.use": use, "softmax_unit.count": 1, "softmax.format": form})
    found = softmax_unit(machine)
    assert found is not None
    parts = [part for part in machine.parts.values() if part.unit.endswith(".softmax_unit")]
    return SoftmaxUnit(
        found.arithmetic,
        machine,
        sum(part.total * part.area_mm2.value for part in parts),
        sum(part.total * part.power_w.value for part in parts),
        machine.action(found.clock).latency_s.value,
    )
