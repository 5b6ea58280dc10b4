"""Transfer matrices of many tiles: each different one solved once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from crossloom.circuit import Stack, Wires, matrix, transfer

TOGETHER = 1 << 12
"""Cells of tiles that are solved as one batch: small tiles take longer to call than to solve."""


class Solved:
    """Transfer matrices (word lines, bit lines) in siemens, kept by content: by the conductances to the last bit, and the wires."""

    def __init__(self, most_bytes: int = 1 << 30) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[tuple[str, Wires], Tensor] = OrderedDict()
        self._bytes = 0

    def __call__(self, tiles: Sequence[Tensor], wires: Wires, layers: int = 1) -> list[Tensor]:
        """Return the matrices of tiles of conductances (word lines, bit lines), side by side on the threads that torch may use.

        Of two layers that share their bit lines, the word lines of the first come before those of the second.
        """
        names = [(f"{hashlib.sha1(tile.cpu().numpy().tobytes()).hexdigest()} {tuple(tile.shape)} {layers}", wires) for tile in tiles]
        missing = {name: tile for name, tile in zip(names, tiles, strict=True) if name not in self._kept}
        found = dict(zip(missing, _all(list(missing.values()), wires, layers), strict=True))
        answer = [found[name] if name in found else self._used(name) for name in names]
        for name, solved in found.items():
            self._keep(name, solved)
        return answer

    def _used(self, name: tuple[str, Wires]) -> Tensor:
        self._kept.move_to_end(name)
        return self._kept[name]

    def _keep(self, name: tuple[str, Wires], matrix: Tensor) -> None:
        self._kept[name] = matrix
        self._bytes += matrix.numel() * matrix.element_size()
        while self._bytes > self._most:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.numel() * old.element_size()


def _all(tiles: list[Tensor], wires: Wires, layers: int) -> list[Tensor]:
    """Return every tile's matrix. On a CPU each thread solves tiles of its own: one tile is too small to be worth sharing."""
    if not tiles:
        return []
    threads, size = torch.get_num_threads(), max(1, TOGETHER // tiles[0].numel())
    groups = [tiles[start : start + size] for start in range(0, len(tiles), size)]
    if len(groups) < 2 or threads < 2 or tiles[0].is_cuda:
        return [each for group in groups for each in _some(group, wires, layers)]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return [each for found in pool.map(lambda group: _some(group, wires, layers), groups) for each in found]
    finally:
        torch.set_num_threads(threads)


def _some(tiles: list[Tensor], wires: Wires, layers: int) -> list[Tensor]:
    rows, columns = tiles[0].shape
    stack = Stack(torch.stack(tiles).reshape(len(tiles), layers, rows // layers, columns), wires)
    with torch.no_grad():
        found = matrix(stack.at(stack.conductance_s[0])).unsqueeze(0) if len(tiles) == 1 else transfer(stack)
    return [each.to(tiles[0].device).reshape(columns, rows).mT.contiguous() for each in found]


SOLVED = Solved()
"""Those of this process: a run after a run with the same cells finds its tiles solved."""
