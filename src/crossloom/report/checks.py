"""What `crossloom check` found, and which plan each layer got, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_check(found: Mapping[str, Any], console: Console) -> None:
    """Print size, operators with their engines, and everything that is not supported."""
    verdict = "[green]runs[/]" if found["supported"] else "[bold red]does not run[/]"
    console.print(f"[bold]{escape(found['model'])}[/] {verdict} on {found['machine']}")
    inputs = ", ".join(escape(f"{each['name']}: {each['type']}") for each in found["inputs"])
    console.print(f"inputs      {inputs}", highlight=False)
    alone = f" alone: {escape(found['fixed'])}" if found["fixed"] else ""
    console.print(f"batch       {'any' if found['batch'] is None else found['batch']}{alone}")
    console.print(f"nodes       {found['nodes']}")
    console.print(f"parameters  {found['parameters']:,}")
    console.print(f"MACs        {found['macs']:,} for one sample\n")
    table = Table(pad_edge=False, box=None)
    for column in ("operator", "count", "MACs", "engine"):
        table.add_column(column, justify="right" if column in ("count", "MACs") else "left")
    for name, count in found["operators"].items():
        rows = [row for row in found["layers"] if row["op"] == name]
        engines = dict.fromkeys(row["engine"] or "none" for row in rows)
        table.add_row(escape(name), str(count), f"{sum(row['macs'] for row in rows):,}" if any(r["macs"] for r in rows) else "", ", ".join(engines))
    console.print(table)
    if found["unsupported"]:
        console.print(f"\n[bold red]{len(found['unsupported'])} not supported[/]")
    for row in found["unsupported"]:
        place = f" at {row['origin']}" if row.get("origin") else ""
        console.print(escape(f"  {row['name']} ({row['op']}){place}: {row['reason']}"), highlight=False)


def print_plans(result: Any, console: Console) -> None:
    """Print which plan each layer got, and why."""
    table = Table(title="How each layer is computed", title_justify="left", pad_edge=False, box=None)
    for column in ("layer", "plan", "why"):
        table.add_column(column, overflow="fold")
    for row in result.plans:
        table.add_row(escape(row["layer"]), row["plan"], row["why"])
    console.print(table)
