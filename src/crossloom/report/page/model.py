"""Data model of a page: sections with sentences, a picture and tables. The template styles them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from crossloom.report.numbers.headline import Headline, percent
from crossloom.units import show

LONG = 24
"""Number of rows beyond which a table scrolls in its own window."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Table cell: its text, the number it is sorted by (the text itself if None), and the marks of the number."""

    text: str
    order: float | None = None
    marks: tuple[str, ...] = ()
    badge: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """Column title, and whether the column holds numbers; `wide` columns hold sentences that may wrap."""

    title: str
    number: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Table with a caption; `total` is an optional last row."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()

    @property
    def long(self) -> bool:
        """Whether the table scrolls in its own window."""
        return len(self.rows) > LONG


@dataclass(frozen=True, slots=True)
class Picture:
    """Picture with a caption: one SVG for wide screens and one for narrow ones."""

    key: str
    wide: str
    narrow: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """Heading and the content below it."""

    key: str
    title: str
    sentences: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    items: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Complete report."""

    title: str
    subtitle: str
    note: str
    headlines: tuple[Headline, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...] = field(default=())
    footer: str = ""


def text(*words: str) -> tuple[Column, ...]:
    """Return text columns."""
    return tuple(Column(word) for word in words)


def numbers(*words: str) -> tuple[Column, ...]:
    """Return number columns."""
    return tuple(Column(word, number=True) for word in words)


def cells(values: Iterable[Cell | str]) -> tuple[Cell, ...]:
    """Return a row; plain strings become cells."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)


def quantity(value: float, unit: str) -> Cell:
    """Return a cell with a value and its unit."""
    return Cell(show(value, unit) if value else "0", value)


def if_any(value: float, unit: str) -> Cell:
    """Return a cell with a value and its unit, or a dash for zero."""
    return Cell(show(value, unit) if value else "–", value)


def percentage(value: float) -> Cell:
    """Return a cell with a share in percent."""
    return Cell(percent(value), value)


def counted(value: int) -> Cell:
    """Return a cell with a count."""
    return Cell(f"{value:,}", float(value))
