"""Wires with resistance: one input, a hundred, a whole transfer matrix; beside badcrossbar where it is installed.

badcrossbar wants pycairo for its pictures alone; `pip install --no-deps badcrossbar && pip install pathvalidate sigfig` is enough here.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from benchmarks.timing import cpu_seconds, one_core
from crossloom.circuit import Wires, currents, matrix, planar, solve, transfer


def measure() -> Iterator[str]:
    """Yield processor times on one core, and ratios to badcrossbar's in the same run."""
    with one_core():
        yield from _planar()


def _planar() -> Iterator[str]:
    peer = _badcrossbar()
    yield f"conductances 1e-6 to 1e-4 S, 1 ohm a segment; badcrossbar {'beside us' if peer else 'is not installed'}"
    for size in (64, 128, 256):
        conductance = 10 ** (torch.rand(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 6)
        tile = planar(conductance, Wires(word_ohm=1.0, bit_ohm=1.0))
        inputs = torch.rand(size, 100, dtype=torch.float64)
        one = cpu_seconds(lambda tile=tile, inputs=inputs: solve(tile, inputs[:, 0]))
        hundred = cpu_seconds(lambda tile=tile, inputs=inputs: currents(tile, inputs))
        whole, by_blocks = cpu_seconds(lambda tile=tile: matrix(tile)), cpu_seconds(lambda tile=tile: transfer(tile))
        yield f"{size}: sparse LU (SuperLU, minimum degree) {_sparse(conductance.numpy(), 1.0)}"
        yield f"{size}: one input {one * 1e3:.1f} ms{_beside(peer, conductance, inputs[:, :1], one)}"
        yield f"{size}: 100 inputs {hundred * 1e3:.1f} ms (target: a twentieth of badcrossbar's at 128){_beside(peer, conductance, inputs, hundred)}"
        yield f"{size}: the whole transfer matrix {whole * 1e3:.1f} ms (target 100 at 128), by block elimination {by_blocks * 1e3:.1f} ms"
    for ohm in (1.0, 20.0):
        conductance = 10 ** (torch.rand(512, 512, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 6)
        tile = planar(conductance, Wires(word_ohm=ohm, bit_ohm=ohm))
        seconds = cpu_seconds(lambda tile=tile: solve(tile, torch.ones(512)))
        yield f"512, {ohm:g} ohm: one input {seconds * 1e3:.0f} ms, {solve(tile, torch.ones(512)).iterations} iterations"


def _sparse(conductance: NDArray[np.float64], ohm: float) -> str:
    """Return what a general sparse direct solver takes for all nodes: to factor, for one input, for 100."""
    rows, columns = conductance.shape
    word = np.arange(rows * columns).reshape(rows, columns)
    bit = word + rows * columns
    ends = [(word[:, :-1], word[:, 1:], 1 / ohm), (bit[:-1], bit[1:], 1 / ohm), (word, bit, conductance)]
    one, other, value = (
        np.concatenate(each) for each in zip(*((a.ravel(), b.ravel(), np.full(a.shape, g).ravel()) for a, b, g in ends), strict=True)
    )
    places = (np.concatenate((one, other, one, other)), np.concatenate((one, other, other, one)))
    matrix = sparse.coo_matrix((np.concatenate((value, value, -value, -value)), places)).tocsc()
    leads = np.zeros(2 * rows * columns)
    leads[word[:, 0]] = leads[bit[-1]] = 1 / ohm
    matrix = (matrix + sparse.diags(leads)).tocsc()
    current = np.zeros((len(leads), 100))
    current[word[:, 0]] = np.random.default_rng(0).random((rows, 100)) / ohm
    factored = []

    def factor() -> None:
        factored[:] = [splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)]

    times = (cpu_seconds(factor, 2), cpu_seconds(lambda: factored[0].solve(current[:, 0]), 2), cpu_seconds(lambda: factored[0].solve(current), 2))
    return "factors {:.0f} ms, one input {:.1f} ms more, 100 inputs {:.0f} ms more".format(*(1e3 * seconds for seconds in times))


def _badcrossbar() -> Any:
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import badcrossbar
    except ImportError:
        return None
    return badcrossbar if hasattr(badcrossbar, "compute") else None


def _beside(peer: Any, conductance: torch.Tensor, inputs: torch.Tensor, ours: float) -> str:
    if peer is None:
        return ""
    theirs = cpu_seconds(lambda: peer.compute(inputs.numpy(), 1 / conductance.numpy(), 1.0))
    return f"; badcrossbar {theirs * 1e3:.0f} ms, {theirs / ours:.0f} times as long"
