"""Common subexpressions of random ternary matrices: next to what no sharing can beat, next to da4ml where that is installed, and the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from crossloom.engine.associative.compile.dataflow import verify
from crossloom.engine.associative.compile.sharing import lower_bound, share

Matrix = NDArray[np.int8]

NONZERO = 0.2
SLICES = (
    (9, 64, 50),
    (9, 128, 50),
    (9, 256, 50),
    (9, 512, 50),
    (18, 512, 4),
    (36, 512, 4),
    (72, 512, 2),
    (144, 512, 2),
    (288, 512, 1),
    (512, 512, 1),
)
"""Inputs, outputs, and how many are drawn."""

PEER_NONZEROS = 16_000
"""da4ml takes minutes for more."""

TARGETS = {(9, 512): "191 temporaries", (9, 256): "122 temporaries", (36, 512): "37.0 %", (144, 512): "44.0 %"}

RESNET18 = ((3, 49, 64, 1), (64, 9, 64, 4), (64, 9, 128, 1), (128, 9, 128, 3), (128, 9, 256, 1), (256, 9, 256, 3), (256, 9, 512, 1), (512, 9, 512, 3))
"""Channels, kernel, outputs and layers, without those of 1x1."""


def measure() -> Iterator[str]:
    """Yield a line for each kind of slice, for more effort, for a whole network, and for a whole layer as one matrix."""
    share(_drawn(9, 64, 0)), share(_drawn(36, 64, 0))  # compiled
    for inputs, outputs, draws in SLICES:
        yield _slice(inputs, outputs, [_drawn(inputs, outputs, seed) for seed in range(draws)])
    for inputs in (36, 144):
        yield _effort(inputs, _drawn(inputs, 512, 0))
    for scope in (1, 4, 16):
        yield _network(scope)
    yield _slice(4608, 512, [_drawn(4608, 512, 0)])


def _drawn(inputs: int, outputs: int, seed: int) -> Matrix:
    """Return a matrix whose entries are not zero with a fixed probability, of either sign."""
    rng = np.random.default_rng(seed)
    return ((rng.random((outputs, inputs)) < NONZERO) * rng.choice([-1, 1], (outputs, inputs))).astype(np.int8)


def _slice(inputs: int, outputs: int, matrices: list[Matrix]) -> str:
    """Return what is left of some matrices, here and with the peer."""
    nonzeros = sum(map(np.count_nonzero, matrices))
    filled = sum(int(matrix.any(axis=1).sum()) for matrix in matrices)
    bound = np.mean([lower_bound(matrix) for matrix in matrices])

    def counts(temporaries: Callable[[Matrix], int]) -> str:
        start = time.process_time()
        total = sum(temporaries(matrix) for matrix in matrices)
        seconds = time.process_time() - start
        saving = 1 - (total + filled) / nonzeros
        return f"{total / len(matrices):.1f} temporaries, {saving:.1%} saved, {_time(seconds / len(matrices))} ({seconds / nonzeros * 1e6:.2f} µs a non-zero)"

    target = f" (target {TARGETS[inputs, outputs]})" if (inputs, outputs) in TARGETS else ""
    peer = f"; da4ml {counts(_peer)}" if find_spec("da4ml") and nonzeros <= PEER_NONZEROS * len(matrices) else ""
    return f"{inputs} x {outputs}, mean of {len(matrices)}, at least {bound:.1f}: {counts(_verified)}{target}{peer}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _verified(matrix: Matrix) -> int:
    """Return how many temporaries are left, of a dataflow that was checked."""
    dataflow = share(matrix)
    verify(dataflow, matrix)
    return dataflow.temporaries


def _peer(matrix: Matrix) -> int:
    """Return how many temporaries da4ml's greedy needs."""
    from da4ml.cmvm import solve

    kernel = matrix.T.astype(np.float32)
    ranges = [(0.0, 15.0, 1.0)] * len(kernel)
    stages = solve(kernel, method0="mc", method1="mc", decompose_dc=-1, search_all_decompose_dc=False, qintervals=ranges).solutions
    return sum(op.opcode in (0, 1) for stage in stages for op in stage.ops)


def _effort(inputs: int, matrix: Matrix) -> str:
    """Return what is saved at several efforts."""
    nonzeros, found = np.count_nonzero(matrix), []
    for effort in (0, 1, 3, 10, 30):
        start = time.process_time()
        operations = share(matrix, effort=effort).operations
        found.append(f"{1 - operations / nonzeros:.1%} in {_time(time.process_time() - start)} at {effort}")
    return f"{inputs} x 512, effort: {', '.join(found)}"


def _network(scope: int) -> str:
    """Return what ResNet-18 costs with so many input channels at once."""
    nonzeros = operations = matrices = 0
    seconds = 0.0
    for layer, (channels, kernel, outputs, count) in enumerate(RESNET18):
        for number in range(count * -(-channels // scope)):
            matrix = _drawn(min(channels, scope) * kernel, outputs, 10_000 * layer + number)
            start = time.process_time()
            dataflow = share(matrix)
            seconds += time.process_time() - start
            nonzeros, operations, matrices = nonzeros + np.count_nonzero(matrix), operations + dataflow.operations, matrices + 1
    target = " (target 20 s)" if scope == 16 else ""
    return f"ResNet-18, {scope} channels at once: {matrices} matrices, {nonzeros} to {operations} operations, {1 - operations / nonzeros:.1%} saved, {seconds:.1f} s{target}"
