"""The papers behind a machine: its own, and those cited as sources of its numbers."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from crossloom.machines.explain import explain
from crossloom.machines.machine import Machine
from crossloom.plugins import plugins


@cache
def references() -> dict[str, str]:
    """Return every BibTeX entry by key, from `references.bib` and the .bib files that other packages ship with their machines."""
    texts = [(files("crossloom.machines") / "references.bib").read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8") for plugin in plugins("machines").values() for path in plugin.documents(".bib")]
    entries = [entry.strip() for text in texts for entry in re.split(r"\n(?=@)", text)]
    return {match[1]: entry for entry in entries if (match := re.match(r"@\w+\{([^,\s]+),", entry))}


def citations(machine: Machine) -> dict[str, str]:
    """Return the BibTeX entries behind a machine, its own paper first."""
    sources = " ".join(str(row["source"]) for row in explain(machine))
    known = references()
    keys = [machine.paper, *(key for key in known if key != machine.paper and re.search(rf"\b{re.escape(key)}\b", sources))]
    return {key: known[key] for key in keys if key in known}
