"""References of a machine as lines of text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crossloom.machines.cite import citations

if TYPE_CHECKING:
    from crossloom.machines import Machine

_FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", re.MULTILINE)


def reference_lines(machine: Machine) -> list[tuple[str, str]]:
    """Return key and citation of every paper behind a machine, its own paper first."""
    return [(key, citation(entry)) for key, entry in citations(machine).items()]


def citation(entry: str) -> str:
    """Return a BibTeX entry (one field per line) as text: `Shafiee et al.: ISAAC. Proc. ISCA, 2016. doi:10.1109/ISCA.2016.12`."""
    fields = {name.lower(): re.sub(r"[{}]", "", value).replace("--", "–") for name, value in _FIELD.findall(entry)}
    place = ", ".join(fields[name] for name in ("booktitle", "journal", "howpublished", "year", "note") if name in fields)
    doi = f"doi:{fields['doi']}" if "doi" in fields else ""
    named = f"{_authors(fields.get('author', ''))}: {fields.get('title', '')}".strip(": ")
    return ". ".join(part for part in (named, place, doi) if part)


def _authors(text: str) -> str:
    """Return up to two family names, or the first one and `et al.`."""
    names = [name.partition(",")[0].strip() for name in text.split(" and ") if name.strip()]
    if len(names) > 2 or "others" in names:
        return f"{names[0]} et al."
    return " and ".join(names)
