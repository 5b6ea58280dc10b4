"""Headline numbers as text: the same on a page, in a terminal and in a notebook."""

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
    """One headline number: its label, its value with unit, and a detail."""

    key: str
    label: str
    value: str
    detail: str


def percent(value: float) -> str:
    """Return a share in percent: `42.1%`; shares that would wrongly round to 0 or 100 % become `<0.1%` or `>99.9%`."""
    if 0.9995 <= value < 1 - 1e-9:
        return ">99.9%"
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def rate(per_s: float) -> str:
    """Return a rate with four digits and thousands separators: `11,960/s`."""
    return f"{float(f'{per_s:.4g}'):,.10g}/s"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 chip`, `2 chips`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def lifetime(years: float) -> str:
    """Return a lifetime in a suitable unit: `12 years`, `3.4 days`, `20 minutes`."""
    for unit, per_year in (("years", 1.0), ("days", 365.25), ("hours", 365.25 * 24), ("minutes", 365.25 * 24 * 60)):
        if years * per_year >= 1:
            return f"{float(f'{years * per_year:.3g}'):,.10g} {unit}"
    return "less than a minute"


def headlines(result: Result) -> tuple[Headline, ...]:
    """Return accuracy (and perplexity for per-token outputs), times, costs, utilization, and wear if inferences write cells."""
    static = share(sum(result.ledger.static_j.values()), result.energy)
    use = result.utilization
    return (
        _accuracy(result),
        *_perplexity(result),
        Headline("latency", "Latency", show(result.latency, "s"), "from input to result"),
        Headline("throughput", "Throughput", rate(result.throughput), in_short(result)),
        Headline("energy", "Energy", show(result.energy, "J"), f"per inference; {percent(static)} static"),
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
        return Headline("accuracy", "Accuracy", "not measured", "no labelled samples given")
    real = "" if accuracy.float is None else f"float {accuracy.float:.2%}, "
    detail = f"{real}quantised {accuracy.quantized:.2%}; {plural(accuracy.samples, 'sample')}"
    if result.chance is not None and result.chance.interval is not None:
        low, high = result.chance.interval
        detail += f"; mean of {plural(len(result.chance.each), 'run')}, 95 % interval {low:.2%} to {high:.2%}"
    return Headline("accuracy", "Accuracy", f"{accuracy.machine:.2%}", detail)


def _perplexity(result: Result) -> tuple[Headline, ...]:
    """Return the perplexity of a network with per-token outputs; nothing for other networks."""
    found = result.accuracy.perplexity if result.accuracy else None
    if found is None:
        return ()
    real = "" if found.float is None else f"float {found.float:.4g}, "
    detail = f"{real}quantised {found.quantized:.4g}; {plural(found.tokens, 'token')}"
    if result.chance is not None:
        detail += "; of the first run"
    return (Headline("perplexity", "Perplexity", f"{found.machine:.4g}", detail),)


def _wear(result: Result) -> tuple[Headline, ...]:
    """Return the lifetime of cells that are written during operation; nothing for a machine whose weights stay in place."""
    worn = result.ledger.first_worn
    if worn is None or not result.rate:
        return ()
    bears = f"{float(f'{worn.endurance.value:.3g}'):,.10g} writes ({worn.endurance.mark})"
    each = f"{worn.per_inference:.3g} writes" if worn.per_inference != 1 else "one write"
    detail = f"at {rate(result.rate)}, with an endurance of {bears}; {each} per cell and inference"
    return (Headline("wear", "Cell lifetime", lifetime(worn.years(result.rate)), detail),)


def _blocks(result: Result) -> tuple[Headline, ...]:
    """Return the number of blocks in shared arrays; nothing where each array belongs to one layer."""
    floor = result.program.floor
    if floor is None:
        return ()
    blocks = sum(layout.count * len(layout.blocks) for layout in floor.layouts)
    several = sum(layout.count for layout in floor.layouts if len(layout.blocks) > 1)
    detail = f"in {plural(floor.arrays, 'array')}, {several:,} with several blocks"
    return (Headline("blocks", "Blocks", f"{blocks:,}", detail),)


def _arrays(result: Result) -> str:
    used = result.program.arrays
    array = result.program.machine.optional("array")
    if array is None:
        return f"{plural(used, 'array')} in use"
    return f"{used:,} of {array.total * result.program.chips:,.0f} arrays in use"
