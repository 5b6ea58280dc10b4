"""Attention: softmax units beside torch's softmax, BERT-base on the machines, what a cache and a written operand cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from benchmarks.timing import pair, threads
from crossloom.compiler import compile_network
from crossloom.engine.softmax.cmos import Cmos
from crossloom.engine.softmax.formats import Fixed
from crossloom.engine.softmax.log_sum_exp import LogSumExp
from crossloom.engine.softmax.softermax import Softermax
from crossloom.engine.softmax.star import Star
from crossloom.engine.softmax.unit import Unit
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.graph import Graph
from crossloom.network.quantize.post_training import quantize
from crossloom.network.zoo import build
from crossloom.papers.workloads import network, with_bits
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values

FORM = Fixed(6, 3)
UNITS: dict[str, Unit] = {"STAR": Star(FORM), "CMOS": Cmos(FORM), "log-sum-exp": LogSumExp(FORM), "Softermax": Softermax(Fixed(6, 2))}
MACHINES = ("pipelayer", "retransformer", "star")


def measure() -> Iterator[str]:
    """Yield a line for each figure."""
    for name, unit in UNITS.items():
        yield _softmax(name, unit)
    for name in ("bert-base", "bert-base-512", "gpt2-step"):
        for machine in MACHINES:
            yield _costs(name, machine)
    yield from _values()


def _softmax(name: str, unit: Unit) -> str:
    scores = 3 * torch.randn(12, 512, 512)
    step, limit = unit.input.scale[0], (unit.input.low, unit.input.high)
    codes = torch.round(scores / step).clamp_(*limit).to(torch.int16)
    with threads(2):
        plain, ours = pair(lambda: torch.softmax(scores, -1), lambda: unit(codes), 30)
    return f"{name} softmax of 12x512x512 scores {1e3 * ours:.1f} ms, torch in float32 {1e3 * plain:.1f} ms, ratio {ours / plain:.1f} (target 5 for STAR)"


def _costs(name: str, machine: str) -> str:
    graph, chip = with_bits(network(name), 8), load_machine(machine)
    compile_network(graph, chip)
    start = time.perf_counter()
    program = compile_network(graph, chip)
    between = time.perf_counter()
    read_ledger(program, read_timeline(program))
    return f"{name} on {machine}: compiled in {1e3 * (between - start):.0f} ms, timeline and ledger {1e3 * (time.perf_counter() - between):.0f} ms (target 2 s)"


def _values() -> Iterator[str]:
    """Yield what values of BERT-base take on each machine over torch in float32, one sample of 128 tokens, ideal units equal to the integers."""
    module, example = build("bert-base")
    graph: Graph = load(module, example, name="bert-base")
    tokens = torch.randint(0, 30522, (1, 128), generator=torch.Generator().manual_seed(0))
    quantized = quantize(graph, [(tokens,)])
    for machine in MACHINES:
        chip = load_machine(machine)
        values = Values.of(compile_network(quantized, chip))
        with threads(2), torch.no_grad():
            plain, ours = pair(lambda: module(tokens), lambda values=values: values((tokens,)), 5)
        ideal = compile_network(quantized, chip.with_(**{"softmax.precision": "ideal"}))
        same = torch.equal(Values.of(ideal)((tokens,))[0][0], Values.exactly(ideal)((tokens,))[0][0])
        yield f"bert-base, 128 tokens on {machine}: {1e3 * ours:.0f} ms, torch in float32 {1e3 * plain:.0f} ms, ratio {ours / plain:.2f}; ideal equals the integers: {same}"
