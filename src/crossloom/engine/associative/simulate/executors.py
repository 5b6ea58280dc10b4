"""The values of a layer: from its instruction streams, step by step, or as the integer product that they equal.

Without faults the steps are exact: every addition has the width of its range. So the sums are those of the product, and large layers are computed that way; tests
hold the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossloom.engine.associative.compile.compile import Compiled, CompiledLayer
from crossloom.engine.associative.compile.layer import settled, vectors
from crossloom.engine.associative.placement import InRows
from crossloom.engine.associative.settings import Processors
from crossloom.engine.associative.simulate.execute import execute
from crossloom.engine.associative.simulate.faults import TrackFaults
from crossloom.engine.associative.simulate.state import State, read_values, write_values
from crossloom.engine.base import Counts, Inferences
from crossloom.network.graph import Node
from crossloom.network.integer import evaluate, multiplier, requantize
from crossloom.program.program import Program

AT_ONCE = 1 << 14
"""Rows that are executed together; their cells take some 30 MB."""
THREADS = 2
MOST = 10_000_000
"""Row-bit operations of an inference up to which a layer is executed step by step without being asked."""


def takes_steps(placement: InRows, chip: Processors) -> tuple[bool, str]:
    """Return whether a layer is executed step by step, and why or why not."""
    if chip.faulty:
        return True, "tracks and cells have faults"
    if chip.execute != "auto":
        return chip.execute == "steps", "asked for" if chip.execute == "steps" else "asked for; exact, since every sum is as wide as its range"
    few = placement.bit_operations <= MOST
    return few, f"{placement.bit_operations:.3g} row-bit operations" if few else "exact, since every sum is as wide as its range"


@dataclass(frozen=True)
class Limiter:
    """Computes a ReLU or a clip, which the requantisation before it does in passing."""

    node: Node
    program: Program
    plan: str = "with the sums"
    why: str = "the requantisation limits"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the integers."""
        return evaluate(self.program.graph, self.node, tensors, inferences.count)


@dataclass(frozen=True)
class ProductExecutor:
    """Computes a layer as an integer product and counts what its streams do."""

    node: Node
    program: Program
    each: Counts
    why: str
    plan: str = "one product"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the layer's integers."""
        counts.update({name: count * inferences.count for name, count in self.each.items()})
        return evaluate(self.program.graph, self.node, tensors, inferences.count)


@dataclass(frozen=True)
class StreamExecutor:
    """Executes a layer's streams on packed bits and counts what they do."""

    node: Node
    program: Program
    each: Counts
    why: str
    whole: CompiledLayer
    chip: Processors
    seed: int
    plan: str = "step by step"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the layer's integers."""
        graph, node, x = self.program.graph, self.node, tensors[0]
        rows = vectors(node, graph, x.cpu()).flatten(1).to(torch.int32).numpy()
        sums = np.zeros((len(rows), self.whole.layer.all_outputs), np.int64)
        own = len(rows) // inferences.count
        each = max(1, AT_ONCE // own) * own
        for first in range(0, len(rows), each):
            part = slice(first, first + each)
            for number, compiled in enumerate(self.whole.streams):
                faults = self._faults(number, own, inferences.first + first // own) if self.chip.faulty else None
                sums[part, compiled.outputs.start : compiled.outputs.stop] += executed(compiled, self.whole, rows[part], faults)
        counts.update({name: count * inferences.count for name, count in self.each.items()})
        total = settled(node, graph, x, torch.from_numpy(sums).to(x.device))
        q = graph.quantization
        return requantize(total, multiplier(q[node.inputs[0]], q[node.inputs[1]], q[node.name], node), q[node.name])

    def _faults(self, stream: int, own: int, first: int) -> tuple[TrackFaults, int]:
        """Return the faults of a stream in inferences of so many rows from one on, and the ports of a track."""
        chip = self.chip
        seed = int(np.random.SeedSequence((self.seed, place_of(self.node, self.program), stream)).generate_state(1, np.uint64)[0] >> 1)
        faults = TrackFaults(
            shift=chip.shift_faults, write=chip.write_faults, realign_every=chip.realign_every, seed=seed, inference_rows=own, first_inference=first
        )
        return faults, chip.ports


def place_of(node: Node, program: Program) -> int:
    """Return the number of a node in its network."""
    return next(place for place, each in enumerate(program.graph.nodes) if each.name == node.name)


def executed(compiled: Compiled, whole: CompiledLayer, rows: NDArray[np.int32], faults: tuple[TrackFaults, int] | None = None) -> NDArray[np.int64]:
    """Return the sums (rows, outputs of the tile) that a stream leaves of the inputs in some rows, with faults of a chip with so many ports or without."""
    layer, layout = whole.layer, whole.layout
    state = State.zeros(len(rows), layout.columns, layout.domains)

    def load(number: int, state: State) -> None:
        scopes = compiled.scopes[number * layout.scopes_in_round : (number + 1) * layout.scopes_in_round]
        for place, channels in enumerate(scopes):
            inputs = rows[:, channels.start * layer.taps : channels.stop * layer.taps]
            columns = np.arange(inputs.shape[1])
            write_values(state, inputs, columns, np.full_like(columns, layout.input_domain(place)), layer.bits)

    given, ports = faults or (None, 1)
    execute(compiled.stream, state, load=load, faults=given, ports=ports, threads=THREADS)
    columns, domains = layout.sum_places()
    bits, signed = np.array(compiled.sum_bits), np.array(compiled.sum_signed)
    found = np.zeros((len(rows), len(compiled.outputs)), np.int64)
    for kind in {*zip(bits.tolist(), signed.tolist(), strict=True)}:
        same = np.flatnonzero((bits == kind[0]) & (signed == kind[1]))
        found[:, same] = read_values(state, columns[same], domains[same], kind[0], signed=kind[1])
    return found
