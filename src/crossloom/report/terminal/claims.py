"""Claims of papers in the terminal: misses first, with assumptions and reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_STYLES = {"miss": "bold red", "near": "yellow", "match": "green", "unverifiable": "dim"}


def print_claims(claims: Sequence[Any], console: Console) -> None:
    """Print a table of claims, then the notes of all but plain matches, then the count of each verdict."""
    table = Table(title="Published and computed", title_justify="left", pad_edge=False, box=None)
    for column, justify in (("verdict", "left"), ("claim", "left"), ("published", "right"), ("computed", "right"), ("ratio", "right")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for claim in claims:
        verdict = f"[{_STYLES[claim.verdict]}]{claim.verdict}[/]"
        table.add_row(verdict, claim.statement, _number(claim.published), _number(claim.computed), _number(claim.ratio, 3))
    console.print(table)
    common = _common(claims)
    if common:
        console.print("\nassumed for all claims:", highlight=False)
    for parameter in common:
        console.print(f"  {parameter}", highlight=False)
    for claim in claims:
        if claim.verdict != "match" or claim.free_parameters:
            _print_note(claim, common, console)
    counts = Counter(claim.verdict for claim in claims)
    console.print("\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in _STYLES if counts[verdict]))


def _common(claims: Sequence[Any]) -> list[str]:
    """Return the assumptions that several claims share."""
    first = claims[0].free_parameters if len(claims) > 1 else ()
    return [parameter for parameter in first if all(parameter in claim.free_parameters for claim in claims)]


def _print_note(claim: Any, common: Sequence[str], console: Console) -> None:
    console.print(f"\n[bold]{claim.id}[/]: {claim.basis}", highlight=False)
    for parameter in (each for each in claim.free_parameters if each not in common):
        console.print(f"  assumed: {parameter}", highlight=False)
    if claim.note:
        console.print(f"  {claim.note}", highlight=False)


def _number(value: float | None, digits: int = 5) -> str:
    return "-" if value is None else f"{value:.{digits}g}"
