"""Progress reporting of long computations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Called with items, a description of the work, and the number of items; yields the items one by one."""


def silent(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    """Report nothing."""
    return items
