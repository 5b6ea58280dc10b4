"""What a page consists of: sections with sentences, a picture, tables. The template gives them their looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from crossloom.report.numbers.headline import Headline, percent
from crossloom.units import show

LONG = 24
"""Rows beyond which a table scrolls in a window of its own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Text, the number it is sorted by (the text itself if None), and a mark that says what the number is worth."""

    text: str
    order: float | None = None
    marks: tuple[str, ...] = ()
    badge: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A title, and whether there are numbers below it; `wide` columns hold sentences that may break."""

    title: str
    number: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; `total` is a row below the others."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()

    @property
    def long(self) -> bool:
        """Whether it scrolls in a window of its own."""
        return len(self.rows) > LONG


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG for wide places and one for narrow ones, and a sentence below."""

    key: str
    wide: str
    narrow: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it."""

    key: str
    title: str
    sentences: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    items: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    note: str
    headlines: tuple[Headline, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...] = field(default=())
    footer: str = ""


def text(*words: str) -> tuple[Column, ...]:
    """Return columns of text."""
    return tuple(Column(word) for word in words)


def numbers(*words: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(Column(word, number=True) for word in words)


def cells(values: Iterable[Cell | str]) -> tuple[Cell, ...]:
    """Return a row, bare words as cells."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)


def quantity(value: float, unit: str) -> Cell:
    """Return a value with its unit."""
    return Cell(show(value, unit) if value else "0", value)


def if_any(value: float, unit: str) -> Cell:
    """Return a value with its unit, a dash for nothing."""
    return Cell(show(value, unit) if value else "–", value)


def percentage(value: float) -> Cell:
    """Return a share."""
    return Cell(percent(value), value)


def counted(value: int) -> Cell:
    """Return a count."""
    return Cell(f"{value:,}", float(value))
