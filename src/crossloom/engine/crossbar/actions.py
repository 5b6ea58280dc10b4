"""What one input vector makes a layer's arrays do: the counts that the ledger prices.

`reference/ideal.py` counts the same where it happens; a test holds the two together.
"""

from __future__ import annotations

from crossloom.engine.base import Counts
from crossloom.engine.crossbar.layer import MappedLayer


def array_actions(vectors: int, layer: MappedLayer) -> Counts:
    """Return the actions in arrays, buffers and converters for a number of input vectors."""
    tiling, xbar = layer.tiling, layer.xbar
    cycles, found = len(layer.digits), layer.lines
    sums = tiling.groups * tiling.columns * tiling.row_tiles
    converted, unit = len(found) * sums, tiling.unit_columns * cycles
    sampled = tiling.data_columns * cycles
    counts = {
        "dac.drive": tiling.driven_rows * cycles,
        "input_register.read": tiling.driven_rows * cycles,
        **array_reads(layer, cycles),
        "tia.sense" if xbar.accumulate == "buffered" else "sample_hold.sample": sampled + unit,
        "adc.convert": converted + unit,
        "shift_add.add": converted,
        "output_register.access": converted,
    }
    if xbar.accumulate == "buffered":
        counts["buffer_array.write"] = sampled
        counts["buffer_array.read"] = sums * sum(line.columns for line in found)
        counts["summing_amplifier.sum"] = sums * sum(line.columns for line in found if line.columns > 1)
    if xbar.accumulate == "analog":
        counts["accumulator.accumulate"] = sums * cycles * layer.accumulations
    return Counts({name: vectors * count for name, count in counts.items()})


def array_reads(layer: MappedLayer, times: int) -> dict[str, int]:
    """Return how often arrays are read: each as a whole, or by the word line where arrays hold blocks of several layers.

    Where cells have a price of their own, those on a layer's rows and columns count too, its unit columns among them.
    """
    tiling, xbar = layer.tiling, layer.xbar
    if xbar.shared:
        return {"array.read_row": times * tiling.driven_rows}
    whole = {"array.read": times * tiling.arrays * xbar.layers}
    return whole | {"array.read_cell": times * tiling.crossings} if xbar.by_cell else whole


def traffic(vectors: int, *, input_bits: int, results: int, result_bits: int, hops: int, partial_sums: int, stays: bool = False) -> Counts:
    """Return what moves for a number of input vectors: fetched inputs, merged partial sums, stored and sent results.

    Args:
        vectors: input vectors.
        input_bits: of an input vector, all groups together.
        result_bits: of an element of a result.
        results: elements of a result, all groups together.
        hops: routers that a result passes on its way to the next layer.
        partial_sums: additions that join the row tiles of one vector.
        stays: results are loaded into other arrays as they come: past the buffer, and the bus is counted there.
    """
    fetched, stored = vectors * -(-input_bits // 8), vectors * -(-results * result_bits // 8)
    return Counts(
        {
            "buffer.read": fetched,
            "bus.transfer": fetched + (0 if stays else stored),
            "tile_shift_add.add": vectors * partial_sums,
            "tile_output_register.access": stored,
            "buffer.write": 0 if stays else stored,
            "router.hop": stored * (hops - 1 if stays else hops),
        }
    )
