"""Whole networks on ISAAC: bit for bit the integer reference, and every action of the ledger performed."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from crossloom.compiler import compile_network
from crossloom.engine.crossbar.engine import reference_executor
from crossloom.job.data import random_inputs
from crossloom.job.source import load
from crossloom.machines import Machine
from crossloom.network.quantize import Recipe, quantize
from crossloom.program_text import parse_program
from crossloom.read.ledger import read_ledger
from crossloom.read.timeline import read_timeline
from crossloom.read.values import Values


@pytest.mark.parametrize(("name", "samples"), [("digits", 16), ("resnet18", 2), ("mobilenet-v2", 2), ("bert-base", 1)])
def test_a_network_on_isaac_equals_the_integer_reference(name: str, samples: int, isaac: Machine) -> None:
    network = load(f"zoo:{name}")
    x = random_inputs(network, samples, seed=1).inputs
    graph = quantize(network, [x])
    program = compile_network(graph, isaac)
    (y,), counts = Values.of(program)(x)
    assert torch.equal(y, graph(*x))
    ledger = read_ledger(program, read_timeline(program))
    assert counts == Counter({action: samples * count for action, count in ledger.actions.items()})
    assert parse_program(str(program), graph, isaac) == program


def test_the_digits_network_digit_by_digit(isaac: Machine) -> None:
    """The plain crossbar arithmetic, with sixteen bits as in the paper and as ISAAC's converters clip nothing."""
    network = load("zoo:digits")
    x = random_inputs(network, 3, seed=1).inputs
    graph = quantize(network, [x], Recipe(16, 16))
    program = compile_network(graph, isaac)
    (plain,), plain_counts = Values.of(program, reference_executor)(x)
    (fast,), counts = Values.of(program)(x)
    assert torch.equal(plain, fast)
    assert torch.equal(plain, graph(*x))
    assert plain_counts == counts


def test_the_result_depends_on_neither_batch_nor_threads(isaac: Machine) -> None:
    network = load("zoo:digits")
    (x,) = random_inputs(network, 4, seed=1).inputs
    program = compile_network(quantize(network, [(x,)]), isaac.with_(adc_bits=4))
    values = Values.of(program)
    (whole,), counts = values((x,))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        parts = [values((part,)) for part in x.split(1)]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(whole, torch.cat([y for (y,), _ in parts]))
    assert counts == sum((c for _, c in parts), Counter())


def test_a_clipping_converter_changes_the_values_and_says_so(isaac: Machine) -> None:
    network = load("zoo:digits")
    x = random_inputs(network, 8, seed=1).inputs
    graph = quantize(network, [x])
    errors = []
    for bits in (3, 4, 5, 6, 8):
        values = Values.of(compile_network(graph, isaac.with_(adc_bits=bits)))
        (y,), _ = values(x)
        errors.append(float((y - graph(*x)).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0 == errors[-1]
