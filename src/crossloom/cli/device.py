"""`crossloom device`: built-in memory cells, and cells fitted to measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from crossloom.cli.options import Json
from crossloom.errors import InputError

if TYPE_CHECKING:
    from crossloom.device import Cell
    from crossloom.device.fit import Quality

devices = typer.Typer(help="Memory cells: list, show, fit to measurements.", no_args_is_help=True)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TIMES = (0.0, 1.0, 3600.0, 86400.0, 2592000.0)
"""As written, then after a second, an hour, a day and 30 days (s)."""


@devices.command("list")
def device_list(as_json: Json = False) -> None:
    """List the memory cells known by name."""
    from crossloom.device import cells

    if as_json:
        print(json.dumps({"cells": [{"name": cell.name, "title": cell.title, "source": cell.source} for cell in cells().values()]}, indent=1))
        return
    for cell in cells().values():
        print(f"{cell.name:18} {cell.title}")


@devices.command("show")
def device_show(name: Annotated[str, typer.Argument(help="Name of a cell, or a .yaml file.")], as_json: Json = False) -> None:
    """Print a cell's mean, spread and read noise as written and after 1 s, 1 h, 1 day and 30 days, for targets across its range."""
    from crossloom.device import cell

    found = cell(name)
    rows = _rows(found)
    if as_json:
        print(json.dumps(_head(found) | {"rows": rows}, indent=1))
        return
    console = Console()
    console.print(f"{found.name}: {found.title}", highlight=False, markup=False)
    console.print(f"range   {found.low_s * 1e6:g} to {found.high_s * 1e6:g} µS", highlight=False)
    console.print(f"source  {found.source}", highlight=False, markup=False)
    if found.note:
        console.print(f"note    {found.note}", highlight=False, markup=False)
    table = Table(pad_edge=False, box=None, header_style="bold")
    for title in ("target µS", "after", "mean µS", "spread µS", "read noise µS"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            f"{row['target_s'] * 1e6:.3g}",
            _duration(row["time_s"]),
            f"{row['mean_s'] * 1e6:.4g}",
            f"{row['spread_s'] * 1e6:.3g}",
            f"{row['reading_s'] * 1e6:.3g}",
        )
    console.print(table)


@devices.command("fit")
def device_fit(
    file: Annotated[Path, typer.Argument(help="CSV file with the columns target, measured and, optionally, time (seconds after writing).")],
    out: Annotated[Path, typer.Option("--out", help="Cell file to write (.yaml); machines and 'device show' accept its path.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the cell; by default the CSV file's name without its suffix.")] = None,
    unit: Annotated[str, typer.Option("--unit", help="Unit of target and measured: S, mS, uS or nS.")] = "uS",
    picture: Annotated[Path | None, typer.Option("--picture", help="Save a plot of the fit to this file (.png, .svg or .pdf).")] = None,
    as_json: Json = False,
) -> None:
    """Fit a cell to measurements: its programming error, and its change over time."""
    from crossloom.device import cell_text, fit_cell, read_measurements
    from crossloom.files import check_new, check_picture, write_picture
    from crossloom.report.figures.devices import draw_fit

    check_new(out)
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"--out {out}: the file name must end in .yaml")
    if picture:
        check_picture(picture)
    measurements = read_measurements(file, unit)
    found, qualities = fit_cell(measurements, name or file.stem, f"fitted to {file.name}")
    if picture:
        write_picture(draw_fit(measurements, found, qualities), picture)
    out.write_text(cell_text(found), encoding="utf-8")
    if as_json:
        print(json.dumps(_head(found) | {"file": str(out), "fits": [_quality(quality) for quality in qualities]}, indent=1))
    else:
        _print_fit(found, qualities, Console())
        print(f"\nCell: {out}" + (f"\nPicture: {picture}" if picture else ""))


def _rows(cell: Cell, samples: int = 4000) -> list[dict[str, float]]:
    """Return mean, spread and read noise for targets across the range, sampled from cells written with seed 0."""
    import torch

    rows = []
    for share in SHARES:
        target = cell.low_s + share * (cell.high_s - cell.low_s)
        written = cell.write(torch.full((samples,), target, dtype=torch.float64), torch.Generator().manual_seed(0))
        for time in TIMES:
            if time <= cell.longest_s:
                g = written.conductance_s(time)
                noise = float(written.reading_sigma_s(time).mean())
                rows.append({"target_s": target, "time_s": time, "mean_s": float(g.mean()), "spread_s": float(g.std()), "reading_s": noise})
    return rows


def _head(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.name, "title": cell.title, "source": cell.source, "low_s": cell.low_s, "high_s": cell.high_s, "note": cell.note}


def _quality(quality: Quality) -> dict[str, Any]:
    names = ("target_us", "samples", "bias_us", "spread_us", "fitted_us")
    return {
        "time_s": quality.time_s,
        "samples": quality.samples,
        "bias_us": list(quality.bias_us),
        "sigma_us": list(quality.sigma_us),
        "standardised_spread": quality.spread,
        "p_value": quality.p_value,
        "groups": [dict(zip(names, row, strict=True)) for row in quality.rows],
    }


def _print_fit(cell: Cell, qualities: tuple[Quality, ...], console: Console) -> None:
    console.print(f"{cell.name}: {cell.low_s * 1e6:g} to {cell.high_s * 1e6:g} µS", highlight=False, markup=False)
    for quality in qualities:
        fits = "normal" if quality.p_value >= 0.01 else "not normal: the tails differ from the model's"
        console.print(
            f"\n{quality.samples} measurements {f'{_duration(quality.time_s)} after writing' if quality.time_s else 'as written'}: "
            f"standardised residuals have a spread of {quality.spread:.3f}, {fits} (Kolmogorov-Smirnov p = {quality.p_value:.2g})",
            highlight=False,
        )
        table = Table(pad_edge=False, box=None, header_style="bold")
        for title in ("target µS", "count", "mean error µS", "spread µS", "fitted µS"):
            table.add_column(title, justify="right")
        for target, count, bias, spread, fitted in quality.rows:
            table.add_row(f"{target:.4g}", str(count), f"{bias:.3g}", f"{spread:.3g}", f"{fitted:.3g}")
        console.print(table)


def _duration(seconds: float) -> str:
    if not seconds:
        return "writing"
    for length, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= length:
            return f"{seconds / length:.3g} {name}"
    return f"{seconds:.3g} s"
