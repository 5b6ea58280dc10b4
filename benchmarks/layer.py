"""One bit-sliced layer whose converter clips, beside the float32 product of the same shape, on one thread.

Batch 256, 1152 inputs, 256 outputs; 8-bit weights in 2-bit cells, 8-bit inputs one bit at a time, 128 rows. The floor: 2.4 G products
of one bit with two, 64 to an instruction and two instructions a cycle on a processor with 512-bit 8-bit dot products, is about 4
times the float32 product; the conversion of 18.9 M partial sums adds about one more.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.timing import pair, threads
from crossloom.engine.crossbar.adc import Converter
from crossloom.engine.crossbar.ideal.sliced import Sliced
from crossloom.engine.crossbar.mapping.encode import Digits, Slices, program_tiles
from crossloom.engine.crossbar.settings import crossbars
from crossloom.machines import load_machine

BATCH, INPUTS, OUTPUTS = 256, 1152, 256


def plain_loop(x: Tensor, cells: list[tuple[slice, Tensor]], limit: float) -> Tensor:
    """The obvious implementation: for each row tile, bit and slice a float product, a clamp, an addition."""
    total = torch.zeros(x.shape[0], OUTPUTS)
    for rows, tile in cells:
        for bit in range(8):
            digits = ((x[:, rows] >> bit) & 1).to(torch.float32)
            for k in range(4):
                total += torch.clamp(digits @ tile[k], max=limit) * float(1 << (bit + 2 * k))
    return total


def measure() -> Iterator[str]:
    """Yield ratios to the float32 product."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (BATCH, INPUTS), generator=generator, dtype=torch.int32)
    weight = torch.randint(-127, 128, (INPUTS, OUTPUTS), generator=generator)
    left, right = torch.randn(BATCH, INPUTS), torch.randn(INPUTS, OUTPUTS)
    digits, slices = Digits.of(8, False, 1), Slices.of(8, "offset", 2)
    with threads(1):
        for name, flip in (("offset", False), ("offset with flip", True)):
            tiles = program_tiles(weight, slices, crossbars(load_machine("isaac-ce").with_(adc_bits=6, flip=flip)))
            sliced = Sliced.of(tiles, torch.arange(OUTPUTS), digits, slices, Converter(6, 0))
            ours, product = pair(lambda s=sliced: s(x), lambda: left @ right, 15)
            yield f"slice by slice, {name}: {ours * 1e3:.1f} ms, {ours / product:.1f} times the float32 product (target 15, peers 58 to 300)"
        cells = [(t.rows, t.cells.to(torch.float32)) for t in program_tiles(weight, slices, crossbars(load_machine("isaac-ce").with_(flip=False)))]
        loop, product = pair(lambda: plain_loop(x, cells, 63.0), lambda: left @ right, 3)
        yield f"plain torch loop: {loop * 1e3:.1f} ms, {loop / product:.1f} times the float32 product"
