"""`crossloom machine`: list, show and explain machines."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from crossloom.cli.options import (
    Json,
    Sets,
    machine_named,
    print_json,
)

machines = typer.Typer(help="Machines: list, show, explain.", no_args_is_help=True)


@machines.command("list")
def machine_list(as_json: Json = False) -> None:
    """List the machines known by name: those of Crossloom, and those of installed plugins."""
    from crossloom.machines import available

    if as_json:
        print_json({"machines": [{"name": name, "title": title} for name, title in available().items()]})
        return
    for name, title in available().items():
        print(f"{name:12} {title}")


@machines.command("show")
def machine_show(name: Annotated[str, typer.Argument(help="Name of a machine, or a .yaml file.")], sets: Sets = None, as_json: Json = False) -> None:
    """Print a machine's components with count, area, power and source."""
    from crossloom.report.terminal.results import print_machine

    machine = machine_named(name, sets)
    if as_json:
        print_json(_machine_dict(machine))
    else:
        print_machine(machine, Console())


@machines.command("explain")
def machine_explain(
    name: Annotated[str, typer.Argument(help="Name of a machine, or a .yaml file.")],
    field: Annotated[str | None, typer.Argument(help="Component or field, by the end of its path, e.g. adc or adc.convert.energy.")] = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Print the source of each figure of a machine, and the fields that can be changed."""
    from crossloom.machines.explain import explain
    from crossloom.report.terminal.results import print_explain

    machine = machine_named(name, sets)
    if as_json:
        print_json({"machine": machine.name, "fields": explain(machine, field)})
    else:
        print_explain(machine, field, Console())


def _machine_dict(machine: Any) -> dict[str, Any]:
    rows = [
        {
            "unit": part.unit,
            "component": part.name,
            "count": part.total,
            "area_mm2": part.area_mm2.value * part.total,
            "power_w": part.power_w.value * part.total,
            "source": part.area_mm2.source
            if part.area_mm2.source == part.power_w.source
            else f"area: {part.area_mm2.source}; power: {part.power_w.source}",
            "mark": part.power_w.mark,
            "extension": part.extension,
        }
        for part in machine.parts.values()
    ]
    return {"machine": machine.name, "totals": {"area_mm2": machine.area_mm2, "power_w": machine.power_w}, "rows": rows}
