"""`crossloom plugins`."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from crossloom.cli.options import Json, print_json
from crossloom.errors import CrossloomError


def plugins(as_json: Json = False) -> None:
    """List what installed plugins provide: engines, machines, components, cells, networks."""
    from crossloom.plugins import KINDS
    from crossloom.plugins import plugins as found

    rows = [_row(plugin) for kind in KINDS for plugin in found(kind).values()]
    if as_json:
        print_json({"plugins": rows})
    elif not rows:
        print("No plugins: no installed package declares a Crossloom entry point. docs/own_engine.md shows how to write one.")
    else:
        from crossloom.report.names import plain
        from crossloom.report.terminal.tables import table_of

        table = table_of("Plugins", ("kind", "name", "package", "where", "brings"), ())
        for row in rows:
            cells = (row["kind"], row["name"], row["package"], row["where"], row["problem"] or ", ".join(row["brings"]))
            table.add_row(*map(plain, cells))
        Console().print(table)


def _row(plugin: Any) -> dict[str, Any]:
    """Return the entry point with what it provides, or with the reason why it cannot be loaded."""
    row: dict[str, Any] = {"kind": plugin.kind, "name": plugin.name, "package": plugin.package, "where": plugin.where, "brings": [], "problem": ""}
    try:
        if plugin.kind in ("engines", "networks"):
            plugin.load()
            row["brings"] = [plugin.name if plugin.kind == "engines" else f"zoo:{plugin.name}"]
        else:
            row["brings"] = [path.name for path in plugin.documents()]
    except CrossloomError as problem:
        row["problem"] = str(problem)
    return row
