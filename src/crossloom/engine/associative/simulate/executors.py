"""Executors of a layer: its instruction streams, step by step, or the equal integer product.

Without faults the steps are exact, because every addition is as wide as its range. The sums therefore equal those of the product, and large layers
are computed as one; tests compare the two.
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
"""Number of rows executed together; their cells take about 30 MB."""
THREADS = 2
MOST = 10_000_000
"""Largest number of row-bit operations per inference for which a layer is executed step by step by default."""


def takes_steps(placement: InRows, chip: Processors) -> tuple[bool, str]:
    """Return whether a layer is executed step by step, and why or why not."""
    if chip.faulty:
        return True, "tracks and cells have faults"
    if chip.execute != "auto":
        return chip.execute == "steps", "requested" if chip.execute == "steps" else "requested; exact, since every sum is as wide as its range"
    few = placement.bit_operations <= MOST
    return few, f"{placement.bit_operations:.3g} row-bit operations" if few else "exact, since every sum is as wide as its range"


@dataclass(frozen=True)
class Limiter:
    """Executor of a ReLU or clip that is part of the preceding requantisation."""

    node: Node
    program: Program
    plan: str = "with the sums"
    why: str = "the requantisation clips"

    def __call__(self, tensors: Sequence[Tensor], inferences: Inferences, counts: Counts) -> Tensor:
        """Return the integers."""
        return evaluate(self.program.graph, self.node, tensors, inferences.count)


@dataclass(frozen=True)
class ProductExecutor:
    """Executor of a layer as an integer product, with the action counts of its streams."""

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
    """Executor of a layer's streams on packed bits, with their action counts."""

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
        """Return the faults of a stream in inferences of `own` rows each, starting with inference `first`, and the number of ports per track."""
        chip = self.chip
        seed = int(np.random.SeedSequence((self.seed, place_of(self.node, self.program), stream)).generate_state(1, np.uint64)[0] >> 1)
        faults = TrackFaults(
            shift=chip.shift_faults, write=chip.write_faults, realign_every=chip.realign_every, seed=seed, inference_rows=own, first_inference=first
        )
        return faults, chip.ports


def place_of(node: Node, program: Program) -> int:
    """Return the index of a node in its network."""
    return next(place for place, each in enumerate(program.graph.nodes) if each.name == node.name)


def executed(compiled: Compiled, whole: CompiledLayer, rows: NDArray[np.int32], faults: tuple[TrackFaults, int] | None = None) -> NDArray[np.int64]:
    """Return a stream's sums (rows, outputs of the tile) for the given input rows, optionally with faults and the number of ports."""
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
