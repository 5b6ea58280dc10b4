"""Run folders, written beside their destination and then renamed, so that no partial folder is ever visible."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from crossloom.errors import InputError

if TYPE_CHECKING:
    from crossloom.job.result import Result
    from crossloom.program.program import Program


def check_free(folder: str | Path) -> Path:
    """Return the path if a run folder can be created there. Raises InputError."""
    path = Path(folder)
    if os.path.lexists(path):
        raise InputError(f"{path} exists; choose another folder, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.absolute().parent} is not a folder; make it first")
    if not os.access(path.absolute().parent, os.W_OK):
        raise InputError(f"{path.absolute().parent} is not writable; choose another folder")
    return path


def save(result: Result, folder: str | Path) -> Path:
    """Write result, layers, machine, program, report and trace; return the folder's path. Raises InputError if it exists."""
    from crossloom.report.trace import write_trace

    path = check_free(folder)
    working = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.absolute().parent))
    try:
        (working / "result.json").write_text(result.to_json(), encoding="utf-8")
        _write_layers(result, working)
        (working / "machine.yaml").write_text(_yaml(_plain(result.program.machine.document)), encoding="utf-8")
        (working / "program.txt").write_text(program_summary(result.program), encoding="utf-8")
        _write_report(result, working)
        write_trace(result, working / "trace.json")
        working.chmod(0o755)
        working.rename(path)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    return path


def _write_report(result: Result, folder: Path) -> None:
    """Write the report, or a note of the missing package."""
    try:
        result.report(folder / "report.html")
    except InputError as problem:
        (folder / "report.missing.txt").write_text(f"{problem}\n", encoding="utf-8")


def _write_layers(result: Result, folder: Path) -> None:
    rows = [dict(row) for row in result.layers]
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        with (folder / "layers.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
        return
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "layers.parquet")


def program_summary(program: Program) -> str:
    """Return the program's text form."""
    return str(program)


def _yaml(document: Any) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, stream)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    """Return the nested mappings and lists of the YAML reader as plain ones."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)
