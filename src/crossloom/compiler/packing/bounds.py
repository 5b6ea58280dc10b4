"""Lower bounds on the number of arrays that a set of blocks needs, valid for any packing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossloom.compiler.packing.kinds import BlockKind, Owner

_THRESHOLDS = 16
"""Largest number of thresholds tried in each direction."""

_STARTS = 16
"""Number of kinds from which a set of mutually exclusive blocks is grown."""


def fewest_arrays(kinds: Sequence[BlockKind], rows: int, columns: int) -> int:
    """Return a number of arrays (of rows x columns cells) that every packing of these kinds needs.

    The bounds are those of `packing`, with lengths mapped by dual feasible functions u: [0, 1] -> [0, 1], for which lengths that
    fit into 1 side by side have Σ u <= 1 (Fekete and Schepers, Math. Methods of Operations Research 60, 2004). Whatever holds for lengths
    also holds for their u: a block longer than 1 - ε counts as 1 if blocks shorter than ε count as 0.
    """
    kinds = [kind for kind in kinds if kind.count]
    if not kinds:
        return 0
    count = np.array([kind.count for kind in kinds], dtype=float)
    share = count / np.array([kind.period for kind in kinds])
    heights = _weights(np.array([kind.rows for kind in kinds]), rows)
    widths = _weights(np.array([kind.columns for kind in kinds]), columns)
    writes = np.array([kind.writes for kind in kinds])
    owner = _one_hot([kind.owner for kind in kinds])
    sums = [
        (heights * count) @ widths.T,
        heights @ share,
        widths @ share,
        (heights * count) @ owner,
        (widths * count) @ owner,
        (count * writes) @ owner,
        np.array([writes @ share]),
    ]
    return max(_clique(kinds, rows, columns), *(math.ceil(float(bound.max()) - 1e-9) for bound in sums))


def _clique(kinds: Sequence[BlockKind], rows: int, columns: int) -> int:
    """Return the size of a set of blocks that pairwise cannot share an array, for any phases."""
    height, width, period = (np.array([getattr(kind, name) for kind in kinds]) for name in ("rows", "columns", "period"))
    writes = np.array([kind.writes for kind in kinds])
    tall = height[:, None] + height > rows
    wide = width[:, None] + width > columns
    owner = _one_hot([kind.owner for kind in kinds])
    meet = (np.minimum(period[:, None], period) == 1) | (owner @ owner.T > 0)
    excluded = (tall & wide) | (meet & (tall | wide | (writes[:, None] & writes)))
    order = sorted(np.flatnonzero(excluded.diagonal()).tolist(), key=lambda index: -kinds[index].count)
    best = 1
    for first in order[:_STARTS]:
        clique = [first]
        candidates = excluded[first].copy()
        for index in order:
            if index != first and candidates[index]:
                clique.append(index)
                candidates &= excluded[index]
        best = max(best, sum(kinds[index].count for index in clique))
    return best


def _weights(lengths: NDArray[np.int_], whole: int) -> NDArray[np.float64]:
    """Return each function of the lengths, as an array of functions x kinds: the length itself, then halves, then one row per threshold."""
    values = np.unique(np.concatenate([lengths[2 * lengths <= whole], whole - lengths[2 * lengths > whole] + 1, [1]]))
    values = values[2 * values <= whole]
    picked = values[np.linspace(0, len(values) - 1, min(len(values), _THRESHOLDS)).astype(int)] if len(values) else values
    share = lengths / whole
    small = lengths[None, :] < picked[:, None]
    large = lengths[None, :] > whole - picked[:, None]
    halves = np.where(2 * lengths > whole, 1.0, np.where(2 * lengths == whole, 0.5, 0.0))
    return np.vstack([share, halves, np.where(large, 1.0, np.where(small, 0.0, share))])


def _one_hot(owners: Sequence[Owner]) -> NDArray[np.float64]:
    """Return an array of kinds x owners: 1 where a kind belongs to the owner."""
    index = {owner: column for column, owner in enumerate(dict.fromkeys(owners))}
    return np.eye(len(index))[[index[owner] for owner in owners]]
