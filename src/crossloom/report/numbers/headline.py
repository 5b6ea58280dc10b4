"""The numbers that everybody asks for first, as text: the same on a page, in a terminal and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossloom.report.numbers.bottleneck import in_short
from crossloom.report.numbers.breakdown import share
from crossloom.units import show

if TYPE_CHECKING:
    from crossloom.job.result import Result


@dataclass(frozen=True, slots=True)
class Headline:
    """One number: what it is, its value with unit, and what to know about it."""

    key: str
    label: str
    value: str
    detail: str


def percent(value: float) -> str:
    """Return a share as people read it: `42.1%`, and `<0.1%` or `>99.9%` rather than a nothing or an all that is none."""
    if 0.9995 <= value < 1 - 1e-9:
        return ">99.9%"
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def rate(per_s: float) -> str:
    """Return a rate with four digits and thousands apart: `11,960/s`."""
    return f"{float(f'{per_s:.4g}'):,.10g}/s"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 chip`, `2 chips`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def lifetime(years: float) -> str:
    """Return a time to live in the unit that suits it: `12 years`, `3.4 days`, `20 minutes`."""
    for unit, per_year in (("years", 1.0), ("days", 365.25), ("hours", 365.25 * 24), ("minutes", 365.25 * 24 * 60)):
        if years * per_year >= 1:
            return f"{float(f'{years * per_year:.3g}'):,.10g} {unit}"
    return "less than a minute"


def headlines(result: Result) -> tuple[Headline, ...]:
    """Return accuracy (and perplexity where each token has an answer), times, costs, utilization, and wear where cells are written again and again."""
    static = share(sum(result.ledger.static_j.values()), result.energy)
    use = result.utilization
    return (
        _accuracy(result),
        *_perplexity(result),
        Headline("latency", "Latency", show(result.latency, "s"), "from an input to its result"),
        Headline("throughput", "Throughput", rate(result.throughput), in_short(result)),
        Headline("energy", "Energy", show(result.energy, "J"), f"for one inference; {percent(static)} of it static"),
        Headline("power", "Power", show(result.power, "W"), "at full rate"),
        Headline("area", "Area", show(result.area, "mm²"), plural(result.program.chips, "chip")),
        Headline("chips", "Chips", f"{result.program.chips:,}", _arrays(result)),
        Headline("utilization", "Utilization", f"{percent(use['spatial'])} of cells", f"{percent(use['temporal'])} of the time"),
        *_blocks(result),
        *_wear(result),
    )


def _accuracy(result: Result) -> Headline:
    accuracy = result.accuracy
    if accuracy is None:
        return Headline("accuracy", "Accuracy", "not measured", "no samples with labels were given")
    real = "" if accuracy.float is None else f"float {accuracy.float:.2%}, "
    detail = f"{real}quantised {accuracy.quantized:.2%}; {plural(accuracy.samples, 'sample')}"
    if result.chance is not None and result.chance.interval is not None:
        low, high = result.chance.interval
        detail += f"; mean of {plural(len(result.chance.each), 'run')}, 95 % interval {low:.2%} to {high:.2%}"
    return Headline("accuracy", "Accuracy", f"{accuracy.machine:.2%}", detail)


def _perplexity(result: Result) -> tuple[Headline, ...]:
    """Return the perplexity of a network that has an answer for each token, nothing of any other."""
    found = result.accuracy.perplexity if result.accuracy else None
    if found is None:
        return ()
    real = "" if found.float is None else f"float {found.float:.4g}, "
    detail = f"{real}quantised {found.quantized:.4g}; {plural(found.tokens, 'token')}"
    if result.chance is not None:
        detail += "; of the first run"
    return (Headline("perplexity", "Perplexity", f"{found.machine:.4g}", detail),)


def _wear(result: Result) -> tuple[Headline, ...]:
    """Return how long cells live that are written while the machine works; nothing for a machine whose weights stay."""
    worn = result.ledger.first_worn
    if worn is None or not result.rate:
        return ()
    bears = f"{float(f'{worn.endurance.value:.3g}'):,.10g} writes ({worn.endurance.mark})"
    each = f"{worn.per_inference:.3g} writes" if worn.per_inference != 1 else "one write"
    detail = f"at {rate(result.rate)}, of cells that endure {bears}; {each} of a cell per inference"
    return (Headline("wear", "Cells last", lifetime(worn.years(result.rate)), detail),)


def _blocks(result: Result) -> tuple[Headline, ...]:
    """Return how many blocks share arrays; nothing where each array is one layer's."""
    floor = result.program.floor
    if floor is None:
        return ()
    blocks = sum(layout.count * len(layout.blocks) for layout in floor.layouts)
    several = sum(layout.count for layout in floor.layouts if len(layout.blocks) > 1)
    detail = f"in {plural(floor.arrays, 'array')}, {several:,} of which hold several"
    return (Headline("blocks", "Blocks", f"{blocks:,}", detail),)


def _arrays(result: Result) -> str:
    used = result.program.arrays
    array = result.program.machine.optional("array")
    if array is None:
        return f"{plural(used, 'array')} in use"
    return f"{used:,} of {array.total * result.program.chips:,.0f} arrays in use"
