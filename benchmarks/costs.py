"""Compile, timeline and ledger of whole networks, after import. The fastest peer takes 0.9 s for ResNet-18 in closed form."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.timing import seconds
from crossloom.compiler import compile_network
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import load_machine
from crossloom.network.quantize.post_training import quantize
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline

TARGETS = {
    ("resnet18", "isaac-ce"): 0.5,
    ("mobilenet-v2", "isaac-ce"): 0.5,
    ("bert-base", "isaac-ce"): 1.0,
    ("resnet18", "hurry"): 5.0,
    ("resnet18", "neurosim-style"): 0.5,
}


def measure() -> Iterator[str]:
    """Yield seconds for each network, the best of five."""
    for (name, chip), target in TARGETS.items():
        machine, network = load_machine(chip), load(f"zoo:{name}")
        graph = quantize(network, [random_inputs(network, 1, 0).inputs])

        def price(graph=graph, machine=machine) -> None:
            program = compile_network(graph, machine)
            read_ledger(program, read_timeline(program))

        best = min(seconds(price) for _ in range(5))
        yield f"{name} on {chip}: {best * 1e3:.1f} ms for compile, timeline and ledger (target {target * 1e3:.0f} ms)"
