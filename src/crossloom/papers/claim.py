"""Published numbers beside the numbers computed here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["match", "near", "miss", "unverifiable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim of a paper.

    Attributes:
        id: short name.
        paper: key in `references.bib`.
        statement: what is claimed, with unit and location in the paper.
        published: the printed number, None if there is none.
        computed: the number computed here, None if an input is missing.
        tolerance: relative deviation that counts as a match (absolute if `absolute`).
        absolute: whether the tolerance is a difference rather than a ratio.
        basis: what was computed, and from which inputs.
        free_parameters: inputs that the paper does not print and that were chosen.
        note: why the claim is missed, or a caveat.
    """

    id: str
    paper: str
    statement: str
    published: float | None
    computed: float | None
    tolerance: float
    basis: str
    absolute: bool = False
    free_parameters: tuple[str, ...] = ()
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Computed over published."""
        if self.published is None or self.computed is None or self.published == 0:
            return None
        return self.computed / self.published

    @property
    def verdict(self) -> Verdict:
        """ "match" within the tolerance, "near" within twice it, else "miss"; "unverifiable" where a number is missing."""
        if self.published is None or self.computed is None:
            return "unverifiable"
        deviation = abs(self.computed - self.published)
        if not self.absolute:
            deviation /= abs(self.published)
        if deviation <= self.tolerance * (1 + 1e-9):
            return "match"
        return "near" if deviation <= 2 * self.tolerance else "miss"

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as plain data."""
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict, "free_parameters": list(self.free_parameters)}
