"""Compilation with numba, for loops whose steps depend on the previous one and cannot be vectorised as array operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled to machine code at its first call and cached beside its file. It runs without the interpreter lock."""
    return cast(Callable[P, R], njit(cache=True, nogil=True)(function))
