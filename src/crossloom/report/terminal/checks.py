"""Terminal output of `crossloom check`, and of the method used for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossloom.report.names import plain


def print_check(found: Mapping[str, Any], console: Console) -> None:
    """Print the size, the operators with their engines, and everything that is not supported."""
    verdict = plain("runs", "green") if found["supported"] else plain("does not run", "bold red")
    console.print(Text(" ").join([plain(found["model"], "bold"), verdict, plain(f"on {found['machine']}")]))
    for label, value in _facts(found).items():
        console.print(Text(f"{label:<12}") + plain(value), highlight=False)
    console.print()
    console.print(_operators(found))
    if found["unsupported"]:
        console.print()
        console.print(plain(f"{len(found['unsupported'])} not supported", "bold red"))
    for row in found["unsupported"]:
        place = f" at {row['origin']}" if row.get("origin") else ""
        console.print(plain(f"  {row['name']} ({row['op']}){place}: {row['reason']}"), highlight=False)


def _facts(found: Mapping[str, Any]) -> dict[str, str]:
    alone = f" only: {found['fixed']}" if found["fixed"] else ""
    return {
        "inputs": ", ".join(f"{each['name']}: {each['type']}" for each in found["inputs"]),
        "batch": f"{'any' if found['batch'] is None else found['batch']}{alone}",
        "nodes": f"{found['nodes']}",
        "parameters": f"{found['parameters']:,}",
        "MACs": f"{found['macs']:,} for one sample",
    }


def _operators(found: Mapping[str, Any]) -> Table:
    table = Table(pad_edge=False, box=None)
    for column in ("operator", "count", "MACs", "engine"):
        table.add_column(column, justify="right" if column in ("count", "MACs") else "left")
    for name, count in found["operators"].items():
        rows = [row for row in found["layers"] if row["op"] == name]
        engines = dict.fromkeys(row["engine"] or "none" for row in rows)
        macs = sum(row["macs"] for row in rows)
        table.add_row(*map(plain, (name, str(count), f"{macs:,}" if macs else "", ", ".join(engines))))
    return table


def print_plans(result: Any, console: Console) -> None:
    """Print the plan of each layer, and the reason for it."""
    table = Table(title="How each layer is computed", title_justify="left", pad_edge=False, box=None)
    for column in ("layer", "plan", "why"):
        table.add_column(column, overflow="fold")
    for row in result.plans:
        table.add_row(*(plain(row[column]) for column in ("layer", "plan", "why")))
    console.print(table)
