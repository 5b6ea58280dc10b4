"""Claims of papers, and their computation.

There is one module per paper. Published results serve only for comparison; they never feed a computation.
"""

from __future__ import annotations

from importlib import import_module

from crossloom.errors import InputError
from crossloom.papers.claim import Claim as Claim

PAPERS = {
    "cascade": "crossloom.papers.cascade",
    "crossstack": "crossloom.papers.crossstack",
    "hurry": "crossloom.papers.hurry",
    "isaac": "crossloom.papers.isaac",
    "misca": "crossloom.papers.misca",
    "neural-pim": "crossloom.papers.neural_pim",
    "neurosim": "crossloom.papers.neurosim",
    "pipelayer": "crossloom.papers.pipelayer",
    "retransformer": "crossloom.papers.retransformer",
    "rtm-ap": "crossloom.papers.rtm_ap",
    "star": "crossloom.papers.star",
}


def reproduce(paper: str | None = None) -> list[Claim]:
    """Return the claims of a paper (of all papers if None), misses first. Raises InputError for an unknown paper."""
    if paper is not None and paper not in PAPERS:
        raise InputError(f"no paper named {paper}; choose one of {', '.join(PAPERS)}")
    claims = [claim for name in ([paper] if paper else PAPERS) for claim in import_module(PAPERS[name]).claims()]
    order = ("miss", "near", "match", "unverifiable")
    return sorted(claims, key=lambda claim: order.index(claim.verdict))
