"""Compile, timeline and ledger of whole networks, after import. The fastest peer takes 0.9 s for ResNet-18 in closed form."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.timing import seconds
from crossloom.compiler import compile_network
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.quantize import quantize
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

TARGETS = {"resnet18": 0.5, "mobilenet-v2": 0.5, "bert-base": 1.0}


def measure() -> Iterator[str]:
    """Yield seconds for each network, the best of five."""
    machine = load_machine("isaac-ce")
    for name, target in TARGETS.items():
        network = load(f"zoo:{name}")
        graph = quantize(network, [random_inputs(network, 1, 0).inputs])

        def price(graph=graph) -> None:
            program = compile_network(graph, machine)
            read_ledger(program, read_timeline(program))

        best = min(seconds(price) for _ in range(5))
        yield f"{name}: {best * 1e3:.1f} ms for compile, timeline and ledger (target {target * 1e3:.0f} ms)"
