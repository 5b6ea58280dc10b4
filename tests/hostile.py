"""Read files that mean harm in a process of their own: one that gets through must not take the tests with it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_READ = """
import json, sys
from crossloom.errors import CrossloomError
from crossloom.job.source import load
for path in sys.argv[1:]:
    try:
        load(path)
        print(json.dumps("read"))
    except CrossloomError as problem:
        print(json.dumps(str(problem)))
"""
MEMORY = 12 << 30


def answers(paths: Sequence[Path], seconds: float = 120) -> list[str]:
    """Return what reading each file comes to, within little time and memory: "read", or the one line of the refusal."""
    command = [sys.executable, "-c", _READ, *map(str, paths)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    found = subprocess.run(command, capture_output=True, text=True, timeout=seconds, preexec_fn=limit, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return [json.loads(line) for line in found.stdout.splitlines()]
