"""Text form of a layer after each compiler pass, from the loops of a convolution to the instructions.

| after | what it shows |
| --- | --- |
| loops | the loop nest over positions, outputs, channels and taps |
| folded | the same with constant weights folded in: what is added and subtracted; zero weights are removed |
| interchanged | scopes of channels as the outer loop, positions as rows |
| unrolled | each scope's additions and subtractions |
| shared | with common subexpressions as temporaries |
| widths | with the bit width of every value: `u4`, or `s6` if it can be negative |
| ordered | in execution order |
| code | the instructions |
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossloom.engine.associative.compile.compile import Compiled, CompiledLayer
from crossloom.engine.associative.compile.cutting import dataflow_of
from crossloom.engine.associative.compile.dataflow import Dataflow, low_high
from crossloom.engine.associative.compile.ordering import order
from crossloom.engine.associative.compile.widths import width
from crossloom.engine.associative.settings import Processors

PASSES = ("loops", "folded", "interchanged", "unrolled", "shared", "widths", "ordered", "code")


def listing(whole: CompiledLayer, positions: int, chip: Processors, after: str, piece: int = 0) -> Iterator[str]:
    """Yield the lines of a layer after a pass, for one of its streams. Raises ValueError for a pass that does not exist."""
    compiled = whole.streams[piece]
    if after in ("loops", "folded", "interchanged"):
        yield from _nest(whole, compiled, positions, after)
    elif after == "code":
        yield from str(compiled.stream).splitlines()
    elif after in PASSES:
        for channels in compiled.scopes:
            yield f"channels {channels.start}..{channels[-1]}"
            dataflow = dataflow_of(whole.layer, channels, compiled.outputs, chip.sharing and after != "unrolled")
            yield from _operations(dataflow, whole, after)
    else:
        raise ValueError(f"no pass named {after}; there are {', '.join(PASSES)}")


def _nest(whole: CompiledLayer, compiled: Compiled, positions: int, after: str) -> Iterator[str]:
    """Yield the loops over positions, outputs, channels and taps in one of three forms."""
    layer, outputs = whole.layer, compiled.outputs
    channels = range(compiled.scopes[0].start, compiled.scopes[-1].stop)
    weights = layer.matrix(channels, outputs)
    added, subtracted = int((weights > 0).sum()), int((weights < 0).sum())
    kinds = f"# {added} additions, {subtracted} subtractions; {weights.size - added - subtracted} of {weights.size} weights are gone"
    over = {
        "position": f"for position in 0..{positions - 1}:",
        "output": f"for output in {outputs.start}..{outputs.stop - 1}:",
        "channel": f"for channel in {channels.start}..{channels.stop - 1}:",
        "tap": f"for tap in 0..{layer.taps - 1}:",
        "scope": f"for scope in {', '.join(f'{scope.start}..{scope[-1]}' for scope in compiled.scopes)}:",
        "rows": f"for all rows in parallel:  # {positions} positions",
    }
    order = ("scope", "rows", "output", "channel", "tap") if after == "interchanged" else ("position", "output", "channel", "tap")
    for depth, name in enumerate(order):
        yield "  " * depth + over[name]
    inside = "  " * len(order)
    if after == "loops":
        yield f"{inside}acc[output] += weight[output, channel, tap] * x[channel, tap]"
    else:
        yield f"{inside}if weight[output, channel, tap] == 1: acc[output] += x[channel, tap]"
        yield f"{inside}if weight[output, channel, tap] == -1: acc[output] -= x[channel, tap]  {kinds}"


def _operations(dataflow: Dataflow, whole: CompiledLayer, after: str) -> Iterator[str]:
    """Yield the operations of a scope in definition order or execution order, with or without widths."""
    kinds = [_kind(a, b) for a, b in zip(*(bound.tolist() for bound in low_high(dataflow, *whole.layer.low_high)), strict=True)]
    output_of = np.repeat(np.arange(dataflow.outputs), np.diff(dataflow.first))
    with_widths = after in ("widths", "ordered")

    def named(value: int) -> str:
        name = f"x{value}" if value < dataflow.inputs else f"t{value}"
        return f"{name}:{kinds[value]}" if with_widths else name

    def line(entry: int) -> str:
        if entry >= 0:
            left, right, minus = (int(each[entry]) for each in (dataflow.left, dataflow.right, dataflow.minus))
            return f"{named(dataflow.inputs + entry)} = {named(left)} {'-' if minus else '+'} {named(right)}"
        place = -1 - entry
        return f"acc{output_of[place]} {'-' if dataflow.negative[place] else '+'}= {named(int(dataflow.term[place]))}"

    defined = [*range(len(dataflow.left)), *(-1 - place for place in range(len(dataflow.term)))]
    yield from map(line, order(dataflow).tolist() if after == "ordered" else defined)


def _kind(low: int, high: int) -> str:
    bits, signed = width(low, high)
    return f"{'s' if signed else 'u'}{bits}"
