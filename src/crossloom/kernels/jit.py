"""Functions that numba compiles: loops in which each step depends on the one before, so that arrays as a whole do not help."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function in machine code, made at the first call and kept beside its file. Other threads run while it does."""
    return cast(Callable[P, R], njit(cache=True, nogil=True)(function))
