"""Colours of all pictures: the palette of Okabe and Ito, distinguishable with any kind of colour vision."""

from __future__ import annotations

from collections.abc import Iterable

SERIES = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#f0e442")
OTHER = "#8c939b"
STATIC = "#66707c"
HIGHLIGHT = "#d55e00"
HIGHLIGHT_LIGHT = "#f2c4a3"
PLAIN = SERIES[0]
PLAIN_LIGHT = "#b5d3e7"
INK = "#1f2328"
MUTED = "#59636e"
FAINT = "#d8dde3"
SURFACE = "#ffffff"

VARIABLES = {
    **{colour: f"--series-{place}" for place, colour in enumerate(SERIES, 1)},
    OTHER: "--other",
    STATIC: "--static",
    HIGHLIGHT: "--highlight",
    HIGHLIGHT_LIGHT: "--highlight-light",
    PLAIN_LIGHT: "--plain-light",
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--line",
    SURFACE: "--card",
}
"""CSS variables with which a page may override each colour, for example in a dark scheme."""


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name: the series colours in order, then grey."""
    return {name: SERIES[place] if place < len(SERIES) else OTHER for place, name in enumerate(names)}
