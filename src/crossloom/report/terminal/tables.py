"""Terminal tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from crossloom.report.names import plain


def table_of(title: str, left: Sequence[str], right: Sequence[str], more: Sequence[str] = (), whole: bool = False) -> Table:
    """Return an empty table: text columns, number columns, more text columns. If `whole`, the first column does not wrap."""
    table = Table(
        title=plain(title) if title else None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for place, name in enumerate(left):
        unbroken = whole and place == 0
        table.add_column(plain(name), overflow="ellipsis" if unbroken else "fold", no_wrap=unbroken, max_width=30 if unbroken else None)
    for name in right:
        table.add_column(plain(name), justify="right", overflow="fold")
    for name in more:
        table.add_column(plain(name), overflow="fold")
    return table
