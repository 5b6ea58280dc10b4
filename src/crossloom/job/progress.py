"""How long work reports how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Called with items, what is done with them, and their number; hands the items on, one by one."""


def silent(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    """Report nothing."""
    return items
